package experiments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"

	"actordb/internal/load"
)

// A peer is what users might choose instead, measured by the program of
// experiments/peers.
type peer struct{ name, contestant, note string }

var peers = []peer{
	{"Redis Streams", "redis", "own process, TCP loopback without TLS, appendonly, appendfsync always, no RDB; go-redis, two connections, each a pipeline of all that waits; a Lua script compares XLEN with the expected version and calls XADD"},
	{"PostgreSQL, grouped", "postgres", "own processes, defaults of the installed version, synchronous_commit and fsync on, Unix socket; pgx, four connections, each one INSERT of all that waits; the version before must exist, the primary key refuses one that is taken"},
}

// notAvailable says that there is no program to measure peers with.
const notAvailable = "not available: needs the source tree and the modules of experiments/peers and experiments/duckdb"

// BuildPeers builds the program of a source tree that other databases are measured with,
// into a directory, and BuildDuckDB the one for DuckDB.
func BuildPeers(root, dir string) (program string, err error) { return build(root, "peers", dir) }

// BuildDuckDB is like BuildPeers.
func BuildDuckDB(root, dir string) (program string, err error) { return build(root, "duckdb", dir) }

func build(root, module, dir string) (program string, err error) {
	program = filepath.Join(dir, module)
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Dir = filepath.Join(root, "experiments", module)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build in experiments/%s: %w; %.500s", module, err, out)
	}
	return program, nil
}

// peersProgram builds it once; "" if it cannot be had.
func (e *Env) peersProgram() string {
	if e.Peers == nil {
		return ""
	}
	e.peersOnce.Do(func() {
		var err error
		if e.peersBuilt, err = e.Peers(); err != nil {
			e.Say("peers: %v", err)
		}
	})
	return e.peersBuilt
}

// duckdbProgram is like peersProgram.
func (e *Env) duckdbProgram() string {
	if e.DuckDB == nil {
		return ""
	}
	e.duckdbOnce.Do(func() {
		var err error
		if e.duckdbBuilt, err = e.DuckDB(); err != nil {
			e.Say("duckdb: %v", err)
		}
	})
	return e.duckdbBuilt
}

// askPeers runs it and decodes what it says.
func (e *Env) askPeers(ctx context.Context, to any, args ...string) error {
	return e.askProgram(ctx, e.peersProgram(), to, args...)
}

func (e *Env) askProgram(ctx context.Context, program string, to any, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it takes its servers with it
	out, err := cmd.Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return fmt.Errorf("%s %v: %w; %.500s", filepath.Base(program), args, err, failed.Stderr)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(out, to)
}

func (p peer) measure(ctx context.Context, e *Env, l load.Config, c cell) (*load.Measurement, error) {
	m := &load.Measurement{}
	if e.peersProgram() == "" {
		m.Missing = notAvailable
		return m, nil
	}
	err := e.askPeers(ctx, m, "throughput", "--contestant", p.contestant, "--in-flight", strconv.Itoa(l.Slots),
		"--rate", strconv.FormatFloat(l.Rate, 'f', 3, 64), "--ramp-up", l.RampUp.String(), "--duration", l.Duration.String(),
		"--seed", strconv.FormatUint(l.Seed, 10), "--streams", strconv.Itoa(c.streams), "--size", strconv.Itoa(c.size))
	return m, err
}

// peerMessages are rows of actor libraries, one sample of each.
func (e *Env) peerMessages(ctx context.Context, n int) (list []Row, err error) {
	if e.peersProgram() == "" {
		return []Row{missingRow("protoactor-go", "1/s", notAvailable)}, nil
	}
	err = e.askPeers(ctx, &list, "messages", "--n", strconv.Itoa(n))
	return list, err
}

// missingRow is one without samples, which says why.
func missingRow(name, unit, why string) Row { return Row{Name: name, Unit: unit, Note: why} }

// built is what an Env has built.
type built struct {
	peersOnce, duckdbOnce   sync.Once
	peersBuilt, duckdbBuilt string
}
