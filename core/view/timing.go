package view

import (
	"slices"

	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// timing reads the options of an event type:
//
//	WITH (lateness = '10 s', correction = '1 h', skew = '5 s', idle = '1 min', source = 'key')
//
// Lateness has to be there. Without the others nothing is corrected, clocks may be
// ahead by the lateness, IdleDefault holds, and the type is one source.
func timing(s *tree.CreateEventType) (*Timing, error) {
	if len(s.Options) == 0 {
		return nil, nil
	}
	t := &Timing{Lateness: -1, Skew: -1, Idle: IdleDefault, Source: -1}
	var seen []string
	for _, o := range s.Options {
		if slices.Contains(seen, o.Name) {
			return nil, sqlerr.At(o.Pos, sqlerr.SyntaxError, "option %q stands twice", o.Name)
		}
		seen = append(seen, o.Name)
		var err error
		switch o.Name {
		case "lateness":
			t.Lateness, err = span(o, 0)
		case "correction":
			t.Correction, err = span(o, 0)
		case "skew":
			t.Skew, err = span(o, 0)
		case "idle":
			t.Idle, err = span(o, 1)
		case "source":
		default:
			err = sqlerr.At(o.Pos, sqlerr.InvalidParameter, "event types have no option %q", o.Name).
				Hint("there are lateness, correction, skew, idle and source")
		}
		if err != nil {
			return nil, err
		}
	}
	if t.Lateness < 0 {
		return nil, sqlerr.At(s.Options[0].Pos, sqlerr.InvalidParameter, "%q has no meaning without a lateness", s.Options[0].Name).
			Hint("add lateness = '10 s', or as much as events may be late")
	}
	if t.Skew < 0 {
		t.Skew = t.Lateness
	}
	return t, nil
}

// span reads an interval of at least so many microseconds.
func span(o tree.Option, least int64) (int64, error) {
	v, err := row.ParseInterval([]byte(o.Value))
	micros := v.Micros
	if days := int64(v.Days); err == nil && days >= -400 && days <= 400 {
		micros += days * 24 * 3600 * 1e6
	}
	if err != nil || v.Months != 0 || v.Days > 400 || v.Days < -400 || micros < least || micros > TimingMax {
		return 0, sqlerr.At(o.Pos, sqlerr.InvalidParameter, "%s = %q is no time from %d microseconds to 366 days", o.Name, o.Value, least).
			Hint("write it as '10 s', '5 min' or '2 days'")
	}
	return micros, nil
}

// source is the column that the options name as the source, or -1.
func (t *EventType) source(s *tree.CreateEventType) (int, error) {
	for _, o := range s.Options {
		if o.Name != "source" {
			continue
		}
		i := t.table.Schema.Index(o.Value)
		switch {
		case i < 0:
			return 0, sqlerr.At(o.Pos, sqlerr.UndefinedColumn, "column %q, the source, does not exist", o.Value)
		case i == colSeq || i == colEventTime || i == colCommitTime || i == systemCols:
			return 0, sqlerr.At(o.Pos, sqlerr.InvalidParameter, "column %q differs from event to event: it is no source", o.Value).
				Hint("name the column that says who sent the event: key, principal, or one of yours")
		case i > systemCols && t.Personal[i-t.fieldCol()]:
			return 0, sqlerr.At(o.Pos, sqlerr.InvalidParameter, "column %q is PERSONAL: lateness must not change when it is erased", o.Value)
		}
		return i, nil
	}
	return -1, nil
}
