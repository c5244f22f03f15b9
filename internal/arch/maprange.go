package arch

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
)

// rangeStmt reports a range over a map unless its body provably leaks no order.
func (c *inspector) rangeStmt(r *ast.RangeStmt) {
	t := c.pass.TypesInfo.TypeOf(r.X)
	if t == nil {
		return
	}
	if _, isMap := t.Underlying().(*types.Map); !isMap {
		return
	}
	loop := newMapLoop(c, r.X, r.Body)
	if r.Tok == token.DEFINE {
		loop.key = c.defined(r.Key)
		loop.own(loop.key)
		loop.own(c.defined(r.Value))
	} else if r.Key != nil {
		c.report(r.Pos(), RuleMapRange, "the loop variables outlive the loop over a map")
		return
	}
	if why := loop.leak(); why != "" {
		c.report(r.Pos(), RuleMapRange, "order of a map may leak: %s", why)
		return
	}
	for _, collected := range loop.collected {
		if !c.sortedAfter(r, collected) {
			c.report(r.Pos(), RuleMapRange, "order of a map leaks: %s is not sorted before its next use", types.ExprString(collected))
		}
	}
}

func blank(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "_"
}

func (c *inspector) defined(e ast.Expr) types.Object {
	if id, ok := e.(*ast.Ident); ok {
		return c.pass.TypesInfo.Defs[id]
	}
	return nil
}

// mapCall reports uses of package maps that hand out a map's order.
func (c *inspector) mapCall(call *ast.CallExpr) {
	pkg, name := c.calledFunction(call)
	if pkg != "maps" {
		return
	}
	switch name {
	case "Keys", "Values", "All":
		if len(c.stack) > 0 {
			if outer, ok := c.stack[len(c.stack)-1].(*ast.CallExpr); ok {
				outerPkg, outerName := c.calledFunction(outer)
				switch {
				case outerPkg == "slices" && (outerName == "Sorted" || outerName == "SortedFunc" || outerName == "SortedStableFunc"),
					outerPkg == "maps" && (outerName == "Collect" || outerName == "Insert"):
					return
				}
			}
		}
		c.report(call.Pos(), RuleMapRange, "maps.%s outside slices.Sorted", name)
	case "DeleteFunc":
		fn, ok := call.Args[1].(*ast.FuncLit)
		if !ok {
			c.report(call.Pos(), RuleMapRange, "maps.DeleteFunc with a function that cannot be judged here")
			return
		}
		loop := newMapLoop(c, call.Args[0], fn.Body)
		loop.predicate = true
		for _, field := range fn.Type.Params.List {
			for _, name := range field.Names {
				loop.own(c.pass.TypesInfo.Defs[name])
			}
		}
		if why := loop.leak(); why != "" || len(loop.collected) > 0 {
			c.report(call.Pos(), RuleMapRange, "order of a map may leak: the predicate has effects (%s)", why)
		}
	}
}

// A mapLoop judges the body of one iteration over a map. The order of the
// iterations cannot be observed if every effect that outlives one is of a kind
// that commutes with itself, and none is read in another iteration:
//
//   - delete(x, key) and x[key] = …: iterations touch different entries
//   - integer +=, -=, *=, |=, &=, ^=, ++, -- on a place; x = max(x, …), min
//   - if v > x { x = v }
//   - assignment of an expression that is the same in every iteration
//   - x = append(x, …), to be sorted before use
//
// and if it leaves the loop early only with one constant outcome.
type mapLoop struct {
	c         *inspector
	mapExpr   string
	body      *ast.BlockStmt
	key       types.Object
	locals    map[types.Object]bool // declared in the body: fresh in each iteration
	predicate bool                  // the body is a function's: return ends an iteration

	changed   map[types.Object]bool // roots of places that outlive the iteration and change
	excused   map[*ast.Ident]bool   // uses of them that are part of a commuting effect
	collected []ast.Expr
	constants map[string]string // places assigned what does not vary, and that
	commuting int               // other effects
	exits     []string          // the outcomes of leaving early
	why       string
}

func newMapLoop(c *inspector, m ast.Expr, body *ast.BlockStmt) *mapLoop {
	l := &mapLoop{
		c: c, mapExpr: types.ExprString(m), body: body,
		locals: map[types.Object]bool{}, changed: map[types.Object]bool{}, excused: map[*ast.Ident]bool{},
		constants: map[string]string{},
	}
	ast.Inspect(body, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			l.own(c.pass.TypesInfo.Defs[id])
		}
		if clause, ok := n.(*ast.CaseClause); ok {
			l.own(c.pass.TypesInfo.Implicits[clause])
		}
		return true
	})
	return l
}

func (l *mapLoop) own(o types.Object) {
	if o != nil {
		l.locals[o] = true
	}
}

func (l *mapLoop) fail(n ast.Node, format string, args ...any) {
	if l.why == "" {
		l.why = fmt.Sprintf("line %d: %s", l.c.pass.Fset.Position(n.Pos()).Line, fmt.Sprintf(format, args...))
	}
}

// leak returns how the body may leak the order, or "".
func (l *mapLoop) leak() string {
	l.block(l.body.List, 0)
	ast.Inspect(l.body, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && !l.excused[id] && l.changed[l.c.pass.TypesInfo.Uses[id]] {
			l.fail(id, "%s is read while the loop changes it", id.Name)
		}
		return true
	})
	if len(l.exits) > 0 {
		slices.Sort(l.exits)
		returns := len(slices.Compact(slices.Clone(l.exits)))
		assigned := len(l.constants)
		if returns > 1 || l.commuting > 0 || len(l.collected) > 0 || assigned > 1 || assigned == 1 && l.exits[0] != "break" {
			l.fail(l.body, "it is left early with more than one outcome")
		}
	}
	return l.why
}

// block judges statements; depth counts the loops and switches between them
// and the loop over the map, which a break would leave instead of it.
func (l *mapLoop) block(list []ast.Stmt, depth int) {
	for _, s := range list {
		l.stmt(s, depth)
	}
}

func (l *mapLoop) stmt(s ast.Stmt, depth int) {
	switch s := s.(type) {
	case nil, *ast.EmptyStmt:
	case *ast.BlockStmt:
		l.block(s.List, depth)
	case *ast.ExprStmt:
		l.call(s)
	case *ast.IncDecStmt:
		l.accumulate(s.X, nil)
	case *ast.AssignStmt:
		l.assign(s)
	case *ast.DeclStmt:
		l.pure(s)
	case *ast.IfStmt:
		if l.extremum(s) {
			return
		}
		l.stmt(s.Init, depth)
		l.pure(s.Cond)
		l.block(s.Body.List, depth)
		l.stmt(s.Else, depth)
	case *ast.ForStmt:
		l.stmt(s.Init, depth)
		l.pure(s.Cond)
		l.stmt(s.Post, depth)
		l.block(s.Body.List, depth+1)
	case *ast.RangeStmt:
		l.pure(s.X)
		if s.Tok == token.ASSIGN {
			l.fail(s, "loop variables that outlive the iteration")
		}
		l.block(s.Body.List, depth+1)
	case *ast.SwitchStmt:
		l.stmt(s.Init, depth)
		l.pure(s.Tag)
		l.clauses(s.Body, depth)
	case *ast.TypeSwitchStmt:
		l.stmt(s.Init, depth)
		l.pure(s.Assign)
		l.clauses(s.Body, depth)
	case *ast.BranchStmt:
		l.branch(s, depth)
	case *ast.ReturnStmt:
		l.returns(s)
	default:
		l.fail(s, "a statement that may act in order")
	}
}

func (l *mapLoop) clauses(body *ast.BlockStmt, depth int) {
	for _, s := range body.List {
		clause := s.(*ast.CaseClause)
		for _, e := range clause.List {
			l.pure(e)
		}
		l.block(clause.Body, depth+1)
	}
}

func (l *mapLoop) branch(s *ast.BranchStmt, depth int) {
	switch {
	case s.Label != nil || s.Tok == token.GOTO:
		l.fail(s, "a jump to a label")
	case s.Tok == token.BREAK && depth == 0:
		l.exits = append(l.exits, "break")
	}
}

// returns allows the one constant outcome of a search: that there is such an
// entry does not depend on which was found.
func (l *mapLoop) returns(s *ast.ReturnStmt) {
	outcome := "return"
	for _, e := range s.Results {
		l.pure(e)
		if l.predicate {
			continue
		}
		tv := l.c.pass.TypesInfo.Types[e]
		if tv.Value == nil && !tv.IsNil() {
			l.fail(s, "the value returned may depend on which entry came first")
		}
		outcome += " " + constantText(tv)
	}
	if !l.predicate {
		l.exits = append(l.exits, outcome)
	}
}

func constantText(tv types.TypeAndValue) string {
	if tv.Value == nil || tv.Value.Kind() == constant.Unknown {
		return "nil"
	}
	return tv.Value.ExactString()
}

// call judges a statement that is a call: only delete of the key, and clear.
func (l *mapLoop) call(s *ast.ExprStmt) {
	call, ok := s.X.(*ast.CallExpr)
	if !ok {
		l.pure(s.X)
		return
	}
	switch l.builtin(call) {
	case "delete":
		if !l.isKey(call.Args[1]) {
			l.fail(s, "it deletes an entry other than the key's")
			return
		}
		l.commuting++
		if types.ExprString(call.Args[0]) != l.mapExpr {
			l.change(call.Args[0])
		}
		l.pure(call.Args[0])
	case "clear":
		l.assignConstant(call.Args[0], types.ExprString(call.Args[0]), "clear")
		l.pure(call.Args[0])
	default:
		if !l.c.pureCall(call, l) {
			l.fail(s, "a call of %s, which may have effects", types.ExprString(call.Fun))
		}
	}
}

func (l *mapLoop) isKey(e ast.Expr) bool {
	id, ok := ast.Unparen(e).(*ast.Ident)
	return ok && l.key != nil && l.c.pass.TypesInfo.Uses[id] == l.key
}

func (l *mapLoop) builtin(call *ast.CallExpr) string {
	if id, ok := ast.Unparen(call.Fun).(*ast.Ident); ok {
		if b, ok := l.c.pass.TypesInfo.Uses[id].(*types.Builtin); ok {
			return b.Name()
		}
	}
	return ""
}

// assign judges one assignment.
func (l *mapLoop) assign(s *ast.AssignStmt) {
	if s.Tok != token.ASSIGN && s.Tok != token.DEFINE {
		l.accumulateOp(s)
		return
	}
	for i, lhs := range s.Lhs {
		if blank(lhs) || l.free(lhs) {
			continue
		}
		if len(s.Lhs) != len(s.Rhs) {
			l.fail(s, "it assigns %s, which outlives the iteration", types.ExprString(lhs))
			return
		}
		l.assignOuter(lhs, s.Rhs[i])
	}
	for i, rhs := range s.Rhs {
		if len(s.Lhs) == len(s.Rhs) && !l.free(s.Lhs[i]) && !blank(s.Lhs[i]) {
			continue // judged with its place
		}
		l.pure(rhs)
	}
}

// assignOuter judges lhs = rhs for a place that outlives the iteration.
func (l *mapLoop) assignOuter(lhs, rhs ast.Expr) {
	place := types.ExprString(lhs)
	if index, ok := ast.Unparen(lhs).(*ast.IndexExpr); ok && l.isKey(index.Index) && l.isMap(index.X) {
		l.commuting++
		l.change(index.X)
		l.excuseEqual(lhs, rhs, place)
		l.pureOrAppend(rhs)
		return
	}
	if call, ok := ast.Unparen(rhs).(*ast.CallExpr); ok && len(call.Args) > 0 {
		switch name := l.builtin(call); {
		case name == "append" && types.ExprString(call.Args[0]) == place:
			l.collected = append(l.collected, lhs)
			l.change(lhs)
			l.excuseRoot(call.Args[0])
			for _, a := range call.Args[1:] {
				l.pure(a)
			}
			return
		case (name == "max" || name == "min") && l.ordered(lhs) && types.ExprString(call.Args[0]) == place:
			l.excuseRoot(call.Args[0])
			l.accumulate(lhs, nil)
			for _, a := range call.Args[1:] {
				l.pure(a)
			}
			return
		}
	}
	if l.invariant(rhs) {
		l.assignConstant(lhs, place, types.ExprString(rhs))
		l.pure(rhs)
		return
	}
	l.fail(lhs, "the last assignment to %s wins", place)
}

// assignConstant records an assignment that is the same in every iteration. A
// place reached through the entry itself belongs to the entry, and the loop's
// variables stay free to be read; any other must always get the same value.
func (l *mapLoop) assignConstant(lhs ast.Expr, place, value string) {
	l.placeIndexes(lhs)
	if root := l.root(lhs); root != nil && l.locals[l.c.pass.TypesInfo.Uses[root]] {
		l.commuting++
		return
	}
	l.change(lhs)
	if earlier, twice := l.constants[place]; twice && earlier != value {
		l.fail(lhs, "the last assignment to %s wins", place)
	}
	l.constants[place] = value
}

func (l *mapLoop) isMap(e ast.Expr) bool {
	t := l.c.pass.TypesInfo.TypeOf(e)
	if t == nil {
		return false
	}
	_, ok := t.Underlying().(*types.Map)
	return ok
}

// pureOrAppend accepts what a map's own entry may be given: entries are not
// shared between iterations, so even an order within one is no leak.
func (l *mapLoop) pureOrAppend(rhs ast.Expr) {
	if call, ok := ast.Unparen(rhs).(*ast.CallExpr); ok && l.builtin(call) == "append" {
		for _, a := range call.Args {
			l.pure(a)
		}
		return
	}
	l.pure(rhs)
}

// accumulateOp judges x op= e.
func (l *mapLoop) accumulateOp(s *ast.AssignStmt) {
	switch s.Tok {
	case token.ADD_ASSIGN, token.SUB_ASSIGN, token.MUL_ASSIGN, token.OR_ASSIGN, token.AND_ASSIGN, token.XOR_ASSIGN:
		l.accumulate(s.Lhs[0], s.Rhs[0])
	default:
		if !l.free(s.Lhs[0]) {
			l.fail(s, "%s does not commute", s.Tok)
		}
		l.pure(s.Rhs[0])
	}
}

// accumulate judges a commutative integer operation on a place.
func (l *mapLoop) accumulate(place, operand ast.Expr) {
	if operand != nil {
		l.pure(operand)
	}
	if l.free(place) {
		return
	}
	if !l.integer(place) && operand != nil || !l.ordered(place) {
		l.fail(place, "accumulation into %s, which is no integer", types.ExprString(place))
	}
	l.commuting++
	l.change(place)
}

func (l *mapLoop) integer(e ast.Expr) bool { return l.basic(e, types.IsInteger) }
func (l *mapLoop) ordered(e ast.Expr) bool { return l.basic(e, types.IsInteger|types.IsString) }

func (l *mapLoop) basic(e ast.Expr, info types.BasicInfo) bool {
	t := l.c.pass.TypesInfo.TypeOf(e)
	if t == nil {
		return false
	}
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&info != 0
}

// extremum recognises if v > x { x = v }.
func (l *mapLoop) extremum(s *ast.IfStmt) bool {
	cond, ok := s.Cond.(*ast.BinaryExpr)
	if !ok || s.Init != nil || s.Else != nil || len(s.Body.List) != 1 {
		return false
	}
	switch cond.Op {
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
	default:
		return false
	}
	set, ok := s.Body.List[0].(*ast.AssignStmt)
	if !ok || set.Tok != token.ASSIGN || len(set.Lhs) != 1 || l.free(set.Lhs[0]) || !l.ordered(set.Lhs[0]) {
		return false
	}
	place, value := types.ExprString(set.Lhs[0]), types.ExprString(set.Rhs[0])
	x, y := types.ExprString(cond.X), types.ExprString(cond.Y)
	if !(x == place && y == value) && !(x == value && y == place) {
		return false
	}
	read := cond.X
	if y == place {
		read = cond.Y
	}
	l.excuseRoot(read)
	l.accumulate(set.Lhs[0], nil)
	l.pure(set.Rhs[0])
	return true
}

// free reports whether a place dies with the iteration: a variable of the body
// or a part of its value, not something that it points to.
func (l *mapLoop) free(e ast.Expr) bool {
	for {
		switch x := ast.Unparen(e).(type) {
		case *ast.Ident:
			o := l.c.pass.TypesInfo.Uses[x]
			if o == nil {
				o = l.c.pass.TypesInfo.Defs[x]
			}
			return l.locals[o]
		case *ast.SelectorExpr:
			if l.indirect(x.X) {
				return false
			}
			e = x.X
		case *ast.IndexExpr:
			t := l.c.pass.TypesInfo.TypeOf(x.X)
			if t == nil {
				return false
			}
			if _, isArray := t.Underlying().(*types.Array); !isArray {
				return false
			}
			e = x.X
		default:
			return false
		}
	}
}

func (l *mapLoop) indirect(e ast.Expr) bool {
	t := l.c.pass.TypesInfo.TypeOf(e)
	if t == nil {
		return true
	}
	_, pointer := t.Underlying().(*types.Pointer)
	return pointer
}

// invariant reports whether e has the same value in every iteration: no loop
// variable, no call.
func (l *mapLoop) invariant(e ast.Expr) bool {
	same := true
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			same = same && !l.locals[l.c.pass.TypesInfo.Uses[n]]
		case *ast.CallExpr:
			same = same && l.c.pass.TypesInfo.Types[n.Fun].IsType()
		case *ast.FuncLit, *ast.CompositeLit:
			same = false
		case *ast.UnaryExpr:
			same = same && n.Op != token.ARROW
		}
		return same
	})
	return same
}

// root returns the identifier that a place starts from, or nil.
func (l *mapLoop) root(e ast.Expr) *ast.Ident {
	for {
		switch x := ast.Unparen(e).(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// change records that a place changes. A field of an outer variable stands for
// all of it: coarse, but it errs on the safe side.
func (l *mapLoop) change(place ast.Expr) {
	id := l.root(place)
	if id == nil {
		l.fail(place, "a change of %s cannot be judged", types.ExprString(place))
		return
	}
	l.changed[l.c.pass.TypesInfo.Uses[id]] = true
	l.excused[id] = true
	l.placeIndexes(place)
}

// placeIndexes checks the index expressions inside a place.
func (l *mapLoop) placeIndexes(place ast.Expr) {
	ast.Inspect(place, func(n ast.Node) bool {
		if index, ok := n.(*ast.IndexExpr); ok {
			l.pure(index.Index)
		}
		return true
	})
}

func (l *mapLoop) excuseRoot(e ast.Expr) {
	if id := l.root(e); id != nil {
		l.excused[id] = true
	}
}

// excuseEqual excuses the uses of place itself within e.
func (l *mapLoop) excuseEqual(place, e ast.Expr, text string) {
	ast.Inspect(e, func(n ast.Node) bool {
		if x, ok := n.(ast.Expr); ok && types.ExprString(x) == text {
			l.excuseRoot(x)
		}
		return true
	})
}

// pure fails unless the expressions in n have no effects.
func (l *mapLoop) pure(n ast.Node) {
	if n == nil {
		return
	}
	if e, ok := n.(ast.Expr); ok && e == nil {
		return
	}
	if why := l.c.impure(n, l); why != "" {
		l.fail(n, "%s", why)
	}
}

// sortedAfter reports whether the first thing that happens to a collected
// slice after the loop, its length aside, is that it is sorted, in a statement
// that the loop always leads to.
func (c *inspector) sortedAfter(r *ast.RangeStmt, collected ast.Expr) bool {
	text := types.ExprString(collected)
	var body *ast.BlockStmt
	var blocks []ast.Node
	for _, n := range c.stack {
		switch n := n.(type) {
		case *ast.FuncDecl:
			body = n.Body
			blocks = blocks[:0]
		case *ast.FuncLit:
			body = n.Body
			blocks = blocks[:0]
		case *ast.BlockStmt, *ast.CaseClause:
			blocks = append(blocks, n)
		}
	}
	if body == nil {
		return false
	}
	sorts := map[ast.Node]bool{}
	for _, b := range blocks {
		for _, s := range stmtsOf(b) {
			if call := c.sortCall(s, text); call != nil && s.Pos() > r.End() {
				sorts[call] = true
			}
		}
	}
	found, spoiled := false, false
	ast.Inspect(body, func(n ast.Node) bool {
		if n == nil || found || spoiled || n.End() <= r.End() {
			return false
		}
		if sorts[n] {
			found = true
			return false
		}
		if call, ok := n.(*ast.CallExpr); ok {
			if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "len" {
				return false
			}
		}
		if e, ok := n.(ast.Expr); ok && n.Pos() >= r.End() && types.ExprString(e) == text {
			spoiled = true
		}
		return true
	})
	return found
}

func stmtsOf(n ast.Node) []ast.Stmt {
	switch n := n.(type) {
	case *ast.BlockStmt:
		return n.List
	case *ast.CaseClause:
		return n.Body
	}
	return nil
}

// sortCall returns the call if s is a statement that sorts the slice.
func (c *inspector) sortCall(s ast.Stmt, slice string) *ast.CallExpr {
	es, ok := s.(*ast.ExprStmt)
	if !ok {
		return nil
	}
	call, ok := es.X.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return nil
	}
	arg := ast.Unparen(call.Args[0])
	if conv, ok := arg.(*ast.CallExpr); ok && len(conv.Args) == 1 && c.pass.TypesInfo.Types[conv.Fun].IsType() {
		arg = conv.Args[0] // sort.Sort(byName(s))
	}
	if types.ExprString(arg) != slice {
		return nil
	}
	pkg, name := c.calledFunction(call)
	switch {
	case pkg == "slices" && (name == "Sort" || name == "SortFunc" || name == "SortStableFunc"),
		pkg == "sort" && (name == "Sort" || name == "Stable" || name == "Slice" || name == "SliceStable" || name == "Strings" || name == "Ints"):
		return call
	}
	return nil
}
