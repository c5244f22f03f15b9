//go:build !cgo

package parse

import (
	"errors"

	pg "github.com/pganalyze/pg_query_go/v6"
	wasm "github.com/wasilibs/go-pgquery"
	"github.com/wasilibs/go-pgquery/parser"
)

// nestingMax bounds the depth of the tree, counted in tokens (see depth). The
// stack of the translated grammar is small, and it panics where that is used
// up: a chain of 4,000 operators did.
const nestingMax = 1_000

func grammarScan(text string) (*pg.ScanResult, error)   { return wasm.Scan(text) }
func grammarParse(text string) (*pg.ParseResult, error) { return wasm.Parse(text) }

// grammarError takes a message and its position, in characters from one, out of
// what the grammar returned.
func grammarError(err error) (message string, char int, ok bool) {
	var e *parser.Error
	if errors.As(err, &e) {
		return e.Message, e.Cursorpos, true
	}
	return "", 0, false
}
