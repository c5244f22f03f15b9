package row

import "strings"

// Kind is a type's family. The numbers are stored; they never change.
type Kind uint8

const (
	Invalid     Kind = 0
	Bool        Kind = 1
	Int2        Kind = 2
	Int4        Kind = 3
	Int8        Kind = 4
	Float4      Kind = 5
	Float8      Kind = 6
	Numeric     Kind = 7
	Text        Kind = 8
	Bytea       Kind = 9
	Date        Kind = 10 // days since 1970-01-01
	Time        Kind = 11 // microseconds since midnight
	Timestamp   Kind = 12 // microseconds since 1970-01-01, no zone
	Timestamptz Kind = 13 // microseconds since 1970-01-01 UTC
	Interval    Kind = 14
	UUID        Kind = 15
	JSONB       Kind = 16
	Array       Kind = 17 // of a scalar, one dimension
	kindEnd     Kind = 18
)

// A Type is a scalar, or an array of a scalar. Types are comparable.
type Type struct {
	Kind Kind
	Elem Kind // of an Array
}

// Of returns a scalar type.
func Of(k Kind) Type { return Type{Kind: k} }

// ArrayOf returns the type of arrays of k.
func ArrayOf(k Kind) Type { return Type{Array, k} }

// kindInfo is what there is to know about a kind: PostgreSQL's name, other
// names that are read, its bytes in a key if their number is fixed.
type kindInfo struct {
	name    string
	aliases string
	keySize int
}

var kinds = [kindEnd]kindInfo{
	Invalid:     {name: "invalid"},
	Bool:        {"boolean", "bool", 1},
	Int2:        {"smallint", "int2", 2},
	Int4:        {"integer", "int4 int", 4},
	Int8:        {"bigint", "int8", 8},
	Float4:      {"real", "float4", 8},
	Float8:      {"double precision", "float8 float double", 8},
	Numeric:     {"numeric", "decimal", 0},
	Text:        {"text", "varchar string", 0},
	Bytea:       {"bytea", "", 0},
	Date:        {"date", "", 8},
	Time:        {"time without time zone", "time", 8},
	Timestamp:   {"timestamp without time zone", "timestamp", 8},
	Timestamptz: {"timestamp with time zone", "timestamptz", 8},
	Interval:    {"interval", "", intervalBytes},
	UUID:        {"uuid", "", 16},
	JSONB:       {"jsonb", "json", 0},
	Array:       {"array", "", 0},
}

// Valid reports whether t is a type that a column can have.
func (t Type) Valid() bool {
	switch {
	case t.Kind == Array:
		return t.Elem > Invalid && t.Elem < Array
	case t.Kind > Invalid && t.Kind < Array:
		return t.Elem == Invalid
	}
	return false
}

// Fixed reports whether a vector of t holds one int64 per row.
func (t Type) Fixed() bool { return fixedKinds>>t.Kind&1 != 0 }

// fixedKinds has the bits of the kinds that are fixed: Fixed is asked often.
const fixedKinds = 1<<Bool | 1<<Int2 | 1<<Int4 | 1<<Int8 | 1<<Float4 | 1<<Float8 | 1<<Date | 1<<Time | 1<<Timestamp | 1<<Timestamptz

func (k Kind) String() string {
	if k < kindEnd {
		return kinds[k].name
	}
	return kinds[Invalid].name
}

// String is PostgreSQL's name of the type.
func (t Type) String() string {
	if t.Kind == Array {
		return t.Elem.String() + "[]"
	}
	return t.Kind.String()
}

// Element returns the type of an array's elements.
func (t Type) Element() Type { return Type{Kind: t.Elem} }

// ParseType reads a type's name, in any of PostgreSQL's spellings. Modifiers
// such as numeric(10,2) are not part of a type.
func ParseType(name string) (Type, error) {
	n := strings.Join(strings.Fields(strings.ToLower(name)), " ")
	base, isArray := strings.CutSuffix(n, "[]")
	for k := Bool; k < Array; k++ {
		if base == kinds[k].name || containsWord(kinds[k].aliases, base) {
			if isArray {
				return ArrayOf(k), nil
			}
			return Of(k), nil
		}
	}
	return Type{}, errorf(CodeNoType, "type %q does not exist", name)
}

func containsWord(words, w string) bool {
	for _, x := range strings.Fields(words) {
		if x == w {
			return true
		}
	}
	return false
}

// A Column is a name with a type.
type Column struct {
	Name    string
	Type    Type
	NotNull bool
}

// A Schema is the columns of a relation, in order.
type Schema []Column

// Index returns the position of the column of that name, or -1.
func (s Schema) Index(name string) int {
	for i := range s {
		if s[i].Name == name {
			return i
		}
	}
	return -1
}

// Types returns the columns' types.
func (s Schema) Types() []Type {
	ts := make([]Type, len(s))
	for i := range s {
		ts[i] = s[i].Type
	}
	return ts
}

// Check refuses a schema that no batch can have.
func (s Schema) Check() error {
	if len(s) > ColumnsMax {
		return errorf("54011", "a relation has at most %d columns, this one %d", ColumnsMax, len(s))
	}
	seen := make(map[string]bool, len(s))
	for i, c := range s {
		switch {
		case c.Name == "" || len(c.Name) > NameBytesMax:
			return errorf("42622", "column %d: a name has 1 to %d bytes", i+1, NameBytesMax)
		case seen[c.Name]:
			return errorf("42701", "column %q specified more than once", c.Name)
		case !c.Type.Valid():
			return errorf(CodeNoType, "column %q: no such type", c.Name)
		}
		seen[c.Name] = true
	}
	return nil
}
