package arch

import (
	"go/ast"
	"go/token"
	"go/types"
)

// pkgVar reports changes of package-level variables: assignment to them or
// into them, taking their address, a method that may change them, and the
// builtins that do. Their declaration is the one place where they get a value.
func (c *inspector) pkgVar(n ast.Node) {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			for _, lhs := range n.Lhs {
				c.changed(lhs, "assignment to")
			}
		}
	case *ast.IncDecStmt:
		c.changed(n.X, "assignment to")
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			c.changed(n.Key, "assignment to")
			c.changed(n.Value, "assignment to")
		}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			c.changed(n.X, "address of")
		}
	case *ast.SliceExpr:
		if t := c.pass.TypesInfo.TypeOf(n.X); t != nil {
			if _, isArray := t.Underlying().(*types.Array); isArray && !c.readByCaller() {
				c.changed(n.X, "address of")
			}
		}
	case *ast.CallExpr:
		c.changingCall(n)
	}
}

// readByCaller reports whether the expression being visited is an argument of
// a call that only reads.
func (c *inspector) readByCaller() bool {
	if len(c.stack) == 0 {
		return false
	}
	call, ok := c.stack[len(c.stack)-1].(*ast.CallExpr)
	return ok && c.pureCall(call, nil)
}

func (c *inspector) changed(e ast.Expr, how string) {
	if v := c.rootPackageVar(e); v != nil {
		c.report(e.Pos(), RulePkgVar, "%s package variable %s", how, v.Name())
	}
}

func (c *inspector) changingCall(call *ast.CallExpr) {
	if id, ok := ast.Unparen(call.Fun).(*ast.Ident); ok {
		if b, ok := c.pass.TypesInfo.Uses[id].(*types.Builtin); ok && len(call.Args) > 0 {
			switch b.Name() {
			case "delete", "clear", "copy":
				c.changed(call.Args[0], b.Name()+" on")
			}
		}
		return
	}
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return
	}
	selection := c.pass.TypesInfo.Selections[sel]
	if selection == nil || selection.Kind() != types.MethodVal {
		return
	}
	if v := c.rootPackageVar(sel.X); v != nil && mayChange(selection) {
		c.report(call.Pos(), RulePkgVar, "method %s may change package variable %s", sel.Sel.Name, v.Name())
	}
}

// mayChange reports whether a method call can change its receiver: it has a
// pointer receiver, or is called through an interface. Errors and compiled
// regular expressions are taken for the constants that they are.
func mayChange(s *types.Selection) bool {
	recv := types.Unalias(s.Recv())
	switch recv.String() {
	case "error", "*regexp.Regexp", "*encoding/base64.Encoding", "*encoding/base32.Encoding", "*strings.Replacer", "reflect.Type":
		return false
	}
	if types.IsInterface(recv) {
		return true
	}
	fn, ok := s.Obj().(*types.Func)
	if !ok {
		return false
	}
	_, pointer := types.Unalias(fn.Signature().Recv().Type()).(*types.Pointer)
	return pointer
}

// rootPackageVar returns the package-level variable, of any package, that a
// place is in, or nil.
func (c *inspector) rootPackageVar(e ast.Expr) *types.Var {
	for {
		switch x := e.(type) {
		case *ast.ParenExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.SelectorExpr:
			if c.packageOf(x.X) == "" {
				e = x.X
				continue
			}
			e = x.Sel
		case *ast.Ident:
			v, ok := c.pass.TypesInfo.Uses[x].(*types.Var)
			if ok && v.Pkg() != nil && v.Parent() == v.Pkg().Scope() {
				return v
			}
			return nil
		default:
			return nil
		}
	}
}
