package testbed

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"actordb/checkers"
	"actordb/checkers/relational"
	"actordb/core"
	"actordb/core/sql/parse"
	"actordb/core/sql/tree"
	"actordb/sim"
)

// What askers declare: the events of the cart, the paper's view of it, and one that is
// kept.
var askedCatalog = append(slices.Clone(viewedTypes),
	`CREATE PROJECTION cart_view AS `+viewedQueries[1],
	`CREATE PROJECTION tops WITH (materialized = true) AS `+topsQuery)

const topsQuery = `SELECT item, count(*) AS n, sum(quantity) AS total FROM cart."item-added" GROUP BY item`

// A question is a statement, and a query over the events that has its answer.
type question struct {
	asked  string // %s: where an AS OF stands
	params []string
	means  string
}

func (q *question) text(at asOfTime) string {
	if at == (asOfTime{}) {
		return fmt.Sprintf(q.asked, "")
	}
	axis := "TIMESTAMP"
	if at.system {
		axis = "SYSTEM_TIME"
	}
	return fmt.Sprintf(q.asked, fmt.Sprintf(" FOR %s AS OF (timestamptz '1970-01-01 00:00:00Z' + interval '%d microseconds')", axis, at.micros))
}

var askedQueries = []question{
	{asked: `SELECT * FROM cart_view%s`, means: viewedQueries[1]},
	{asked: `SELECT item, n, total FROM tops%s`, means: topsQuery},
	{asked: `SELECT n, total FROM tops%s WHERE item = $1`, params: []string{"bread"},
		means: `SELECT count(*), sum(quantity) FROM cart."item-added" WHERE item = 'bread' GROUP BY item`},
	{asked: `SELECT key, seq, item, quantity FROM cart."item-added"%s WHERE quantity > $1`, params: []string{"2"},
		means: `SELECT key, seq, item, quantity FROM cart."item-added" WHERE quantity > 2`},
	{asked: `SELECT key AS cart, seq, item, quantity FROM cart."item-added"%s WHERE quantity > 3`,
		means: `SELECT key, seq, item, quantity FROM cart."item-added" WHERE quantity > 3`},
	{asked: `SELECT item, sum(quantity) FROM cart."item-added"%s WHERE quantity > 1 GROUP BY item ORDER BY item`,
		means: `SELECT item, sum(quantity) FROM cart."item-added" WHERE quantity > 1 GROUP BY item`},
	{asked: `SELECT item, sum(quantity) FROM cart."item-added"%s WHERE quantity > $1 GROUP BY item ORDER BY sum(quantity)`, params: []string{"2"},
		means: `SELECT item, sum(quantity) FROM cart."item-added" WHERE quantity > 2 GROUP BY item`},
	{asked: `SELECT count(*), count(DISTINCT key) FROM cart."item-removed"%s`, means: `SELECT count(*), count(DISTINCT key) FROM cart."item-removed"`},
}

var askedViews = []question{
	{asked: `SUBSCRIBE TO cart_view WHERE quantity > 1`, means: `SELECT * FROM (` + viewedQueries[1] + `) v WHERE quantity > 1`},
	{asked: `SUBSCRIBE TO tops`, means: topsQuery},
}

// noStorage is a client's.
var noStorage = sim.Storage{}

// step adds a step's changes, and remembers some states.
func (c *chain) step(cut core.Timestamp, change map[string]int64, r *rand.Rand) {
	if cut <= c.cut && c.wrong == "" {
		c.wrong = fmt.Sprintf("a step to the cut %s comes after the one to %s", cut, c.cut)
	}
	for line, w := range change { // addition: the order does not matter
		if c.state[line] += w; c.state[line] == 0 {
			delete(c.state, line)
		}
	}
	c.cut = cut
	c.steps++
	if at := len(c.marks); at < marksMax {
		c.marks = append(c.marks, mark{cut, c.lines()})
	} else if len(change) > 0 {
		c.marks[1+r.IntN(at-1)] = mark{cut, c.lines()}
	}
}

// lines are the state's rows, each as often as it is there.
func (c *chain) lines() (list []string) {
	for _, line := range slices.Sorted(maps.Keys(c.state)) {
		w := c.state[line]
		if w < 0 {
			list = append(list, fmt.Sprintf("%s, %d times", line, w))
		}
		for range w {
			list = append(list, line)
		}
	}
	return list
}

const (
	comparedMax = 60  // answers of a run
	askedMax    = 800 // events: the evaluator's joins are nested loops
)

// comparison is an answer, or a state, to be set beside the evaluator's.
type comparison struct {
	means string
	upTo  core.Timestamp // events committed at or before it
	event int64          // and that happened at or before it, in microseconds, if limited
	limit bool
	rows  []string
	says  string
	sub   bool
}

// judgeAsked sets what askers were told beside the events that there are.
func (r *run) judgeAsked() []checkers.Result {
	answers := checkers.Result{Name: "sql", Verdict: checkers.Pass}
	subs := checkers.Result{Name: "subscriptions", Verdict: checkers.Pass}
	wrong := func(c *checkers.Result, format string, args ...any) {
		if c.Verdict != checkers.Fail {
			c.Verdict, c.Note = checkers.Fail, fmt.Sprintf(format, args...)
		}
	}
	var list []comparison
	for _, n := range r.notebooks {
		for _, text := range n.ignored {
			wrong(&answers, "%s: no reply, and nothing was in the way", text)
		}
		for i := range n.answers {
			a := &n.answers[i]
			c := comparison{means: a.question.means, upTo: a.cut, rows: a.rows, says: a.question.text(a.at) + " at the cut " + a.cut.String()}
			if a.cut < a.token || a.exact && a.cut != a.token {
				wrong(&answers, "%s: the token was %s", c.says, a.token)
			}
			switch {
			case a.at.system:
				c.upTo = core.Timestamp(a.at.micros*1000 + 999) // whatever the cut is: it must reach this far
			case a.at.micros != 0:
				c.event, c.limit = a.at.micros, true
			}
			list = append(list, c)
		}
		for _, ch := range n.chains {
			if ch.wrong != "" {
				wrong(&subs, "%s: %s", ch.question.asked, ch.wrong)
			}
			for _, m := range append(slices.Clone(ch.marks), mark{ch.cut, ch.lines()}) {
				if m.cut > 0 {
					list = append(list, comparison{means: ch.question.means, upTo: m.cut, rows: m.rows, sub: true, says: ch.question.asked + " after the step to " + m.cut.String()})
				}
			}
		}
	}
	slices.SortStableFunc(list, func(a, b comparison) int { return cmp.Compare(a.upTo, b.upTo) })
	events := r.cartEvents()
	for i := 0; i < len(list); i += 1 + len(list)/comparedMax {
		c := &list[i]
		out := &answers
		if c.sub {
			out = &subs
		}
		want, ok, err := evaluate(c, events)
		if err != nil {
			wrong(out, "the evaluator on %s: %v", c.says, err)
		}
		if !ok {
			continue // more than it bears
		}
		out.Examined++
		slices.Sort(c.rows)
		if !slices.Equal(c.rows, want) {
			k := 0
			for k < min(len(c.rows), len(want)) && c.rows[k] == want[k] {
				k++
			}
			wrong(out, "%s: %d rows, the evaluator has %d; they part at %q and %q", c.says, len(c.rows), len(want), at(c.rows, k), at(want, k))
		}
	}
	return []checkers.Result{answers, subs}
}

// cartEvents are the cart's events in the order of their commitment.
func (r *run) cartEvents() (list []core.Event) {
	for _, id := range r.known {
		if id.Type() == "cart" {
			list = append(list, r.histories[id].events...)
		}
	}
	slices.SortStableFunc(list, func(a, b core.Event) int { return cmp.Compare(a.Committed, b.Committed) })
	return list
}

// evaluate asks the naive evaluator; ok is false if there are more events than it bears.
func evaluate(c *comparison, events []core.Event) (rows []string, ok bool, err error) {
	db := relational.NewDB()
	common, err := parse.One(viewedSystem)
	if err != nil {
		return nil, false, err
	}
	tables := map[string]*relational.Table{}
	for _, text := range viewedTypes {
		s, err := parse.One(text)
		if err != nil {
			return nil, false, err
		}
		t := s.(*tree.CreateEventType)
		table, err := relational.NewTable(append(slices.Clone(common.(*tree.CreateEventType).Columns), t.Columns...))
		if err != nil {
			return nil, false, err
		}
		db.Tables[t.Name.Schema+"."+t.Name.Name], tables[t.Name.Name] = table, table
	}
	n := 0
	for i := range events {
		e := &events[i]
		table := tables[e.Type]
		if e.Committed > c.upTo || table == nil || c.limit && floorMicros(e.EventTime) > c.event {
			continue
		}
		if n++; n > askedMax {
			return nil, false, nil
		}
		item, quantity := cartEvent(e.Payload)
		r := []relational.Value{{K: "text", V: e.Actor.Key()}, {K: "int8", V: int64(e.Seq)}, {K: "timestamptz", V: floorMicros(e.EventTime)},
			{K: "timestamptz", V: floorMicros(e.Committed)}, {K: "text", V: string(e.Principal)}, {K: "text", V: item}}
		if e.Type == "item-added" {
			r = append(r, quantity)
		}
		if err := table.Add(r); err != nil {
			return nil, false, err
		}
	}
	s, err := parse.One(c.means)
	if err != nil {
		return nil, false, err
	}
	found, err := db.Query(s.(*tree.Select).Query)
	if err != nil {
		return nil, false, err
	}
	for _, r := range found.Rows() {
		var cells []string
		for _, x := range r {
			cells = append(cells, cell(x.V == nil, x.String()))
		}
		rows = append(rows, strings.Join(cells, "|"))
	}
	slices.Sort(rows)
	return rows, true, nil
}
