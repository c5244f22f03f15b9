package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Lines with code are counted: no blank ones, no comments, all of a raw string.
func TestCodeLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.go")
	src := "// Package a.\npackage a\n\n/* x\ny */\nvar a = `1\n\n3` // three\n\nfunc f() {\n\t// nothing\n}\n"
	if err := os.WriteFile(path, []byte(src), 0o666); err != nil {
		t.Fatal(err)
	}
	lines, err := codeLines(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for line := range lines {
		got = append(got, line)
	}
	slices.Sort(got)
	if want := []int{2, 6, 7, 8, 10, 12}; !slices.Equal(got, want) {
		t.Fatalf("lines %v, want %v", got, want)
	}
}

// A line is unexecuted if no executed block has a part of it.
func TestReadProfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "profile")
	profile := "mode: set\nactordb/a/a.go:2.1,4.2 1 0\nactordb/a/a.go:4.3,5.2 1 1\nactordb/b/b.go:1.1,2.2 1 0\n"
	if err := os.WriteFile(path, []byte(profile), 0o666); err != nil {
		t.Fatal(err)
	}
	p := &pkg{ImportPath: "actordb/a", files: []file{{name: "a.go", code: map[int]bool{1: true, 2: true, 4: true, 5: true}, dead: map[int]bool{}}}}
	if err := readProfile([]*pkg{p}, path); err != nil {
		t.Fatal(err)
	}
	if code, dead := p.lines(); code != 4 || dead != 1 || !p.files[0].dead[2] {
		t.Fatalf("%d of %d lines: %v", dead, code, p.files[0].dead)
	}
	if _, _, _, err := parseBlock("1.2,3.4 5"); err == nil {
		t.Fatal("a block of two fields is accepted")
	}
}

// Every package of the binary that cannot run under the simulator says why.
func TestReasons(t *testing.T) {
	t.Chdir("../../..")
	if err := run(io.Discard, false, "", ""); err != nil {
		t.Error(err)
	}
}
