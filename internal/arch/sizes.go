package arch

import (
	"fmt"
	"go/ast"
	"go/token"
)

const (
	// fileLinesMax: a file has one subject, and one can read it in one sitting.
	fileLinesMax = 800
	// functionLinesMax is generous: a function fits a screen, a table of cases two.
	functionLinesMax = 100
)

// sizeExceptions maps a file's path, or path and function as "path:Func" or
// "path:Type.Method", to the reason why it may be longer. An exception that is
// not needed any more is an error.
var sizeExceptions = map[string]string{
	"net/rpc/actordbv1/commands.pb.go": "generated",
}

// checkSizes returns the files and functions that are too long.
func checkSizes(fset *token.FileSet, files []sourceFile, exceptions map[string]string) (wrong []string) {
	used := map[string]bool{}
	tooLong := func(name string, lines, limit int) {
		if lines <= limit {
			return
		}
		used[name] = true
		if exceptions[name] == "" {
			wrong = append(wrong, fmt.Sprintf("%s: %d lines, at most %d", name, lines, limit))
		}
	}
	for _, f := range files {
		if f.test {
			continue
		}
		tooLong(f.path, fset.File(f.syntax.Pos()).LineCount(), fileLinesMax)
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				lines := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
				tooLong(f.path+":"+funcName(fn), lines, functionLinesMax)
			}
		}
	}
	for name, reason := range exceptions {
		if !used[name] {
			wrong = append(wrong, fmt.Sprintf("%s: exception not needed any more (%s)", name, reason))
		}
	}
	return wrong
}

func funcName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name + "." + fn.Name.Name
		default:
			return fn.Name.Name
		}
	}
}
