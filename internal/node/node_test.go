package node

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/gateway"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/disk/osfile"
	"actordb/disk/pgkv"
	"actordb/internal/datadir"
	"actordb/workloads"
)

var kills = flag.Int("kills", 4, "how often TestKillAndComeBack kills the node")

var errKilled = errors.New("killed by the test")

// machine is a directory with a node that is started, killed and started again.
type machine struct {
	t      *testing.T
	dir    string
	begun  time.Time
	stores *stores
}

func (m *machine) config() Config {
	c := Config{Dir: m.dir, Node: 1, Shards: 2, Kinds: workloads.Kinds, Shard: shard.DefaultConfig(), Gateway: gateway.DefaultConfig()}
	// Several segments and checkpoints in each round, so that kills meet them.
	c.Shard.SegmentBytes, c.Shard.BlockBytes, c.Shard.CheckpointBytes = 32<<10, 8<<10, 24<<10
	if m.stores.compact {
		c.Shard.CompactKeep = 96 << 10
	}
	c.OpenFiles, c.OpenKV = m.stores.files, m.stores.kv
	return c
}

func (m *machine) start() *Node {
	m.t.Helper()
	n, err := Start(m.config())
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

// kill cuts the power in the middle of what the node does, and takes from its
// disks what was not durable. A node that has not noticed by itself is stopped.
func (m *machine) kill(n *Node) {
	m.t.Helper()
	m.stores.cut()
	err := n.Abort(errKilled)
	if !errors.Is(err, errKilled) && !errors.Is(err, errPower) && !errors.Is(err, pgkv.ErrAway) {
		m.t.Fatalf("the node stopped for another reason: %v", err)
	}
	if err := m.stores.lose(); err != nil {
		m.t.Fatal(err)
	}
}

// within waits until a condition holds. There is nothing to be told by: the
// conditions are of processes that know of no test.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	deadline := time.After(60 * time.Second)
	for !holds() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// The engine on real stores passes the checkers that it passes in the simulator:
// a workload, killed in the middle with unsynced data gone, again and again, and
// at the end everything is read back.
func TestKillAndComeBack(t *testing.T) {
	for name, s := range map[string]func(t *testing.T) *stores{
		"files, derived state in memory": func(*testing.T) *stores { return lossyStores(false) },
		"files, derived state in Pebble": func(*testing.T) *stores { return lossyStores(true) },
		"files, cut behind what is in Pebble": func(*testing.T) *stores {
			s := lossyStores(true)
			s.compact = true
			return s
		},
		"a store in memory for the journal": func(*testing.T) *stores { return memoryStores() },
		"PostgreSQL for everything":         postgresStores,
	} {
		t.Run(name, func(t *testing.T) { killAndComeBack(t, s(t)) })
	}
}

func killAndComeBack(t *testing.T, stores *stores) {
	const clients, opsPerRound = 12, 300
	rounds := *kills
	m := &machine{t: t, dir: t.TempDir(), begun: time.Now(), stores: stores}
	clock := func() int64 { return int64(time.Since(m.begun)) }
	var records []*workloads.Recorder
	for i := range clients {
		records = append(records, workloads.NewRecorder(i, clock))
	}
	issued := func() (n int) {
		for _, r := range records {
			n += r.Issued()
		}
		return n
	}
	for round := 1; round <= rounds; round++ {
		n := m.start()
		control := &workloads.Control{}
		for i, r := range records {
			cfg := workloads.DefaultClientConfig()
			cfg.Workload = workloads.Names()[i%len(workloads.Names())]
			cfg.Clients, cfg.Gateways = clients, []proc.Addr{n.Gateway}
			cfg.ThinkMin, cfg.ThinkMax = 0, 1e6
			if _, err := n.Spawn(fmt.Sprintf("client-%d", i), identityOf(i), func(env proc.Env) proc.Process {
				return workloads.NewClient(cfg, env, r, control)
			}); err != nil {
				t.Fatal(err)
			}
		}
		within(t, "operations", func() bool { return issued() >= round*opsPerRound })
		if round < rounds {
			m.kill(n)
			continue
		}
		control.Stop()
		within(t, "the clients' rest", func() bool {
			open := 0
			for _, r := range records {
				open += r.Open()
			}
			return open == 0
		})
		m.kill(n)
	}
	m.judge(workloads.Collect(records), opsPerRound*rounds)
}

func identityOf(client int) string { return fmt.Sprintf("spiffe://actordb/client/%d", client) }

// judge reads everything back in a last incarnation and runs the checkers.
func (m *machine) judge(ops []checkers.Op, least int) {
	m.t.Helper()
	n := m.start()
	var audit workloads.Audit
	cfg := workloads.DefaultAuditorConfig()
	cfg.Gateways, cfg.Actors = []proc.Addr{n.Gateway}, workloads.Actors(ops)
	if _, err := n.Spawn("auditor", "spiffe://actordb/client/auditor", func(env proc.Env) proc.Process {
		return workloads.NewAuditor(cfg, env, &audit)
	}); err != nil {
		m.t.Fatal(err)
	}
	within(m.t, "the audit", audit.Done)
	if err := n.Close(); err != nil {
		m.t.Fatal(err)
	}
	if failed := audit.Failed(); len(failed) > 0 {
		m.t.Fatalf("not read back: %v", failed)
	}
	applied, finals := checkers.NewApplied(), audit.Finals()
	sender := checkers.Sender{Principal: func(c int) core.Principal { return core.Principal(identityOf(c)) }, Personal: workloads.Personal}
	results := []checkers.Result{
		checkers.Linearizable(ops, finals, checkers.LinearizableOptions{}),
		checkers.Sequence(applied, ops, finals),
	}
	if !m.stores.compact { // these two want the events, of which some are gone: their states are judged
		results = append(results, checkers.Durability(applied, ops, finals), checkers.Provenance(ops, finals, sender))
	}
	for _, r := range results {
		if m.t.Log(r); r.Verdict != checkers.Pass || r.Examined < least/2 {
			m.t.Errorf("%s, want a pass over at least %d", r, least/2)
		}
	}
}

// A directory is opened only by the node that it belongs to, and every refusal
// names the place and the cure.
func TestDirectories(t *testing.T) {
	dir := t.TempDir()
	m := &machine{t: t, dir: dir, stores: lossyStores(false)}
	n := m.start()
	var owned *osfile.OwnedError
	if _, err := Start(m.config()); !errors.As(err, &owned) || owned.Path != dir || owned.PID != os.Getpid() {
		t.Errorf("a second owner: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	refused := func(what, want string, change func(*Config)) {
		t.Helper()
		c := m.config()
		change(&c)
		if n, err := Start(c); err == nil {
			t.Errorf("%s was accepted", what)
			_ = n.Close()
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	refused("another node", "belongs to node 1", func(c *Config) { c.Node = 2 })
	refused("another number of shards", "has 2 shards", func(c *Config) { c.Shards = 3 })
	stranger := t.TempDir()
	if err := os.WriteFile(filepath.Join(stranger, "photo.jpg"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("a stranger's directory", "not a node's directory", func(c *Config) { c.Dir = stranger })
	path := filepath.Join(dir, datadir.IdentityFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, content := range map[string]string{
		"restore": "{", "newer one": strings.Replace(string(whole), `"version": 1`, `"version": 9`, 1),
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(content, what, func(*Config) {})
	}
}
