// Package viewcheck sets kept views beside judges that share nothing with the
// engine, over blocks as a feed hands them out.
//
//	late.go   windows over readings that come late, twice, out of order, from the
//	          future and from sources that fall silent, beside checkers.Watermarks
//	bank.go   money that moves between accounts: it never becomes more or less
//
// Simulated runs (internal/testbed) and experiments use both.
package viewcheck

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/journal"
	"actordb/core/row"
	"actordb/core/sql/lower"
	"actordb/core/sql/parse"
	"actordb/core/sql/tree"
	"actordb/core/view"
)

// Times of the readings' type and windows, in microseconds.
const (
	lateness   = 500_000
	correction = 3_000_000
	skew       = 300_000
	idle       = 2_000_000
	tumble     = 2_000_000
	slide      = 1_000_000
	size       = 4_000_000
	gap        = 100_000
)

// ReadingTiming is what the type of readings declares.
var ReadingTiming = checkers.Timing{Lateness: lateness, Correction: correction, Skew: skew, Idle: idle}

// The views. Those that others read, or whose late events are wanted, have names.
var lateSchema = []string{
	`CREATE EVENT TYPE sensor.reading (value int8 NOT NULL)
	 WITH (lateness = '500 ms', correction = '3 s', skew = '300 ms', idle = '2 s', source = 'key')`,
	`CREATE PROJECTION tumbled AS SELECT window_start, window_end, count(*) AS n, sum(value) AS total, max(value) AS most
	 FROM tumble(sensor.reading, event_time, interval '2 s') GROUP BY window_start, window_end`,
	`CREATE PROJECTION hopped AS SELECT window_end, count(*) AS n, sum(value) AS total, max(value) AS most
	 FROM hop(sensor.reading, event_time, interval '1 s', interval '4 s') GROUP BY window_end`,
	`CREATE PROJECTION visits AS SELECT key, window_start, window_end, count(*) AS n, sum(value) AS total, max(value) AS most
	 FROM session(sensor.reading, event_time, interval '100 ms', key) GROUP BY key, window_start, window_end`,
	`CREATE PROJECTION firsts AS SELECT DISTINCT ON (window_start) window_start, value, key, seq
	 FROM tumble(sensor.reading, event_time, interval '2 s') ORDER BY window_start, value DESC, key, seq`,
}

var lateQueries = [...]string{
	tumbled: `SELECT * FROM tumbled`,
	hopped:  `SELECT * FROM hopped`,
	visits:  `SELECT * FROM visits`,
	firsts:  `SELECT * FROM firsts`,
	missed:  `SELECT projection, key, seq, window_start, window_end FROM system.late_events`,
	plain:   `SELECT count(*), sum(value), max(value), count(*) FILTER (WHERE event_time < watermark) FROM sensor.reading`,
}

const (
	tumbled = iota
	hopped
	visits
	firsts
	missed
	plain
)

// Sensors keeps the views, and what they must hold.
type Sensors struct {
	Views   []*view.View
	Judge   *checkers.Watermarks
	catalog *view.Catalog
	readers []*tree.Query
	cut     core.Timestamp
	seen    seen
	places  []lower.Place // of the views
	again   *Restarts
}

// seen is the newest event of each actor: an event happens once, whatever logs have
// it, those of a shard that took an actor over among them.
type seen map[core.ActorID]core.Seq

func (s seen) news(e *core.Event) bool {
	if e.Seq <= s[e.Actor] {
		return false
	}
	s[e.Actor] = e.Seq
	return true
}

// NewSensors begins with no events.
func NewSensors() (*Sensors, error) {
	l := &Sensors{Judge: checkers.NewWatermarks(ReadingTiming), catalog: view.NewCatalog(), seen: seen{}, again: NewRestarts()}
	for _, text := range lateSchema {
		s, err := parse.One(text)
		if err == nil {
			err = l.catalog.Execute(s)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
	}
	for _, text := range lateQueries {
		s, err := parse.One(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		q := s.(*tree.Select).Query
		at := l.again.Place()
		v, err := l.catalog.NewView(q, view.Options{Place: at})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		l.places = append(l.places, at)
		l.Views, l.readers = append(l.Views, v), append(l.readers, q)
	}
	return l, nil
}

// Take takes a block, in the order of a feed.
func (l *Sensors) Take(shard core.ShardID, index core.Index, b *journal.Block) error {
	for _, v := range l.Views {
		v.Take(shard, index, b)
	}
	var list []checkers.Reading
	for i := range b.Rows() {
		e := b.Event(i)
		if e.Actor.Type() != "sensor" || e.Type != "reading" || !l.seen.news(&e) {
			continue
		}
		value, ok := readingValue(e.Payload)
		if !ok {
			return fmt.Errorf("%s has no value", &e)
		}
		list = append(list, checkers.Reading{Key: e.Actor.Key(), Source: e.Actor.Key(), Seq: uint64(e.Seq), Value: value,
			Event: floorMicros(e.EventTime), Commit: floorMicros(e.Committed)})
	}
	l.Judge.Block(floorMicros(b.Timestamp), list)
	return nil
}

// readingValue reads a reading without the engine.
func readingValue(payload []byte) (value int64, ok bool) {
	for len(payload) > 0 {
		number, kind, n := protowire.ConsumeTag(payload)
		if n < 0 {
			return 0, false
		}
		payload = payload[n:]
		if number == 1 && kind == protowire.VarintType {
			x, k := protowire.ConsumeVarint(payload)
			value, n, ok = protowire.DecodeZigZag(x), k, true
		} else {
			n = protowire.ConsumeFieldValue(number, kind, payload)
		}
		if n < 0 {
			return 0, false
		}
		payload = payload[n:]
	}
	return value, ok
}

func floorMicros(t core.Timestamp) int64 { return (int64(t) - (int64(t)%1000+1000)%1000) / 1000 }

// Cut ends a step of the views, in slices that random draws, and lets some go on from
// their checkpoints.
func (l *Sensors) Cut(at core.Timestamp, random *rand.Rand) error {
	for i, v := range l.Views {
		for done := false; !done; {
			var err error
			if done, err = v.Finish(at, 1+random.IntN(finishFuel)); err != nil {
				return fmt.Errorf("%q at the cut %s: %w", lateQueries[i], at, err)
			}
		}
		if v.Undecodable > 0 {
			return fmt.Errorf("%q cannot read %s", lateQueries[i], v.First)
		}
		var err error
		if l.Views[i], err = l.again.Maybe(v, l.catalog, l.readers[i], l.places[i], random); err != nil {
			return fmt.Errorf("%q goes on from its checkpoint at the cut %s: %w", lateQueries[i], at, err)
		}
	}
	l.cut = at
	return nil
}

const finishFuel = 500

// Compare holds each view to the judge at the last cut, and reports how many rows it
// compared.
func (l *Sensors) Compare() (examined int, err error) {
	want := l.expected()
	for i, v := range l.Views {
		n, err := compare(v.Rows, want[i])
		if err != nil {
			return examined, fmt.Errorf("%q at the cut %s: %w", lateQueries[i], l.cut, err)
		}
		examined += n
	}
	return examined, l.finality()
}

// finality holds the watermark that the views go by to the judge's.
func (l *Sensors) finality() error {
	mark, closed, ok := l.Views[tumbled].Watermark("sensor.reading")
	want := l.Judge.Before(floorMicros(l.cut))
	if ok != want.Known || ok && (mark != want.At || closed != want.At-correction) {
		return fmt.Errorf("at the cut %s the watermark is %s (%t), what is closed %s; the watermark should be %s (%t)",
			l.cut, stamp(mark), ok, stamp(closed), stamp(want.At), want.Known)
	}
	return nil
}

// expected are the lines of each view.
func (l *Sensors) expected() [len(lateQueries)][]string {
	var out [len(lateQueries)][]string
	note := func(projection string, list []checkers.Missed) {
		for _, m := range list {
			out[missed] = append(out[missed], line("projections."+projection, m.Key, m.Seq, stamp(m.Start), stamp(m.End)))
		}
	}
	windows, late := l.Judge.Hops(tumble, tumble)
	for _, w := range windows {
		out[tumbled] = append(out[tumbled], line(stamp(w.Start), stamp(w.End), w.Count, w.Sum, w.Max))
	}
	note("tumbled", late)
	note("firsts", late)
	windows, late = l.Judge.Hops(slide, size)
	for _, w := range windows {
		out[hopped] = append(out[hopped], line(stamp(w.End), w.Count, w.Sum, w.Max))
	}
	note("hopped", late)
	windows, late = l.Judge.Sessions(gap)
	for _, w := range windows {
		out[visits] = append(out[visits], line(w.Key, stamp(w.Start), stamp(w.End), w.Count, w.Sum, w.Max))
	}
	note("visits", late)
	best := map[int64]*checkers.Reading{}
	var n, sum, most, old int64
	readings := l.Judge.Readings()
	for i := range readings {
		r := &readings[i]
		n++
		sum += r.Value
		if n == 1 || r.Value > most {
			most = r.Value
		}
		if r.Mark.Known && r.Event < r.Mark.At {
			old++
		}
		start := r.Event - (r.Event%tumble+tumble)%tumble
		if l.Judge.Closed(r, start+tumble) {
			continue
		}
		if b := best[start]; b == nil || r.Value > b.Value || r.Value == b.Value && (r.Key < b.Key || r.Key == b.Key && r.Seq < b.Seq) {
			best[start] = r
		}
	}
	for start, r := range best {
		out[firsts] = append(out[firsts], line(stamp(start), r.Value, r.Key, r.Seq))
	}
	if n == 0 {
		out[plain] = []string{"0|NULL|NULL|0"}
	} else {
		out[plain] = []string{line(n, sum, most, old)}
	}
	return out
}

// Account says what became of the readings; the views must have counted as many. It
// is to be asked after Compare.
func (l *Sensors) Account() checkers.Account { return l.Judge.Account(tumble) }

// MemBytes is what the circuits of the views hold, without the answers.
func (l *Sensors) MemBytes() (n int) {
	for _, v := range l.Views {
		n += v.Job.MemBytes()
	}
	return n
}

func stamp(micros int64) string {
	return row.Value{Type: row.Of(row.Timestamptz), I: micros}.String()
}

func line(cells ...any) string {
	var s []string
	for _, c := range cells {
		s = append(s, fmt.Sprint(c))
	}
	return strings.Join(s, "|")
}

// compare sets the rows of an answer beside those that it should have.
func compare(rows func(func(*row.Batch) error) error, want []string) (n int, err error) {
	var got []string
	err = rows(func(b *row.Batch) error {
		for r := range b.N {
			var cells []string
			for _, c := range b.Cols {
				text := "NULL"
				if !c.Null(r) {
					text = string(c.AppendText(nil, r))
				}
				cells = append(cells, text)
			}
			got = append(got, strings.Join(cells, "|"))
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		k := 0
		for k < min(len(got), len(want)) && got[k] == want[k] {
			k++
		}
		return 0, fmt.Errorf("%d rows, there should be %d; they part at %q and %q", len(got), len(want), at(got, k), at(want, k))
	}
	return len(want), nil
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "the end"
}
