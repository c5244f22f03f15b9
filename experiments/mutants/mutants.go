// Package mutants holds planted bugs: real bugs of real systems, each as a
// change of a few lines of this engine, in a file of its own.
//
// A mutant is built with go build -overlay, so that the engine carries no
// switches for it. A bug in a module that the engine uses (header key "module", and
// then files are that module's) is built with a patched copy of the module, since
// an overlay cannot reach there. README.md lists the bugs that have no place here yet. Its file is a txtar archive. The comment is its header:
//
//	id: ZD1
//	title: the answer leaves before the sync
//	source: Jepsen NATS 2.12.1; etcd#14370
//	intended: DUR
//	args: --faults power_loss,lost_unsynced --duration 20s
//	file: core/journal/write.go
//
// id, title, source, intended and file are required; intended names checkers by
// the letters of the bug zoo, and args are flags of sim run. The sections
// "before" and "after" are the lines to replace and their replacement; more of
// them, with the file in their name ("before core/shard/shard.go"), change more
// places. The lines before must stand in the file exactly once: a mutant that
// does not follow the code fails the tests.
package mutants

import (
	"errors"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"
)

// A Mutant is one planted bug.
type Mutant struct {
	ID       string
	Title    string
	Source   string
	Intended []string // letters of the bug zoo: LIN, SEQ, …
	Args     []string // flags of sim run
	Module   string   // whose files the edits are in, or "" for the engine's own
	Edits    []Edit
	Path     string // of the txtar file
}

// An Edit replaces lines of a file.
type Edit struct {
	File   string // from the module's root, with slashes
	Before string
	After  string
}

// Checkers maps the letters of the bug zoo to the names that checks have in
// reports.
func Checkers() map[string][]string {
	return map[string][]string{
		"LIN": {"linearizable"}, "SEQ": {"sequence"}, "DUR": {"durability"}, "REC": {"recovery"}, "SNAP": {"snapshot"},
		"LIVE": {"liveness"}, "RAFT": {"raft"}, "OWN": {"owner", "fencing", "slots"},
		"CUT": {"cuts"}, "VIEW": {"views", "bank", "watermarks", "sql"}, "SUB": {"subscriptions"}, "WM": {"watermarks"},
		"CTL": {"slots"}, "TOK": {"tokens"}, "VER": {"versions"},
	}
}

// Load reads every mutant of a directory, in order of their ids.
func Load(dir string) ([]Mutant, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		return nil, err
	}
	var list []Mutant
	for _, path := range paths {
		m, err := Parse(path)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(list, func(o Mutant) bool { return o.ID == m.ID }); i >= 0 {
			return nil, fmt.Errorf("%s: id %s is that of %s too", path, m.ID, list[i].Path)
		}
		list = append(list, *m)
	}
	slices.SortFunc(list, func(a, b Mutant) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// Parse reads one mutant.
func Parse(path string) (*Mutant, error) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		return nil, err
	}
	m := &Mutant{Path: path}
	file, err := m.header(string(archive.Comment))
	if err != nil {
		return nil, err
	}
	var before *Edit
	for _, section := range archive.Files {
		what, where, _ := strings.Cut(section.Name, " ")
		if where == "" {
			where = file
		}
		switch {
		case what == "before" && before == nil:
			before = &Edit{File: where, Before: string(section.Data)}
		case what == "after" && before != nil && before.File == where:
			before.After = string(section.Data)
			m.Edits, before = append(m.Edits, *before), nil
		default:
			return nil, fmt.Errorf("%s: section %q: want before, then after, of one file", path, section.Name)
		}
	}
	if before != nil || len(m.Edits) == 0 {
		return nil, fmt.Errorf("%s: want a section before and a section after", path)
	}
	return m, nil
}

func (m *Mutant) header(comment string) (file string, err error) {
	for i, line := range strings.Split(strings.TrimSpace(comment), "\n") {
		key, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || value == "" {
			return "", fmt.Errorf("%s:%d: want key: value", m.Path, i+1)
		}
		switch key {
		case "id":
			m.ID = value
		case "title":
			m.Title = value
		case "source":
			m.Source = value
		case "file":
			file = value
		case "module":
			m.Module = value
		case "args":
			m.Args = strings.Fields(value)
		case "intended":
			for _, letters := range strings.Split(value, ",") {
				letters = strings.TrimSpace(letters)
				if Checkers()[letters] == nil {
					return "", fmt.Errorf("%s:%d: no checker is called %q", m.Path, i+1, letters)
				}
				m.Intended = append(m.Intended, letters)
			}
		default:
			return "", fmt.Errorf("%s:%d: unknown key %q", m.Path, i+1, key)
		}
	}
	if m.ID == "" || m.Title == "" || m.Source == "" || file == "" || len(m.Intended) == 0 {
		return "", fmt.Errorf("%s: want id, title, source, intended and file", m.Path)
	}
	return file, nil
}

// IntendedFor tells whether a check, by its name in reports, is one that must
// catch the mutant.
func (m *Mutant) IntendedFor(check string) bool {
	return slices.ContainsFunc(m.Intended, func(letters string) bool { return slices.Contains(Checkers()[letters], check) })
}

// folder is where the module's files are that the mutant changes: that of the module
// at root, or of one that it requires.
func (m *Mutant) folder(root string) (string, error) {
	if m.Module == "" {
		return root, nil
	}
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", m.Module)
	cmd.Dir = root
	out, err := cmd.Output()
	dir := strings.TrimSpace(string(out))
	if err == nil && dir == "" {
		err = errors.New("it is not downloaded: run go mod download")
	}
	if err != nil {
		return "", fmt.Errorf("%s: module %s: %w", m.Path, m.Module, err)
	}
	return dir, nil
}

// Files returns the changed files of the mutant's module, by their path from its
// root; root is the engine's. The code must hold each edit's lines exactly once, and be Go afterwards.
func (m *Mutant) Files(root string) (map[string][]byte, error) {
	root, err := m.folder(root)
	if err != nil {
		return nil, err
	}
	changed := make(map[string][]byte)
	for _, e := range m.Edits {
		text, ok := changed[e.File]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.File)))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.Path, err)
			}
			text = b
		}
		out, err := e.apply(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Path, err)
		}
		changed[e.File] = []byte(out)
	}
	for file, text := range changed {
		if _, err := format.Source(text); err != nil {
			return nil, fmt.Errorf("%s: %s is no Go afterwards: %w", m.Path, file, err)
		}
	}
	return changed, nil
}

func (e *Edit) apply(text string) (string, error) {
	whole := "\n" + text // lines begin after a newline
	switch n := strings.Count(whole, "\n"+e.Before); {
	case e.Before == "":
		return "", fmt.Errorf("%s: no lines before", e.File)
	case e.Before == e.After:
		return "", fmt.Errorf("%s: nothing changes", e.File)
	case n != 1:
		return "", fmt.Errorf("%s: the lines before stand there %d times, want once:\n%s", e.File, n, e.Before)
	}
	return strings.Replace(whole, "\n"+e.Before, "\n"+e.After, 1)[1:], nil
}
