package slt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"actordb/core/sql/sqlerr"
	"actordb/disk/pgkv/pgtest"
)

// prepare makes the random tables of a seed in an engine.
func prepare(t *testing.T, e Engine, seed uint64) {
	t.Helper()
	for _, s := range RandomTables(rand.New(rand.NewPCG(seed, 0))) {
		if err := e.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// answer is a query's answer as text, sorted, or its SQLSTATE.
func answer(e Engine, sql string) string {
	rows, err := e.Query(sql)
	if err != nil {
		if s := e.State(err); s != "" {
			return "SQLSTATE " + s
		}
		return err.Error()
	}
	var out []string
	for _, r := range rows {
		out = append(out, rowText(r))
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}

func failedState(answer string) bool { return strings.HasPrefix(answer, "SQLSTATE ") }

// agree compares engines on random texts.
func agree(t *testing.T, seed uint64, n int, a, b Engine, text func(r *Random) string) {
	t.Helper()
	prepare(t, a, seed)
	prepare(t, b, seed)
	r := &Random{Rand: rand.New(rand.NewPCG(seed, 1))}
	failed, answered, bad, early := 0, 0, 0, 0
	for range n {
		sql := text(r)
		x, y := answer(a, sql), answer(b, sql)
		if _, pg := b.(*Postgres); pg && failedState(y) != failedState(x) {
			early++ // PostgreSQL computes constants first, and then perhaps not what stands before them
			continue
		}
		if x != y {
			t.Errorf("seed %d: %s\n%T: %s\n%T: %s", seed, sql, a, x, b, y)
			if bad++; bad == 5 {
				t.FailNow()
			}
		}
		if failedState(x) {
			failed++
		} else {
			answered++
		}
	}
	t.Logf("seed %d: %d answers, %d errors, %d errors of one alone", seed, answered, failed, early)
	if early > n/50 {
		t.Errorf("%d of %d fail in one engine alone", early, n)
	}
	if answered < n/3 {
		t.Errorf("only %d of %d had an answer", answered, n)
	}
}

// one is an expression for one row.
func one(r *Random) string {
	kind := Kinds[r.IntN(len(Kinds))]
	return fmt.Sprintf("SELECT %s FROM p WHERE k = %d", r.Expr(kind, "p", 1+r.IntN(3)), r.IntN(7))
}

// X1, X2: expressions, with their errors, are what the evaluator says.
func TestRandomExpressions(t *testing.T) {
	for seed := range uint64(4) {
		agree(t, seed, 500, NewOnDemand(), NewNaive(), one)
	}
}

// The evaluator, and so the engine, are held to PostgreSQL itself.
func TestRandomAgainstPostgreSQL(t *testing.T) {
	server := pgtest.Start(t)
	open := func() *Postgres {
		e, err := OpenPostgres(context.Background(), server.URL())
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for seed := range uint64(1) {
		e := open()
		agree(t, seed, 500, NewNaive(), e, one)
		e.Close()
		e = open()
		agree(t, seed, 80, NewNaive(), e, func(r *Random) string { return r.Query(2) })
		e.Close()
	}
}

// P1, P2: queries, with their rewrites and without, are what the evaluator says.
func TestRandomQueries(t *testing.T) {
	for seed := range uint64(4) {
		agree(t, seed, 150, NewOnDemand(), NewNaive(), func(r *Random) string { return r.Query(2) })
	}
	plain := NewOnDemand()
	plain.Plain = true
	agree(t, 5, 300, plain, NewNaive(), func(r *Random) string { return r.Query(2) })
}

// W1: views are right while rows come and go.
func TestRandomViews(t *testing.T) {
	e := NewIncremental(7, 6)
	prepare(t, e, 7)
	r := &Random{Rand: rand.New(rand.NewPCG(7, 1))}
	for range 150 {
		sql := r.Query(2)
		if _, err := e.Query(sql); err != nil {
			var refused *sqlerr.Error
			if !errors.As(err, &refused) || refused.State != sqlerr.FeatureNotSupported {
				t.Fatalf("%s\n%v", sql, err)
			}
		}
	}
}

// P2: many tables in FROM, in an order that says nothing, are joined along
// their equalities; the product of all would be of 10^24 rows.
func TestManyTables(t *testing.T) {
	const n = 24
	e := NewOnDemand()
	r := rand.New(rand.NewPCG(3, 0))
	var from, where []string
	for i := range n {
		exec := func(sql string) {
			if err := e.Exec(sql); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
		exec(fmt.Sprintf("CREATE TABLE t%d (a%d int, b%d int)", i, i, i))
		for k := range 10 {
			exec(fmt.Sprintf("INSERT INTO t%d VALUES (%d, %d)", i, k, (k+i)%10))
		}
		from = append(from, fmt.Sprintf("t%d", i))
		if i > 0 {
			where = append(where, fmt.Sprintf("a%d = b%d", i, i-1))
		}
	}
	r.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
	r.Shuffle(len(where), func(i, j int) { where[i], where[j] = where[j], where[i] })
	at := 0 // the first of the chain, followed to its end
	last := 4
	for i := range n {
		at = i
		if i < n-1 {
			last = (last + i) % 10
		}
	}
	rows, err := e.Query(fmt.Sprintf("SELECT a%d FROM %s WHERE a0 = 4 AND %s", at, strings.Join(from, ", "), strings.Join(where, " AND ")))
	if err != nil || len(rows) != 1 || rows[0][0].Text != fmt.Sprint(last) {
		t.Errorf("%v %v, want %d", rows, err, last)
	}
}
