package parse

import (
	"errors"
	"strings"
	"testing"

	"actordb/core/sql/sqlerr"
)

// R1 at every limit: a typed error, or a tree; never the end of the process.
func TestLimits(t *testing.T) {
	times := strings.Repeat
	for name, c := range map[string]struct {
		text string
		want sqlerr.State // "" for a tree
	}{
		"bytes":            {"SELECT '" + times("x", StatementBytesMax-9) + "'", ""},
		"bytes+1":          {"SELECT '" + times("x", StatementBytesMax-8) + "'", sqlerr.ProgramLimit},
		"list":             {"SELECT a IN (1" + times(", -1", (tokensMax-10)/3) + ")", ""},
		"list+":            {"SELECT a IN (1" + times(", -1", tokensMax/3) + ")", sqlerr.StatementTooComplex},
		"plus":             {"SELECT 1" + times("+1", nestingMax/2-1), ""},
		"plus+":            {"SELECT 1" + times("+1", nestingMax/2), sqlerr.StatementTooComplex},
		"plus far":         {"SELECT 1" + times("+1", 90_000), sqlerr.StatementTooComplex},
		"not":              {"SELECT " + times("NOT ", nestingMax-2) + "true", ""},
		"minus":            {"SELECT " + times("- ", nestingMax-2) + "a", ""},
		"in a list":        {"SELECT 1, 2" + times("-a", nestingMax/2-1), ""},
		"subscripts":       {"SELECT a" + times("[1]", nestingMax/2), ""},
		"parentheses":      {"SELECT " + times("(", nestingMax/2-10) + "1" + times(")", nestingMax/2-10), ""},
		"parentheses+":     {"SELECT " + times("(", 90_000) + "1" + times(")", 90_000), sqlerr.StatementTooComplex},
		"open parentheses": {"SELECT " + times("(", 90_000), sqlerr.StatementTooComplex},
		"subqueries":       {"SELECT " + times("(SELECT ", 60_000) + "1" + times(")", 60_000), sqlerr.StatementTooComplex},
		"unions":           {"SELECT 1,2" + times(" UNION SELECT 1,2", nestingMax), sqlerr.StatementTooComplex},
		"casts":            {"SELECT 1" + times("::int", nestingMax), sqlerr.StatementTooComplex},
		"joins":            {"SELECT 1 FROM a" + times(" CROSS JOIN a", nestingMax), sqlerr.StatementTooComplex},
		"calls":            {"SELECT " + times("f(1,", 40_000) + "1" + times(")", 40_000), sqlerr.StatementTooComplex},
		"brackets":         {"SELECT " + times("ARRAY[", 60_000) + times("]", 60_000), sqlerr.StatementTooComplex},
		"cases":            {"SELECT " + times("CASE WHEN a THEN ", 40_000) + times(" END", 40_000), sqlerr.StatementTooComplex},
		"columns":          {"SELECT 1" + times(",1", columnsMax-1), ""},
		"columns+1":        {"SELECT 1" + times(",1", columnsMax), sqlerr.TooManyColumns},
		"fields+1":         {"CREATE EVENT TYPE e (a int" + times(", a int", columnsMax) + ")", sqlerr.TooManyColumns},
		"arguments":        {"SELECT f(1" + times(",1", argsMax-1) + ")", ""},
		"arguments+1":      {"SELECT f(1" + times(",1", argsMax) + ")", sqlerr.TooManyArguments},
		"name":             {"SELECT " + times("x", nameBytesMax), ""},
		"name+1":           {"SELECT " + times("x", nameBytesMax+1), "42622"},
	} {
		_, err := One(c.text)
		var e *sqlerr.Error
		switch {
		case err == nil && c.want == "":
		case errors.As(err, &e) && e.State == c.want:
		default:
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
