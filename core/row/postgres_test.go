package row

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"actordb/disk/pgkv/pgtest"
)

// What PostgreSQL itself prints: of quotients, and of texts that it reads. The
// test is skipped where it is not installed.
func TestAsPostgreSQL(t *testing.T) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed: what PostgreSQL prints is not compared")
	}
	server := pgtest.Start(t)
	r := rand.New(rand.NewPCG(1, 2))
	var queries, mine []string
	ask := func(answer, format string, args ...any) {
		mine = append(mine, answer)
		queries = append(queries, fmt.Sprintf(format, args...))
	}
	decimal := func() Value {
		s := fmt.Sprint(r.Int64N(1<<r.UintN(62)+1) - r.Int64N(100))
		if r.IntN(2) == 0 {
			s += fmt.Sprint(".", r.Int64N(1<<r.UintN(50)+1))
		}
		v, err := Parse(Of(Numeric), []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for range 1000 {
		x, y := decimal(), decimal()
		q, err := DivNumeric(nil, x.B, y.B)
		if err != nil {
			continue // by zero
		}
		ask(Value{Type: Of(Numeric), B: q}.String(), "trim_scale('%s'::numeric / '%s'::numeric)", x, y)
	}
	text := func(typ, format string, args ...any) {
		in := fmt.Sprintf(format, args...)
		tt, err := ParseType(typ)
		if err != nil {
			t.Fatal(err)
		}
		v, err := Parse(tt, []byte(in))
		if err != nil {
			t.Errorf("%s %q: %v", typ, in, err)
			return
		}
		ask(v.String(), "'%s'::%s", in, typ)
	}
	n := r.IntN
	for range 100 {
		text("float8", "%ve%d", r.Float64(), n(60)-30)
		text("date", "%04d-%02d-%02d", 1+n(5000), 1+n(12), 1+n(28))
		text("timestamp", "%04d-%02d-%02d %02d:%02d:%02d.%d", 1+n(5000), 1+n(12), 1+n(28), n(24), n(60), n(60), n(1e6))
		text("timestamptz", "%04d-%02d-%02d %02d:%02d:%02d%+03d:30", 1+n(5000), 1+n(12), 1+n(28), n(24), n(60), n(60), n(20)-10)
		text("interval", "%d mons %d days %d secs", n(100)-50, n(100)-50, n(400000)-200000)
		text("interval", "%d.%d years %d.%d days %d.%d hours", n(10), n(100), n(10), n(100), n(10), n(100))
		text("interval", "%d.%d months %d.%d weeks %d.%d min", n(10), n(100), n(10), n(100), n(10), n(100))
		text("jsonb", `{"b%d": [%d, {"x": "\u00e9"}], "a": %de3, "bb": null}`, n(3), n(100), n(1000))
		text("text[]", `{a%d,"x y",NULL,"q\"z",""}`, n(9))
	}
	cmd := exec.Command(psql, "--dbname", server.URL(), "-At")
	cmd.Env = append(cmd.Environ(), "PGTZ=UTC")
	cmd.Stdin = strings.NewReader("select " + strings.Join(queries, ";\nselect ") + ";\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	theirs := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(theirs) != len(mine) {
		t.Fatalf("%d answers to %d questions", len(theirs), len(mine))
	}
	for i := range mine {
		if mine[i] != theirs[i] {
			t.Errorf("%s is %s in PostgreSQL, not %s", queries[i], theirs[i], mine[i])
		}
	}
}
