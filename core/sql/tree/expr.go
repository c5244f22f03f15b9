package tree

// An Expr is a scalar expression.
type Expr interface {
	Node
	expr()
	write(p *printer)
}

type (
	// A Literal is a constant as written. Text holds digits, the string, or
	// "true" and "false".
	Literal struct {
		at
		Kind LiteralKind
		Text string
	}

	// ColumnRef is a name with its qualifiers, outermost first. With Star it is
	// t.* or, without names, *.
	ColumnRef struct {
		at
		Names []string
		Star  bool
	}

	// Param is $1.
	Param struct {
		at
		Number int
	}

	// Unary is an operator before its operand.
	Unary struct {
		at
		Op string
		X  Expr
	}

	// Binary is an operator between its operands: arithmetic, comparison, ||, ->>, ~.
	Binary struct {
		at
		Op   string
		L, R Expr
	}

	// And and Or take two operands or more.
	And struct {
		at
		Args []Expr
	}
	Or struct {
		at
		Args []Expr
	}
	Not struct {
		at
		X Expr
	}

	// IsNull is x IS [NOT] NULL.
	IsNull struct {
		at
		X   Expr
		Not bool
	}

	// IsTruth is x IS [NOT] TRUE, FALSE or UNKNOWN.
	IsTruth struct {
		at
		X     Expr
		Truth Truth
		Not   bool
	}

	// IsDistinct is x IS [NOT] DISTINCT FROM y.
	IsDistinct struct {
		at
		L, R Expr
		Not  bool
	}

	Between struct {
		at
		X, Low, High Expr
		Not          bool
		Symmetric    bool
	}

	// Like is x [NOT] LIKE or ILIKE pattern [ESCAPE e].
	Like struct {
		at
		X, Pattern  Expr
		Escape      Expr // or nil: a backslash
		Insensitive bool
		Not         bool
	}

	// InList is x [NOT] IN (a, b).
	InList struct {
		at
		X    Expr
		List []Expr
		Not  bool
	}

	// InSubquery is x [NOT] IN (SELECT …); x may be a Row.
	InSubquery struct {
		at
		X     Expr
		Query *Query
		Not   bool
	}

	// Exists is EXISTS (SELECT …).
	Exists struct {
		at
		Query *Query
	}

	// ScalarSubquery is (SELECT …) as a value.
	ScalarSubquery struct {
		at
		Query *Query
	}

	// ArraySubquery is ARRAY(SELECT …).
	ArraySubquery struct {
		at
		Query *Query
	}

	// Quantified is x op ANY or ALL of an array or a query's rows; one of Array
	// and Query is set.
	Quantified struct {
		at
		X     Expr
		Op    string
		All   bool
		Array Expr
		Query *Query
	}

	// Case is CASE [operand] WHEN … THEN … ELSE … END.
	Case struct {
		at
		Operand Expr // or nil
		Whens   []When
		Else    Expr // or nil
	}

	When struct {
		at
		Cond, Result Expr
	}

	// Call is a function's. What PostgreSQL gives a grammar of its own is one too:
	// coalesce, nullif, greatest, least, extract, substring, position, btrim,
	// timezone (AT TIME ZONE), current_timestamp, current_date, current_user.
	Call struct {
		at
		Name     string
		Args     []Expr
		Star     bool // count(*)
		Distinct bool
		OrderBy  []Order
		Filter   Expr    // or nil
		Over     *Window // or nil
	}

	// Cast is CAST(x AS type), x::type and type 'x'.
	Cast struct {
		at
		X    Expr
		Type *TypeName
	}

	// Array is ARRAY[a, b].
	Array struct {
		at
		Elems []Expr
	}

	// Subscript is x[i].
	Subscript struct {
		at
		X, Index Expr
	}

	// Row is ROW(a, b) or (a, b).
	Row struct {
		at
		Elems []Expr
	}
)

// LiteralKind is how a constant is written.
type LiteralKind uint8

const (
	Null LiteralKind = iota
	Bool
	Integer // fits 32 bits
	Decimal // anything else that is a number
	String
)

// Truth is what IsTruth tests for.
type Truth uint8

const (
	True Truth = iota
	False
	Unknown
)

func (t Truth) String() string { return [...]string{"TRUE", "FALSE", "UNKNOWN"}[t] }

func (*Literal) expr()        {}
func (*ColumnRef) expr()      {}
func (*Param) expr()          {}
func (*Unary) expr()          {}
func (*Binary) expr()         {}
func (*And) expr()            {}
func (*Or) expr()             {}
func (*Not) expr()            {}
func (*IsNull) expr()         {}
func (*IsTruth) expr()        {}
func (*IsDistinct) expr()     {}
func (*Between) expr()        {}
func (*Like) expr()           {}
func (*InList) expr()         {}
func (*InSubquery) expr()     {}
func (*Exists) expr()         {}
func (*ScalarSubquery) expr() {}
func (*ArraySubquery) expr()  {}
func (*Quantified) expr()     {}
func (*Case) expr()           {}
func (*Call) expr()           {}
func (*Cast) expr()           {}
func (*Array) expr()          {}
func (*Subscript) expr()      {}
func (*Row) expr()            {}
