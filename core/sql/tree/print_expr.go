package tree

import (
	"strconv"
	"strings"
)

func quoteString(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

func (l *Literal) write(p *printer) {
	switch l.Kind {
	case Null:
		p.words("NULL")
	case String:
		p.words(quoteString(l.Text))
	default:
		p.words(l.Text)
	}
}

func (c *ColumnRef) write(p *printer) {
	for i, n := range c.Names {
		if i > 0 {
			p.words(".")
		}
		p.words(Quote(n))
	}
	if c.Star {
		if len(c.Names) > 0 {
			p.words(".")
		}
		p.words("*")
	}
}

func (e *Param) write(p *printer) { p.words("$", strconv.Itoa(e.Number)) }

func (e *Unary) write(p *printer) {
	p.words("(", e.Op, " ")
	e.X.write(p)
	p.words(")")
}

// binary writes (l middle r).
func (p *printer) binary(l Expr, middle string, r Expr) {
	p.words("(")
	l.write(p)
	p.words(" ", middle, " ")
	r.write(p)
	p.words(")")
}

func (e *Binary) write(p *printer) { p.binary(e.L, e.Op, e.R) }

func (p *printer) chain(args []Expr, op string) {
	p.words("(")
	for i, a := range args {
		if i > 0 {
			p.words(op)
		}
		a.write(p)
	}
	p.words(")")
}

func (e *And) write(p *printer) { p.chain(e.Args, " AND ") }
func (e *Or) write(p *printer)  { p.chain(e.Args, " OR ") }

func (e *Not) write(p *printer) {
	p.words("(NOT ")
	e.X.write(p)
	p.words(")")
}

// is writes (x IS [NOT] what).
func (p *printer) is(x Expr, not bool, what string) {
	p.words("(")
	x.write(p)
	p.words(" IS ")
	p.not(not)
	p.words(what, ")")
}

func (e *IsNull) write(p *printer)  { p.is(e.X, e.Not, "NULL") }
func (e *IsTruth) write(p *printer) { p.is(e.X, e.Not, e.Truth.String()) }

func (e *IsDistinct) write(p *printer) {
	middle := "IS DISTINCT FROM"
	if e.Not {
		middle = "IS NOT DISTINCT FROM"
	}
	p.binary(e.L, middle, e.R)
}

func (e *Between) write(p *printer) {
	p.words("(")
	e.X.write(p)
	p.words(" ")
	p.not(e.Not)
	p.words("BETWEEN ")
	if e.Symmetric {
		p.words("SYMMETRIC ")
	}
	e.Low.write(p)
	p.words(" AND ")
	e.High.write(p)
	p.words(")")
}

func (e *Like) write(p *printer) {
	p.words("(")
	e.X.write(p)
	p.words(" ")
	p.not(e.Not)
	if e.Insensitive {
		p.words("ILIKE ")
	} else {
		p.words("LIKE ")
	}
	e.Pattern.write(p)
	if e.Escape != nil {
		p.words(" ESCAPE ")
		e.Escape.write(p)
	}
	p.words(")")
}

func (e *InList) write(p *printer) {
	p.words("(")
	e.X.write(p)
	p.words(" ")
	p.not(e.Not)
	p.words("IN (")
	p.exprs(e.List)
	p.words("))")
}

func (e *InSubquery) write(p *printer) {
	p.words("(")
	e.X.write(p)
	p.words(" ")
	p.not(e.Not)
	p.words("IN ")
	p.query(e.Query)
	p.words(")")
}

func (e *Exists) write(p *printer) {
	p.words("EXISTS ")
	p.query(e.Query)
}

func (e *ScalarSubquery) write(p *printer) { p.query(e.Query) }

func (e *ArraySubquery) write(p *printer) {
	p.words("ARRAY")
	p.query(e.Query)
}

func (e *Quantified) write(p *printer) {
	p.words("(")
	e.X.write(p)
	p.words(" ", e.Op, map[bool]string{true: " ALL ", false: " ANY "}[e.All])
	if e.Query != nil {
		p.query(e.Query)
	} else {
		p.words("(")
		e.Array.write(p)
		p.words(")")
	}
	p.words(")")
}

func (e *Case) write(p *printer) {
	p.words("CASE")
	if e.Operand != nil {
		p.words(" ")
		e.Operand.write(p)
	}
	for _, w := range e.Whens {
		p.words(" WHEN ")
		w.Cond.write(p)
		p.words(" THEN ")
		w.Result.write(p)
	}
	if e.Else != nil {
		p.words(" ELSE ")
		e.Else.write(p)
	}
	p.words(" END")
}

// callName writes a function's name so that it is a call like any other. Those
// with a grammar of their own that takes a list keep it.
func callName(name string) string {
	switch name {
	case "coalesce", "nullif", "greatest", "least":
		return strings.ToUpper(name)
	}
	return Quote(name)
}

func (e *Call) write(p *printer) {
	switch e.Name {
	case "current_timestamp", "current_date", "localtimestamp", "current_time", "localtime",
		"current_user", "current_role", "session_user", "user", "current_catalog", "current_schema":
		if len(e.Args) == 0 && e.Over == nil && e.Filter == nil {
			p.words(strings.ToUpper(e.Name))
			return
		}
	}
	p.words(callName(e.Name), "(")
	if e.Star {
		p.words("*")
	}
	if e.Distinct {
		p.words("DISTINCT ")
	}
	p.exprs(e.Args)
	p.orderBy(" ORDER BY ", e.OrderBy)
	p.words(")")
	if e.Filter != nil {
		p.words(" FILTER (WHERE ")
		e.Filter.write(p)
		p.words(")")
	}
	if e.Over != nil {
		p.words(" OVER ")
		if e.Over.Name != "" {
			p.words(Quote(e.Over.Name))
		} else {
			e.Over.write(p)
		}
	}
}

func (e *Cast) write(p *printer) {
	p.words("CAST(")
	e.X.write(p)
	p.words(" AS ")
	e.Type.write(p)
	p.words(")")
}

func (e *Array) write(p *printer) {
	p.words("ARRAY[")
	p.exprs(e.Elems)
	p.words("]")
}

func (e *Subscript) write(p *printer) {
	p.words("(")
	e.X.write(p)
	p.words(")[")
	e.Index.write(p)
	p.words("]")
}

func (e *Row) write(p *printer) {
	p.words("ROW(")
	p.exprs(e.Elems)
	p.words(")")
}
