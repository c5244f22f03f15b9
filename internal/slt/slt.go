// Package slt runs sqllogictest files: statements and queries with the answers
// that they must have (https://www.sqlite.org/sqllogictest). The same files run
// against SQLite, PostgreSQL, the checkers' evaluator and the engine.
//
// Of our own is that "statement error" and "query error" may name the SQLSTATE
// that an engine with SQLSTATEs must give.
package slt

import (
	"bufio"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// A Record is a statement or a query of a file.
type Record struct {
	File string
	Line int

	Query  bool
	Error  bool   // must fail
	State  string // with this SQLSTATE, or ""
	Types  string // of a query's columns: I, R, T
	Sort   string // nosort, rowsort, valuesort
	Label  string // queries of one label have one answer
	SQL    string
	Want   []string // values, or one line "N values hashing to …"
	Skip   []string // labels of engines that skip it
	Only   []string // labels of engines that alone run it
	Halt   bool     // the rest of the file is left out
	Hash   int      // of a hash-threshold record; -1 otherwise
	Prefix []string // the lines before it, for rewriting
}

// Read reads a file's records.
func Read(name string, r io.Reader) (all []Record, err error) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<24)
	line := 0
	next := func() (string, bool) {
		line++
		ok := s.Scan()
		return strings.TrimRight(s.Text(), "\r"), ok
	}
	rec := Record{File: name, Hash: -1}
	flush := func() { all = append(all, rec); rec = Record{File: name, Hash: -1} }
	for {
		text, ok := next()
		if !ok {
			return all, s.Err()
		}
		code, _, _ := strings.Cut(text, "#")
		words := strings.Fields(code)
		rec.Prefix = append(rec.Prefix, text)
		if len(words) == 0 {
			continue
		}
		rec.Line = line
		switch words[0] {
		case "skipif":
			rec.Skip = append(rec.Skip, words[1])
			continue
		case "onlyif":
			rec.Only = append(rec.Only, words[1])
			continue
		case "halt":
			rec.Halt = true
			flush()
			continue
		case "hash-threshold":
			if rec.Hash, err = strconv.Atoi(words[1]); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, line, err)
			}
			flush()
			continue
		case "statement", "query":
			rec.Prefix = rec.Prefix[:len(rec.Prefix)-1]
		default:
			return nil, fmt.Errorf("%s:%d: unknown record %q", name, line, words[0])
		}
		if err := rec.header(words); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		rec.body(next)
		flush()
	}
}

// header reads "statement ok", "statement error STATE", "query error STATE" and
// "query TYPES SORT LABEL".
func (r *Record) header(words []string) error {
	r.Query = words[0] == "query"
	if len(words) < 2 {
		if r.Query {
			return nil
		}
		return fmt.Errorf("%q needs ok or error", words[0])
	}
	switch {
	case words[1] == "error":
		r.Error = true
		if len(words) > 2 {
			r.State = words[2]
		}
	case r.Query:
		r.Types, r.Sort = words[1], "nosort"
		if len(words) > 2 {
			r.Sort = words[2]
		}
		if len(words) > 3 {
			r.Label = words[3]
		}
	case words[1] != "ok":
		return fmt.Errorf("a statement is ok or error, not %q", words[1])
	}
	return nil
}

// body reads the statement and the values, up to an empty line.
func (r *Record) body(next func() (string, bool)) {
	var sql []string
	for results := false; ; {
		text, ok := next()
		if !ok || text == "" {
			break
		}
		switch {
		case results:
			r.Want = append(r.Want, text)
		case text == "----":
			results = true
		default:
			sql = append(sql, text)
		}
	}
	r.SQL = strings.Join(sql, "\n")
}

// A Cell is a value of an answer.
type Cell struct {
	Null bool
	Bool bool // Text is t or f
	// Number is an exact one, whose trailing zeros are not compared: the engine
	// does not keep them.
	Number bool
	Text   string
}

// An Engine answers.
type Engine interface {
	// Labels are what skipif and onlyif call it.
	Labels() []string
	Exec(sql string) error
	Query(sql string) ([][]Cell, error)
	// State is an error's SQLSTATE, or "" if the engine has none.
	State(err error) string
}

// A Report counts what became of the records.
type Report struct {
	Passed, Skipped int
	Refused         int // as not supported, SQLSTATE 0A000
	Failed          []string
}

func (r *Report) String() string {
	total := r.Passed + r.Refused + len(r.Failed)
	rate := 0.0
	if total > 0 {
		rate = 100 * float64(r.Passed) / float64(total)
	}
	return fmt.Sprintf("%d of %d passed (%.2f %%), %d refused as unsupported, %d failed, %d not for this engine", r.Passed, total, rate, r.Refused, len(r.Failed), r.Skipped)
}

// Add adds another report.
func (r *Report) Add(o Report) {
	r.Passed, r.Skipped, r.Refused, r.Failed = r.Passed+o.Passed, r.Skipped+o.Skipped, r.Refused+o.Refused, append(r.Failed, o.Failed...)
}

// Run runs a file's records in order.
func Run(records []Record, e Engine) (report Report) {
	labels := map[string]string{}
	hash := 8
	for _, r := range records {
		if r.applies(e) {
			if r.Halt {
				break
			}
			if r.Hash >= 0 {
				hash = r.Hash
			}
			if r.SQL == "" {
				continue
			}
			switch why := r.run(e, labels, hash); why {
			case "":
				report.Passed++
			case refused:
				report.Refused++
			default:
				report.Failed = append(report.Failed, fmt.Sprintf("%s:%d: %s\n\t%s", r.File, r.Line, why, r.SQL))
			}
		} else if r.SQL != "" {
			report.Skipped++
		}
	}
	return report
}

func (r *Record) applies(e Engine) bool {
	is := func(l string) bool { return slices.Contains(e.Labels(), l) }
	return !slices.ContainsFunc(r.Skip, is) && (len(r.Only) == 0 || slices.ContainsFunc(r.Only, is))
}

const refused = "refused"

// run returns what is wrong, or refused.
func (r *Record) run(e Engine, labels map[string]string, hash int) string {
	var rows [][]Cell
	var err error
	if r.Query || r.Error && isQuery(r.SQL) {
		rows, err = e.Query(r.SQL)
	} else {
		err = e.Exec(r.SQL)
	}
	switch {
	case err != nil && !r.Error:
		if e.State(err) == "0A000" {
			return refused
		}
		return err.Error()
	case err != nil:
		if s := e.State(err); r.State != "" && s != "" && s != r.State {
			if s == "0A000" {
				return refused
			}
			return fmt.Sprintf("SQLSTATE %s, want %s: %v", s, r.State, err)
		}
		return ""
	case r.Error:
		return "no error"
	case !r.Query:
		return ""
	}
	values, why := r.Values(rows)
	if why != "" {
		return why
	}
	if r.Label != "" {
		digest := Digest(values)
		if old, ok := labels[r.Label]; ok && old != digest {
			return "the answer differs from that of another query labelled " + r.Label
		}
		labels[r.Label] = digest
	}
	return r.compare(values)
}

func isQuery(sql string) bool {
	word, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(sql)), " ")
	return slices.Contains([]string{"select", "values", "with"}, strings.TrimSpace(word))
}

// Values are an answer's values as the format wants them, sorted.
func (r *Record) Values(rows [][]Cell) (values []string, why string) {
	var texts [][]string
	for _, row := range rows {
		if len(row) != len(r.Types) {
			return nil, fmt.Sprintf("%d columns, want %d", len(row), len(r.Types))
		}
		var t []string
		for i, c := range row {
			t = append(t, format(c, r.Types[i]))
		}
		texts = append(texts, t)
	}
	if r.Sort == "rowsort" {
		slices.SortFunc(texts, slices.Compare)
	}
	for _, t := range texts {
		values = append(values, t...)
	}
	if r.Sort == "valuesort" {
		slices.Sort(values)
	}
	return values, ""
}

func format(c Cell, as byte) string {
	if c.Null {
		return "NULL"
	}
	switch as {
	case 'I':
		if c.Bool {
			return map[bool]string{true: "1", false: "0"}[c.Text == "t"]
		}
		if f, err := strconv.ParseFloat(c.Text, 64); err == nil {
			if _, err := strconv.ParseInt(c.Text, 10, 64); err != nil {
				return strconv.FormatInt(int64(f), 10)
			}
			return c.Text
		}
		return "0"
	case 'R':
		f, _ := strconv.ParseFloat(c.Text, 64)
		return strconv.FormatFloat(f, 'f', 3, 64)
	}
	if c.Number && strings.Contains(c.Text, ".") {
		c.Text = strings.TrimRight(strings.TrimRight(c.Text, "0"), ".")
	}
	switch c.Text {
	case "":
		return "(empty)"
	case "-0": // of a float: the engine has one zero
		return "0"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '@'
		}
		return r
	}, c.Text)
}

// Digest is the hash of values that files hold in place of many.
func Digest(values []string) string {
	h := md5.New()
	for _, v := range values {
		io.WriteString(h, v+"\n")
	}
	return fmt.Sprintf("%d values hashing to %s", len(values), hex.EncodeToString(h.Sum(nil)))
}

func (r *Record) compare(values []string) string {
	if len(r.Want) == 1 && strings.Contains(r.Want[0], " values hashing to ") {
		if d := Digest(values); d != r.Want[0] {
			return fmt.Sprintf("%s, want %s", d, r.Want[0])
		}
		return ""
	}
	if !slices.Equal(values, r.Want) {
		return fmt.Sprintf("got %q, want %q", values, r.Want)
	}
	return ""
}
