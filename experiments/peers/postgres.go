package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"
)

// postgresWorkers have a connection each: while one waits for its sync, the others
// work.
const postgresWorkers = 4

const schema = `CREATE TABLE events (stream text NOT NULL, version bigint NOT NULL, payload bytea NOT NULL, PRIMARY KEY (stream, version))`

// appendGroup adds those events whose streams are at the version before; the primary
// key refuses a version that is taken. No two of a group are of one stream.
const appendGroup = `INSERT INTO events SELECT n.stream, n.version, n.payload
FROM unnest($1::text[], $2::bigint[], $3::bytea[]) AS n(stream, version, payload)
WHERE n.version = 1 OR EXISTS (SELECT FROM events e WHERE e.stream = n.stream AND e.version = n.version - 1)`

// postgres is a server with its defaults, which sync before the answer, on a Unix
// socket.
type postgres struct {
	*process
	pool *pgxpool.Pool
	data []byte
}

const readyLine = "database system is ready to accept connections"

func startPostgres(ctx context.Context, dir string, c *contest) (*postgres, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	if c.workers == 0 {
		c.workers = postgresWorkers
	}
	as, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	command := func(program string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, program), args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "LC_ALL=C")
		if as != nil {
			own := *as
			cmd.SysProcAttr = &own
		}
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := command("initdb", "--pgdata="+data, "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-instructions").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	cmd := command("postgres", "-D", data, "-k", dir, "-h", "", "-c", "synchronous_commit=on", "-c", "fsync=on")
	said, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	p, err := start(cmd, syscall.SIGQUIT)
	if err != nil {
		return nil, err
	}
	if err := waitFor(said, readyLine); err != nil {
		_ = p.close()
		return nil, err
	}
	s := &postgres{process: p, data: payload(c.size)}
	s.pool, err = pgxpool.New(ctx, fmt.Sprintf("postgres:///postgres?host=%s&user=postgres&sslmode=disable&pool_max_conns=%d", dir, c.workers+1))
	if err == nil {
		_, err = s.pool.Exec(ctx, schema)
	}
	if err != nil {
		_ = p.close()
		return nil, err
	}
	return s, nil
}

// postgresBin is where the newest server's programs are: where Debian has them, or
// on the path.
func postgresBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil // two digits each: the last is the newest
	}
	path, err := find("initdb")
	if err != nil {
		return "", notInstalled{"PostgreSQL"}
	}
	return filepath.Dir(path), nil
}

// waitFor reads until a line has this in it, and goes on reading for nobody.
func waitFor(r io.Reader, text string) error {
	lines := bufio.NewReader(r)
	var all strings.Builder
	for {
		line, err := lines.ReadString('\n')
		all.WriteString(line)
		if strings.Contains(line, text) {
			go func() { _, _ = io.Copy(io.Discard, lines) }()
			return nil
		}
		if err != nil {
			return fmt.Errorf("PostgreSQL did not start: %w\n%s", err, all.String())
		}
	}
}

func (s *postgres) write(ctx context.Context, group []event) error {
	names, versions, payloads := make([]string, len(group)), make([]int64, len(group)), make([][]byte, len(group))
	for i, e := range group {
		names[i], versions[i], payloads[i] = "stream-"+strconv.Itoa(e.stream), e.version, s.data
	}
	tag, err := s.pool.Exec(ctx, appendGroup, names, versions, payloads)
	if err == nil && tag.RowsAffected() != int64(len(group)) {
		err = fmt.Errorf("%d of %d events were appended: a version was wrong", tag.RowsAffected(), len(group))
	}
	return err
}

func (s *postgres) close() error {
	s.pool.Close()
	return s.process.close()
}
