//go:build cgo

package parse

import (
	"errors"

	pg "github.com/pganalyze/pg_query_go/v6"
	"github.com/pganalyze/pg_query_go/v6/parser"
)

// nestingMax bounds the depth of the tree, counted in tokens (see depth). The
// grammar's C code recurses over it on its own stack of 8 MB, and ends the
// process where that is used up: a chain of 100,000 operators did.
const nestingMax = 4_000

func grammarScan(text string) (*pg.ScanResult, error)   { return pg.Scan(text) }
func grammarParse(text string) (*pg.ParseResult, error) { return pg.Parse(text) }

// grammarError takes a message and its position, in characters from one, out of
// what the grammar returned.
func grammarError(err error) (message string, char int, ok bool) {
	var e *parser.Error
	if errors.As(err, &e) {
		return e.Message, e.Cursorpos, true
	}
	return "", 0, false
}
