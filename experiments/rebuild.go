package experiments

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"actordb/core"
	"actordb/core/columnar"
	corerow "actordb/core/row"
	"actordb/core/seal"
	"actordb/core/sql/parse"
	"actordb/core/sql/tree"
	"actordb/core/view"
	"actordb/core/zset"
	"actordb/internal/viewtest"
)

// rebuild is how fast views are built from a history in columnar files, beside DuckDB,
// which answers the same queries from the same files.
var rebuild = Experiment{
	Name: "rebuild", Claim: "M4", Says: "a group-by view and a join view built from Parquet files of 10,000,000 events, beside DuckDB on the same files",
	run: runRebuild,
}

const (
	rebuildEvents = 10_000_000
	rebuildGBs    = 3.34 // 100 GB in 30 s
	rebuildItems  = 1000
	rebuildBlock  = 1000 // events
)

// rebuildSchema is a shop's: every fourth order is paid.
var rebuildSchema = []string{
	`CREATE EVENT TYPE shop.ordered (number int8 NOT NULL, item text NOT NULL, quantity int4 NOT NULL, cents int8 NOT NULL, address text, note text)`,
	`CREATE EVENT TYPE shop.paid (number int8 NOT NULL, method text NOT NULL, cents int8 NOT NULL, reference text)`,
}

// The tables' full names are replaced by files for DuckDB.
var rebuildViews = []struct{ name, sql string }{
	{"group-by view", `SELECT item, count(*) AS orders, sum(quantity) AS pieces FROM shop.ordered GROUP BY item`},
	{"join view", `SELECT p.method, count(*) AS orders, sum(o.cents) AS cents FROM shop.ordered o JOIN shop.paid p ON p.number = o.number GROUP BY p.method`},
}

func runRebuild(ctx context.Context, e *Env) (*Result, error) {
	events := e.scale(rebuildEvents)
	if e.Events > 0 {
		events = e.Events
	}
	s, err := newShop(e.fresh())
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := s.fill(ctx, events); err != nil {
		return nil, err
	}
	e.Say("%d events, %.2f GB, in %d files of %.2f GB, after %.0f s", events, float64(s.logical)/1e9, len(s.files), float64(s.stored)/1e9, time.Since(begun).Seconds())
	rows := []Row{
		row("logical bytes: payloads and actors' ids", "GB", []float64{float64(s.logical) / 1e9}),
		row("stored in files", "B/event", []float64{float64(s.stored) / float64(events)}),
		row("sealing, one thread, logical", "MB/s", []float64{float64(s.logical) / 1e6 / s.sealing.Seconds()}),
	}
	var about Row
	pass := true
	for _, w := range rebuildViews {
		list, right, err := s.compare(ctx, e, w.name, w.sql)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		if about.Name == "" {
			about, list = list[0], list[1:]
		}
		rows = append(rows, list...)
		pass = pass && right
	}
	pass = pass && about.Value >= rebuildGBs
	return e.about(about, pass, fmt.Sprintf("a group-by view at %.2f GB/s of logical bytes (100 GB in 30 s), both answers those that were counted when the events were made, and DuckDB's", rebuildGBs), rows...), nil
}

// compare measures one view and DuckDB's answer to its query. The first row is the view's rate.
func (s *shop) compare(ctx context.Context, e *Env, name, sql string) (rows []Row, right bool, err error) {
	var rates []float64
	var built *rebuilt
	right = true
	for range e.rounds(5) {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		if built, err = s.build(sql); err != nil {
			return nil, false, err
		}
		rates = append(rates, float64(s.logical)/1e9/built.took.Seconds())
		right = right && slices.Equal(built.lines, s.expected[name])
		e.Say("%s: %.2f GB/s, right: %t", name, rates[len(rates)-1], right)
	}
	rate := row(name+", from files", "GB/s", rates)
	rate.Note = fmt.Sprintf("logical bytes of all events by time; it reads the columns %s; files as the operating system has them in memory", strings.Join(built.columns, ", "))
	rows = []Row{rate,
		row(name+", bytes read", "MB", []float64{float64(built.read) / 1e6}),
		row(name+", state", "MB", []float64{float64(built.state) / 1e6})}
	var answer struct {
		Version string
		Seconds []float64
		Lines   []string
	}
	if e.duckdbProgram() == "" {
		return append(rows, missingRow(name+", DuckDB", "GB/s", notAvailable)), right, nil
	}
	for table := range s.sealers {
		sql = strings.ReplaceAll(sql, table, "'"+filepath.Join(s.dir, table+"-*.parquet")+"'")
	}
	if err := e.askProgram(ctx, e.duckdbProgram(), &answer, "--threads", "2", "--rounds", fmt.Sprint(e.rounds(5)), sql); err != nil {
		return nil, false, err
	}
	var theirs, ratio []float64
	for _, seconds := range answer.Seconds {
		theirs = append(theirs, float64(s.logical)/1e9/seconds)
	}
	for i := range min(len(rates), len(theirs)) {
		ratio = append(ratio, rates[i]/theirs[i])
	}
	duck := row(name+", DuckDB", "GB/s", theirs)
	duck.Note = "DuckDB " + answer.Version + ", two threads, CREATE TABLE AS from the same files"
	e.Say("%s: DuckDB %.2f GB/s", name, duck.Value)
	return append(rows, duck, row(name+", ActorDB over DuckDB", "×", ratio)), right && slices.Equal(answer.Lines, s.expected[name]), nil
}

// shop is a history in files.
type shop struct {
	dir     string
	catalog *view.Catalog
	sealers map[string]*view.Sealer
	files   []shopFile
	logical int64
	stored  int64
	sealing time.Duration
	// expected are the views' answers, counted as the events are made.
	expected map[string][]string
}

type shopFile struct {
	table, path string
	name        seal.Hash
}

func newShop(dir string) (*shop, error) {
	s := &shop{dir: dir, catalog: view.NewCatalog(), sealers: map[string]*view.Sealer{}, expected: map[string][]string{}}
	for _, text := range rebuildSchema {
		declared, err := parse.One(text)
		if err != nil {
			return nil, err
		}
		if err := s.catalog.Execute(declared); err != nil {
			return nil, err
		}
	}
	for _, full := range s.catalog.Names() {
		var err error
		if s.sealers[full], err = s.catalog.NewSealer(full); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// fill makes the events, block by block, and seals them.
func (s *shop) fill(ctx context.Context, events int) error {
	var history viewtest.History
	var chain seal.Hash
	m := newShopMaker(s.catalog)
	at := nexmarkStart
	for done := 0; done < events; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var list []viewtest.Event
		for ; len(list) < rebuildBlock && done < events; done++ {
			x, err := m.next(at)
			if err != nil {
				return err
			}
			s.logical += int64(len(x.Payload) + len(x.Actor))
			list = append(list, x)
		}
		at += 1e6
		b, err := history.Write(at, list)
		if err != nil {
			return err
		}
		begun := time.Now()
		chain = seal.Chain(chain, b.Hash())
		if err := s.seal(b, chain, done == events); err != nil {
			return err
		}
		s.sealing += time.Since(begun)
	}
	s.expected = m.answers()
	return nil
}

// seal gives a block to the sealers, and writes the files that are full.
func (s *shop) seal(b viewtest.Block, chain seal.Hash, last bool) error {
	for _, full := range s.catalog.Names() {
		sealer := s.sealers[full]
		if err := sealer.Take(0, b.Index, chain, b.Block); err != nil {
			return err
		}
		if !sealer.Full() && !last {
			continue
		}
		file, name, err := sealer.Finish()
		if err != nil || file == nil {
			return err
		}
		path := filepath.Join(s.dir, fmt.Sprintf("%s-%x.parquet", full, name[:]))
		if err := os.WriteFile(path, file, 0o600); err != nil {
			return err
		}
		s.files = append(s.files, shopFile{full, path, name})
		s.stored += int64(len(file))
	}
	return nil
}

// rebuilt is a view that was built from files.
type rebuilt struct {
	took    time.Duration
	read    int64
	columns []string
	state   int
	lines   []string
}

func (s *shop) build(text string) (*rebuilt, error) {
	asked, err := parse.One(text)
	if err != nil {
		return nil, err
	}
	v, err := s.catalog.NewView(asked.(*tree.Select).Query, view.Options{Memory: nexmarkMemory})
	if err != nil {
		return nil, err
	}
	b := &rebuilt{}
	begun := time.Now()
	for _, table := range v.Reads() {
		needs, ok := v.Needs(table)
		if !ok {
			return nil, fmt.Errorf("%s cannot be read from files", table)
		}
		for _, col := range needs {
			b.columns = append(b.columns, table+"."+col)
		}
		groups := s.read(table, needs)
		for g := range groups.filled {
			v.TakeRows(table, g)
			groups.free <- g
		}
		if groups.err != nil {
			return nil, groups.err
		}
		b.read += groups.bytes
	}
	if err := complete(v.Finish, nexmarkStart+core.Timestamp(1<<60)); err != nil {
		return nil, err
	}
	b.took, b.state = time.Since(begun), v.MemBytes()
	b.lines, err = viewtest.Lines(v.Rows)
	return b, err
}

// groups are row groups that goroutines, one for each processor, decode ahead of who takes
// them.
type groups struct {
	filled, free chan *zset.Batch
	bytes        int64 // read; like err, to be looked at when filled is closed
	err          error
}

const groupsAhead = 3 // of each goroutine

func (s *shop) read(table string, columns []string) *groups {
	workers := runtime.GOMAXPROCS(0)
	g := &groups{filled: make(chan *zset.Batch, groupsAhead*workers), free: make(chan *zset.Batch, groupsAhead*workers)}
	for range cap(g.free) {
		g.free <- zset.NewBatch(nil)
	}
	bytes, errs := make([]int64, workers), make([]error, workers)
	var wait sync.WaitGroup
	for k := range workers {
		wait.Go(func() {
			for i, f := range s.files {
				if f.table == table && i%workers == k && errs[k] == nil {
					errs[k] = g.file(f, columns, &bytes[k])
				}
			}
		})
	}
	go func() {
		defer close(g.filled)
		wait.Wait()
		g.err = errors.Join(errs...)
		for _, n := range bytes {
			g.bytes += n
		}
	}()
	return g
}

func (g *groups) file(f shopFile, columns []string, read *int64) error {
	from, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	file, err := columnar.Open(from, info.Size(), f.name)
	if err != nil {
		return err
	}
	var cols []int
	for _, name := range columns {
		cols = append(cols, slices.IndexFunc(file.Columns, func(c columnar.Column) bool { return c.Name == name }))
	}
	*read += file.FooterBytes
	for i := range file.Groups() {
		rows := <-g.free
		if rows.W, err = file.ReadDistinct(i, cols, &rows.Batch, rows.W); err != nil {
			return err
		}
		*read += file.Stored(i, cols)
		g.filled <- rows
	}
	return nil
}

// shopMaker makes events, and counts what the views will say of them.
type shopMaker struct {
	r        *rand.Rand
	types    map[string]*view.EventType
	batches  map[string]*corerow.Batch
	n        int64
	order    order // the last one
	orders   [rebuildItems]struct{ count, pieces int64 }
	payments map[string]*struct{ count, cents int64 }
	methods  []string
}

type order struct{ number, cents int64 }

func newShopMaker(c *view.Catalog) *shopMaker {
	m := &shopMaker{r: rand.New(rand.NewPCG(1, 4)), types: map[string]*view.EventType{}, batches: map[string]*corerow.Batch{},
		payments: map[string]*struct{ count, cents int64 }{}, methods: []string{"card", "cash", "invoice", "transfer", "voucher"}}
	for _, full := range c.Names() {
		t, _ := c.EventType(full)
		var types []corerow.Type
		for _, f := range t.Fields {
			types = append(types, f.Type)
		}
		m.types[full], m.batches[full] = t, corerow.NewBatch(types)
	}
	for _, name := range m.methods {
		m.payments[name] = &struct{ count, cents int64 }{}
	}
	return m
}

// text is some that does not compress much.
func (m *shopMaker) text(n int) corerow.Value {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(m.r.IntN(26))
	}
	return corerow.Value{Type: corerow.Of(corerow.Text), B: b}
}

func (m *shopMaker) next(at core.Timestamp) (viewtest.Event, error) {
	integer := func(k corerow.Kind, x int64) corerow.Value { return corerow.Value{Type: corerow.Of(k), I: x} }
	word := func(s string) corerow.Value { return corerow.Value{Type: corerow.Of(corerow.Text), B: []byte(s)} }
	kind := "ordered"
	var values []corerow.Value
	if m.n%5 == 4 {
		kind = "paid"
		method := m.methods[m.r.IntN(len(m.methods))]
		p := m.payments[method]
		p.count, p.cents = p.count+1, p.cents+m.order.cents
		values = []corerow.Value{integer(corerow.Int8, m.order.number), word(method), integer(corerow.Int8, m.order.cents), m.text(40)}
	} else {
		m.order = order{m.n, int64(m.r.IntN(1_000_000))}
		item, quantity := m.r.IntN(rebuildItems), int64(m.r.IntN(9)+1)
		o := &m.orders[item]
		o.count, o.pieces = o.count+1, o.pieces+quantity
		values = []corerow.Value{integer(corerow.Int8, m.n), word(itemName(item)), integer(corerow.Int4, quantity), integer(corerow.Int8, m.order.cents), m.text(70), m.text(40)}
	}
	m.n++
	full := "shop." + kind
	b := m.batches[full]
	b.Clear()
	b.AppendValues(values...)
	payload, err := corerow.AppendPayload(nil, m.types[full].Fields, b, 0)
	id := core.ActorID(fmt.Sprintf("shop/customer-%06d", m.r.IntN(100_000)))
	return viewtest.Event{Actor: id, NewEvent: core.NewEvent{Type: kind, Version: 1, EventTime: at, Payload: payload}}, err
}

func itemName(i int) string { return fmt.Sprintf("item-%04d", i) }

// answers are those of rebuildViews.
func (m *shopMaker) answers() map[string][]string {
	var byItem, byMethod []string
	for i, o := range m.orders {
		if o.count > 0 {
			byItem = append(byItem, fmt.Sprintf("%s|%d|%d", itemName(i), o.count, o.pieces))
		}
	}
	for _, name := range m.methods {
		if p := m.payments[name]; p.count > 0 {
			byMethod = append(byMethod, fmt.Sprintf("%s|%d|%d", name, p.count, p.cents))
		}
	}
	slices.Sort(byItem)
	slices.Sort(byMethod)
	return map[string][]string{rebuildViews[0].name: byItem, rebuildViews[1].name: byMethod}
}
