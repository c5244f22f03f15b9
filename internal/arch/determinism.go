package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// A Rule names something that makes an execution depend on more than its
// inputs. Its text is what an escape comment names.
type Rule string

const (
	RuleGo       Rule = "go"       // go statements
	RuleSelect   Rule = "select"   // select statements
	RuleChan     Rule = "chan"     // channel types and operations
	RuleSync     Rule = "sync"     // locks and atomics: they are for what cannot happen here
	RuleTime     Rule = "time"     // the clock, timers, the local time zone
	RuleRand     Rule = "rand"     // global or operating-system randomness
	RuleAmbient  Rule = "ambient"  // files, sockets, environment, runtime, per-process hash seeds
	RuleMapRange Rule = "maprange" // map iteration whose order can be observed
	RulePull     Rule = "pull"     // iter.Pull, a coroutine
	RuleFloat    Rule = "float"    // floating point in replicated state
	RulePkgVar   Rule = "pkgvar"   // package variables that change
	RuleUnsafe   Rule = "unsafe"   // package unsafe
)

// allRules is every rule there is.
var allRules = []Rule{
	RuleGo, RuleSelect, RuleChan, RuleSync, RuleTime, RuleRand,
	RuleAmbient, RuleMapRange, RulePull, RuleFloat, RulePkgVar, RuleUnsafe,
}

// A Scope says which rules hold in a folder and below it.
type Scope struct {
	Folder string
	Rules  []Rule
}

var (
	processRules = []Rule{RuleGo, RuleSelect, RuleChan, RuleSync, RuleTime, RuleRand, RuleAmbient, RuleMapRange, RulePull, RulePkgVar, RuleUnsafe}
	orderRules   = []Rule{RuleTime, RuleRand, RuleMapRange}
)

// scopes is where A2 holds. The first line whose folder matches counts.
var scopes = []Scope{
	{"core", allRules},
	{"sim", processRules},
	{"disk/simfile", orderRules},
	{"disk/memkv", orderRules},
	{"net/wire", orderRules},
	{"net/simnet", orderRules},
	{"workloads", orderRules},
	{"checkers", orderRules},
}

// rulesOf returns the rules that scopes gives to a package of this module.
func rulesOf(packagePath string) []Rule {
	folder := strings.TrimPrefix(packagePath, modulePath+"/")
	for _, s := range scopes {
		if inFolder(folder, s.Folder) {
			return s.Rules
		}
	}
	return nil
}

// Determinism is the analyzer. It reads non-test files only: a test may start
// goroutines, it runs outside the simulator.
//
// A line is excused by a comment on it or alone on the line above:
//
//	//arch:allow <rule>: <reason>
//
// An escape without a reason, with an unknown rule, or that excuses nothing is
// an error itself.
func Determinism(rules func(packagePath string) []Rule) *analysis.Analyzer {
	return &analysis.Analyzer{
		Name: "determinism",
		Doc:  "forbid what makes an execution depend on more than its inputs",
		Run: func(pass *analysis.Pass) (any, error) {
			active := rules(pass.Pkg.Path())
			if len(active) == 0 {
				return nil, nil
			}
			c := &inspector{pass: pass, active: active, pure: map[*types.Func]purity{}}
			c.collectFuncs()
			for _, f := range pass.Files {
				if strings.HasSuffix(pass.Fset.File(f.Pos()).Name(), "_test.go") {
					continue
				}
				c.file(f)
			}
			return nil, nil
		},
	}
}

// inspector runs the rules over one package.
type inspector struct {
	pass    *analysis.Pass
	active  []Rule
	escapes []*escape
	floats  map[int]bool // lines already reported, of the present file
	funcs   map[*types.Func]*ast.FuncDecl
	pure    map[*types.Func]purity
	stack   []ast.Node // path from the file to the node being visited
}

func (c *inspector) report(pos token.Pos, rule Rule, format string, args ...any) {
	if !slices.Contains(c.active, rule) {
		return
	}
	line := c.pass.Fset.Position(pos).Line
	for _, e := range c.escapes {
		if e.rule == rule && (e.line == line || e.alone && e.line == line-1) {
			e.used = true
			return
		}
	}
	c.pass.Reportf(pos, "%s: %s", rule, fmt.Sprintf(format, args...))
}

func (c *inspector) file(f *ast.File) {
	c.escapes, c.floats, c.stack = c.parseEscapes(f), map[int]bool{}, nil
	for _, spec := range f.Imports {
		c.importSpec(spec)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if n == nil {
			c.stack = c.stack[:len(c.stack)-1]
			return false
		}
		c.node(n)
		c.stack = append(c.stack, n)
		return true
	})
	for _, e := range c.escapes {
		if !e.used {
			c.pass.Reportf(e.pos, "escape: it excuses nothing of rule %s", e.rule)
		}
	}
}

// bannedImports maps a package to the rule that bans it. A trailing slash bans
// what is below.
var bannedImports = []struct {
	path string
	rule Rule
}{
	{"sync", RuleSync}, {"sync/", RuleSync},
	{"math/rand", RuleRand}, {"crypto/rand", RuleRand},
	{"os", RuleAmbient}, {"os/", RuleAmbient}, {"net", RuleAmbient}, {"net/", RuleAmbient},
	{"syscall", RuleAmbient}, {"log", RuleAmbient}, {"log/", RuleAmbient},
	{"runtime", RuleAmbient}, {"runtime/", RuleAmbient}, {"hash/maphash", RuleAmbient},
	{"weak", RuleAmbient}, {"expvar", RuleAmbient}, {"flag", RuleAmbient},
	{"unsafe", RuleUnsafe}, {"C", RuleUnsafe},
}

func (c *inspector) importSpec(spec *ast.ImportSpec) {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return
	}
	for _, b := range bannedImports {
		if p == b.path || strings.HasSuffix(b.path, "/") && strings.HasPrefix(p, b.path) {
			c.report(spec.Pos(), b.rule, "import of %s", p)
			return
		}
	}
}

// node checks what can be told from one node and its surroundings.
func (c *inspector) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.GoStmt:
		c.report(n.Pos(), RuleGo, "go statement")
	case *ast.SelectStmt:
		c.report(n.Pos(), RuleSelect, "select statement")
	case *ast.ChanType:
		c.report(n.Pos(), RuleChan, "channel type")
	case *ast.SendStmt:
		c.report(n.Pos(), RuleChan, "send on a channel")
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			c.report(n.Pos(), RuleChan, "receive from a channel")
		}
	case *ast.Ident:
		c.ident(n)
	case *ast.RangeStmt:
		c.rangeStmt(n)
	case *ast.CallExpr:
		c.mapCall(n)
	}
	c.pkgVar(n)
	if e, ok := n.(ast.Expr); ok {
		c.float(e)
	}
}

// bannedTime is what of package time reads a clock, waits, or depends on the
// place of the machine.
var bannedTime = map[string]bool{
	"Now": true, "Since": true, "Until": true, "After": true, "AfterFunc": true, "Tick": true,
	"NewTimer": true, "NewTicker": true, "Sleep": true, "Local": true, "LoadLocation": true,
	"Timer": true, "Ticker": true,
}

var bannedContext = map[string]bool{
	"WithTimeout": true, "WithTimeoutCause": true, "WithDeadline": true, "WithDeadlineCause": true, "AfterFunc": true,
}

// ident checks a use of another package's name.
func (c *inspector) ident(id *ast.Ident) {
	obj := c.pass.TypesInfo.Uses[id]
	if obj == nil || obj.Pkg() == nil || obj.Pkg() == c.pass.Pkg {
		return
	}
	name := obj.Name()
	topLevel := obj.Parent() == obj.Pkg().Scope()
	switch obj.Pkg().Path() {
	case "time":
		if bannedTime[name] && (topLevel || name == "Local") {
			c.report(id.Pos(), RuleTime, "use of time.%s", name)
		}
		if topLevel && (name == "Unix" || name == "UnixMilli" || name == "UnixMicro") && !c.calledThenUTC() {
			c.report(id.Pos(), RuleTime, "time.%s without .UTC() is in the machine's zone", name)
		}
	case "context":
		if bannedContext[name] && topLevel {
			c.report(id.Pos(), RuleTime, "use of context.%s", name)
		}
	case "math/rand/v2":
		if _, isFunc := obj.(*types.Func); isFunc && topLevel && !strings.HasPrefix(name, "New") {
			c.report(id.Pos(), RuleRand, "use of the global source by rand.%s", name)
		}
	case "iter":
		if name == "Pull" || name == "Pull2" {
			c.report(id.Pos(), RulePull, "use of iter.%s", name)
		}
	case "reflect":
		if !topLevel && (name == "MapRange" || name == "MapKeys") {
			c.report(id.Pos(), RuleMapRange, "order of reflect's %s", name)
		}
	}
}

// calledThenUTC reports whether the identifier being visited is in pkg.F in
// pkg.F(…).UTC().
func (c *inspector) calledThenUTC() bool {
	if len(c.stack) < 3 {
		return false
	}
	_, isCall := c.stack[len(c.stack)-2].(*ast.CallExpr)
	sel, isSel := c.stack[len(c.stack)-3].(*ast.SelectorExpr)
	return isCall && isSel && sel.Sel.Name == "UTC"
}

// float reports the first floating-point expression or type of a line. Untyped
// constants do not count: the compiler computes them exactly.
func (c *inspector) float(e ast.Expr) {
	tv, ok := c.pass.TypesInfo.Types[e]
	if !ok || tv.Type == nil {
		return
	}
	b, ok := types.Unalias(tv.Type).Underlying().(*types.Basic)
	if !ok || b.Info()&(types.IsFloat|types.IsComplex) == 0 || b.Info()&types.IsUntyped != 0 {
		return
	}
	line := c.pass.Fset.Position(e.Pos()).Line
	if !c.floats[line] {
		c.floats[line] = true
		c.report(e.Pos(), RuleFloat, "floating point (%s)", b.Name())
	}
}

// An escape is one //arch:allow comment.
type escape struct {
	pos   token.Pos
	line  int
	alone bool // on a line of its own: it speaks for the next one
	rule  Rule
	used  bool
}

const escapePrefix = "//arch:allow"

// parseEscapes collects a file's escapes and reports the malformed ones.
func (c *inspector) parseEscapes(f *ast.File) (escapes []*escape) {
	codeLines := map[int]bool{}
	for _, group := range f.Comments {
		for _, comment := range group.List {
			text, ok := strings.CutPrefix(comment.Text, escapePrefix)
			if !ok {
				continue
			}
			if len(codeLines) == 0 {
				codeLines = c.linesWithCode(f)
			}
			text, _, _ = strings.Cut(text, " // ")
			name, reason, _ := strings.Cut(text, ":")
			rule := Rule(strings.TrimSpace(name))
			line := c.pass.Fset.Position(comment.Pos()).Line
			switch {
			case !slices.Contains(allRules, rule):
				c.pass.Reportf(comment.Pos(), "escape: no rule %q", string(rule))
			case strings.TrimSpace(reason) == "":
				c.pass.Reportf(comment.Pos(), "escape: rule %s without a reason", rule)
			default:
				escapes = append(escapes, &escape{pos: comment.Pos(), line: line, alone: !codeLines[line], rule: rule})
			}
		}
	}
	return escapes
}

// linesWithCode returns the lines on which a node other than a comment starts
// or ends.
func (c *inspector) linesWithCode(f *ast.File) map[int]bool {
	lines := map[int]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n.(type) {
		case nil, *ast.File:
			return true
		case *ast.Comment, *ast.CommentGroup:
			return false
		}
		lines[c.pass.Fset.Position(n.Pos()).Line] = true
		lines[c.pass.Fset.Position(n.End()-1).Line] = true
		return true
	})
	return lines
}

// collectFuncs indexes the package's functions for the purity judgement.
func (c *inspector) collectFuncs() {
	c.funcs = map[*types.Func]*ast.FuncDecl{}
	for _, f := range c.pass.Files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				if obj, ok := c.pass.TypesInfo.Defs[fn.Name].(*types.Func); ok {
					c.funcs[obj] = fn
				}
			}
		}
	}
}

// packageOf returns the import path if e names a package, or "".
func (c *inspector) packageOf(e ast.Expr) string {
	id, ok := ast.Unparen(e).(*ast.Ident)
	if !ok {
		return ""
	}
	if pkg, ok := c.pass.TypesInfo.Uses[id].(*types.PkgName); ok {
		return path.Clean(pkg.Imported().Path())
	}
	return ""
}

// calledFunction returns the package path and name of a called package-level
// function, or two empty strings.
func (c *inspector) calledFunction(call *ast.CallExpr) (pkg, name string) {
	fun := ast.Unparen(call.Fun)
	if index, ok := fun.(*ast.IndexExpr); ok {
		fun = index.X
	}
	sel, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	return c.packageOf(sel.X), sel.Sel.Name
}
