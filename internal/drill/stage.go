package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/control"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/disk/losefs"
	"actordb/disk/osfile"
	"actordb/internal/datadir"
	"actordb/net/tlsnet"
	"actordb/workloads"
)

// A plan is what a stage is for.
type plan struct {
	name  string
	says  string
	share int // of the kills, in per cent
	shard map[string]int64
	kv    map[string]int64
	bulk  bool // large events, so that journals grow; the clients leave room for them
}

func (p *plan) compacts() bool { return p.shard["compact_keep_bytes"] > 0 }

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
)

// plans, in order. What is not set is as in dag.jsonnet.
func plans() []plan {
	small := func(keep int64) map[string]int64 {
		return map[string]int64{"segment_bytes": 64 * kib, "block_bytes": 8 * kib, "checkpoint_bytes": 48 * kib,
			"hot_actors": 128, "compact_keep_bytes": keep}
	}
	return []plan{
		{name: "small", says: "segments of 64 kB, a checkpoint each 48 kB", share: 40, shard: small(0), kv: map[string]int64{"memtable_bytes": mib}},
		{name: "compacted", says: "as small, compacted behind 192 kB", share: 30, shard: small(192 * kib), kv: map[string]int64{"memtable_bytes": mib}},
		{name: "large", says: "the sizes of dag.jsonnet, with events of 64 kB", share: 15, bulk: true},
		{name: "large-compacted", says: "segments of 8 MB, compacted behind 16 MB", share: 15, bulk: true,
			shard: map[string]int64{"segment_bytes": 8 * mib, "checkpoint_bytes": 8 * mib, "compact_keep_bytes": 16 * mib}},
	}
}

// StageNames lists the stages, in order.
func StageNames() (names []string) {
	for _, p := range plans() {
		names = append(names, p.name)
	}
	return names
}

// chosen are the stages of these names, all for none, with their shares of a
// hundred.
func chosen(names []string) (list []plan, err error) {
	all, sum := plans(), 0
	for _, name := range names {
		if !slices.Contains(StageNames(), name) {
			return nil, fmt.Errorf("drill: no stage %q: want some of %s", name, strings.Join(StageNames(), ", "))
		}
	}
	for _, p := range all {
		if len(names) == 0 || slices.Contains(names, p.name) {
			list, sum = append(list, p), sum+p.share
		}
	}
	for i, rest := 0, 100; i < len(list); i++ {
		p := &list[i]
		if p.share = p.share * 100 / sum; i == len(list)-1 {
			p.share = rest
		}
		rest -= p.share
	}
	return list, nil
}

const (
	trustDomain = "drill.actordb"
	certificate = 24 * time.Hour
	// patience is for what a node does in a moment or never. It must be longer
	// than a recovery, and than a client's retries.
	patience = 2 * time.Minute
	// startFirst is taken for the time of a start until one was measured.
	startFirst = 150 * time.Millisecond
)

// A stage is a directory with a node that is killed again and again.
type stage struct {
	cfg  *Config
	plan *plan
	rnd  *rand.Rand
	out  *StageReport

	dir, undo, identity, log string
	epoch                    time.Time
	net                      *network
	records                  []*workloads.Recorder
	control                  workloads.Control
	appender                 *appender
	auditor                  tlsnet.Source

	// Of the present life.
	begun     time.Time
	killedAs  string
	serving   atomic.Pointer[start]
	lastStart time.Duration
}

func (s *stage) served() bool { return s.serving.Load() != nil }

func (s *stage) issued() (n int) {
	for _, r := range s.records {
		n += r.Issued()
	}
	return n
}

func (s *stage) now() int64 { return int64(time.Since(s.epoch)) }

var auditorID = tlsnet.ClientID(trustDomain, "auditor")

func clientID(i int) string { return tlsnet.ClientID(trustDomain, fmt.Sprintf("client-%d", i)) }

// prepare makes the directories, the certificates and the clients.
func (s *stage) prepare(ctx context.Context) error {
	s.epoch, s.lastStart = time.Now(), startFirst
	for _, dir := range []string{s.undo, s.identity} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	ca, err := tlsnet.NewCA(trustDomain)
	if err != nil {
		return err
	}
	svid, err := ca.Issue(tlsnet.NodeID(trustDomain, theNode), certificate)
	if err == nil {
		err = tlsnet.SaveIdentity(s.identity, svid, ca.Bundle())
	}
	if err != nil {
		return err
	}
	homes := make([]proc.Addr, s.cfg.Shards)
	for i := range homes {
		homes[i] = control.ShardAt(theNode, i)
	}
	placement, err := shard.Spread(homes)
	if err != nil {
		return err
	}
	if s.net, err = newNetwork(ctx, theNode); err != nil {
		return err
	}
	for i := range s.cfg.Clients {
		if err := s.spawn(ca, i); err != nil {
			return err
		}
	}
	source, err := ca.Source(clientID(s.cfg.Clients), certificate)
	if err != nil {
		return err
	}
	s.appender = newAppender(s.cfg.Clients, source, s.now, placement.ShardOf, s.cfg.Shards)
	s.auditor, err = ca.Source(auditorID, certificate)
	return err
}

// spawn starts a client of the workloads.
func (s *stage) spawn(ca *tlsnet.CA, i int) error {
	source, err := ca.Source(clientID(i), certificate)
	if err != nil {
		return err
	}
	c := clientConfig(s.cfg.Workloads[i%len(s.cfg.Workloads)], s.cfg.Clients, theNode)
	if s.plan.bulk {
		c.Pipeline, c.ThinkMin, c.ThinkMax = 1, 10e6, 100e6
	}
	r := workloads.NewRecorder(i, s.now)
	s.records = append(s.records, r)
	return s.net.spawn(clientID(i), source, func(env proc.Env) proc.Process {
		return workloads.NewClient(c, env, r, &s.control)
	})
}

// clientConfig is that of a client of the workloads.
func clientConfig(workload string, clients int, nodes ...proc.NodeID) workloads.ClientConfig {
	c := workloads.DefaultClientConfig()
	c.Workload, c.Clients, c.Pipeline = workload, clients, pipeline
	for _, node := range nodes {
		c.Gateways = append(c.Gateways, control.GatewayAt(node))
	}
	c.ThinkMin, c.ThinkMax = 0, 2e6
	c.Retry.Deadline = proc.Tick(patience / 2)
	return c
}

// pipeline is how many operations a client has under way.
const pipeline = 4

// life is one life of the node.
func (s *stage) life(ctx context.Context, m moment) error {
	size := journalBytes(s.dir, s.cfg.Shards)
	s.serving.Store(nil)
	s.killedAs = m.name
	v, err := s.begin()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var refused error // why the appender ended
	appended := make(chan struct{})
	close(appended) // until there is one
	watch := time.NewTicker(watchEvery)
	defer watch.Stop()
	late := time.After(patience)
	for waiting := true; waiting; {
		select {
		case addr := <-v.addr:
			s.net.turn(theNode, addr)
			appended = make(chan struct{})
			go func() {
				defer close(appended)
				refused = s.appender.live(ctx, addr, v.begun, s.plan.bulk && m.name != atRest, func(took start) { s.serving.Store(&took) })
			}()
		case <-watch.C:
			waiting = !m.due()
		case <-v.dead:
			waiting = false
		case <-ctx.Done():
			waiting = false
		case <-late:
			cancel()
			<-appended
			return errors.Join(v.fault(fmt.Sprintf("the node does not serve within %s of its start (%v)", patience, refused)), v.kill())
		}
	}
	err = v.kill()
	s.net.turn(theNode, "")
	interrupted := ctx.Err()
	cancel()
	<-appended
	if err := errors.Join(err, interrupted); err != nil {
		return err
	}
	if took := s.serving.Load(); took != nil {
		s.lastStart = took.first
		s.out.Starts = append(s.out.Starts, Sample{Stage: s.plan.name, JournalBytes: size, FirstMS: ms(took.first), AllMS: ms(took.all)})
	}
	s.out.Kills++
	s.out.Moments[s.killedAs]++
	return s.lose()
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (s *stage) begin() (*victim, error) {
	s.begun = time.Now()
	return begin(s.cfg.Program, &order{Dir: s.dir, Undo: s.undo, Identity: s.identity, Shards: s.cfg.Shards, Shard: s.plan.shard, KV: s.plan.kv}, s.log)
}

// tornShare of the power losses leave some of what was not synced, and of some
// writes some sectors; the others leave nothing of it.
const tornShare = 25

// lose takes away what was not synced.
func (s *stage) lose() error { return lose(s.dir, s.undo, s.cfg.Shards, s.rnd, &s.out.Lost) }

// lose takes away what was not synced of a node's directory.
func lose(node, undo string, shards int, rnd *rand.Rand, total *Lost) error {
	take := losefs.Everything
	if rnd.IntN(100) < tornShare {
		take = losefs.Take{Unsynced: 500_000, Torn: 500_000, Names: 500_000}
	}
	dirs := []string{datadir.ViewsDir(node)}
	for i := range shards {
		dirs = append(dirs, datadir.LogDir(node, core.ShardID(i)), datadir.KVDir(node, core.ShardID(i)))
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			continue // it was killed before
		}
		lost, err := cut(dir, undoDir(node, undo, dir), take, rnd)
		if err != nil {
			return err
		}
		total.add(lost)
	}
	return nil
}

func cut(dir, undo string, take losefs.Take, rnd *rand.Rand) (lost losefs.Lost, err error) {
	under, err := osfile.Open(dir)
	if err != nil {
		return lost, err
	}
	defer func() { err = errors.Join(err, under.Close()) }()
	side, err := osfile.Open(undo)
	if err != nil {
		return lost, err
	}
	defer func() { err = errors.Join(err, side.Close()) }()
	return losefs.Cut(under, side, take, rnd)
}

// run is the whole stage. A node that ends by itself is a result, too, unless the
// signal that ended it ended the drill.
func (s *stage) run(ctx context.Context, kills int, until time.Time) error {
	inner, cancel := context.WithCancel(ctx)
	err := s.prepare(inner)
	if err == nil {
		err = s.lives(inner, kills, until)
	}
	cancel()
	if s.net != nil {
		err = errors.Join(err, s.net.close()) // now the record belongs to nobody else
	}
	var ops []checkers.Op
	if s.appender != nil {
		ops = append(workloads.Collect(s.records), s.appender.ops...)
	}
	s.out.count(ops)
	if err == nil {
		err = s.judge(ctx, ops)
	}
	if fault := (*Fault)(nil); errors.As(err, &fault) && ctx.Err() == nil {
		return s.autopsy(fault, ops)
	}
	return err
}

// lives are those of the node; in the last one the clients come to rest.
func (s *stage) lives(ctx context.Context, kills int, until time.Time) error {
	for range kills - 1 {
		if !until.IsZero() && time.Now().After(until) {
			break
		}
		if err := s.life(ctx, s.draw()); err != nil {
			return err
		}
		s.cfg.killed(s)
	}
	if err := s.life(ctx, s.rest()); err != nil {
		return err
	}
	s.cfg.killed(s)
	return nil
}

// rest is due when every client has the answers to what it sent.
func (s *stage) rest() moment {
	stopped := false
	return moment{atRest, func() bool {
		if !stopped {
			if !s.served() {
				return false
			}
			s.control.Stop()
			stopped = true
		}
		for _, r := range s.records {
			if r.Open() > 0 {
				return false
			}
		}
		return true
	}}
}

func newStage(cfg *Config, p *plan, number int) *stage {
	root := filepath.Join(cfg.Dir, fmt.Sprintf("stage-%d", number))
	return &stage{cfg: cfg, plan: p, rnd: stream(cfg.Seed, number),
		out: &StageReport{Name: p.name, Says: p.says, Dir: filepath.Join(root, "node"), Moments: map[string]int{}},
		dir: filepath.Join(root, "node"), undo: filepath.Join(root, "undo"), identity: filepath.Join(root, "identity"), log: filepath.Join(root, "node.log")}
}
