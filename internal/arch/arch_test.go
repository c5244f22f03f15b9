package arch

import (
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/analysistest"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"
)

const moduleRoot = "../.."

// A1: every import of the module is one that the lattice allows.
func TestLattice(t *testing.T) {
	l, err := parseLattice(latticeText, testImportsText)
	if err != nil {
		t.Fatal(err)
	}
	_, files, err := parseModule(moduleRoot, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no Go files found")
	}
	for _, f := range files {
		for _, wrong := range l.check(f) {
			t.Error(wrong)
		}
	}
}

// A1: the table itself is judged, and judges, as described.
func TestLatticeJudges(t *testing.T) {
	if _, err := parseLattice("b: a\na:", ""); err == nil {
		t.Error("an arrow that points up was accepted")
	}
	if _, err := parseLattice("a:\na:", ""); err == nil {
		t.Error("a folder that stands twice was accepted")
	}
	l, err := parseLattice("disk:\ncore: x.org/y/...\ncore/seal: core crypto/...\n", "t.org/rapid disk")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, imports string
		right         bool
	}{
		{"core/a.go", "fmt", true},
		{"core/a.go", "x.org/y", true},
		{"core/a.go", "x.org/y/z", true},
		{"core/a.go", "x.org/yz", false},
		{"core/a.go", "actordb/disk", false},
		{"core/a_test.go", "actordb/disk", true},
		{"core/a_test.go", "actordb/core", true},
		{"core/a_test.go", "t.org/rapid", true},
		{"core/a.go", "t.org/rapid", false},
		{"core/a.go", "crypto/sha256", false},
		{"core/a.go", "C", false},
		{"core/seal/a.go", "crypto/sha256", true},
		{"core/seal/a.go", "actordb/core", true},
		{"disk/a.go", "crypto/sha256", true},
		{"disk/a.go", "actordb/core", false},
		{"stray/a.go", "fmt", false},
	} {
		f := parseFixture(t, c.path, "package p\nimport _ \""+c.imports+"\"")
		if wrong := l.check(f); (len(wrong) == 0) != c.right {
			t.Errorf("%s importing %s: %v", c.path, c.imports, wrong)
		}
	}
}

// A2: each rule accepts its right code and rejects its wrong code.
func TestRules(t *testing.T) {
	everywhere := func(path string) []Rule {
		if path == "clean" {
			return nil
		}
		if path == "maporder" { // its wrong code needs a float
			return slices.DeleteFunc(slices.Clone(allRules), func(r Rule) bool { return r == RuleFloat })
		}
		return allRules
	}
	analysistest.Run(t, analysistest.TestData(), Determinism(everywhere),
		"concurrency", "clock", "random", "ambient", "maporder", "floats", "pkgvars", "unsafety", "escapes", "clean")
}

// A2: the code that runs under the simulator keeps the rules of its scope.
func TestDeterminism(t *testing.T) {
	var patterns []string
	for _, s := range scopes {
		patterns = append(patterns, "./"+s.Folder+"/...")
	}
	loaded, err := packages.Load(&packages.Config{
		Dir: moduleRoot,
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedModule |
			packages.NeedTypes | packages.NeedTypesSizes | packages.NeedSyntax | packages.NeedTypesInfo,
	}, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	loaded = slices.DeleteFunc(loaded, func(p *packages.Package) bool { return len(p.GoFiles) == 0 })
	if len(loaded) == 0 {
		t.Fatal("no packages found")
	}
	loaded = slices.DeleteFunc(loaded, func(p *packages.Package) bool {
		if len(p.Errors) > 0 {
			t.Errorf("%s: %v", p.PkgPath, p.Errors[0])
		}
		return len(p.Errors) > 0
	})
	graph, err := checker.Analyze([]*analysis.Analyzer{Determinism(rulesOf)}, loaded, nil)
	if err != nil {
		t.Fatal(err)
	}
	for action := range graph.All() {
		if action.Err != nil {
			t.Errorf("%s: %v", action.Package.PkgPath, action.Err)
		}
		for _, d := range action.Diagnostics {
			t.Errorf("%s: %s", action.Package.Fset.Position(d.Pos), d.Message)
		}
	}
}

// A3: every mark under core is declared once and listed.
func TestMarks(t *testing.T) {
	fset, files, err := parseModule(moduleRoot, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range checkMarks(fset, files) {
		t.Error(wrong)
	}
}

// A3: the check finds what it is for.
func TestMarksJudges(t *testing.T) {
	const head = "package x\nimport \"actordb/core/proc\"\n"
	for _, c := range []struct{ name, source, want string }{
		{"right", `const m proc.Mark = "x.a"; const n = proc.Mark("x.b"); func Marks() []proc.Mark { return []proc.Mark{m, n} }`, ""},
		{"unlisted", `const m proc.Mark = "x.a"; func Marks() []proc.Mark { return nil }`, "does not list m"},
		{"no list", `const m proc.Mark = "x.a"`, "does not list m"},
		{"same name", `const m proc.Mark = "x.a"; const n proc.Mark = "x.a"; func Marks() []proc.Mark { return []proc.Mark{m, n} }`, "stands already"},
		{"listed twice", `const m proc.Mark = "x.a"; func Marks() []proc.Mark { return []proc.Mark{m, m} }`, "lists a mark twice"},
		{"foreign prefix", `const m proc.Mark = "y.a"; func Marks() []proc.Mark { return []proc.Mark{m} }`, "must start with"},
		{"literal", `func f(e *proc.Effects) { e.Mark("x.a") }`, "declared constant"},
	} {
		f := parseFixture(t, "core/x/x.go", head+c.source)
		wrong := strings.Join(checkMarks(fixtureFset, []sourceFile{f}), "; ")
		if (c.want == "") != (wrong == "") || !strings.Contains(wrong, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, wrong, c.want)
		}
	}
}

// A4: files and functions are of a readable size.
func TestSizes(t *testing.T) {
	fset, files, err := parseModule(moduleRoot, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range checkSizes(fset, files, sizeExceptions) {
		t.Error(wrong)
	}
}

// A4: the check finds what it is for, and exceptions count.
func TestSizesJudges(t *testing.T) {
	long := "package x\ntype T struct{}\nfunc (t *T) Long() {" + strings.Repeat("\n", functionLinesMax) + "}\n" + strings.Repeat("\n", fileLinesMax)
	f := parseFixture(t, "x/long.go", long)
	if wrong := checkSizes(fixtureFset, []sourceFile{f}, nil); len(wrong) != 2 {
		t.Errorf("want the file and the function, got %v", wrong)
	}
	excused := map[string]string{"x/long.go": "a reason", "x/long.go:T.Long": "a reason"}
	if wrong := checkSizes(fixtureFset, []sourceFile{f}, excused); len(wrong) != 0 {
		t.Errorf("excused: %v", wrong)
	}
	excused["x/gone.go"] = "a reason"
	if wrong := checkSizes(fixtureFset, []sourceFile{f}, excused); len(wrong) != 1 {
		t.Errorf("want the exception that is not needed, got %v", wrong)
	}
}

var fixtureFset = token.NewFileSet()

func parseFixture(t *testing.T, name, source string) sourceFile {
	t.Helper()
	syntax, err := parser.ParseFile(fixtureFset, name, source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return sourceFile{name, name[:strings.LastIndex(name, "/")], strings.HasSuffix(name, "_test.go"), syntax}
}
