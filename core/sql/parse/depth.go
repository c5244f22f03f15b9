package parse

import pg "github.com/pganalyze/pg_query_go/v6"

// depth bounds how deep a statement's tree is, before the grammar builds it: an
// upper bound in tokens. Within parentheses every token since the last comma
// may be one more level, on top of the deepest group closed since; commas end a
// chain, but not one of set operations, which goes on after them.
func depth(tokens []*pg.ScanToken) int {
	type group struct{ chain, inner, sets, deepest int }
	total := func(g group) int { return max(g.deepest, g.chain+g.inner) + g.sets }
	stack := []group{{}}
	sum, worst := 0, 0 // sum of the open groups' totals, all but the innermost
	for _, t := range tokens {
		g := &stack[len(stack)-1]
		g.chain++
		switch t.Token {
		case pg.Token_ASCII_40, pg.Token_ASCII_91:
			sum += total(*g)
			stack = append(stack, group{})
		case pg.Token_ASCII_41, pg.Token_ASCII_93:
			if len(stack) > 1 {
				closed := total(*g)
				stack = stack[:len(stack)-1]
				g = &stack[len(stack)-1]
				sum -= total(*g)
				g.inner = max(g.inner, closed)
			}
		case pg.Token_ASCII_44:
			g.deepest = max(g.deepest, g.chain+g.inner)
			g.chain, g.inner = 0, 0
		case pg.Token_UNION, pg.Token_EXCEPT, pg.Token_INTERSECT:
			g.sets++
		}
		worst = max(worst, sum+total(stack[len(stack)-1]))
	}
	return worst
}
