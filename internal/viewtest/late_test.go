package viewtest

import (
	"errors"
	"strings"
	"testing"

	"actordb/core/sql/parse"
	"actordb/core/sql/plan"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
	"actordb/core/view"
)

// What an event type declares about its times, and what it may not.
func TestTimings(t *testing.T) {
	const second = 1_000_000
	for text, want := range map[string]view.Timing{
		`(v int) WITH (lateness = '10 s')`:                                      {Lateness: 10 * second, Skew: 10 * second, Idle: view.IdleDefault, Source: -1},
		`(v int) WITH (lateness = '0', correction = '1 day', idle = '1 h')`:     {Correction: 86400 * second, Idle: 3600 * second, Source: -1},
		`(v int, w text) WITH (lateness = '1 min', skew = '1 s', source = w)`:   {Lateness: 60 * second, Skew: second, Idle: view.IdleDefault, Source: 7},
		`(v int, w text) WITH (lateness = '1 min', skew = '1 s', source = key)`: {Lateness: 60 * second, Skew: second, Idle: view.IdleDefault, Source: 0},
	} {
		c := view.NewCatalog()
		if err := c.Execute(statement(t, "CREATE EVENT TYPE a.b "+text)); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if e, _ := c.EventType("a.b"); *e.Timing != want {
			t.Errorf("%s: %+v, want %+v", text, *e.Timing, want)
		}
	}
	for text, want := range map[string]sqlerr.State{
		`(v int) WITH (correction = '10 s')`:                    sqlerr.InvalidParameter,
		`(v int) WITH (lateness = '10 s', lateness = '10 s')`:   sqlerr.SyntaxError,
		`(v int) WITH (lateness = '-1 s')`:                      sqlerr.InvalidParameter,
		`(v int) WITH (lateness = '1 month')`:                   sqlerr.InvalidParameter,
		`(v int) WITH (lateness = '400 days')`:                  sqlerr.InvalidParameter,
		`(v int) WITH (lateness = '9223372036854775807 days')`:  sqlerr.InvalidParameter,
		`(v int) WITH (lateness = 'soon')`:                      sqlerr.InvalidParameter,
		`(v int) WITH (lateness = '1 s', idle = '0 s')`:         sqlerr.InvalidParameter,
		`(v int) WITH (lateness = '1 s', mood = 'good')`:        sqlerr.InvalidParameter,
		`(v int) WITH (lateness = '1 s', source = 'nobody')`:    sqlerr.UndefinedColumn,
		`(v int) WITH (lateness = '1 s', source = 'seq')`:       sqlerr.InvalidParameter,
		`(v int) WITH (lateness = '1 s', source = 'watermark')`: sqlerr.InvalidParameter,
		`(v text PERSONAL) WITH (lateness = '1 s', source = v)`: sqlerr.InvalidParameter,
		`(watermark int) WITH (lateness = '1 s')`:               sqlerr.DuplicateColumn,
	} {
		var e *sqlerr.Error
		s, err := parse.One("CREATE EVENT TYPE a.b " + text)
		if err == nil {
			err = view.NewCatalog().Execute(s)
		}
		if !errors.As(err, &e) || e.State != want || e.Pos == tree.NoPos {
			t.Errorf("%s: %v, want %s with its place", text, err, want)
		}
	}
}

// EXPLAIN says what of an answer is final, and what never is.
func TestFinality(t *testing.T) {
	c := view.NewCatalog()
	for _, text := range []string{
		`CREATE EVENT TYPE a.b (v int) WITH (lateness = '1 s', correction = '90 s')`,
		`CREATE EVENT TYPE a.c (v int)`,
	} {
		if err := c.Execute(statement(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]string{
		`SELECT window_end, count(*) FROM tumble(a.b, event_time, interval '10 s') GROUP BY window_end`:       "Final: where window_end#10 is at or before the watermark of a.b - 00:01:30; what comes later is in system.late_events",
		`SELECT window_end, count(*) FROM session(a.b, event_time, interval '10 s', key) GROUP BY window_end`: "Final: where window_end#10 + 00:00:10 is at or before the watermark of a.b - 00:01:30; what comes later is in system.late_events",
		`SELECT sum(v) FROM a.b`:                                  "Open: an event of a.b counts whenever it comes",
		`SELECT sum(v) FROM a.b FOR TIMESTAMP AS OF '2026-01-01'`: "Open: an event of a.b counts whenever it comes",
		`SELECT window_end, count(*) FROM tumble(a.b, commit_time, interval '10 s') GROUP BY window_end`: "Open: an event of a.b counts whenever it comes",
		`SELECT window_end, count(*) FROM tumble(a.c, event_time, interval '10 s') GROUP BY window_end`:  "",
	} {
		p, err := plan.Query(query(t, text), plan.Options{Catalog: c})
		if err != nil {
			t.Fatal(err)
		}
		lines := p.Explain()
		last := lines[len(lines)-1]
		if want == "" && (strings.HasPrefix(last, "Final") || strings.HasPrefix(last, "Open")) || want != "" && last != want {
			t.Errorf("%s:\n%s\nwant %q", text, strings.Join(lines, "\n"), want)
		}
	}
}

// The database's own schema is closed, and projections cannot read what tells of all
// of them.
func TestSystemSchema(t *testing.T) {
	c := view.NewCatalog()
	for text, want := range map[string]sqlerr.State{
		`CREATE EVENT TYPE system.late_events (v int)`:                        "42501",
		`CREATE PROJECTION system.x AS SELECT 1 AS a`:                         "42501",
		`CREATE PROJECTION x AS SELECT count(*) AS n FROM system.late_events`: sqlerr.FeatureNotSupported,
		`DROP PROJECTION system.late_events`:                                  sqlerr.UndefinedTable,
	} {
		var e *sqlerr.Error
		if err := c.Execute(statement(t, text)); !errors.As(err, &e) || e.State != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	// Without projections there are none.
	w := newWorld(t, 1)
	w.write(20)
	j, err := w.catalog.NewJob(query(t, `SELECT * FROM system.late_events`), view.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range w.blocks {
		j.Take(0, w.indexes[i], b)
	}
	finish(t, w.clock, j.Finish, 100)
	if got := rows(t, j.Rows); len(got) != 0 || len(j.Cols()) != 11 {
		t.Errorf("%v in %d columns", got, len(j.Cols()))
	}
}
