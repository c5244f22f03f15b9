package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// checkMarks returns what breaks A3 in the files under core.
func checkMarks(fset *token.FileSet, files []sourceFile) (wrong []string) {
	declaredAt := map[string]string{} // value → place
	constants := map[string][]string{}
	listed := map[string][]string{}
	packages := map[string]bool{}
	for _, f := range files {
		if f.test || !inFolder(f.folder, "core") || f.folder == "core/proc" {
			continue
		}
		packages[f.folder] = true
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GenDecl:
				if n.Tok == token.CONST {
					for _, m := range markConstants(n) {
						place := fset.Position(m.pos).String()
						if first, twice := declaredAt[m.value]; twice {
							wrong = append(wrong, fmt.Sprintf("%s: mark %q stands already at %s", place, m.value, first))
						}
						declaredAt[m.value] = place
						if prefix := f.syntax.Name.Name + "."; !strings.HasPrefix(m.value, prefix) {
							wrong = append(wrong, fmt.Sprintf("%s: mark %q must start with %q", place, m.value, prefix))
						}
						constants[f.folder] = append(constants[f.folder], m.name)
					}
				}
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "Marks" {
					listed[f.folder] = append(listed[f.folder], listedMarks(n)...)
				}
			case *ast.CallExpr:
				if literalMark(n) {
					wrong = append(wrong, fmt.Sprintf("%s: a mark must be a declared constant", fset.Position(n.Pos())))
				}
			}
			return true
		})
	}
	for folder := range packages {
		declared, list := constants[folder], listed[folder]
		for _, name := range declared {
			if !slices.Contains(list, name) {
				wrong = append(wrong, fmt.Sprintf("%s: Marks() does not list %s", folder, name))
			}
		}
		slices.Sort(list)
		if len(slices.Compact(slices.Clone(list))) != len(list) {
			wrong = append(wrong, fmt.Sprintf("%s: Marks() lists a mark twice", folder))
		}
	}
	slices.Sort(wrong)
	return wrong
}

type markConstant struct {
	name, value string
	pos         token.Pos
}

// markConstants finds constants of type proc.Mark with a literal value.
func markConstants(d *ast.GenDecl) (marks []markConstant) {
	for _, s := range d.Specs {
		spec := s.(*ast.ValueSpec)
		for i, name := range spec.Names {
			if i >= len(spec.Values) {
				continue
			}
			value := spec.Values[i]
			typed := isMarkType(spec.Type)
			if call, ok := value.(*ast.CallExpr); ok && len(call.Args) == 1 && isMarkType(call.Fun) {
				typed, value = true, call.Args[0]
			}
			lit, ok := value.(*ast.BasicLit)
			if !typed || !ok {
				continue
			}
			if v, err := strconv.Unquote(lit.Value); err == nil {
				marks = append(marks, markConstant{name.Name, v, name.Pos()})
			}
		}
	}
	return marks
}

func isMarkType(e ast.Expr) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Mark" {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return ok && pkg.Name == "proc"
}

// listedMarks returns the identifiers in the composite literals of Marks.
func listedMarks(fn *ast.FuncDecl) (names []string) {
	ast.Inspect(fn, func(n ast.Node) bool {
		if lit, ok := n.(*ast.CompositeLit); ok {
			for _, e := range lit.Elts {
				if id, ok := e.(*ast.Ident); ok {
					names = append(names, id.Name)
				}
			}
		}
		return true
	})
	return names
}

// literalMark reports a call x.Mark("…").
func literalMark(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Mark" || len(call.Args) != 1 {
		return false
	}
	_, ok = call.Args[0].(*ast.BasicLit)
	return ok && !isMarkType(sel) // proc.Mark("…") is a conversion
}
