package parse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// form is what a statement is beyond PostgreSQL's grammar.
type form uint8

const (
	plain form = iota
	subscribe
	eventType
	projection
)

const (
	asOfEvent  = "__as_of_event_time"
	asOfSystem = "__as_of_system_time"
	personal   = "personal"
)

// A rewriter turns one statement with ActorDB's extensions into one of
// PostgreSQL's grammar, and knows where each byte of it came from:
//
//	t FOR TIMESTAMP AS OF x [AS] a     t AS a TABLESAMPLE __as_of_event_time(x)
//	t FOR SYSTEM_TIME AS OF x          t TABLESAMPLE __as_of_system_time(x)
//	SUBSCRIBE TO t WHERE p             SELECT * FROM t WHERE p
//	CREATE EVENT TYPE e (…)            CREATE TABLE e (…)
//	  c type PERSONAL                    c type COMPRESSION personal
//	CREATE PROJECTION p AS …           CREATE MATERIALIZED VIEW p AS …
//	DROP EVENT TYPE, DROP PROJECTION   DROP TABLE, DROP MATERIALIZED VIEW
//
// TABLESAMPLE and COMPRESSION written by a user are refused, so they mean nothing else.
type rewriter struct {
	text   string
	tokens []*pg.ScanToken
	form   form
	out    strings.Builder
	pieces []piece
	err    error
}

// A piece of the rewritten text, up to the next one, is a copy of the text from
// orig on, or stands for what is there.
type piece struct {
	out, orig int
	copied    bool
}

func (r *rewriter) copyText(from, to int) {
	if from < to {
		r.pieces = append(r.pieces, piece{r.out.Len(), from, true})
		r.out.WriteString(r.text[from:to])
	}
}

func (r *rewriter) put(s string, instead int) {
	r.pieces = append(r.pieces, piece{r.out.Len(), instead, false})
	r.out.WriteString(s)
}

// original is the position in the text of a byte of the rewritten one.
func (r *rewriter) original(out int) tree.Pos {
	orig := 0
	for _, p := range r.pieces {
		if p.out > out {
			break
		}
		orig = p.orig
		if p.copied {
			orig += out - p.out
		}
	}
	return tree.Pos(min(orig, len(r.text)))
}

func (r *rewriter) fail(at int, format string, args ...any) {
	if r.err == nil {
		r.err = sqlerr.At(tree.Pos(at), sqlerr.SyntaxError, format, args...)
	}
}

// is reports whether token i is one of PostgreSQL's.
func (r *rewriter) is(i int, t pg.Token) bool { return i < len(r.tokens) && r.tokens[i].Token == t }

func (r *rewriter) raw(i int) string { return r.text[r.tokens[i].Start:r.tokens[i].End] }

// word reports whether token i is a name that only ActorDB gives a meaning.
func (r *rewriter) word(i int, w string) bool {
	return i < len(r.tokens) && r.tokens[i].Token == pg.Token_IDENT && strings.EqualFold(r.raw(i), w)
}

func (r *rewriter) start(i int) int { return int(r.tokens[i].Start) }
func (r *rewriter) end(i int) int   { return int(r.tokens[i].End) }

// rewrite does all of it.
func (r *rewriter) rewrite() error {
	i := r.explainPrefix()
	at := 0
	if len(r.tokens) > 0 {
		at = r.start(0)
	}
	switch {
	case r.word(i, "subscribe") && r.is(i+1, pg.Token_TO):
		r.form = subscribe
		r.copyText(at, r.start(i))
		r.put("SELECT * FROM", r.start(i))
		i += 2
	case (r.is(i, pg.Token_CREATE) || r.is(i, pg.Token_DROP)) && r.is(i+1, pg.Token_EVENT) && r.is(i+2, pg.Token_TYPE_P):
		r.form = eventType
		r.copyText(at, r.end(i))
		r.put(" TABLE", r.start(i+1))
		i += 3
	case (r.is(i, pg.Token_CREATE) || r.is(i, pg.Token_DROP)) && r.word(i+1, "projection"):
		r.form = projection
		r.copyText(at, r.end(i))
		r.put(" MATERIALIZED VIEW", r.start(i+1))
		i += 2
	default:
		i = 0
	}
	from := at
	if i > 0 {
		from = r.end(i - 1)
	}
	r.span(i, len(r.tokens), from)
	if r.err == nil && len(r.tokens) > 0 {
		return nil
	}
	return r.err
}

// explainPrefix returns the first token after EXPLAIN and its options.
func (r *rewriter) explainPrefix() int {
	if !r.is(0, pg.Token_EXPLAIN) {
		return 0
	}
	i := 1
	if r.is(1, pg.Token_ASCII_40) {
		return r.closing(1) + 1
	}
	for r.is(i, pg.Token_ANALYZE) || r.is(i, pg.Token_ANALYSE) || r.is(i, pg.Token_VERBOSE) {
		i++
	}
	return i
}

// closing returns the token of the parenthesis that closes the one at i, or the
// last token.
func (r *rewriter) closing(i int) int {
	depth := 0
	for ; i < len(r.tokens); i++ {
		switch r.tokens[i].Token {
		case pg.Token_ASCII_40:
			depth++
		case pg.Token_ASCII_41:
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(r.tokens) - 1
}

// span rewrites the tokens from i to end; the text before from is done.
func (r *rewriter) span(i, end, from int) {
	for i < end && r.err == nil {
		switch {
		case r.is(i, pg.Token_TABLESAMPLE):
			r.err = sqlerr.Unsupported(tree.Pos(r.start(i)), "TABLESAMPLE")
		case r.is(i, pg.Token_COMPRESSION) && r.form == eventType:
			r.err = sqlerr.Unsupported(tree.Pos(r.start(i)), "COMPRESSION of a column")
		case r.is(i, pg.Token_FOR) && r.is(i+2, pg.Token_AS) && r.is(i+3, pg.Token_OF) && (r.is(i+1, pg.Token_TIMESTAMP) || r.word(i+1, "system_time")):
			r.copyText(from, r.start(i))
			i = r.asOf(i)
			from = r.end(i - 1)
			continue
		case r.form == eventType && r.word(i, personal) && i > 0 && !r.is(i-1, pg.Token_ASCII_40) && !r.is(i-1, pg.Token_ASCII_44):
			r.copyText(from, r.start(i))
			r.put("COMPRESSION "+personal, r.start(i))
			from = r.end(i)
		}
		i++
	}
	if end > 0 && r.err == nil {
		r.copyText(from, r.end(end-1))
	}
}

// asOf rewrites FOR … AS OF time [alias], which begins at i, and returns the
// token after it.
func (r *rewriter) asOf(i int) int {
	method := asOfEvent
	if !r.is(i+1, pg.Token_TIMESTAMP) {
		method = asOfSystem
	}
	first := i + 4
	last := r.operand(first)
	if r.err != nil {
		return first
	}
	alias, next := last+1, r.alias(last+1)
	if alias < next {
		r.put(" ", r.start(alias))
		r.copyText(r.start(alias), r.end(next-1))
	}
	r.put(" TABLESAMPLE "+method+"(", r.start(i))
	r.span(first, last+1, r.start(first))
	r.put(")", r.end(last)-1)
	return next
}

// operand returns the last token of the time that begins at i: a constant, a
// parameter, a typed constant, a call, or anything in parentheses.
func (r *rewriter) operand(i int) int {
	if i >= len(r.tokens) {
		r.fail(len(r.text), "syntax error at end of input: AS OF needs a time")
		return i
	}
	begin := i
	switch t := r.tokens[i]; {
	case t.Token == pg.Token_SCONST, t.Token == pg.Token_PARAM:
	case t.Token == pg.Token_ASCII_40:
		i = r.closing(i)
	case t.Token == pg.Token_CURRENT_TIMESTAMP, t.Token == pg.Token_CURRENT_DATE, t.Token == pg.Token_LOCALTIMESTAMP:
	case r.is(i+1, pg.Token_SCONST):
		i++
	case t.Token == pg.Token_TIMESTAMP && r.is(i+2, pg.Token_TIME) && r.is(i+3, pg.Token_ZONE) && r.is(i+4, pg.Token_SCONST):
		i += 4
	case t.Token == pg.Token_IDENT && r.is(i+1, pg.Token_ASCII_40):
		i = r.closing(i + 1)
	default:
		r.fail(r.start(begin), "syntax error at or near %q: AS OF takes a constant, a parameter, a call, or an expression in parentheses", r.raw(begin))
	}
	for r.is(i+1, pg.Token_TYPECAST) && i+2 < len(r.tokens) {
		i += 2
	}
	return i
}

// alias returns the token after an alias that may begin at i.
func (r *rewriter) alias(i int) int {
	name := i
	if r.is(i, pg.Token_AS) {
		name++
	}
	if name >= len(r.tokens) {
		return i
	}
	t := r.tokens[name]
	if t.Token != pg.Token_IDENT && t.KeywordKind != pg.KeywordKind_UNRESERVED_KEYWORD {
		return i
	}
	if r.is(name+1, pg.Token_ASCII_40) {
		return r.closing(name+1) + 1
	}
	return name + 1
}
