package testbed

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"actordb/checkers"
	"actordb/checkers/relational"
	"actordb/core"
	"actordb/core/feed"
	"actordb/core/journal"
	"actordb/core/row"
	"actordb/core/sql/lower"
	"actordb/core/sql/parse"
	"actordb/core/sql/tree"
	"actordb/core/view"
	"actordb/internal/viewcheck"
)

// viewer keeps SQL views over what a watcher is handed, and sets each beside the
// answer of the naive evaluator over the same events, at some cuts and at the last.
// That the events are all there are is the checker of cuts' to say.
type viewer struct {
	rand    *rand.Rand
	views   []*view.View
	queries []*tree.Query
	places  []lower.Place
	catalog *view.Catalog
	again   *viewcheck.Restarts
	db      *relational.DB
	all     []*relational.Table // added, removed
	seen    map[core.ActorID]core.Seq
	cuts    int
	whole   bool // nothing was taken since the last cut
	done    bool // it has seen as many events as the evaluator bears
	out     *checkers.Result
}

// The events of the cart, as its own code writes them (workloads/type_cart.go).
var viewedTypes = []string{
	`CREATE EVENT TYPE cart."item-added" (item text NOT NULL, quantity int8)`,
	`CREATE EVENT TYPE cart."item-removed" (item text NOT NULL)`,
}

const viewedSystem = `CREATE EVENT TYPE x.y (key text, seq int8, event_time timestamptz, commit_time timestamptz, principal text)`

// Views of the kinds that keep state in different ways. The second is the paper's
// cart, as its query asks for it.
var viewedQueries = []string{
	`SELECT item, count(*), sum(quantity), max(quantity) FROM cart."item-added" GROUP BY item`,
	`SELECT a.key AS cart_id, a.item, sum(a.quantity) AS quantity FROM cart."item-added" a
	 WHERE NOT EXISTS (SELECT FROM cart."item-removed" r WHERE r.key = a.key AND r.item = a.item AND r.seq > a.seq) GROUP BY a.key, a.item`,
	`SELECT key, count(*) AS n FROM cart."item-added" GROUP BY key ORDER BY n DESC, key LIMIT 5`,
	`SELECT DISTINCT item FROM cart."item-removed" EXCEPT SELECT item FROM cart."item-added" WHERE quantity > 2`,
}

const (
	viewedEvery = 400  // cuts between two comparisons
	viewedMax   = 3000 // events: the evaluator's joins are nested loops
	viewedFuel  = 500
)

func newViewer(random *rand.Rand, out *checkers.Result) (*viewer, error) {
	catalog := view.NewCatalog()
	v := &viewer{rand: random, catalog: catalog, again: viewcheck.NewRestarts(), db: relational.NewDB(), seen: map[core.ActorID]core.Seq{}, out: out}
	common, err := parse.One(viewedSystem)
	if err != nil {
		return nil, err
	}
	for _, text := range viewedTypes {
		s, err := parse.One(text)
		if err != nil {
			return nil, err
		}
		if err := catalog.Execute(s); err != nil {
			return nil, err
		}
		t := s.(*tree.CreateEventType)
		table, err := relational.NewTable(append(slices.Clone(common.(*tree.CreateEventType).Columns), t.Columns...))
		if err != nil {
			return nil, err
		}
		v.db.Tables[t.Name.Schema+"."+t.Name.Name] = table
		v.all = append(v.all, table)
	}
	for _, text := range viewedQueries {
		s, err := parse.One(text)
		if err != nil {
			return nil, err
		}
		q := s.(*tree.Select).Query
		at := v.again.Place()
		kept, err := catalog.NewView(q, view.Options{Place: at})
		if err != nil {
			return nil, err
		}
		v.views, v.queries, v.places = append(v.views, kept), append(v.queries, q), append(v.places, at)
	}
	return v, nil
}

// newViewer makes one that reports to the run.
func (r *run) newViewer(random *rand.Rand) *viewer {
	v, err := newViewer(random, &r.viewed)
	core.Assert(err == nil, "the viewer's own queries: %v", err)
	r.viewers = append(r.viewers, v)
	return v
}

// judgeViews compares every view once more, where it stands at a cut.
func (r *run) judgeViews() checkers.Result {
	for _, v := range r.viewers {
		if v.whole && !v.done {
			v.compare()
		}
	}
	return r.viewed
}

// take takes a block, to the views and to the evaluator's tables.
func (v *viewer) take(b *feed.Block, parsed *journal.Block) {
	if v.done {
		return
	}
	v.whole = false
	for _, kept := range v.views {
		kept.Take(b.Shard, b.Index, parsed)
	}
	for i := range parsed.Rows() {
		e := parsed.Event(i)
		if e.Actor.Type() != "cart" {
			continue
		}
		if e.Seq <= v.seen[e.Actor] { // an event happens once, whatever logs have it
			continue
		}
		v.seen[e.Actor] = e.Seq
		if e.Type != "item-added" && e.Type != "item-removed" {
			continue
		}
		item, quantity := cartEvent(e.Payload)
		r := []relational.Value{{K: "text", V: e.Actor.Key()}, {K: "int8", V: int64(e.Seq)}, {K: "timestamptz", V: floorMicros(e.EventTime)},
			{K: "timestamptz", V: floorMicros(e.Committed)}, {K: "text", V: string(e.Principal)}, {K: "text", V: item}}
		table := v.all[1]
		if e.Type == "item-added" {
			table, r = v.all[0], append(r, quantity)
		}
		if err := table.Add(r); err != nil {
			v.wrong("the evaluator refuses %s: %v", &e, err)
		}
	}
}

// cartEvent reads an event of the cart without the engine.
func cartEvent(payload []byte) (item string, quantity relational.Value) {
	quantity.K = "int8"
	for len(payload) > 0 {
		number, kind, n := protowire.ConsumeTag(payload)
		if n < 0 {
			return
		}
		payload = payload[n:]
		switch {
		case number == 1 && kind == protowire.BytesType:
			text, k := protowire.ConsumeString(payload)
			item, n = text, k
		case number == 2 && kind == protowire.VarintType:
			x, k := protowire.ConsumeVarint(payload)
			quantity.V, n = protowire.DecodeZigZag(x), k
		default:
			n = protowire.ConsumeFieldValue(number, kind, payload)
		}
		if n < 0 {
			return
		}
		payload = payload[n:]
	}
	return
}

func floorMicros(t core.Timestamp) int64 { return (int64(t) - (int64(t)%1000+1000)%1000) / 1000 }

// cut ends a step of the views, and compares now and then.
func (v *viewer) cut(at core.Timestamp) {
	if v.done {
		return
	}
	for i, kept := range v.views {
		if at <= kept.Cut() {
			return
		}
		for done := false; !done; {
			var err error
			if done, err = kept.Finish(at, 1+v.rand.IntN(viewedFuel)); err != nil {
				v.wrong("view %d at the cut %s: %v", i, at, err)
				return
			}
		}
		if kept.Undecodable > 0 {
			v.wrong("view %d cannot read %s", i, kept.First)
		}
		next, err := v.again.Maybe(kept, v.catalog, v.queries[i], v.places[i], v.rand)
		if err != nil {
			v.wrong("view %d goes on from its checkpoint at the cut %s: %v", i, at, err)
			return
		}
		v.views[i] = next
	}
	v.whole = true
	v.done = len(v.all[0].Rows())+len(v.all[1].Rows()) >= viewedMax
	if v.cuts++; v.done || v.cuts%viewedEvery == 0 {
		v.compare()
	}
}

// compare sets every view beside the evaluator's answer.
func (v *viewer) compare() {
	for i, kept := range v.views {
		want, err := v.db.Query(v.queries[i])
		if err != nil {
			v.wrong("the evaluator on view %d: %v", i, err)
			return
		}
		var expected, got []string
		for _, r := range want.Rows() {
			var cells []string
			for _, x := range r {
				cells = append(cells, cell(x.V == nil, x.String()))
			}
			expected = append(expected, strings.Join(cells, "|"))
		}
		err = kept.Rows(func(b *row.Batch) error {
			for r := range b.N {
				var cells []string
				for _, c := range b.Cols {
					cells = append(cells, cell(c.Null(r), string(c.AppendText(nil, r))))
				}
				got = append(got, strings.Join(cells, "|"))
			}
			return nil
		})
		if err != nil {
			v.wrong("view %d: %v", i, err)
			return
		}
		slices.Sort(expected)
		slices.Sort(got)
		v.out.Examined += len(expected)
		if !slices.Equal(expected, got) {
			k := 0
			for k < min(len(expected), len(got)) && expected[k] == got[k] {
				k++
			}
			v.wrong("view %d at the cut %s has %d rows, the evaluator %d; they part at %q and %q", i, kept.Cut(), len(got), len(expected),
				at(got, k), at(expected, k))
		}
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "the end"
}

func cell(null bool, text string) string {
	if null {
		return "NULL"
	}
	return text
}

func (v *viewer) wrong(format string, args ...any) {
	if v.out.Verdict != checkers.Fail {
		v.out.Verdict, v.out.Note = checkers.Fail, fmt.Sprintf(format, args...)
	}
}
