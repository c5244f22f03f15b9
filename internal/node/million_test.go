package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"actordb/core"
)

const (
	millionEvents = 50_000
	millionCopies = 20
	millionRows   = millionEvents * millionCopies
	// millionGrowth is what both ends together may hold while the answer is under way: what
	// feeds, circuits and windows allow. The answer itself is some 100 MB.
	millionGrowth = 48 << 20
)

// million gives a node events enough for an answer of a million rows, and tells the query.
func million(t *testing.T, s *site) (query string) {
	c := s.dial(nil)
	perform(t, c, `CREATE EVENT TYPE stream.sold (item text NOT NULL, n int8)`)
	const each = 100
	for i := range millionEvents / each {
		var events []core.NewEvent
		for n := range each {
			events = append(events, sale(strings.Repeat("apple ", 8), int64(i*each+n)))
		}
		if _, err := c.Append(t.Context(), core.ActorID(fmt.Sprintf("stream/%d", i%16)), core.AnySeq, events...); err != nil {
			t.Fatal(err)
		}
	}
	const arm = `SELECT key, seq, item, n FROM stream.sold`
	return strings.Repeat(arm+" UNION ALL ", millionCopies-1) + arm
}

// live is what the heap holds that is in use.
func live() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A gauge looks at the heap every so many rows.
type gauge struct {
	t      *testing.T
	before uint64
	rows   int
	next   int
	most   uint64
}

func newGauge(t *testing.T) *gauge { return &gauge{t: t, before: live(), next: 1} }

func (g *gauge) add(rows int) {
	if g.rows += rows; g.rows < g.next {
		return
	}
	g.next = g.rows + millionRows/10
	g.look()
}

func (g *gauge) look() {
	if now := live(); now > g.before {
		g.most = max(g.most, now-g.before)
	}
	if g.most > millionGrowth {
		g.t.Fatalf("after %d rows %d bytes more are in use than before, allowed are %d", g.rows, g.most, millionGrowth)
	}
}

// stall lets nobody read for as long as it takes to answer others.
func (g *gauge) stall(s *site) {
	g.t.Helper()
	c := s.dial(nil)
	for range 5 {
		asked(g.t, c, `SELECT count(*) FROM stream.sold`)
		g.look()
	}
}

// An answer of a million rows is read by who never has many of them, and the node never has
// many either: also while nobody reads.
func TestMillionRows(t *testing.T) {
	if testing.Short() {
		t.Skip("writes and reads for seconds")
	}
	s := newSite(t)
	text := million(t, s)
	c := s.dial(nil)
	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Second)
	defer cancel()
	g := newGauge(t)
	rows, err := c.Query(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	sum := int64(0)
	for first := true; rows.Next(); first = false {
		b := rows.Batch()
		for i := range b.N {
			sum += b.Cols[3].I[i]
		}
		g.add(b.N)
		if first {
			g.stall(s)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if want := int64(millionCopies) * millionEvents * (millionEvents - 1) / 2; g.rows != millionRows || sum != want {
		t.Errorf("%d rows with the sum %d, want %d and %d", g.rows, sum, millionRows, want)
	}
	t.Logf("%d rows, at most %d bytes more in use than before", g.rows, g.most)
}

// The same through PostgreSQL's COPY.
func TestMillionRowsCopied(t *testing.T) {
	if testing.Short() {
		t.Skip("writes and reads for seconds")
	}
	s := pgSite(t)
	text := million(t, s)
	c := s.pgx()
	g := newGauge(t)
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := c.PgConn().CopyTo(t.Context(), w, `COPY (`+text+`) TO STDOUT`)
		done <- err
		_ = w.CloseWithError(err) // nil: the end
	}()
	buf := make([]byte, 64<<10)
	for first := true; ; first = false {
		n, err := r.Read(buf)
		if first {
			g.stall(s)
		}
		g.add(bytes.Count(buf[:n], []byte("\n")))
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil || g.rows != millionRows {
		t.Errorf("%d rows copied: %v", g.rows, err)
	}
	t.Logf("%d rows, at most %d bytes more in use than before", g.rows, g.most)
}
