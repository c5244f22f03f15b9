package lower

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"actordb/core/row"
	"actordb/core/sql/parse"
	"actordb/core/sql/plan"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
	"actordb/core/zset"
)

// numbers is a catalog of one table, t (a int4, b int8, c text).
type numbers struct{}

func (numbers) Table(schema, name string) (*plan.Table, bool) {
	return &plan.Table{Name: name, Schema: row.Schema{{Name: "a", Type: row.Of(row.Int4)}, {Name: "b", Type: row.Of(row.Int8)}, {Name: "c", Type: row.Of(row.Text)}}}, name == "t"
}

func open(t testing.TB, sql string, memory int) *Query {
	t.Helper()
	s, err := parse.One(sql)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Query(s.(*tree.Select).Query, plan.Options{Catalog: numbers{}})
	if err != nil {
		t.Fatal(err)
	}
	program, err := Plan(p)
	if err != nil {
		t.Fatal(err)
	}
	q, err := program.Open(memory)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// chunks are rows from to to of t as the sources of a query want them.
func chunks(q *Query, from, to int) (all [][]*zset.Batch) {
	for i, s := range q.program.Sources {
		var list []*zset.Batch
		for at := from; at < to; at += row.ChunkRows {
			b := zset.NewBatch(q.program.SourceTypes(i))
			for k := at; k < min(to, at+row.ChunkRows); k++ {
				for c, column := range s.Columns {
					switch column {
					case 0:
						b.Cols[c].AppendInt(int64(k % 1000))
					case 1:
						b.Cols[c].AppendInt(int64(k))
					default:
						b.Cols[c].AppendString(fmt.Sprintf("row %d", k))
					}
				}
				b.N++
				b.W = append(b.W, 1)
			}
			list = append(list, b)
		}
		all = append(all, list)
	}
	return all
}

// feed pushes chunks and finishes the step.
func feed(q *Query, all [][]*zset.Batch) error {
	for i, list := range all {
		for _, b := range list {
			if err := q.Push(i, b); err != nil {
				return err
			}
		}
	}
	for {
		if done, err := q.Finish(10_000); done || err != nil {
			return err
		}
	}
}

// An answer comes in batches, in its order.
func TestRows(t *testing.T) {
	q := open(t, "SELECT b, c FROM t WHERE b % 2 = 0 ORDER BY a DESC, b", 0)
	if err := feed(q, chunks(q, 0, 5000)); err != nil {
		t.Fatal(err)
	}
	var all []int64
	batches := 0
	err := q.Rows(func(b *row.Batch) error {
		if batches++; b.N > row.ChunkRows || len(b.Cols) != 2 {
			t.Errorf("a batch of %d rows, %d columns", b.N, len(b.Cols))
		}
		all = append(all, b.Cols[0].I...)
		return nil
	})
	if err != nil || len(all) != 2500 || batches != 3 {
		t.Fatalf("%d rows in %d batches, %v", len(all), batches, err)
	}
	for i := 1; i < len(all); i++ {
		x, y := all[i-1], all[i]
		if x%1000 < y%1000 || x%1000 == y%1000 && x >= y {
			t.Fatalf("%d before %d", x, y)
		}
	}
	stop := errors.New("enough")
	if err := q.Rows(func(*row.Batch) error { return stop }); err != stop {
		t.Errorf("%v, want %v", err, stop)
	}
	if lines := strings.Join(q.Analyze(), "\n"); !strings.HasPrefix(lines, "read 5000 rows of t\nanswered 2500 rows\nheld ") {
		t.Errorf("%s", lines)
	}
}

// A query that would hold too much is refused.
func TestMemory(t *testing.T) {
	q := open(t, "SELECT x.c, y.c FROM t x JOIN t y ON x.a = y.a", 4<<20)
	err := feed(q, chunks(q, 0, 50_000))
	var e *sqlerr.Error
	if !errors.As(err, &e) || e.State != sqlerr.OutOfMemory {
		t.Fatalf("%v, want %s", err, sqlerr.OutOfMemory)
	}
	if _, err := q.Finish(1); err == nil {
		t.Error("a refused query goes on")
	}
}

// An error of a row is there as long as the row is.
func TestErrorsComeAndGo(t *testing.T) {
	q := open(t, "SELECT 10 / a FROM t", 0)
	step := func(a, w int64) error {
		b := zset.NewBatch(q.program.SourceTypes(0))
		b.AddValues(w, row.Value{Type: row.Of(row.Int4), I: a})
		if err := q.Push(0, b); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Finish(1000); err != nil {
			t.Fatal(err)
		}
		return q.Err()
	}
	if err := step(5, 1); err != nil {
		t.Fatal(err)
	}
	var e *sqlerr.Error
	if err := step(0, 1); !errors.As(err, &e) || e.State != sqlerr.DivisionByZero {
		t.Fatalf("%v, want %s", err, sqlerr.DivisionByZero)
	}
	if err := q.Rows(func(*row.Batch) error { return nil }); err == nil {
		t.Error("an answer with an error in it")
	}
	if err := step(2, 1); err == nil {
		t.Error("the error is forgotten")
	}
	if err := step(0, -1); err != nil {
		t.Errorf("the row is gone, its error is not: %v", err)
	}
}

// Subqueries within and beside one another do not make a plan grow without end.
func TestManySubqueries(t *testing.T) {
	nested, beside := "1 = 1", "SELECT a"
	for i := range 25 {
		outer := "t"
		if i < 24 {
			outer = fmt.Sprintf("t%d", i+1)
		}
		nested = fmt.Sprintf("EXISTS (SELECT 1 FROM t t%d WHERE t%d.a = %s.a AND (t%d.b > 5 OR %s))", i, i, outer, i, nested)
		beside += fmt.Sprintf(", (SELECT count(*) FROM t t%d WHERE t%d.a < t.a + %d)", i, i, i)
	}
	for _, sql := range []string{"SELECT a FROM t WHERE " + nested, beside + " FROM t"} {
		q := open(t, sql, 0)
		if err := feed(q, chunks(q, 0, 10)); err != nil {
			t.Fatal(err)
		}
		if n := q.Changes().N; n != 10 {
			t.Errorf("%d rows, want 10", n)
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	const n = 100_000
	for _, sql := range []string{
		"SELECT b + 1 FROM t WHERE a < 10",
		"SELECT a, count(*), sum(b) FROM t GROUP BY a",
		"SELECT count(*) FROM t x JOIN t y ON x.b = y.b",
		"SELECT c FROM t ORDER BY b DESC LIMIT 10",
		"SELECT count(*) FROM t WHERE EXISTS (SELECT 1 FROM t u WHERE u.b = t.a)",
		"SELECT count(*) FROM t WHERE b > (SELECT max(u.b) - 1000 FROM t u WHERE u.a = t.a)",
	} {
		b.Run(strings.ReplaceAll(sql, " ", "_"), func(b *testing.B) {
			all := chunks(open(b, sql, 1<<30), 0, n)
			for b.Loop() {
				if err := feed(open(b, sql, 1<<30), all); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}
