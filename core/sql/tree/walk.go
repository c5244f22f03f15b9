package tree

// Children are the expressions directly within an expression, in the order of
// the text. A subquery is not looked into, but what is compared with it is a
// child. A call's arguments come first, then what follows them.
func Children(e Expr) []Expr {
	var out []Expr
	add := func(es ...Expr) {
		for _, x := range es {
			if x != nil {
				out = append(out, x)
			}
		}
	}
	switch e := e.(type) {
	case *Unary:
		add(e.X)
	case *Binary:
		add(e.L, e.R)
	case *And:
		add(e.Args...)
	case *Or:
		add(e.Args...)
	case *Not:
		add(e.X)
	case *IsNull:
		add(e.X)
	case *IsTruth:
		add(e.X)
	case *IsDistinct:
		add(e.L, e.R)
	case *Between:
		add(e.X, e.Low, e.High)
	case *Like:
		add(e.X, e.Pattern, e.Escape)
	case *InList:
		add(e.X)
		add(e.List...)
	case *InSubquery:
		add(e.X)
	case *Quantified:
		add(e.X, e.Array)
	case *Case:
		add(e.Operand)
		for _, w := range e.Whens {
			add(w.Cond, w.Result)
		}
		add(e.Else)
	case *Call:
		add(e.Args...)
		add(Keys(e.OrderBy)...)
		add(e.Filter)
		if e.Over != nil {
			add(e.Over.PartitionBy...)
			add(Keys(e.Over.OrderBy)...)
		}
	case *Cast:
		add(e.X)
	case *Array:
		add(e.Elems...)
	case *Subscript:
		add(e.X, e.Index)
	case *Row:
		add(e.Elems...)
	}
	return out
}

// Keys are the expressions to sort by.
func Keys(order []Order) (out []Expr) {
	for _, o := range order {
		out = append(out, o.Expr)
	}
	return out
}

// Walk visits an expression and what is within it, outside first, as long as
// visit wants to see what is inside.
func Walk(e Expr, visit func(Expr) (inside bool)) {
	if e == nil || !visit(e) {
		return
	}
	for _, c := range Children(e) {
		Walk(c, visit)
	}
}

// OutputName is what PostgreSQL calls a column of a select list without an alias.
func OutputName(e Expr) string {
	if name, ok := outputName(e); ok {
		return name
	}
	return "?column?"
}

func outputName(e Expr) (name string, ok bool) {
	switch e := e.(type) {
	case *ColumnRef:
		if len(e.Names) > 0 {
			return e.Names[len(e.Names)-1], true
		}
	case *Call:
		return e.Name, true
	case *Cast:
		if name, ok = outputName(e.X); ok {
			return name, true
		}
		return e.Type.Name, true
	case *Subscript:
		return outputName(e.X)
	case *Case:
		if e.Else != nil {
			if name, ok = outputName(e.Else); ok {
				return name, true
			}
		}
		return "case", true
	case *Array, *ArraySubquery:
		return "array", true
	case *Row:
		return "row", true
	case *Exists:
		return "exists", true
	case *ScalarSubquery:
		if s, is := e.Query.Body.(*SelectBody); is && len(s.Items) == 1 {
			if s.Items[0].Alias != "" {
				return s.Items[0].Alias, true
			}
			return outputName(s.Items[0].Expr)
		}
	}
	return "", false
}
