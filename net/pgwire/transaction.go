package pgwire

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"actordb/core/sql/parse"
)

// A transaction reads: all its queries are answered at one cut, which its first query
// chooses, and see nothing that is committed later. What would change something is refused
// by the node (25006). There is nothing to undo, so that a savepoint is but a name.

var (
	beginForm     = regexp.MustCompile(`(?is)^(?:begin(?:\s+(?:work|transaction))?|start\s+transaction)(\s.*)?$`)
	endForm       = regexp.MustCompile(`(?is)^(commit|end|rollback|abort)(?:\s+(?:work|transaction))?(?:\s+and\s+(no\s+)?(chain))?$`)
	savepointForm = regexp.MustCompile(`(?is)^savepoint\s+("?[^\s"]+"?)$`)
	releaseForm   = regexp.MustCompile(`(?is)^release(?:\s+savepoint)?\s+("?[^\s"]+"?)$`)
	backForm      = regexp.MustCompile(`(?is)^rollback(?:\s+(?:work|transaction))?\s+to(?:\s+savepoint)?\s+("?[^\s"]+"?)$`)
	writeForm     = regexp.MustCompile(`(?i)\bread\s+write\b`)
)

const savepointsMax = 1024

// transaction runs a statement that begins or ends one; ok is false of other statements.
func (x *session) transaction(p *parse.Part) (tag string, ok bool, err error) {
	switch p.Word {
	case "begin", "start":
		m := beginForm.FindStringSubmatch(p.Text)
		switch {
		case m == nil:
			err = refusal("42601", "want BEGIN, or START TRANSACTION", "")
		case writeForm.MatchString(m[1]):
			err = refusal("25006", "a transaction only reads", "leave READ WRITE out; send what writes by itself")
		case x.status == 'I':
			x.enterTransaction()
		}
		return map[string]string{"begin": "BEGIN", "start": "START TRANSACTION"}[p.Word], true, err
	case "commit", "end", "abort", "rollback":
		if m := backForm.FindStringSubmatch(p.Text); m != nil {
			return "ROLLBACK", true, x.backTo(m[1])
		}
		m := endForm.FindStringSubmatch(p.Text)
		if m == nil {
			return "", true, refusal("42601", "want COMMIT, ROLLBACK, or ROLLBACK TO a savepoint", "")
		}
		tag = "COMMIT"
		if x.status == 'E' || p.Word == "abort" || p.Word == "rollback" {
			tag = "ROLLBACK"
		}
		chained := m[3] != "" && m[2] == "" && x.status != 'I'
		x.status = 'I'
		if chained {
			x.enterTransaction()
		}
		return tag, true, nil
	case "savepoint", "release":
		return strings.ToUpper(p.Word), true, x.savepoint(p)
	}
	return "", false, nil
}

func (x *session) enterTransaction() { x.status, x.cut, x.savepoints = 'T', 0, nil }

// pin chooses the cut of a transaction, if it has none yet. Outside of one it is 0: each
// statement has its own.
func (x *session) pin(ctx context.Context) (err error) {
	if x.status == 'I' {
		x.cut = 0
	} else if x.cut == 0 {
		x.cut, err = x.client.Cut(ctx)
	}
	return err
}

// savepoint makes a savepoint, or lets one go.
func (x *session) savepoint(p *parse.Part) error {
	form := map[string]*regexp.Regexp{"savepoint": savepointForm, "release": releaseForm}[p.Word]
	m := form.FindStringSubmatch(p.Text)
	switch {
	case m == nil:
		return refusal("42601", "want "+strings.ToUpper(p.Word)+" and a name", "")
	case x.status == 'I':
		return refusal("25P01", strings.ToUpper(p.Word)+" can only be used in transaction blocks", "")
	case p.Word == "savepoint" && len(x.savepoints) >= savepointsMax:
		return refusal("54000", "too many savepoints", "release some")
	case p.Word == "savepoint":
		x.savepoints = append(x.savepoints, savepointName(m[1]))
		return nil
	}
	at, err := x.savepointAt(m[1])
	if err == nil {
		x.savepoints = x.savepoints[:at]
	}
	return err
}

// backTo goes back to a savepoint: a transaction that failed after it goes on.
func (x *session) backTo(name string) error {
	if x.status == 'I' {
		return refusal("25P01", "ROLLBACK TO SAVEPOINT can only be used in transaction blocks", "")
	}
	at, err := x.savepointAt(name)
	if err == nil {
		x.savepoints, x.status = x.savepoints[:at+1], 'T'
	}
	return err
}

func (x *session) savepointAt(name string) (int, error) {
	name = savepointName(name)
	for i, s := range slices.Backward(x.savepoints) {
		if s == name {
			return i, nil
		}
	}
	return 0, refusal("3B001", "savepoint \""+name+"\" does not exist", "")
}

// savepointName is in lower case unless it stands in quotes.
func savepointName(text string) string {
	if inner := strings.Trim(text, `"`); inner != text {
		return inner
	}
	return strings.ToLower(text)
}
