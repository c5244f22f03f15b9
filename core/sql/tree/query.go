package tree

type (
	// A Query is a body with what surrounds it.
	Query struct {
		at
		With    *With // or nil
		Body    Body
		OrderBy []Order
		Limit   Expr // or nil
		Offset  Expr // or nil
	}

	// With is a list of common table expressions.
	With struct {
		at
		Recursive bool
		Tables    []CTE
	}

	// A CTE names a query for the query that it stands before.
	CTE struct {
		at
		Name    string
		Columns []string
		Query   *Query
	}

	// A Body is SELECT, VALUES or a set operation.
	Body interface {
		Node
		body()
		write(p *printer)
	}

	// SelectBody is SELECT … FROM … WHERE … GROUP BY … HAVING … WINDOW ….
	SelectBody struct {
		at
		Distinct   bool
		DistinctOn []Expr
		Items      []Item
		From       []From
		Where      Expr // or nil
		GroupBy    []Expr
		Having     Expr // or nil
		Windows    []Window
	}

	// Values is VALUES (…), (…).
	Values struct {
		at
		Rows [][]Expr
	}

	// SetOp combines two queries.
	SetOp struct {
		at
		Op   SetOperator
		All  bool
		L, R *Query
	}

	// An Item of a select list.
	Item struct {
		at
		Expr  Expr
		Alias string
	}

	// An Order is a key to sort by.
	Order struct {
		at
		Expr       Expr
		Descending bool
		NullsFirst bool // resolved: PostgreSQL's default is last ascending, first descending
	}

	// A Window is the part of an OVER or a WINDOW clause.
	Window struct {
		at
		Name        string // of a WINDOW clause, or an OVER name
		Base        string // OVER (base …)
		PartitionBy []Expr
		OrderBy     []Order
		Frame       *Frame // or nil: RANGE UNBOUNDED PRECEDING to the current row
	}

	// A Frame is what rows of its partition a window function sees.
	Frame struct {
		at
		Mode       FrameMode
		Start, End Bound
		Exclude    Exclusion
	}

	// A Bound is one end of a frame.
	Bound struct {
		Kind   BoundKind
		Offset Expr // of Preceding and Following
	}

	// From is an entry of a FROM clause.
	From interface {
		Node
		from()
		write(p *printer)
	}

	// TableName is a stored table, a projection, an event type or a CTE.
	TableName struct {
		at
		Schema, Name string
		Alias        Alias
		AsOf         *AsOf // or nil
	}

	// An Alias renames an entry of FROM and its first columns.
	Alias struct {
		Name    string
		Columns []string
	}

	// AsOf reads a table as it was.
	AsOf struct {
		at
		Axis TimeAxis
		Time Expr
	}

	// SubqueryFrom is a query in FROM.
	SubqueryFrom struct {
		at
		Lateral bool
		Query   *Query
		Alias   Alias
	}

	// FunctionFrom is a function in FROM: generate_series, unnest, tumble, hop, session.
	FunctionFrom struct {
		at
		Lateral    bool
		Call       *Call
		Ordinality bool
		Alias      Alias
	}

	// A Join of two entries. On, Using and Natural exclude one another; a cross
	// join is an inner one without any.
	Join struct {
		at
		Kind    JoinKind
		L, R    From
		On      Expr
		Using   []string
		Natural bool
	}
)

// SetOperator is UNION, INTERSECT or EXCEPT.
type SetOperator uint8

const (
	Union SetOperator = iota
	Intersect
	Except
)

func (o SetOperator) String() string { return [...]string{"UNION", "INTERSECT", "EXCEPT"}[o] }

// JoinKind says what becomes of rows that match none.
type JoinKind uint8

const (
	Inner JoinKind = iota
	Left
	Right
	Full
)

func (k JoinKind) String() string { return [...]string{"INNER", "LEFT", "RIGHT", "FULL"}[k] }

// TimeAxis is what "as of" counts: when it happened, or when it was committed.
type TimeAxis uint8

const (
	EventTime TimeAxis = iota
	SystemTime
)

func (a TimeAxis) String() string { return [...]string{"TIMESTAMP", "SYSTEM_TIME"}[a] }

// FrameMode is what a frame's offsets count.
type FrameMode uint8

const (
	Range FrameMode = iota
	Rows
	Groups
)

func (m FrameMode) String() string { return [...]string{"RANGE", "ROWS", "GROUPS"}[m] }

// BoundKind is where a frame begins or ends.
type BoundKind uint8

const (
	UnboundedPreceding BoundKind = iota
	Preceding
	CurrentRow
	Following
	UnboundedFollowing
)

// Exclusion is what a frame leaves out.
type Exclusion uint8

const (
	ExcludeNone Exclusion = iota
	ExcludeCurrentRow
	ExcludeGroup
	ExcludeTies
)

func (e Exclusion) String() string {
	return [...]string{"NO OTHERS", "CURRENT ROW", "GROUP", "TIES"}[e]
}

func (*SelectBody) body() {}
func (*Values) body()     {}
func (*SetOp) body()      {}

func (*TableName) from()    {}
func (*SubqueryFrom) from() {}
func (*FunctionFrom) from() {}
func (*Join) from()         {}
