package plan

import (
	"actordb/core/expr"
	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// catalogCall calls a function of the catalog; it is nil if there is none of that name.
func (b *binder) catalogCall(name string, args []*expr.Node, pos tree.Pos) *expr.Node {
	c, ok := b.o.Catalog.(Caller)
	if !ok {
		return nil
	}
	n := must(c.Call(name, args, pos))
	if n != nil && b.o.View {
		panic(sqlerr.Unsupported(pos, "the function %s of the catalog in what is kept", name))
	}
	if n != nil {
		b.p.Moment = "the catalog"
	}
	return n
}

// alias is Caller's.
func (b *binder) alias(t *tree.TypeName) (kept string, named, ok bool) {
	c, is := b.o.Catalog.(Caller)
	if !is {
		return "", false, false
	}
	name := t.Name
	if t.Array {
		name += "[]"
	}
	return c.Alias(name)
}

// castType is the type that a cast is to.
func (b *binder) castType(t *tree.TypeName) row.Type {
	kept, _, ok := b.alias(t)
	if !ok {
		return typeOf(t)
	}
	out, err := row.ParseType(kept)
	if err != nil {
		fail(t, sqlerr.UndefinedObject, "type %q does not exist", t.Name)
	}
	return out
}

// number binds a cast to one of the types whose values are numbers that stand for names.
func (b *binder) number(e *tree.Cast, s *scope) *expr.Node {
	x := b.expr(e.X, s)
	switch x.Type.Kind {
	case row.Int2, row.Int4, row.Int8:
		return must(expr.Cast(x, row.Of(row.Int8)))
	}
	return b.catalogCall(e.Type.Name, []*expr.Node{must(expr.Coerce(x, row.Of(row.Text)))}, e.Pos)
}

// output binds an item of a select list. In the answer itself such a number is shown as
// the name that it stands for.
func (b *binder) output(e tree.Expr, s *scope) *expr.Node {
	if c, ok := e.(*tree.Cast); ok && b.depth == 1 {
		if _, named, _ := b.alias(c.Type); named {
			return b.catalogCall(c.Type.Name, []*expr.Node{b.number(c, s)}, c.Pos)
		}
	}
	return b.expr(e, s)
}
