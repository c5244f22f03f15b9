package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"actordb/core/row"
	"actordb/net/client"
	"actordb/net/wire"
)

// sample is how many rows are looked at to find the widths of columns: an answer may
// be longer than what a terminal's memory should hold.
const sample = 1000

// printRows shows an answer as a table.
func printRows(w io.Writer, rows *client.Rows) error {
	t := &textTable{w: w, cols: rows.Columns()}
	for rows.Next() {
		b := rows.Batch()
		for i := range b.N {
			t.add(cells(b, i))
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(t.cols) == 0 {
		fmt.Fprintln(w, rows.Tag())
		return nil
	}
	t.flush()
	plural := "s"
	if rows.Count() == 1 {
		plural = ""
	}
	fmt.Fprintf(w, "(%d row%s)\n\n", rows.Count(), plural)
	return nil
}

// cells are a row's values as text; null is empty.
func cells(b *row.Batch, i int) []string {
	list := make([]string, len(b.Cols))
	for k, c := range b.Cols {
		if !c.Null(i) {
			list[k] = string(c.AppendText(nil, i))
		}
	}
	return list
}

// textTable writes rows in aligned columns, whose widths the first ones decide.
type textTable struct {
	w      io.Writer
	cols   []wire.AnswerColumn
	held   [][]string
	widths []int
}

func (t *textTable) add(r []string) {
	for k, s := range r {
		r[k] = strings.NewReplacer("\n", "\\n", "\t", "\\t").Replace(s)
	}
	if t.widths == nil {
		if t.held = append(t.held, r); len(t.held) == sample {
			t.flush()
		}
		return
	}
	t.line(r)
}

func numeric(typ string) bool {
	switch typ {
	case "smallint", "integer", "bigint", "numeric", "real", "double precision", "int2", "int4", "int8", "float4", "float8":
		return true
	}
	return false
}

// flush writes the head and what is held.
func (t *textTable) flush() {
	if t.widths != nil {
		return
	}
	t.widths = make([]int, len(t.cols))
	head, rule := make([]string, len(t.cols)), make([]string, len(t.cols))
	for k, c := range t.cols {
		t.widths[k] = utf8.RuneCountInString(c.Name)
		for _, r := range t.held {
			t.widths[k] = max(t.widths[k], utf8.RuneCountInString(r[k]))
		}
		pad := t.widths[k] - utf8.RuneCountInString(c.Name)
		head[k] = strings.Repeat(" ", pad/2) + c.Name + strings.Repeat(" ", pad-pad/2)
		rule[k] = strings.Repeat("-", t.widths[k]+2)
	}
	fmt.Fprintf(t.w, "%s\n%s\n", strings.TrimRight(" "+strings.Join(head, " | "), " "), strings.Join(rule, "+"))
	for _, r := range t.held {
		t.line(r)
	}
	t.held = nil
}

func (t *textTable) line(r []string) {
	for k, s := range r {
		pad := strings.Repeat(" ", max(0, t.widths[k]-utf8.RuneCountInString(s)))
		if numeric(t.cols[k].Type) {
			s = pad + s
		} else if k < len(r)-1 {
			s += pad
		}
		r[k] = s
	}
	fmt.Fprintln(t.w, " "+strings.Join(r, " | "))
}

// printAnswer writes an answer as one document, while it comes.
func printAnswer(w io.Writer, rows *client.Rows) error {
	names := make([]string, len(rows.Columns()))
	for i, c := range rows.Columns() {
		names[i] = c.Name
	}
	head, err := json.Marshal(names)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, `{"columns": %s, "rows": [`, head)
	first := true
	for rows.Next() {
		b := rows.Batch()
		for i := range b.N {
			line, err := json.Marshal(values(b, i))
			if err != nil {
				return err
			}
			if !first {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, "\n  %s", line)
			first = false
		}
	}
	if err := rows.Err(); err != nil {
		return err // the document does not end: half an answer is none
	}
	fmt.Fprintf(w, "], \"tag\": %q, \"count\": %d, \"cut\": %d}\n", rows.Tag(), rows.Count(), rows.Cut())
	return nil
}

// values are a row's as JSON has them: numbers of more digits than a float's are text
// to most readers, so they stay as they are written.
func values(b *row.Batch, i int) []any {
	list := make([]any, len(b.Cols))
	for k, c := range b.Cols {
		if c.Null(i) {
			continue
		}
		text := string(c.AppendText(nil, i))
		switch c.Type.Kind {
		case row.Bool:
			list[k] = c.I[i] != 0
		case row.Int2, row.Int4, row.Int8, row.Numeric, row.JSONB:
			list[k] = text
			if json.Valid([]byte(text)) { // NaN is not
				list[k] = json.RawMessage(text)
			}
		default:
			list[k] = text
		}
	}
	return list
}

// changePrinter shows changes of a subscription.
type changePrinter struct {
	w     io.Writer
	cols  []wire.AnswerColumn
	json  bool
	shown int
}

func newChangePrinter(w io.Writer, cols []wire.AnswerColumn, asJSON bool) *changePrinter {
	if !asJSON {
		names := make([]string, len(cols))
		for i, c := range cols {
			names[i] = c.Name
		}
		fmt.Fprintf(w, "%-26s | change | %s\n", "time", strings.Join(names, " | "))
	}
	return &changePrinter{w: w, cols: cols, json: asJSON}
}

// print shows a change, as far as so many rows (0: any) are not shown yet.
func (p *changePrinter) print(c *client.Change, most int) error {
	at := time.Unix(0, int64(c.Cut)).UTC()
	if c.Restart {
		if p.json {
			fmt.Fprintf(p.w, "{\"restart\": %d}\n", c.Cut)
		} else {
			fmt.Fprintf(p.w, "%-26s | the connection was lost: what came after this time comes again\n", at.Format("2006-01-02 15:04:05.000000"))
		}
		return nil
	}
	for i := range c.Rows.N {
		if most > 0 && p.shown == most {
			return nil
		}
		p.shown++
		if p.json {
			line, err := json.Marshal(map[string]any{"cut": c.Cut, "change": c.Weights[i], "row": values(c.Rows, i)})
			if err != nil {
				return err
			}
			fmt.Fprintf(p.w, "%s\n", line)
			continue
		}
		fmt.Fprintf(p.w, "%-26s | %+6d | %s\n", at.Format("2006-01-02 15:04:05.000000"), c.Weights[i], strings.Join(cells(c.Rows, i), " | "))
	}
	return nil
}
