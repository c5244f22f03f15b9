package slt

import (
	"context"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"actordb/disk/pgkv/pgtest"
)

var rewrite = flag.Bool("rewrite", false, "write PostgreSQL's answers into the files, and skipif where SQLite differs")

// own are the project's files, and corpus the public ones, where they are.
const own = "../../core/sql/testdata"

func files(t testing.TB, dir, ext string) (all []string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ext) {
			all = append(all, path)
		}
		return err
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("no %s files in %s: %v", ext, dir, err)
	}
	return all
}

func corpus(t testing.TB) []string {
	dir := os.Getenv("ACTORDB_SQLLOGICTEST")
	if dir == "" {
		t.Skip("ACTORDB_SQLLOGICTEST does not say where the public corpus is: not run")
	}
	return files(t, dir, ".test")
}

func read(t testing.TB, file string) []Record {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := Read(filepath.Base(file), f)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// each runs every file on an engine of its own. Known are the places where it
// may fail, with the reason; it must fail there.
func each(t *testing.T, files []string, known map[string]string, open func(t *testing.T) Engine) {
	var total Report
	for _, file := range files {
		e := open(t)
		r := Run(read(t, file), e)
		t.Logf("%-26s %v", filepath.Base(file), &r)
		if c, ok := e.(interface{ Close() error }); ok {
			c.Close()
		}
		total.Add(r)
	}
	expected := 0
	for _, f := range total.Failed {
		place := strings.Join(strings.SplitN(f, ":", 3)[:2], ":")
		if known[place] == "" {
			t.Error(f)
		} else {
			expected++
		}
	}
	if expected != len(known) {
		t.Errorf("%d of %d known failures do not fail", len(known)-expected, len(known))
	}
	if total.Passed == 0 {
		t.Error("nothing passed: nothing was checked")
	}
	t.Logf("%-26s %v", "all", &total)
}

func sqlite(t *testing.T) Engine {
	e, err := OpenSQLite()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// knownSQLite are queries marked TBD in the corpus, with no answers in it: this
// SQLite fails where the file's had none.
func knownSQLite() map[string]string {
	return map[string]string{
		"slt_lang_aggfunc.test:479": "integer overflow", "slt_lang_aggfunc.test:483": "integer overflow",
		"slt_lang_aggfunc.test:490": "the file has no answer", "slt_lang_aggfunc.test:494": "the file has no answer",
	}
}

func naive(*testing.T) Engine { return NewNaive() }

// The runner itself, against the engine that the corpus was written with.
func TestCorpusSQLite(t *testing.T) { each(t, corpus(t), knownSQLite(), sqlite) }

// knownGrammar are queries that PostgreSQL's grammar refuses: IN with an empty list.
func knownGrammar() map[string]string {
	known := map[string]string{}
	for _, line := range []string{"81", "88", "95", "102", "109", "119", "129", "139"} {
		known["in2.test:"+line] = "IN ()"
	}
	return known
}

func TestCorpusNaive(t *testing.T) { each(t, corpus(t), knownGrammar(), naive) }

func TestOwnSQLite(t *testing.T) { each(t, files(t, own, ".slt"), nil, sqlite) }

func TestOwnNaive(t *testing.T) { each(t, files(t, own, ".slt"), nil, naive) }

func onDemand(*testing.T) Engine { return NewOnDemand() }

func incremental(*testing.T) Engine { return NewIncremental(1, 1000) }

func TestCorpusEngine(t *testing.T) { each(t, corpus(t), knownTypes(), onDemand) }

func TestOwnEngine(t *testing.T) { each(t, files(t, own, ".slt"), nil, onDemand) }

// The rewrites of plans change no answer.
func TestOwnEnginePlain(t *testing.T) {
	each(t, files(t, own, ".slt"), nil, func(*testing.T) Engine {
		e := NewOnDemand()
		e.Plain = true
		return e
	})
}

// Views are right after every row that comes or goes.
func TestOwnIncremental(t *testing.T) { each(t, files(t, own, ".slt"), nil, incremental) }

func TestCorpusIncremental(t *testing.T) {
	each(t, corpus(t), knownTypes(), func(*testing.T) Engine {
		e := NewIncremental(1, 2)
		e.Last = true
		return e
	})
}

// knownTypes are, besides, queries that PostgreSQL refuses as well, because a
// string is compared with integers; the evaluator answers them where there are
// no integers.
func knownTypes() map[string]string {
	known := knownGrammar()
	known["in1.test:279"], known["in1.test:290"] = "'hello' is no integer", "'hello' is no integer"
	return known
}

// The files' answers are PostgreSQL's.
func TestOwnPostgres(t *testing.T) {
	server := pgtest.Start(t)
	open := func(t *testing.T) Engine {
		e, err := OpenPostgres(context.Background(), server.URL())
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if *rewrite {
		for _, file := range files(t, own, ".slt") {
			rewriteFile(t, file, open(t), sqlite(t))
		}
	}
	each(t, files(t, own, ".slt"), nil, open)
}

// rewriteFile writes PostgreSQL's answers into a file. What SQLite answers
// otherwise is marked.
func rewriteFile(t *testing.T, file string, pg, lite Engine) {
	var out strings.Builder
	for _, r := range read(t, file) {
		var marks []string
		for _, p := range r.Prefix {
			if !strings.HasPrefix(p, "skipif sqlite") {
				marks = append(marks, p)
			}
		}
		r.Skip = slices.DeleteFunc(r.Skip, func(l string) bool { return l == "sqlite" })
		if r.SQL == "" {
			out.WriteString(strings.Join(marks, "\n") + "\n")
			continue
		}
		rows, err := [][]Cell(nil), error(nil)
		if !r.applies(pg) { // not PostgreSQL's: kept as it is
			if len(r.Prefix) > 0 {
				out.WriteString(strings.Join(r.Prefix, "\n") + "\n")
			}
			out.WriteString(r.text())
			continue
		}
		if rows, err = pg.Query(r.SQL); err != nil {
			r.Query, r.Error, r.State = isQuery(r.SQL), true, pg.State(err)
		} else if r.Error = false; r.Query {
			if len(rows) > 0 && len(r.Types) != len(rows[0]) {
				r.Types = strings.Repeat("T", len(rows[0]))
			}
			if r.Sort == "" {
				r.Sort = "rowsort"
			}
			r.Want, _ = r.Values(rows)
		}
		if r.run(lite, map[string]string{}, 8) != "" {
			marks = append(marks, "skipif sqlite")
		}
		if len(marks) > 0 {
			out.WriteString(strings.Join(marks, "\n") + "\n")
		}
		out.WriteString(r.text())
	}
	if err := os.WriteFile(file, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r *Record) text() string {
	head := "statement ok"
	switch {
	case r.Error && r.Query:
		head = "query error " + r.State
	case r.Error:
		head = "statement error " + r.State
	case r.Query:
		head = strings.TrimSpace("query " + r.Types + " " + r.Sort + " " + r.Label)
	}
	s := head + "\n" + r.SQL + "\n"
	if r.Query && !r.Error {
		s += "----\n"
		for _, w := range r.Want {
			s += w + "\n"
		}
	}
	return s + "\n"
}

// A wrong answer, a missing error and a wrong SQLSTATE are failures: the runner
// can fail.
func TestRunnerFails(t *testing.T) {
	for _, text := range []string{
		"query I nosort\nSELECT 1\n----\n2\n",
		"query II nosort\nSELECT 1\n----\n1\n",
		"query I nosort\nSELECT 1\n----\n1 values hashing to 00\n",
		"statement error\nSELECT 1\n",
		"query error 22012\nSELECT nothing\n",
		"query I nosort a\nSELECT 1\n----\n1\n\nquery I nosort a\nSELECT 2\n----\n2\n",
		"statement ok\nSELECT nothing\n",
	} {
		records, err := Read("x", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if r := Run(records, NewNaive()); len(r.Failed) != 1 {
			t.Errorf("%s\n%v", text, &r)
		}
	}
	for _, text := range []string{"statement\nSELECT 1\n", "statement maybe\nSELECT 1\n", "something else\n", "hash-threshold x\n"} {
		if _, err := Read("x", strings.NewReader(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
