package expr

import (
	"strings"

	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// Resolve finds the function or operator of a name for its arguments, and casts
// them to what it takes. It follows PostgreSQL's "Functions" and "Operators" of
// the chapter Type Conversion.
func Resolve(name string, args []*Node, pos tree.Pos) (*Node, *sqlerr.Error) {
	if n, err := polymorphic(name, args, pos); n != nil || err != nil {
		return n, err
	}
	f, err := choose(registry[name], name, args, pos)
	if err != nil {
		return nil, err
	}
	return apply(f, args, pos)
}

func apply(f *Func, args []*Node, pos tree.Pos) (*Node, *sqlerr.Error) {
	out := &Node{Op: Call, Type: f.ret, Func: f, Pos: pos}
	for i, a := range args {
		c, err := Cast(a, f.args[i])
		if err != nil {
			return nil, err
		}
		out.Args = append(out.Args, c)
	}
	return out, nil
}

func describe(name string, args []*Node) string {
	var types []string
	for _, a := range args {
		if Unknown(a.Type) {
			types = append(types, "unknown")
		} else {
			types = append(types, a.Type.String())
		}
	}
	if name[0] >= 'a' && name[0] <= 'z' || len(types) > 2 || len(types) == 0 {
		return "function " + name + "(" + strings.Join(types, ", ") + ")"
	}
	if len(types) == 1 {
		return "operator " + name + " " + types[0]
	}
	return "operator " + types[0] + " " + name + " " + types[1]
}

// choose picks among the overloads.
func choose(list []*Func, name string, args []*Node, pos tree.Pos) (*Func, *sqlerr.Error) {
	var fits []*Func
	for _, f := range list {
		if len(f.args) != len(args) {
			continue
		}
		ok, exact := true, 0
		for i, a := range args {
			ok = ok && implicit(a.Type, f.args[i])
			if a.Type == f.args[i] {
				exact++
			}
		}
		if exact == len(args) {
			return f, nil
		}
		if ok {
			fits = append(fits, f)
		}
	}
	if len(fits) > 1 { // one constant of unknown type takes the type of the other operand
		if t, ok := lonely(args); ok {
			for _, f := range fits {
				if f.args[0] == t && f.args[1] == t {
					return f, nil
				}
			}
		}
	}
	fits = best(fits, args, func(f *Func, i int) bool { return args[i].Type == f.args[i] })
	fits = best(fits, args, func(f *Func, i int) bool {
		return args[i].Type == f.args[i] || !Unknown(args[i].Type) && preferred(f.args[i])
	})
	if len(fits) > 1 { // strings are what unknown constants are taken for first, then what is preferred
		fits = best(fits, args, func(f *Func, i int) bool { return Unknown(args[i].Type) && f.args[i].Kind == row.Text })
		fits = best(fits, args, func(f *Func, i int) bool { return Unknown(args[i].Type) && preferred(f.args[i]) })
	}
	switch len(fits) {
	case 1:
		return fits[0], nil
	case 0:
		return nil, sqlerr.At(pos, sqlerr.UndefinedFunction, "%s does not exist", describe(name, args)).Hint("look at the types of its arguments; casts may be needed")
	}
	return nil, sqlerr.At(pos, sqlerr.AmbiguousFunction, "%s is not unique", describe(name, args)).Hint("add casts to its arguments")
}

// lonely is the type of the one operand of two that has one.
func lonely(args []*Node) (row.Type, bool) {
	if len(args) != 2 || Unknown(args[0].Type) == Unknown(args[1].Type) {
		return row.Type{}, false
	}
	if Unknown(args[0].Type) {
		return args[1].Type, true
	}
	return args[0].Type, true
}

// best keeps those with the most arguments of a kind.
func best(fits []*Func, args []*Node, of func(f *Func, i int) bool) (out []*Func) {
	most := -1
	for _, f := range fits {
		n := 0
		for i := range args {
			n += int(bit(of(f, i)))
		}
		if n > most {
			most, out = n, nil
		}
		if n == most {
			out = append(out, f)
		}
	}
	return out
}

// polymorphic resolves what takes any type. Both results are nil for others.
func polymorphic(name string, args []*Node, pos tree.Pos) (*Node, *sqlerr.Error) {
	if _, ok := comparisons[name]; ok && len(args) == 2 {
		return Compare(name, args[0], args[1], pos)
	}
	switch name {
	case "coalesce", "greatest", "least":
		return alternatives(name, args, pos)
	case "nullif":
		return nullIf(args, pos)
	case "concat", "concat_ws":
		return concatAll(name, args, pos)
	case "||":
		if len(args) == 2 {
			return concatenate(args, pos)
		}
	case "array_length", "array_lower", "array_upper", "cardinality", "array_to_string", "[]":
		return arrayFunction(name, args, pos)
	case "date_trunc", "extract", "date_part":
		if len(args) == 2 && (Unknown(args[1].Type) || name == "date_trunc" && args[1].Type.Kind == row.Date) {
			c, err := Cast(args[1], row.Of(row.Timestamptz))
			if err != nil {
				return nil, err
			}
			return Resolve(name, []*Node{args[0], c}, pos)
		}
	case "+", "-", "*", "/":
		wide, err := widened(args)
		if err != nil {
			return nil, err
		}
		if wide != nil {
			return Resolve(name, wide, pos)
		}
	case "string_to_array":
		if len(args) == 2 { // without a delimiter, the characters
			text := row.Of(row.Text)
			d, err := Resolve("coalesce", []*Node{args[1], Constant(row.Value{Type: text, B: []byte{noDelimiter}}, pos)}, pos)
			if err != nil {
				return nil, err
			}
			return Pick(registry[name], name, []*Node{args[0], d}, pos)
		}
	case "sqrt":
		if len(args) == 1 && args[0].Type.Kind == row.Numeric {
			return nil, sqlerr.Unsupported(pos, "sqrt of numeric").Hint("cast to float8")
		}
	}
	return nil, nil
}

// widened casts to float8 where one of two numbers is a float4 and the other is
// not: PostgreSQL has operators of both kinds of float.
func widened(args []*Node) ([]*Node, *sqlerr.Error) {
	if len(args) != 2 {
		return nil, nil
	}
	a, b := args[0].Type.Kind, args[1].Type.Kind
	if a == b || a != row.Float4 && b != row.Float4 || numberRank(a) == 0 || numberRank(b) == 0 {
		return nil, nil
	}
	var out []*Node
	for _, x := range args {
		c, err := Cast(x, row.Of(row.Float8))
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// Compare makes a comparison of two values, brought to one type.
func Compare(op string, a, b *Node, pos tree.Pos) (*Node, *sqlerr.Error) {
	wide, err := widened([]*Node{a, b})
	if err != nil {
		return nil, err
	}
	if wide != nil {
		a, b = wide[0], wide[1]
	}
	t, err := Common("comparison", a, b)
	if err != nil || Unknown(a.Type) != Unknown(b.Type) && t.Kind == row.Invalid {
		return nil, sqlerr.At(pos, sqlerr.UndefinedFunction, "%s does not exist", describe(op, []*Node{a, b})).Hint("add a cast")
	}
	if a, err = Coerce(a, t); err == nil {
		b, err = Coerce(b, t)
	}
	if err != nil {
		return nil, err
	}
	f := &Func{Name: op, args: []row.Type{t, t}, ret: row.Of(row.Bool), kernel: compareKernel(op), infix: true}
	return &Node{Op: Call, Type: f.ret, Args: []*Node{a, b}, Func: f, Pos: pos}, nil
}

func alternatives(name string, args []*Node, pos tree.Pos) (*Node, *sqlerr.Error) {
	if len(args) == 0 {
		return nil, sqlerr.At(pos, sqlerr.SyntaxError, "%s needs an argument", name)
	}
	t, err := Common(strings.ToUpper(name), args...)
	if err != nil {
		return nil, err
	}
	out := &Node{Op: Coalesce, Type: t, Pos: pos}
	if name != "coalesce" {
		out.Op, out.Index = Extreme, int(bit(name == "greatest"))
	}
	for _, a := range args {
		c, err := Coerce(a, t)
		if err != nil {
			return nil, err
		}
		out.Args = append(out.Args, c)
	}
	return out, nil
}

func nullIf(args []*Node, pos tree.Pos) (*Node, *sqlerr.Error) {
	if len(args) != 2 {
		return nil, sqlerr.At(pos, sqlerr.SyntaxError, "NULLIF takes two arguments")
	}
	eq, err := Compare("=", args[0], args[1], pos)
	if err != nil {
		return nil, err
	}
	first := args[0]
	if Unknown(first.Type) {
		first = eq.Args[0]
	}
	return &Node{Op: NullIf, Type: first.Type, Args: []*Node{first, eq}, Pos: pos}, nil
}

// concatAll is concat and concat_ws: nulls are left out.
func concatAll(name string, args []*Node, pos tree.Pos) (*Node, *sqlerr.Error) {
	if len(args) == 0 {
		return nil, sqlerr.At(pos, sqlerr.UndefinedFunction, "function %s() does not exist", name)
	}
	text := row.Of(row.Text)
	var parts []*Node
	for i, a := range args {
		c, err := textPart(a)
		if err != nil {
			return nil, err
		}
		if name == "concat_ws" && i == 0 {
			c = args[0]
			if c, err = Coerce(c, text); err != nil {
				return nil, err
			}
		}
		parts = append(parts, c)
	}
	elems := parts
	sep := Constant(row.Value{Type: text}, pos)
	if name == "concat_ws" {
		sep, elems = parts[0], parts[1:]
	}
	array := &Node{Op: MakeArray, Type: row.ArrayOf(row.Text), Args: elems, Pos: pos}
	return arrayFunction("array_to_string", []*Node{array, sep}, pos)
}

// textPart is a value as concat writes it: a boolean is t or f there.
func textPart(a *Node) (*Node, *sqlerr.Error) {
	if a.Type.Kind == row.Bool {
		f := &Func{Name: "text", args: []row.Type{a.Type}, ret: row.Of(row.Text), kernel: rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
			return c.args[0].AppendText(dst, i), nil
		})}
		return call1(f, a), nil
	}
	return Cast(a, row.Of(row.Text))
}

// concatenate is || of texts, of arrays, of an array and an element.
func concatenate(args []*Node, pos tree.Pos) (*Node, *sqlerr.Error) {
	a, b := args[0], args[1]
	isArray := func(n *Node) bool { return n.Type.Kind == row.Array }
	if !isArray(a) && !isArray(b) {
		if a.Type.Kind != row.Text && !Unknown(a.Type) && b.Type.Kind != row.Text && !Unknown(b.Type) {
			return nil, sqlerr.At(pos, sqlerr.UndefinedFunction, "%s does not exist", describe("||", args))
		}
		var err *sqlerr.Error
		if a, err = Cast(a, row.Of(row.Text)); err == nil {
			b, err = Cast(b, row.Of(row.Text))
		}
		if err != nil {
			return nil, err
		}
		return apply(registry["||"][0], []*Node{a, b}, pos)
	}
	elem := func(n *Node) *Node {
		if isArray(n) {
			return &Node{Type: n.Type.Element(), Pos: n.Pos}
		}
		return &Node{Type: n.Type, Pos: n.Pos}
	}
	et, err := Common("array", elem(a), elem(b))
	if err != nil {
		return nil, err
	}
	t := row.ArrayOf(et.Kind)
	bring := func(n *Node) (*Node, *sqlerr.Error) {
		if isArray(n) || Unknown(n.Type) {
			c, err := Cast(n, t)
			if err != nil {
				return nil, err
			}
			empty := Constant(row.Value{Type: t, B: []byte{0}}, pos) // a null array appends nothing
			return &Node{Op: Coalesce, Type: t, Args: []*Node{c, empty}, Pos: pos}, nil
		}
		c, err := Cast(n, et)
		if err != nil {
			return nil, err
		}
		return &Node{Op: MakeArray, Type: t, Args: []*Node{c}, Pos: n.Pos}, nil
	}
	if isArray(a) && isArray(b) { // both null is null
		ca, err := Cast(a, t)
		if err != nil {
			return nil, err
		}
		cb, err := Cast(b, t)
		if err != nil {
			return nil, err
		}
		f := &Func{Name: "||", args: []row.Type{t, t}, ret: t, kernel: arrayConcat, infix: true}
		both, err := apply(f, []*Node{ca, cb}, pos)
		return &Node{Op: Coalesce, Type: t, Args: []*Node{both, ca, cb}, Pos: pos}, err
	}
	l, err := bring(a)
	if err != nil {
		return nil, err
	}
	r, err := bring(b)
	if err != nil {
		return nil, err
	}
	return apply(&Func{Name: "||", args: []row.Type{t, t}, ret: t, kernel: arrayConcat, infix: true}, []*Node{l, r}, pos)
}

func arrayFunction(name string, args []*Node, pos tree.Pos) (*Node, *sqlerr.Error) {
	if len(args) == 0 || args[0].Type.Kind != row.Array {
		if name == "[]" {
			return nil, sqlerr.At(pos, sqlerr.DatatypeMismatch, "cannot subscript type %s", args[0].Type)
		}
		return nil, sqlerr.At(pos, sqlerr.UndefinedFunction, "%s does not exist", describe(name, args))
	}
	f := &Func{Name: name}
	text, int4 := row.Of(row.Text), row.Of(row.Int4)
	switch {
	case name == "[]" && len(args) == 2:
		f.args, f.ret, f.kernel = []row.Type{args[0].Type, int4}, args[0].Type.Element(), subscript
	case name == "array_lower" && len(args) == 2:
		f.args, f.ret, f.kernel = []row.Type{args[0].Type, int4}, int4, arrayLower
	case (name == "array_length" || name == "array_upper") && len(args) == 2: // arrays begin at 1
		f.args, f.ret, f.kernel = []row.Type{args[0].Type, int4}, int4, arrayLength
	case name == "cardinality" && len(args) == 1:
		f.args, f.ret, f.kernel = []row.Type{args[0].Type}, int4, cardinality
	case name == "array_to_string" && len(args) >= 2 && len(args) <= 3:
		f.args, f.ret, f.kernel = []row.Type{args[0].Type, text, text}[:len(args)], text, arrayToString
	default:
		return nil, sqlerr.At(pos, sqlerr.UndefinedFunction, "%s does not exist", describe(name, args))
	}
	for i, a := range args[1:] {
		if !implicit(a.Type, f.args[i+1]) {
			return nil, sqlerr.At(pos, sqlerr.UndefinedFunction, "%s does not exist", describe(name, args))
		}
	}
	return apply(f, args, pos)
}

// Any is x op ANY (array), or ALL.
func Any(op string, all bool, x, array *Node, pos tree.Pos) (*Node, *sqlerr.Error) {
	if _, ok := comparisons[op]; !ok {
		return nil, sqlerr.Unsupported(pos, "operator %s with ANY or ALL", op)
	}
	var err *sqlerr.Error
	if Unknown(array.Type) {
		t := typed(x.Type)
		if array, err = Cast(array, row.ArrayOf(t.Kind)); err != nil {
			return nil, err
		}
	}
	if array.Type.Kind != row.Array {
		return nil, sqlerr.At(pos, sqlerr.DatatypeMismatch, "op ANY/ALL (array) requires array on right side")
	}
	t, err := Common("comparison", x, &Node{Type: array.Type.Element(), Pos: array.Pos})
	if err != nil {
		return nil, sqlerr.At(pos, sqlerr.UndefinedFunction, "%s does not exist", describe(op, []*Node{x, {Type: array.Type.Element()}}))
	}
	if x, err = Cast(x, t); err == nil {
		array, err = Cast(array, row.ArrayOf(t.Kind))
	}
	if err != nil {
		return nil, err
	}
	return &Node{Op: AnyArray, Type: row.Of(row.Bool), Args: []*Node{x, array}, Index: int(bit(all)), Func: &Func{Name: op}, Pos: pos}, nil
}

// MakeArrayOf is ARRAY[…].
func MakeArrayOf(args []*Node, pos tree.Pos) (*Node, *sqlerr.Error) {
	t, err := Common("ARRAY", args...)
	if err != nil {
		return nil, err
	}
	if t.Kind == row.Array {
		return nil, sqlerr.Unsupported(pos, "an array of arrays")
	}
	out := &Node{Op: MakeArray, Type: row.ArrayOf(t.Kind), Pos: pos}
	for _, a := range args {
		c, err := Coerce(a, t)
		if err != nil {
			return nil, err
		}
		out.Args = append(out.Args, c)
	}
	return out, nil
}

// Raise fails for every row that it is computed for.
func Raise(t row.Type, err *row.Error, pos tree.Pos) *Node {
	f := &Func{Name: "raise", ret: t, volatile: true}
	f.kernel = rows(func(*call, int, []byte) ([]byte, *row.Error) { return nil, err })
	if t.Fixed() {
		f.kernel = ints(func(*call, int) (int64, *row.Error) { return 0, err })
	}
	return &Node{Op: Call, Type: t, Func: f, Pos: pos}
}
