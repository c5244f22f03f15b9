package arch

import (
	"go/ast"
	"go/token"
	"go/types"
)

// purity is what is known of a function of the package.
type purity int

const (
	pureUnknown purity = iota
	pureAssumed        // being judged: a recursive call adds nothing
	pureYes
	pureNo
)

// purePackages are those whose package-level functions have no effects.
var purePackages = map[string]bool{
	"strings": true, "bytes": true, "cmp": true, "math": true, "math/bits": true, "errors": true,
	"strconv": true, "unicode": true, "unicode/utf8": true, "path": true,
}

var pureFunctions = map[string]bool{
	"slices.Contains": true, "slices.Index": true, "slices.Equal": true, "slices.Compare": true, "slices.Clone": true,
	"slices.Max": true, "slices.Min": true, "slices.BinarySearch": true, "fmt.Sprintf": true, "fmt.Sprint": true, "fmt.Errorf": true,
	"maps.Equal": true, "maps.Clone": true,
}

// impure returns the first effect that evaluating the expressions in n has, or
// "". The loop tells which places die with the iteration; it may be nil.
func (c *inspector) impure(n ast.Node, l *mapLoop) (why string) {
	ast.Inspect(n, func(n ast.Node) bool {
		if why != "" {
			return false
		}
		switch n := n.(type) {
		case *ast.CallExpr:
			if !c.pureCall(n, l) {
				why = "a call of " + types.ExprString(n.Fun) + ", which may have effects"
			}
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				why = "a receive"
			}
		case *ast.FuncLit:
			why = "a function literal, whose effects are not judged"
		}
		return true
	})
	return why
}

// pureCall reports whether the call itself, its arguments aside, is without
// effects: a conversion, a builtin that only reads, a known function of the
// standard library, or a function of this package that can be judged.
func (c *inspector) pureCall(call *ast.CallExpr, l *mapLoop) bool {
	fun := ast.Unparen(call.Fun)
	if c.pass.TypesInfo.Types[fun].IsType() {
		return true
	}
	if index, ok := fun.(*ast.IndexExpr); ok {
		fun = index.X
	}
	switch f := fun.(type) {
	case *ast.Ident:
		switch o := c.pass.TypesInfo.Uses[f].(type) {
		case *types.Builtin:
			switch o.Name() {
			case "len", "cap", "min", "max", "new", "make", "real", "imag", "complex":
				return true
			case "append":
				// Into a fresh or own slice only; what is appended to an outer
				// one goes through assignOuter.
				return len(call.Args) > 0 && l != nil && l.free(call.Args[0])
			}
			return false
		case *types.Func:
			return c.pureFunc(o)
		}
	case *ast.SelectorExpr:
		o, ok := c.pass.TypesInfo.Uses[f.Sel].(*types.Func)
		if !ok || o.Pkg() == nil {
			return false
		}
		if pkg := c.packageOf(f.X); pkg != "" && o.Pkg() != c.pass.Pkg {
			return purePackages[pkg] || pureFunctions[pkg+"."+o.Name()]
		}
		if selection := c.pass.TypesInfo.Selections[f]; selection != nil && types.IsInterface(selection.Recv()) {
			return false
		}
		return c.pureFunc(o)
	}
	return false
}

// pureFunc judges a function by its body. Of another package it knows only
// methods of plain values, named by convention after what they tell.
func (c *inspector) pureFunc(fn *types.Func) bool {
	if fn.Pkg() != c.pass.Pkg {
		return pureForeignMethod(fn)
	}
	fn = fn.Origin()
	switch c.pure[fn] {
	case pureYes, pureAssumed:
		return true
	case pureNo:
		return false
	}
	decl := c.funcs[fn]
	if decl == nil || decl.Body == nil {
		return false
	}
	c.pure[fn] = pureAssumed
	if c.pureBody(decl) {
		c.pure[fn] = pureYes
		return true
	}
	c.pure[fn] = pureNo
	return false
}

// pureForeignMethod accepts methods of non-pointer, non-interface receivers
// whose underlying type holds no reference: they cannot reach anything.
func pureForeignMethod(fn *types.Func) bool {
	recv := fn.Signature().Recv()
	if recv == nil {
		return false
	}
	switch t := types.Unalias(recv.Type()).Underlying().(type) {
	case *types.Basic:
		return true
	case *types.Array:
		_, basic := t.Elem().Underlying().(*types.Basic)
		return basic
	case *types.Struct:
		for i := 0; i < t.NumFields(); i++ {
			if _, basic := t.Field(i).Type().Underlying().(*types.Basic); !basic {
				return false
			}
		}
		return true
	}
	return false
}

// pureBody reports whether a function changes nothing but its own variables
// and calls only such functions.
func (c *inspector) pureBody(decl *ast.FuncDecl) bool {
	own := newMapLoop(c, ast.NewIdent("_"), decl.Body)
	for _, list := range []*ast.FieldList{decl.Recv, decl.Type.Params, decl.Type.Results} {
		if list == nil {
			continue
		}
		for _, field := range list.List {
			for _, name := range field.Names {
				own.own(c.pass.TypesInfo.Defs[name])
			}
		}
	}
	pure := true
	ast.Inspect(decl.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, lhs := range n.Lhs {
				pure = pure && (blank(lhs) || own.free(lhs))
			}
		case *ast.IncDecStmt:
			pure = pure && own.free(n.X)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				pure = false
			}
		case *ast.GoStmt, *ast.DeferStmt, *ast.SendStmt, *ast.SelectStmt, *ast.FuncLit:
			pure = false
		case *ast.UnaryExpr:
			pure = pure && n.Op != token.ARROW
		case *ast.CallExpr:
			pure = pure && c.pureCall(n, own)
		}
		return pure
	})
	return pure
}
