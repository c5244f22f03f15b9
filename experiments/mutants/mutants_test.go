package mutants

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// Every planted bug follows the code: its lines stand there exactly once, and
// what comes out is Go.
func TestMutantsFollowTheCode(t *testing.T) {
	list, err := Load(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("no mutants")
	}
	for i := range list {
		m := &list[i]
		if want := m.ID + ".txtar"; filepath.Base(m.Path) != want {
			t.Errorf("%s: its id wants the name %s", m.Path, want)
		}
		if _, err := m.Files(root); err != nil {
			t.Error(err)
		}
	}
}

// Every planted bug compiles.
func TestMutantsCompile(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles every mutant's packages")
	}
	list, err := Load(".")
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if err := Compile(root, &list[i]); err != nil {
			t.Error(err)
		}
	}
}

// A planted bug that is not the one it says is refused, with the place.
func TestParse(t *testing.T) {
	const head = "id: X\ntitle: t\nsource: s\nintended: LIN\nfile: a.go\n"
	for _, c := range []struct{ text, want string }{
		{"-- before --\na\n-- after --\nb\n", "x.txtar:1: want key: value"},
		{"id: X\n-- before --\na\n-- after --\nb\n", "want id, title, source"},
		{strings.Replace(head, "LIN", "LYN", 1) + "-- before --\na\n-- after --\nb\n", `x.txtar:4: no checker is called "LYN"`},
		{head + "colour: red\n-- before --\na\n-- after --\nb\n", `x.txtar:6: unknown key "colour"`},
		{head + "-- before --\na\n", "want a section before and a section after"},
		{head + "-- after --\na\n-- before --\na\n", `section "after"`},
		{head + "-- before b.go --\na\n-- after --\nb\n", `section "after"`},
	} {
		path := filepath.Join(t.TempDir(), "x.txtar")
		if err := os.WriteFile(path, []byte(c.text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

// Lines are whole lines, found once.
func TestApply(t *testing.T) {
	const text = "package p\n\nvar a = 1\nvar b = 1\nvar aa = 1\n"
	for _, c := range []struct {
		before, after, want, wrong string
	}{
		{"var b = 1\n", "var b = 2\n", "package p\n\nvar a = 1\nvar b = 2\nvar aa = 1\n", ""},
		{"package p\n", "package q\n", "package q\n\nvar a = 1\nvar b = 1\nvar aa = 1\n", ""},
		{"a = 1\n", "a = 2\n", "", "0 times"}, // not a whole line
		{"var c = 1\n", "", "", "0 times"},
		{"var b = 1\n", "var b = 1\n", "", "nothing changes"},
		{"", "x\n", "", "no lines before"},
	} {
		e := Edit{File: "p.go", Before: c.before, After: c.after}
		got, err := e.apply(text)
		if c.wrong == "" && (err != nil || got != c.want) {
			t.Errorf("%q: %q, %v", c.before, got, err)
		}
		if c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%q: %v, want %s", c.before, err, c.wrong)
		}
	}
}

// Every law of the bug zoo has a check.
func TestIntendedFor(t *testing.T) {
	m := Mutant{Intended: []string{"LIN", "DUR"}}
	for check, want := range map[string]bool{"linearizable": true, "durability": true, "sequence": false, "assertions": false, "": false} {
		if m.IntendedFor(check) != want {
			t.Errorf("%s: %t", check, !want)
		}
	}
}
