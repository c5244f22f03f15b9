package tree

// Tables visits the tables that a query names, its subqueries' too. What WITH gives a
// name to is none.
func Tables(q *Query, visit func(*TableName)) { (&tables{visit: visit}).query(q) }

type tables struct {
	visit func(*TableName)
	with  []string // names, anywhere in the query
}

func (t *tables) name(n *TableName) {
	if n.Schema == "" {
		for _, w := range t.with {
			if w == n.Name {
				return
			}
		}
	}
	t.visit(n)
}

func (t *tables) query(q *Query) {
	if q == nil {
		return
	}
	if q.With != nil {
		for i := range q.With.Tables {
			t.with = append(t.with, q.With.Tables[i].Name)
			t.query(q.With.Tables[i].Query)
		}
	}
	switch body := q.Body.(type) {
	case *SelectBody:
		t.exprs(body.DistinctOn...)
		for i := range body.Items {
			t.exprs(body.Items[i].Expr)
		}
		for _, f := range body.From {
			t.from(f)
		}
		t.exprs(body.Where)
		t.exprs(body.GroupBy...)
		t.exprs(body.Having)
		for i := range body.Windows {
			t.exprs(body.Windows[i].PartitionBy...)
			t.exprs(Keys(body.Windows[i].OrderBy)...)
		}
	case *Values:
		for _, r := range body.Rows {
			t.exprs(r...)
		}
	case *SetOp:
		t.query(body.L)
		t.query(body.R)
	}
	t.exprs(Keys(q.OrderBy)...)
	t.exprs(q.Limit, q.Offset)
}

func (t *tables) from(f From) {
	switch f := f.(type) {
	case *TableName:
		t.name(f)
	case *SubqueryFrom:
		t.query(f.Query)
	case *FunctionFrom:
		args := f.Call.Args
		if table, ok := windowed(f.Call); ok {
			t.name(table)
			args = args[1:]
		}
		t.exprs(args...)
	case *Join:
		t.from(f.L)
		t.from(f.R)
		t.exprs(f.On)
	}
}

func (t *tables) exprs(list ...Expr) {
	for _, e := range list {
		if e == nil {
			continue
		}
		switch e := e.(type) {
		case *InSubquery:
			t.query(e.Query)
		case *Exists:
			t.query(e.Query)
		case *ScalarSubquery:
			t.query(e.Query)
		case *ArraySubquery:
			t.query(e.Query)
		case *Quantified:
			t.query(e.Query)
		}
		t.exprs(Children(e)...)
	}
}

// windowed is the table that a function of windows of time reads.
func windowed(c *Call) (*TableName, bool) {
	if c.Name != "tumble" && c.Name != "hop" && c.Name != "session" || len(c.Args) == 0 {
		return nil, false
	}
	ref, ok := c.Args[0].(*ColumnRef)
	if !ok || len(ref.Names) == 0 {
		return nil, false
	}
	t := &TableName{at: ref.at, Name: ref.Names[len(ref.Names)-1]}
	if len(ref.Names) > 1 {
		t.Schema = ref.Names[len(ref.Names)-2]
	}
	return t, true
}
