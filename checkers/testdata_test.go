package checkers

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the histories in testdata in their canonical form")

// checkersByName is every checker as the test data sees it.
var checkersByName = map[string]func(*History) Result{
	"linearizable": func(h *History) Result { return Linearizable(h.Ops, h.Finals, LinearizableOptions{}) },
	"tokens":       func(h *History) Result { return Tokens(appliedOf(h), h.Ops) },
	"sequence":     func(h *History) Result { return Sequence(appliedOf(h), h.Ops, h.Finals) },
	"durability":   func(h *History) Result { return Durability(appliedOf(h), h.Ops, h.Finals) },
	"snapshot":     func(h *History) Result { return Snapshot(h.Snapshots) },
	"recovery":     func(h *History) Result { return Recovery(h.Damages, h.Reports) },
	"raft": func(h *History) Result {
		c := NewRaft()
		for i := range h.Groups {
			c.Add(&h.Groups[i])
		}
		return c.Result()
	},
	"owner": func(h *History) Result {
		c := NewOwner(electionTicks)
		for i := range h.Logs {
			c.Decided(&h.Logs[i])
		}
		for i := range h.Groups {
			c.Add(&h.Groups[i])
		}
		return c.Result()
	},
	"liveness": func(h *History) Result { return Liveness(h.Ops, h.Queues, h.Nodes, h.Terms) },
}

func appliedOf(h *History) *Applied {
	a := NewApplied()
	for i := range h.Logs {
		a.Add(&h.Logs[i])
	}
	return a
}

// Every checker accepts what is right and rejects what is wrong, for the
// reason that the case names.
func TestData(t *testing.T) {
	for name, check := range checkersByName {
		for _, c := range []struct {
			kind  string
			least int
			want  Verdict
		}{{"valid", 3, Pass}, {"invalid", 5, Fail}} {
			files, err := filepath.Glob(filepath.Join("testdata", c.kind, name, "*.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			if len(files) < c.least {
				t.Errorf("%s has %d %s histories, want at least %d", name, len(files), c.kind, c.least)
			}
			for _, file := range files {
				t.Run(c.kind+"/"+name+"/"+strings.TrimSuffix(filepath.Base(file), ".jsonl"), func(t *testing.T) {
					h, wantNote := readCase(t, file)
					r := check(h)
					if r.Name != name || r.Verdict != c.want || r.Examined == 0 && c.want == Pass {
						t.Errorf("%s: %s, want %s", file, r, c.want)
					}
					if c.want == Fail && (wantNote == "" || !strings.Contains(r.Note, wantNote)) {
						t.Errorf("%s: note %q, want %q in it", file, r.Note, wantNote)
					}
					if strings.Contains(r.Note, "\n") {
						t.Errorf("%s: the note is not one line: %q", file, r.Note)
					}
				})
			}
		}
	}
}

// readCase reads a history, what its note must say, and checks that the file
// is in the form that Write gives.
func readCase(t *testing.T, file string) (h *History, wantNote string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h, err = Read(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var canonical bytes.Buffer
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "#") {
			canonical.WriteString(line + "\n")
			if want, ok := strings.CutPrefix(line, "# want: "); ok {
				wantNote = want
			}
		}
	}
	if canonical.Len() == 0 {
		t.Errorf("%s: the first line must say what the case is", file)
	}
	if err := Write(&canonical, h); err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		if err := os.WriteFile(file, canonical.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(canonical.Bytes(), text) {
		t.Errorf("%s is not in canonical form: go test ./checkers -run TestData -rewrite", file)
	}
	return h, wantNote
}

// A history that is not in the format is refused with its line.
func TestReadRefuses(t *testing.T) {
	for _, bad := range []string{
		`{}`, `{"op":{"actor":"list/a","kind":"decide","name":"x","status":"fine"}}`,
		`{"op":{"actor":"list/a","kind":"think","name":"x","status":"ok"}}`, `{"node":{"node":1,"down":true}}`,
		`{"op":{"session":"xyz","actor":"list/a","kind":"decide","name":"x","status":"ok"}}`,
		`{"op":{"actor":"list/a","kind":"read","name":"x","status":"ok","level":"fresh"}}`,
		`{"snapshot":{"actor":"a/b","seq":1,"engine":"hex:0","fold":""}}`, `{"op":`,
	} {
		if _, err := Read(strings.NewReader("# comment\n" + bad)); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
