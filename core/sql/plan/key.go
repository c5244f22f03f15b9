package plan

import (
	"strconv"
	"strings"

	"actordb/core/expr"
	"actordb/core/row"
)

// Key is a text that two plans have in common only if they have the same answer from the
// same tables: it says all that there is in a plan, constants too, but not how its columns are
// called and numbered, where it stood in a statement, nor in which order its answer is. ok
// is false for plans that are not the same when planned again.
func (p *Plan) Key() (key string, ok bool) {
	w := &keyWriter{rels: map[*Rel]int{}, cols: map[int]int{}, ok: p.Moment == ""}
	w.rel(p.Root)
	w.ids(colIDs(p.Cols))
	return w.text.String(), w.ok
}

// keyWriter writes numbers, each behind a letter or a comma, and texts behind their
// lengths, so that nothing can be read in two ways.
type keyWriter struct {
	text strings.Builder
	rels map[*Rel]int // in the order in which they end
	cols map[int]int  // numbers in the order in which they are named
	ok   bool
}

func (w *keyWriter) int(what byte, n int64) {
	w.text.WriteByte(what)
	w.text.WriteString(strconv.FormatInt(n, 10))
}

func (w *keyWriter) bool(what byte, b bool) {
	n := int64(0)
	if b {
		n = 1
	}
	w.int(what, n)
}

func (w *keyWriter) str(what byte, s string) {
	w.int(what, int64(len(s)))
	w.text.WriteByte(':')
	w.text.WriteString(s)
}

func (w *keyWriter) typ(t row.Type) {
	w.int('t', int64(t.Kind))
	w.int(',', int64(t.Elem))
}

// id is a column; -1 stays what it is.
func (w *keyWriter) id(id int) {
	n, known := w.cols[id]
	if !known {
		n = len(w.cols)
		w.cols[id] = n
	}
	if id < 0 {
		n = -1
	}
	w.int('#', int64(n))
}

func (w *keyWriter) ids(list []int) {
	w.int('[', int64(len(list)))
	for _, id := range list {
		w.id(id)
	}
}

func colIDs(cols []Col) (ids []int) {
	for _, c := range cols {
		ids = append(ids, c.ID)
	}
	return ids
}

func (w *keyWriter) value(v row.Value) {
	w.typ(v.Type)
	w.bool('n', v.IsNull)
	w.int('v', v.I)
	w.str('b', string(v.B))
}

func (w *keyWriter) orders(list []Order) {
	w.int('o', int64(len(list)))
	for _, o := range list {
		w.id(o.Col)
		w.bool('d', o.Desc)
		w.bool('f', o.NullsFirst)
	}
}

func (w *keyWriter) rel(r *Rel) {
	if n, known := w.rels[r]; known {
		w.int('^', int64(n))
		return
	}
	w.int('(', int64(r.Op))
	w.int('i', int64(len(r.In)))
	for _, in := range r.In {
		w.rel(in)
	}
	w.rels[r] = len(w.rels)
	if r.Table != nil {
		w.str('T', r.Table.Name)
		w.int('s', int64(len(r.Source)))
		for _, at := range r.Source {
			w.int(',', int64(at))
		}
	}
	if r.AsOf != nil {
		w.int('a', int64(r.AsOf.Axis))
		w.int(',', r.AsOf.Micros)
	}
	w.ids(colIDs(r.Cols))
	for _, c := range r.Cols {
		w.typ(c.Type)
	}
	w.int('r', int64(len(r.Rows)))
	for _, list := range r.Rows {
		w.exprs(list)
	}
	w.exprs(r.Exprs)
	if r.Pred != nil {
		w.expr(r.Pred)
	}
	w.int('k', int64(r.Kind))
	w.bool('w', r.NullAware)
	w.int('S', int64(r.Set))
	w.ids(r.Keys)
	w.calls(r)
	w.orders(r.Order)
	w.int('l', r.Limit)
	w.int(',', r.Offset)
	w.str('N', r.Name)
	w.int('c', int64(len(r.Closes)))
	for _, c := range r.Closes {
		w.id(c.Col)
		w.str('T', c.Table.Name)
		w.int(',', c.After)
	}
	w.text.WriteByte(')')
}

// calls are the aggregates and window functions of a relation.
func (w *keyWriter) calls(r *Rel) {
	w.int('A', int64(len(r.Aggs)))
	for _, a := range r.Aggs {
		w.str('f', a.Name)
		w.id(a.Arg)
		w.bool('d', a.Distinct)
		w.id(a.Filter)
		w.orders(a.Order)
		w.value(a.Sep)
	}
	w.int('F', int64(len(r.Funcs)))
	for _, f := range r.Funcs {
		w.str('f', f.Name)
		w.ids(f.Args)
		w.int('c', int64(len(f.Const)))
		for _, v := range f.Const {
			w.value(v)
		}
		if f.Frame != nil {
			w.int('m', int64(f.Frame.Mode))
			for _, b := range []Bound{f.Frame.Start, f.Frame.End} {
				w.int('b', int64(b.Kind))
				w.int(',', b.Offset)
			}
		}
	}
}

func (w *keyWriter) exprs(list []*expr.Node) {
	w.int('e', int64(len(list)))
	for _, n := range list {
		w.expr(n)
	}
}

// expr is an expression. Functions are chosen by name among those that take the types of the
// arguments, so name and types say which it is.
func (w *keyWriter) expr(n *expr.Node) {
	w.int('{', int64(n.Op))
	w.typ(n.Type)
	switch n.Op {
	case expr.Column:
		w.id(n.Index)
	default:
		w.int(',', int64(n.Index))
	}
	w.int('L', int64(n.Level))
	w.value(n.Value)
	if n.Func != nil {
		w.str('f', n.Func.Name)
		w.ok = w.ok && !n.Func.Volatile()
	}
	w.exprs(n.Args)
	w.text.WriteByte('}')
}

// Split parts a plan into rows that can be kept, in no order, and a plan that reads these rows
// from a table of the name and has the names and the order of the first. ok is false if the order
// goes by what the root has not.
func (p *Plan) Split(table string) (rows, reads *Plan, ok bool) {
	rows = &Plan{Root: p.Root, Cols: p.Cols[:len(p.Cols):len(p.Cols)]}
	at := map[int]int{}
	for i, c := range p.Cols {
		at[c.ID] = i
	}
	for _, o := range p.Order {
		if _, shown := at[o.Col]; !shown {
			c, ok := p.Root.find(o.Col)
			if !ok {
				return nil, nil, false
			}
			at[o.Col] = len(rows.Cols)
			rows.Cols = append(rows.Cols, c)
		}
	}
	reads = &Plan{}
	scan := &Rel{Op: Scan, Table: &Table{Name: table}}
	for i, c := range rows.Cols {
		scan.Table.Schema = append(scan.Table.Schema, row.Column{Name: c.Name, Type: c.Type})
		scan.Cols = append(scan.Cols, reads.fresh(c.Name, c.Type))
		scan.Source = append(scan.Source, i)
	}
	reads.Root, reads.Cols = scan, scan.Cols[:len(p.Cols)]
	for _, o := range p.Order {
		o.Col = scan.Cols[at[o.Col]].ID
		reads.Order = append(reads.Order, o)
	}
	return rows, reads, true
}
