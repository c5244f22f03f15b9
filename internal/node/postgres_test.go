package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"google.golang.org/protobuf/encoding/protowire"

	"actordb/core"
	"actordb/net/tlsnet"
)

// pgSite is a node that PostgreSQL's clients can reach.
func pgSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), change: func(c *ServeConfig) { c.Postgres = "127.0.0.1:0" }}
	s.open()
	s.serve()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// pgConfig connects as a client of the trust domain, or of another.
func (s *site) pgConfig(ca *tlsnet.CA) *pgx.ConnConfig {
	s.t.Helper()
	cfg, err := pgx.ParseConfig(fmt.Sprintf("postgres://anybody@%s/actordb?sslmode=require", s.PostgresAddr()))
	if err != nil {
		s.t.Fatal(err)
	}
	svid, err := ca.Issue(tlsnet.ClientID(testDomain, "a"), time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	cert := tls.Certificate{PrivateKey: svid.PrivateKey}
	for _, c := range svid.Certificates {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	cfg.TLSConfig.Certificates = []tls.Certificate{cert}
	cfg.Fallbacks = nil
	return cfg
}

func (s *site) pgx() *pgx.Conn {
	s.t.Helper()
	c, err := pgx.ConnectConfig(s.t.Context(), s.pgConfig(s.ca))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func sold(sku string, n int64) core.NewEvent {
	b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), sku)
	return core.NewEvent{Type: "sold", Version: 1, EventTime: core.Timestamp(time.Now().UnixNano()),
		Payload: protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), protowire.EncodeZigZag(n))}
}

// pgx prepares statements, binds binary parameters and reads binary rows; it sees what
// was sent before, by any client that waited for its answer.
func TestPgx(t *testing.T) {
	s := pgSite(t)
	c, cl := s.pgx(), s.dial(nil)
	for _, text := range []string{
		`CREATE EVENT TYPE stream.sold (sku text NOT NULL, n int8 NOT NULL)`,
		`CREATE PROJECTION totals AS SELECT sku, sum(n) AS n, max(event_time) AS last FROM stream.sold GROUP BY sku`,
	} {
		if _, err := c.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		if _, err := cl.Append(t.Context(), core.ActorID(fmt.Sprintf("stream/%d", i%3)), core.AnySeq, sold(fmt.Sprintf("sku-%d", i%2), int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	var sku string
	var n int64
	var last time.Time
	if err := c.QueryRow(t.Context(), `SELECT sku, n::int8, last FROM totals WHERE sku = $1 AND n > $2 AND last < $3`, "sku-1", 3, time.Now().Add(time.Hour)).
		Scan(&sku, &n, &last); err != nil || sku != "sku-1" || n != 25 || time.Since(last) > time.Hour {
		t.Fatalf("%q %d %v %v", sku, n, last, err)
	}
	var f float64
	var b []byte
	var list []int32
	var nothing *string
	var d, u string
	if err := c.QueryRow(t.Context(), `SELECT 1.5::float8, '\x00ff'::bytea, ARRAY[3, 1], NULL::text, 12.5::numeric::text, '11111111-2222-3333-4444-555555555555'::uuid::text`).
		Scan(&f, &b, &list, &nothing, &d, &u); err != nil || f != 1.5 || !bytes.Equal(b, []byte{0, 255}) || len(list) != 2 || nothing != nil || d != "12.5" {
		t.Fatalf("%v %x %v %v %q %q %v", f, b, list, nothing, d, u, err)
	}
	var empty *string
	if err := c.QueryRow(t.Context(), `SELECT ''::text`).Scan(&empty); err != nil || empty == nil || *empty != "" {
		t.Errorf("an empty text: %v %v", empty, err)
	}
	var wrong *pgconn.PgError
	if _, err := c.Exec(t.Context(), `SELECT é, nothing FROM totals`); !errors.As(err, &wrong) || wrong.Code != "42703" || wrong.Position != 8 {
		t.Errorf("%+v", err)
	}
	if _, err := c.Prepare(t.Context(), "", `SELECT é, nothing FROM totals`); !errors.As(err, &wrong) || wrong.Code != "42703" || wrong.Position != 8 {
		t.Errorf("prepared: %+v", err)
	}
	if _, err := c.Prepare(t.Context(), "", `SELECT FROM WHERE`); !errors.As(err, &wrong) || wrong.Code != "42601" {
		t.Errorf("prepared: %+v", err)
	}
	if _, err := c.Exec(t.Context(), `SELECT 1 / (n - n) FROM totals`); !errors.As(err, &wrong) || wrong.Code != "22012" {
		t.Errorf("%+v", err)
	}
	for _, text := range []string{`SET statement_timeout = '7 s'`, `RESET statement_timeout`} {
		if _, err := c.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := c.QueryRow(t.Context(), `SHOW statement_timeout`).Scan(&got); err != nil || got != map[bool]string{true: "0", false: "7 s"}[strings.HasPrefix(text, "RESET")] {
			t.Errorf("after %s: %q %v", text, got, err)
		}
	}
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT 1 FROM nowhere`); !errors.As(err, &wrong) || wrong.Code != "42P01" {
		t.Errorf("%+v", err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT 1`); !errors.As(err, &wrong) || wrong.Code != "25P02" {
		t.Errorf("in a transaction that failed: %+v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Many rows, of which only the first are read.
	rows, err := c.Query(t.Context(), `SELECT g, repeat('x', 100) FROM generate_series(1, 100000) AS s(g)`)
	if err != nil || !rows.Next() {
		t.Fatal(err, rows.Err())
	}
	rows.Close()
	if rows.Err() != nil || rows.CommandTag().RowsAffected() != 100_000 {
		t.Errorf("%v %s", rows.Err(), rows.CommandTag())
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// SUBSCRIBE brings what is there, then each change, until it is cancelled through
// TLS; COPY brings the same as text.
func TestPgSubscribe(t *testing.T) {
	s := pgSite(t)
	c, cl := s.pgx(), s.dial(nil)
	if _, err := c.Exec(t.Context(), `CREATE EVENT TYPE stream.sold (sku text NOT NULL, n int8 NOT NULL)`); err != nil {
		t.Fatal(err)
	}
	sell := func(n int64) {
		if _, err := cl.Append(t.Context(), "stream/a", core.AnySeq, sold("x", n)); err != nil {
			t.Fatal(err)
		}
	}
	sell(1)
	rows, err := c.Query(t.Context(), `SUBSCRIBE TO stream.sold WHERE n <> 2`)
	if err != nil {
		t.Fatal(err)
	}
	var seen []int64
	steps := 0
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			t.Fatal(err)
		}
		if values[2] == true {
			steps++
			switch {
			case steps == 1:
				sell(2)
				sell(3)
			case len(seen) == 2:
				if err := c.PgConn().CancelRequest(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			continue
		}
		seen = append(seen, values[len(values)-1].(int64))
	}
	var cancelled *pgconn.PgError
	if err := rows.Err(); !errors.As(err, &cancelled) || cancelled.Code != "57014" || len(seen) != 2 || seen[0] != 1 || seen[1] != 3 {
		t.Fatalf("%v, seen %v", err, seen)
	}
	var out bytes.Buffer
	if _, err := c.PgConn().CopyTo(t.Context(), &out, `COPY (SELECT sku || E'\t\\', n FROM stream.sold ORDER BY n) TO STDOUT`); err != nil || out.String() != "x\\t\\\\\t1\nx\\t\\\\\t2\nx\\t\\\\\t3\n" {
		t.Errorf("%q %v", out.String(), err)
	}
}

// Who shows no certificate, a foreign one, or speaks plaintext, is told so and gets
// nothing.
func TestPgStrangers(t *testing.T) {
	s := pgSite(t)
	foreign, err := tlsnet.NewCA(testDomain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pgx.ConnectConfig(t.Context(), s.pgConfig(foreign)); err == nil {
		t.Error("a foreign certificate was accepted")
	}
	none := s.pgConfig(s.ca)
	none.TLSConfig.Certificates = nil
	if _, err := pgx.ConnectConfig(t.Context(), none); err == nil {
		t.Error("no certificate was accepted")
	}
	plain := s.pgConfig(s.ca)
	plain.TLSConfig = nil
	var refused *pgconn.PgError
	if _, err := pgx.ConnectConfig(t.Context(), plain); !errors.As(err, &refused) || refused.Code != "28000" {
		t.Errorf("plaintext: %v", err)
	}
	for _, garbage := range []string{"GET / HTTP/1.1\r\n\r\n", strings.Repeat("\xff", 64), "\x00\x00\x00\x08\x04\xd2\x16\x2e" + strings.Repeat("x", 100)} {
		conn, err := net.Dial("tcp", s.PostgresAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(garbage)); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	if err := s.pgx().Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// psql makes a command that speaks to a site, and waits for its input; it skips the test
// where psql is not installed.
func (s *site) psql(args ...string) *exec.Cmd {
	s.t.Helper()
	psql, err := exec.LookPath("psql")
	if err != nil {
		s.t.Skip("psql is not installed")
	}
	svid, err := s.ca.Issue(tlsnet.ClientID(testDomain, "a"), time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	dir := s.t.TempDir()
	if err := tlsnet.SaveIdentity(dir, svid, s.ca.Bundle()); err != nil {
		s.t.Fatal(err)
	}
	identity := filepath.Join(dir, "identity.pem")
	cmd := exec.CommandContext(s.t.Context(), psql, append(args, "-X", fmt.Sprintf("postgres://anybody@%s/actordb?sslmode=require&sslcert=%s&sslkey=%s", s.PostgresAddr(), identity, identity))...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	return cmd
}

// psql, if it is installed: a query, an error with its place, a setting.
func TestPsql(t *testing.T) {
	s := pgSite(t)
	cmd := s.psql("-At")
	cmd.Stdin = strings.NewReader("SELECT 6 * 7; SELECT 'a;b';\nSHOW server_version;\nSELECT nothing;\nSELECT count(*) FROM generate_series(1, 5000);\n\\q\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"42\n", "a;b\n", "17.0 (ActorDB)\n", "column \"nothing\" does not exist\nLINE 1: SELECT nothing;\n               ^\n", "5000\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// What docs/sql.md shows of a session of psql, command by command, is what it says.
func TestPsqlTranscript(t *testing.T) {
	text, err := os.ReadFile("../../docs/sql.md")
	if err != nil {
		t.Fatal(err)
	}
	const prompt, mark = "    actordb=> ", "the next command"
	var input strings.Builder
	var commands []string
	want := map[int]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if command, ok := strings.CutPrefix(line, prompt); ok {
			commands = append(commands, command)
			fmt.Fprintf(&input, "\\echo %s\n%s\n", mark, command)
		} else if shown, ok := strings.CutPrefix(line, "    "); ok && len(commands) > 0 {
			want[len(commands)-1] += strings.TrimRight(shown, " ") + "\n"
		} else if line != "" && len(commands) > 0 {
			break
		}
	}
	if len(commands) < 9 {
		t.Fatalf("%d commands in docs/sql.md", len(commands))
	}
	cmd := pgSite(t).psql("-P", "pager=off")
	cmd.Stdin = strings.NewReader(input.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	answers := strings.Split(string(out), mark+"\n")[1:]
	if len(answers) != len(commands) {
		t.Fatalf("%d answers to %d commands:\n%s", len(answers), len(commands), out)
	}
	for i, command := range commands {
		got := ""
		for _, line := range strings.Split(strings.TrimRight(answers[i], "\n"), "\n") {
			got += strings.TrimRight(line, " ") + "\n"
		}
		if got != want[i] {
			t.Errorf("%s\n%swant\n%s", command, got, want[i])
		}
	}
}

// What pgx and tools of its kind ask of the catalog, with parameters and in binary.
func TestPgCatalog(t *testing.T) {
	c := pgSite(t).pgx()
	for _, text := range []string{`CREATE EVENT TYPE stream.sold (sku text NOT NULL, n int8 NOT NULL)`, `CREATE PROJECTION totals AS SELECT sku, sum(n) AS n FROM stream.sold GROUP BY sku`} {
		if _, err := c.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	var oid uint32
	var name, user string
	if err := c.QueryRow(t.Context(), `SELECT $1::text::regtype::oid, $2::regclass, current_user`, "_int4", "totals").Scan(&oid, &name, &user); err != nil || oid != 1007 || name != "totals" || user != tlsnet.ClientID(testDomain, "a") {
		t.Errorf("%d %q %q %v", oid, name, user, err)
	}
	if loaded, err := c.LoadType(t.Context(), "_timestamptz"); err != nil || loaded.OID != 1185 {
		t.Errorf("%+v %v", loaded, err)
	}
	rows, err := c.Query(t.Context(), `SELECT c.column_name, t.oid FROM information_schema.columns c JOIN pg_type t ON t.typname = c.udt_name WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position`, "projections", "totals")
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (s string, err error) {
		err = r.Scan(&name, &oid)
		return fmt.Sprint(name, " ", oid), err
	})
	if err != nil || strings.Join(found, ", ") != "sku 25, n 1700" {
		t.Errorf("%v %v", found, err)
	}
	var wrong *pgconn.PgError
	if _, err := c.Exec(t.Context(), `SELECT $1::regclass`, "nothing"); !errors.As(err, &wrong) || wrong.Code != "42P01" {
		t.Errorf("%+v", err)
	}
}
