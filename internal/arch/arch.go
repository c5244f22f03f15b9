// Package arch holds the architecture as data and as an analyzer, and its
// tests hold the module to them. Nothing of the engine imports it.
//
// Its invariants, each with the test that enforces it:
//
// A1. A folder imports only what its line in the lattice allows, and every
// folder with Go code has a line (TestLattice).
//
// A2. Code that runs under the simulator is deterministic: Scopes names the
// folders and the rules, Determinism is the analyzer (TestDeterminism; each
// rule's right and wrong code is in testdata/src, TestRules).
//
// A3. A proc.Mark under core is a constant with a unique name that its
// package's Marks lists, so that a report can name what was never reached
// (TestMarks).
//
// A4. A file has at most fileLinesMax lines and a function functionLinesMax,
// tests aside, but for the exceptions listed with their reasons (TestSizes).
//
// What the analyzer cannot see, and a reviewer must: a map passed to a function
// of another package that ranges over it, a comparison function that leaves
// ties in map order, a package variable changed through an alias.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// modulePath is the module whose architecture this is.
const modulePath = "actordb"

// A sourceFile is one Go file of the module.
type sourceFile struct {
	path   string // slash-separated, relative to the module's root
	folder string
	test   bool
	syntax *ast.File
}

// parseModule parses every Go file below root, build tags or not. Folders that
// the go tool ignores, and modules of their own, are left out.
func parseModule(root string, mode parser.Mode) (*token.FileSet, []sourceFile, error) {
	fset := token.NewFileSet()
	var files []sourceFile
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != root && ignoredFolder(name, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		syntax, err := parser.ParseFile(fset, name, nil, mode)
		if err != nil {
			return err
		}
		files = append(files, sourceFile{rel, path.Dir(rel), strings.HasSuffix(rel, "_test.go"), syntax})
		return nil
	})
	return fset, files, err
}

func ignoredFolder(name, base string) bool {
	if base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	return err == nil
}
