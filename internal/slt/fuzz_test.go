package slt

import (
	"errors"
	"testing"

	"actordb/core/sql/sqlerr"
)

// P3, W2: whatever is asked, the engine answers or refuses with a SQLSTATE that
// is not "internal error", and a position in the text.
func FuzzQuery(f *testing.F) {
	for _, file := range files(f, own, ".slt") {
		for _, r := range read(f, file) {
			if isQuery(r.SQL) {
				f.Add(r.SQL)
			}
		}
	}
	f.Fuzz(func(t *testing.T, sql string) {
		e := NewOnDemand()
		for _, s := range []string{
			"CREATE TABLE t (a int, b int, c text, d numeric(10,2), e float8, f bool)", "INSERT INTO t VALUES (1, 10, 'x', 1.50, 0.5, true), (NULL, 20, 'y', NULL, 2, NULL)",
			"CREATE TABLE u (a int, k text, n int8)", "INSERT INTO u VALUES (1, 'one', 100), (2, NULL, 5)",
		} {
			if err := e.Exec(s); err != nil {
				t.Fatal(err)
			}
		}
		_, err := e.Query(sql)
		var refused *sqlerr.Error
		switch {
		case err == nil:
		case !errors.As(err, &refused):
			t.Fatalf("%q: %T: %v", sql, err, err)
		case refused.State == sqlerr.InternalError || int(refused.Pos) > len(sql):
			t.Fatalf("%q: %v at %d", sql, err, refused.Pos)
		}
	})
}
