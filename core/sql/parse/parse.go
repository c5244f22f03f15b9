// Package parse turns text into trees (core/sql/tree). The grammar is
// PostgreSQL's own, by github.com/pganalyze/pg_query_go, or without cgo by
// github.com/wasilibs/go-pgquery, which is the same code in another form.
//
// Its laws:
//
// R1. Whatever the text, the result is statements or an error of sqlerr with a
// position in the text; the process goes on (FuzzParse, TestLimits).
//
// R2. What is parsed means what PostgreSQL means by it: what the tree has no
// node for is refused with its position, never dropped (TestRefused).
package parse

import (
	"strings"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v6"

	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// One parses a text that holds one statement.
func One(text string) (tree.Statement, error) {
	all, err := All(text)
	if err != nil {
		return nil, err
	}
	switch len(all) {
	case 0:
		return nil, sqlerr.At(tree.Pos(len(text)), sqlerr.SyntaxError, "the text holds no statement")
	case 1:
		return all[0], nil
	}
	return nil, sqlerr.At(all[1].At(), sqlerr.SyntaxError, "the text holds several statements").Hint("send them one by one")
}

// All parses a text that holds statements with semicolons between them.
func All(text string) ([]tree.Statement, error) {
	tokens, err := scan(text)
	if err != nil {
		return nil, err
	}
	var all []tree.Statement
	for begin := 0; begin < len(tokens); {
		end := begin
		for end < len(tokens) && tokens[end].Token != pg.Token_ASCII_59 {
			end++
		}
		if begin < end {
			s, err := statement(text, tokens[begin:end])
			if err != nil {
				return nil, err
			}
			all = append(all, s)
		}
		begin = end + 1
	}
	return all, nil
}

// A Part is a statement of a text that holds several.
type Part struct {
	At   int // where it begins in the text
	Text string
	Word string // its first, in lower case
}

// Split takes a text apart at its semicolons, and parses nothing.
func Split(text string) ([]Part, error) {
	tokens, err := scan(text)
	if err != nil {
		return nil, err
	}
	var parts []Part
	for begin := 0; begin < len(tokens); {
		end := begin
		for end < len(tokens) && tokens[end].Token != pg.Token_ASCII_59 {
			end++
		}
		if begin < end {
			first, last := tokens[begin], tokens[end-1]
			parts = append(parts, Part{int(first.Start), text[first.Start:last.End], strings.ToLower(text[first.Start:first.End])})
		}
		begin = end + 1
	}
	return parts, nil
}

// scan splits the text into tokens, without comments, within the limits.
func scan(text string) ([]*pg.ScanToken, error) {
	if len(text) > StatementBytesMax {
		return nil, sqlerr.New(sqlerr.ProgramLimit, "the statement has %d bytes, at most %d are allowed", len(text), StatementBytesMax)
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		return nil, sqlerr.At(tree.Pos(i), sqlerr.CharacterNotInSet, "the text holds a byte 0")
	}
	if !utf8.ValidString(text) {
		for i, r := range text {
			if _, size := utf8.DecodeRuneInString(text[i:]); r == utf8.RuneError && size == 1 {
				return nil, sqlerr.At(tree.Pos(i), sqlerr.CharacterNotInSet, "the text is not UTF-8")
			}
		}
	}
	r := &rewriter{text: text, pieces: []piece{{0, 0, true}}}
	result, err := grammarScan(text)
	if err != nil {
		return nil, translate(err, r, text)
	}
	var tokens []*pg.ScanToken
	for _, t := range result.Tokens {
		if t.Token == pg.Token_SQL_COMMENT || t.Token == pg.Token_C_COMMENT {
			continue
		}
		if t.Token == pg.Token_IDENT && int(t.End-t.Start) > nameBytesMax {
			return nil, sqlerr.At(tree.Pos(t.Start), "42622", "the name has more than %d bytes", nameBytesMax)
		}
		tokens = append(tokens, t)
	}
	if len(tokens) > tokensMax {
		return nil, sqlerr.At(tree.Pos(tokens[tokensMax].Start), sqlerr.StatementTooComplex, "the statement has more than %d words", tokensMax)
	}
	return tokens, nil
}

func statement(text string, tokens []*pg.ScanToken) (tree.Statement, error) {
	begin := tree.Pos(tokens[0].Start)
	if d := depth(tokens); d > nestingMax {
		return nil, sqlerr.At(begin, sqlerr.StatementTooComplex, "the statement nests %d words deep, at most %d are allowed", d, nestingMax).
			Hint("use IN lists or VALUES instead of long chains of operators")
	}
	r := &rewriter{text: text, tokens: tokens}
	if err := r.rewrite(); err != nil {
		return nil, err
	}
	rewritten := r.out.String()
	result, err := grammarParse(rewritten)
	if err != nil {
		return nil, translate(err, r, rewritten)
	}
	if len(result.Stmts) != 1 {
		return nil, sqlerr.At(begin, sqlerr.SyntaxError, "expected one statement")
	}
	c := &converter{r: r, begin: begin}
	s := c.statement(result.Stmts[0].Stmt)
	if c.err != nil {
		return nil, c.err
	}
	return s, nil
}

// translate turns an error of the grammar, whose positions are characters of
// the rewritten text, into ours.
func translate(err error, r *rewriter, rewritten string) error {
	message, char, ok := grammarError(err)
	if !ok {
		// The tree did not fit the limits of its transport: it nests too deep.
		return sqlerr.At(r.original(0), sqlerr.StatementTooComplex, "the statement nests too deep").
			Hint("use IN lists or VALUES instead of long chains of operators")
	}
	pos := r.original(byteOfChar(rewritten, char))
	state := sqlerr.SyntaxError
	if strings.HasPrefix(message, "memory exhausted") {
		state, message = sqlerr.StatementTooComplex, "the statement nests too deep"
	}
	if strings.HasPrefix(message, "syntax error at or near") {
		for i, t := range r.tokens {
			if tree.Pos(t.Start) == pos {
				message = `syntax error at or near "` + r.raw(i) + `"`
			}
		}
	}
	return sqlerr.At(pos, state, "%s", message)
}

// byteOfChar is the offset of a character, counted from one.
func byteOfChar(text string, char int) int {
	if char <= 0 {
		return 0
	}
	for i := range text {
		if char--; char == 0 {
			return i
		}
	}
	return len(text)
}
