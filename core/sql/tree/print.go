package tree

import (
	"strconv"
	"strings"
)

// printer writes a tree as SQL. It puts parentheses wherever precedence could
// matter: what it prints is for parsers and EXPLAIN, not for beauty.
type printer struct{ strings.Builder }

// Print writes a statement so that parsing it gives the same tree.
func Print(s Statement) string {
	var p printer
	s.write(&p)
	return p.String()
}

// PrintExpr writes an expression.
func PrintExpr(e Expr) string {
	var p printer
	e.write(&p)
	return p.String()
}

// PrintQuery writes a query.
func PrintQuery(q *Query) string {
	var p printer
	q.write(&p)
	return p.String()
}

func (n Name) String() string {
	if n.Schema == "" {
		return Quote(n.Name)
	}
	return Quote(n.Schema) + "." + Quote(n.Name)
}

func (t *TypeName) String() string {
	var p printer
	t.write(&p)
	return p.String()
}

// Quote writes an identifier, in quotes if it needs them.
func Quote(name string) string {
	if plain(name) && !keywords[name] {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func plain(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c >= 'a' && c <= 'z' || c == '_' || i > 0 && c >= '0' && c <= '9' {
			continue
		}
		return false
	}
	return name != ""
}

// keywords are those of PostgreSQL 17 that are not free to use as a name
// everywhere (src/include/parser/kwlist.h), and those that ActorDB's own
// syntax gives a meaning in places where a name may stand.
var keywords = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`
		all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case cast char
		character check coalesce collate collation column concurrently constraint create cross current_catalog current_date
		current_role current_schema current_time current_timestamp current_user dec decimal default deferrable desc distinct do else
		end except exists extract false fetch float for foreign freeze from full grant greatest group grouping having ilike in
		initially inner inout int integer intersect interval into is isnull join json json_array json_arrayagg json_exists json_object
		json_objectagg json_query json_scalar json_serialize json_table json_value lateral leading least left like limit localtime
		localtimestamp merge_action national natural nchar none normalize not notnull null nullif numeric offset on only or order out
		outer overlaps overlay placing position precision primary real references returning right row select session_user setof
		similar smallint some substring symmetric system_user table tablesample then time timestamp to trailing treat trim true union
		unique user using values varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest
		xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable
		personal over filter within partition range rows groups recursive`) {
		m[w] = true
	}
	return m
}()

func (p *printer) words(w ...string) {
	for _, s := range w {
		p.WriteString(s)
	}
}

func list[T any](p *printer, items []T, one func(T)) {
	for i, item := range items {
		if i > 0 {
			p.WriteString(", ")
		}
		one(item)
	}
}

func (p *printer) exprs(items []Expr) { list(p, items, func(e Expr) { e.write(p) }) }

func (p *printer) names(items []string) { list(p, items, func(s string) { p.words(Quote(s)) }) }

func (p *printer) query(q *Query) {
	p.words("(")
	q.write(p)
	p.words(")")
}

func (p *printer) not(not bool) {
	if not {
		p.words("NOT ")
	}
}

// ---- statements

func (s *Select) write(p *printer) { s.Query.write(p) }

func (s *Explain) write(p *printer) {
	p.words("EXPLAIN ")
	if s.Analyze {
		p.words("ANALYZE ")
	}
	s.Statement.write(p)
}

func (s *Subscribe) write(p *printer) {
	p.words("SUBSCRIBE TO ")
	s.From.write(p)
	if s.Where != nil {
		p.words(" WHERE ")
		s.Where.write(p)
	}
}

func (s *CreateEventType) write(p *printer) {
	p.words("CREATE EVENT TYPE ")
	p.ifNot(s.IfNotExists)
	p.words(s.Name.String(), " (")
	list(p, s.Columns, func(c Column) { c.write(p) })
	p.words(")")
	p.options(s.Options)
}

func (p *printer) options(options []Option) {
	if len(options) > 0 {
		p.words(" WITH (")
		list(p, options, func(o Option) { p.words(Quote(o.Name), " = ", quoteString(o.Value)) })
		p.words(")")
	}
}

func (p *printer) ifNot(on bool) {
	if on {
		p.words("IF NOT EXISTS ")
	}
}

func (c Column) write(p *printer) {
	p.words(Quote(c.Name), " ")
	c.Type.write(p)
	if c.Personal {
		p.words(" PERSONAL")
	}
	if c.NotNull {
		p.words(" NOT NULL")
	}
	if c.Unique {
		p.words(" UNIQUE")
	}
}

func (s *CreateProjection) write(p *printer) {
	p.words("CREATE PROJECTION ")
	p.ifNot(s.IfNotExists)
	p.words(s.Name.String())
	if len(s.Columns) > 0 {
		p.words(" (")
		p.names(s.Columns)
		p.words(")")
	}
	p.options(s.Options)
	p.words(" AS ")
	s.Query.write(p)
}

func (s *Drop) write(p *printer) {
	p.words("DROP ", [...]string{"EVENT TYPE ", "PROJECTION "}[s.Kind])
	if s.IfExists {
		p.words("IF EXISTS ")
	}
	list(p, s.Names, func(n Name) { p.words(n.String()) })
	if s.Cascade {
		p.words(" CASCADE")
	}
}

func (s *CreateTable) write(p *printer) {
	p.words("CREATE TABLE ")
	p.ifNot(s.IfNotExists)
	p.words(s.Name.String(), " (")
	list(p, s.Columns, func(c Column) { c.write(p) })
	if len(s.PrimaryKey) > 0 {
		if len(s.Columns) > 0 {
			p.words(", ")
		}
		p.words("PRIMARY KEY (")
		p.names(s.PrimaryKey)
		p.words(")")
	}
	p.words(")")
}

func (s *Insert) write(p *printer) {
	p.words("INSERT INTO ", s.Table.String(), " ")
	if len(s.Columns) > 0 {
		p.words("(")
		p.names(s.Columns)
		p.words(") ")
	}
	s.Query.write(p)
}

func (s *CallStatement) write(p *printer) {
	p.words("CALL ")
	s.Call.write(p)
}

func (t *TypeName) write(p *printer) {
	p.words(quoteType(t.Name))
	if t.Fields != "" {
		p.words(" ", t.Fields)
	}
	if len(t.Mods) > 0 {
		p.words("(")
		list(p, t.Mods, func(m int) { p.words(strconv.Itoa(m)) })
		p.words(")")
	}
	if t.Array {
		p.words("[]")
	}
}

// quoteType writes a type's name. Those whose keyword is a type need no quotes,
// and with them PostgreSQL's grammar would take modifiers otherwise.
func quoteType(name string) string {
	switch name {
	case "numeric", "interval", "timestamp", "time", "json", "varchar":
		return name
	}
	return Quote(name)
}

// ---- queries

func (q *Query) write(p *printer) {
	if q.With != nil {
		p.words("WITH ")
		if q.With.Recursive {
			p.words("RECURSIVE ")
		}
		list(p, q.With.Tables, func(t CTE) {
			p.words(Quote(t.Name))
			if len(t.Columns) > 0 {
				p.words(" (")
				p.names(t.Columns)
				p.words(")")
			}
			p.words(" AS ")
			p.query(t.Query)
		})
		p.words(" ")
	}
	q.Body.write(p)
	p.orderBy(" ORDER BY ", q.OrderBy)
	if q.Limit != nil {
		p.words(" LIMIT ")
		q.Limit.write(p)
	}
	if q.Offset != nil {
		p.words(" OFFSET ")
		q.Offset.write(p)
	}
}

func (p *printer) orderBy(lead string, keys []Order) {
	if len(keys) == 0 {
		return
	}
	p.words(lead)
	list(p, keys, func(o Order) {
		o.Expr.write(p)
		if o.Descending {
			p.words(" DESC")
		}
		if o.NullsFirst != o.Descending {
			p.words(" NULLS ", map[bool]string{true: "FIRST", false: "LAST"}[o.NullsFirst])
		}
	})
}

func (s *SelectBody) write(p *printer) {
	p.words("SELECT")
	if s.Distinct {
		p.words(" DISTINCT")
	}
	if len(s.DistinctOn) > 0 {
		p.words(" DISTINCT ON (")
		p.exprs(s.DistinctOn)
		p.words(")")
	}
	if len(s.Items) > 0 {
		p.words(" ")
	}
	list(p, s.Items, func(i Item) {
		i.Expr.write(p)
		if i.Alias != "" {
			p.words(" AS ", Quote(i.Alias))
		}
	})
	if len(s.From) > 0 {
		p.words(" FROM ")
		list(p, s.From, func(f From) { f.write(p) })
	}
	if s.Where != nil {
		p.words(" WHERE ")
		s.Where.write(p)
	}
	if len(s.GroupBy) > 0 {
		p.words(" GROUP BY ")
		p.exprs(s.GroupBy)
	}
	if s.Having != nil {
		p.words(" HAVING ")
		s.Having.write(p)
	}
	if len(s.Windows) > 0 {
		p.words(" WINDOW ")
		list(p, s.Windows, func(w Window) { p.words(Quote(w.Name), " AS "); w.write(p) })
	}
}

func (v *Values) write(p *printer) {
	p.words("VALUES ")
	list(p, v.Rows, func(row []Expr) {
		p.words("(")
		p.exprs(row)
		p.words(")")
	})
}

func (s *SetOp) write(p *printer) {
	p.query(s.L)
	p.words(" ", s.Op.String(), " ")
	if s.All {
		p.words("ALL ")
	}
	p.query(s.R)
}

func (w Window) write(p *printer) {
	p.words("(")
	lead := ""
	if w.Base != "" {
		p.words(Quote(w.Base))
		lead = " "
	}
	if len(w.PartitionBy) > 0 {
		p.words(lead, "PARTITION BY ")
		p.exprs(w.PartitionBy)
		lead = " "
	}
	p.orderBy(lead+"ORDER BY ", w.OrderBy)
	if f := w.Frame; f != nil {
		p.words(" ", f.Mode.String(), " BETWEEN ")
		p.bound(f.Start)
		p.words(" AND ")
		p.bound(f.End)
		if f.Exclude != ExcludeNone {
			p.words(" EXCLUDE ", f.Exclude.String())
		}
	}
	p.words(")")
}

func (p *printer) bound(b Bound) {
	if b.Offset != nil {
		b.Offset.write(p)
		p.words(" ")
	}
	p.words([...]string{"UNBOUNDED PRECEDING", "PRECEDING", "CURRENT ROW", "FOLLOWING", "UNBOUNDED FOLLOWING"}[b.Kind])
}

func (a Alias) write(p *printer) {
	if a.Name == "" {
		return
	}
	p.words(" AS ", Quote(a.Name))
	if len(a.Columns) > 0 {
		p.words(" (")
		p.names(a.Columns)
		p.words(")")
	}
}

func (t *TableName) write(p *printer) {
	p.words(Name{Schema: t.Schema, Name: t.Name}.String())
	if t.AsOf != nil {
		p.words(" FOR ", t.AsOf.Axis.String(), " AS OF (")
		t.AsOf.Time.write(p)
		p.words(")")
	}
	t.Alias.write(p)
}

func (p *printer) lateral(on bool) {
	if on {
		p.words("LATERAL ")
	}
}

func (s *SubqueryFrom) write(p *printer) {
	p.lateral(s.Lateral)
	p.query(s.Query)
	s.Alias.write(p)
}

func (f *FunctionFrom) write(p *printer) {
	p.lateral(f.Lateral)
	f.Call.write(p)
	if f.Ordinality {
		p.words(" WITH ORDINALITY")
	}
	f.Alias.write(p)
}

func (j *Join) write(p *printer) {
	p.words("(")
	j.L.write(p)
	switch {
	case j.Natural:
		p.words(" NATURAL ", j.Kind.String(), " JOIN ")
	case j.On == nil && len(j.Using) == 0:
		p.words(" CROSS JOIN ")
	default:
		p.words(" ", j.Kind.String(), " JOIN ")
	}
	j.R.write(p)
	if j.On != nil {
		p.words(" ON ")
		j.On.write(p)
	}
	if len(j.Using) > 0 {
		p.words(" USING (")
		p.names(j.Using)
		p.words(")")
	}
	p.words(")")
}
