package drill

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/internal/datadir"
	"actordb/internal/history"
	"actordb/internal/node"
	"actordb/internal/verify"
	"actordb/net/client"
	"actordb/net/tlsnet"
	"actordb/workloads"
)

// ClusterConfig of a drill of several nodes that stand for each other.
type ClusterConfig struct {
	Program   []string // as in Config
	Dir       string
	Seed      uint64
	Nodes     int
	Shards    int
	Clients   int
	Workloads []string
	Duration  time.Duration
	Stop      time.Duration // how long a stopped node stays so
	Rest      time.Duration // between a fault and the next, up to twice as long; it lets what fell behind catch up
	Moves     bool          // no faults, but changes of the cluster (moves.go)
	// Struck is told of each fault; may be nil.
	Struck func(fault string, after time.Duration)
}

// Validate reports the first thing wrong with c.
func (c *ClusterConfig) Validate() error {
	switch {
	case c.Nodes < 3 || c.Nodes > datadir.FirstNodesMax:
		return fmt.Errorf("drill: %d nodes, want 3 to %d: fewer do not stand for each other", c.Nodes, datadir.FirstNodesMax)
	case c.Duration <= 0 || c.Stop <= 0 || c.Rest <= 0:
		return errors.New("drill: durations must be positive")
	}
	one := Config{Program: c.Program, Dir: c.Dir, Kills: 1, Clients: c.Clients, Workloads: c.Workloads, Shards: c.Shards}
	return one.Validate()
}

// Faults of a cluster's drill.
const (
	faultKill    = "killed"   // SIGKILL, what it had not synced taken away
	faultStop    = "stopped"  // SIGSTOP: it holds its connections and says nothing
	faultIsolate = "isolated" // cut off from the other nodes, both ways
	faultMute    = "mute"     // it hears the others, who do not hear it
	faultDark    = "dark"     // all nodes are killed at once, and forget what they had not synced
)

// faults in the order in which they come about, over and over.
var faults = [...]string{faultKill, faultIsolate, faultDark, faultMute, faultStop}

// ClusterReport is what a drill of several nodes did and found.
type ClusterReport struct {
	Verdict checkers.Verdict `json:"verdict"`
	Seed    uint64           `json:"seed"`
	Nodes   int              `json:"nodes"`
	StageReport
	Faults      map[string]int `json:"faults"`
	Gaps        []Gap          `json:"gaps"` // one for each fault and shard
	Summary     []GapSummary   `json:"summary"`
	Level       []LevelWait    `json:"level,omitempty"`     // after each fault
	Latencies   []Latency      `json:"latencies,omitempty"` // with Moves
	WallSeconds float64        `json:"wall_seconds"`
}

// A Gap is the longest time without an acknowledged write of a shard around a fault.
type Gap struct {
	Fault string  `json:"fault"`
	Node  uint32  `json:"node"`
	Shard int     `json:"shard"`
	At    float64 `json:"at_s"`
	MS    float64 `json:"ms"`
	Led   bool    `json:"led"` // the node led the shard, as far as the gap tells: no write for 100 ms
}

// A LevelWait is how long after a fault was taken back all replicas of all shards had what
// their leaders have, but for what was on its way. Until then the next fault waits: with
// two replicas of three behind, the loss of the third is no single fault.
type LevelWait struct {
	Fault string  `json:"fault"`
	MS    float64 `json:"ms"`
	Most  uint64  `json:"entries"` // that a replica lacked when it was first looked at
}

// A GapSummary is over the gaps of one kind of fault, of shards whose leader was
// struck.
type GapSummary struct {
	Fault    string  `json:"fault"`
	Faults   int     `json:"faults"`
	Gaps     int     `json:"gaps"`
	MedianMS float64 `json:"median_ms"`
	MaxMS    float64 `json:"max_ms"`
}

// ledGap: without a write for so long, the shard's leader was struck. A write takes
// a few milliseconds, an election a second.
const ledGap = 100 * time.Millisecond

// member is one of the nodes.
type member struct {
	id     proc.NodeID
	dir    string
	undo   string
	log    string
	victim *victim        // nil: it is dead
	front  *proxy         // for clients
	from   map[int]*proxy // for the other nodes, by their index
}

// cluster is a drill under way.
type cluster struct {
	cfg      *ClusterConfig
	rnd      *rand.Rand
	out      *ClusterReport
	made     node.NewCluster
	members  []*member
	epoch    time.Time
	net      *network
	records  []*workloads.Recorder
	control  workloads.Control
	appender *appender
	auditor  tlsnet.Source
	probes   []*probe
	strikes  []strike
	changing *changing
}

// strike is a fault from its beginning to when the cluster is whole again.
type strike struct {
	fault    string
	node     proc.NodeID
	from, to time.Duration
}

// probe appends to one shard, one event after the other, and notes when each was
// acknowledged.
type probe struct {
	acks []time.Duration
	took []time.Duration // of each, from asking on
	err  error
}

// RunCluster drills a cluster. A violation is in the report; an error is the
// machine's.
func RunCluster(ctx context.Context, cfg ClusterConfig) (*ClusterReport, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &cluster{cfg: &cfg, rnd: stream(cfg.Seed, 0), epoch: time.Now(),
		out: &ClusterReport{Seed: cfg.Seed, Nodes: cfg.Nodes, Faults: map[string]int{}}}
	c.out.StageReport = StageReport{Name: "cluster", Says: "nodes that stand for each other", Dir: cfg.Dir, Moments: map[string]int{}}
	inner, cancel := context.WithCancel(ctx)
	err := c.prepare(inner)
	if err == nil {
		err = c.strikeAll(inner)
	}
	cancel()
	if c.net != nil {
		err = errors.Join(err, c.net.close())
	}
	var ops []checkers.Op
	if c.appender != nil {
		ops = append(workloads.Collect(c.records), c.appender.ops...)
		c.out.count(ops)
		if c.measure(); c.cfg.Moves {
			c.out.Latencies = c.latencies()
		}
	}
	if err == nil {
		err = c.judge(ctx, ops)
	}
	err = errors.Join(err, c.end())
	if fault := (*Fault)(nil); errors.As(err, &fault) && ctx.Err() == nil {
		c.out.Checks = append(c.out.Checks, checkers.Result{Name: "node", Verdict: checkers.Fail, Note: fault.Says, Examined: 1})
		err = nil
	}
	if err != nil {
		return nil, err
	}
	c.out.vouch()
	c.out.Verdict = checkers.Pass
	for _, x := range c.out.Checks {
		if worse(x.Verdict, c.out.Verdict) {
			c.out.Verdict = x.Verdict
		}
	}
	c.out.WallSeconds = time.Since(c.epoch).Seconds()
	return c.out, nil
}

func (c *cluster) now() int64 { return int64(time.Since(c.epoch)) }

// prepare makes the cluster, starts its nodes, and lets the clients go.
func (c *cluster) prepare(ctx context.Context) error {
	c.made = node.NewCluster{Dir: filepath.Join(c.cfg.Dir, "cluster"), Domain: trustDomain, Shards: c.cfg.Shards}
	var ids []proc.NodeID
	for i := range c.cfg.Nodes {
		front, err := newProxy()
		if err != nil {
			return err
		}
		id := proc.NodeID(i + 1)
		ids = append(ids, id)
		c.made.Addrs = append(c.made.Addrs, front.addr())
		c.members = append(c.members, &member{id: id, front: front, from: map[int]*proxy{}, dir: c.made.NodeDir(id),
			undo: filepath.Join(c.cfg.Dir, fmt.Sprintf("undo-%d", id)), log: filepath.Join(c.cfg.Dir, fmt.Sprintf("node-%d.log", id))})
	}
	if err := c.made.Create(); err != nil {
		return err
	}
	for i, m := range c.members {
		if err := os.MkdirAll(m.undo, 0o700); err != nil {
			return err
		}
		for k := range c.members {
			if k == i {
				continue
			}
			p, err := newProxy()
			if err != nil {
				return err
			}
			m.from[k] = p
		}
	}
	ca, err := tlsnet.LoadCA(filepath.Join(c.made.Dir, datadir.AuthorityDir))
	if err != nil {
		return err
	}
	if c.net, err = newNetwork(ctx, ids...); err != nil {
		return err
	}
	for _, m := range c.members {
		c.net.turn(m.id, m.front.addr())
		if err := c.start(ctx, m); err != nil {
			return err
		}
	}
	for i := range c.cfg.Clients {
		source, err := ca.Source(clientID(i), certificate)
		if err != nil {
			return err
		}
		r := workloads.NewRecorder(i, c.now)
		c.records = append(c.records, r)
		conf := clientConfig(c.cfg.Workloads[i%len(c.cfg.Workloads)], c.cfg.Clients, ids...)
		conf.Levels = true
		if err := c.net.spawn(clientID(i), source, func(env proc.Env) proc.Process {
			return workloads.NewClient(conf, env, r, &c.control)
		}); err != nil {
			return err
		}
	}
	groups := make([][]shard.Replica, c.cfg.Shards)
	for i := range groups {
		groups[i] = []shard.Replica{{ID: 1, Addr: proc.Addr{Node: 1, Proc: uint32(i + 1)}}}
	}
	placement, err := shard.SpreadGroups(groups) // slots go to shards as they do in the nodes
	if err != nil {
		return err
	}
	source, err := ca.Source(clientID(c.cfg.Clients), certificate)
	if err != nil {
		return err
	}
	c.appender = newAppender(c.cfg.Clients, source, c.now, placement.ShardOf, c.cfg.Shards)
	c.auditor, err = ca.Source(auditorID, certificate)
	return err
}

// start starts a node and waits until it listens.
func (c *cluster) start(ctx context.Context, m *member) error {
	peers := map[proc.NodeID]string{}
	for _, other := range c.members {
		switch way := other.from[c.index(m)]; {
		case other == m:
		case way == nil: // it came later
			peers[other.id] = other.front.addr()
		default:
			peers[other.id] = way.addr()
		}
	}
	v, err := begin(c.cfg.Program, &order{Dir: m.dir, Undo: m.undo, Identity: filepath.Join(m.dir, datadir.OwnIdentityDir),
		Shards: c.cfg.Shards, Peers: peers}, m.log)
	if err != nil {
		return err
	}
	m.victim = v
	select {
	case addr := <-v.addr:
		m.front.turn(addr)
		for _, p := range m.from {
			p.turn(addr)
		}
		return nil
	case <-v.dead:
		return v.stopped()
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(patience):
		return v.fault(fmt.Sprintf("node %d does not listen within %s", m.id, patience))
	}
}

func (c *cluster) index(m *member) int { return int(m.id) - 1 }

// strikeAll brings faults about until the time is over, with a rest after each.
func (c *cluster) strikeAll(ctx context.Context) error {
	probing, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for i := range c.appender.streams {
		p := &probe{}
		c.probes = append(c.probes, p)
		running.Go(func() { p.err = c.probe(probing, i, p) })
	}
	err := c.settle(ctx)
	begun := time.Now()
	for n := 0; err == nil && (time.Since(begun) < c.cfg.Duration || c.cfg.Moves && n < len(changes)); n++ {
		if c.cfg.Moves {
			err = c.change(ctx, n)
		} else {
			err = c.strike(ctx, n)
		}
	}
	if err == nil {
		err = c.rest(ctx)
	}
	cancel()
	running.Wait()
	for _, p := range c.probes {
		if p.err != nil && !errors.Is(p.err, context.Canceled) {
			err = errors.Join(err, p.err)
		}
	}
	return err
}

// probe appends to the i-th shard's stream until ctx is done.
func (c *cluster) probe(ctx context.Context, i int, p *probe) error {
	cl, err := client.Dial(ctx, client.Config{Addrs: c.made.Addrs, Source: c.appender.source})
	if err != nil {
		return err
	}
	defer cl.Close()
	done := make(chan struct{}, 1)
	for ctx.Err() == nil {
		x := &appending{}
		x.Done = func(*client.Call) { c.appender.ended(x); done <- struct{}{} }
		c.appender.begin(x, c.appender.streams[i], probeBytes)
		began := time.Now()
		if err := cl.Go(ctx, &x.Call); err != nil {
			return err
		}
		select {
		case <-done:
		case <-ctx.Done():
			cl.Cancel(&x.Call, ctx.Err())
			<-done
			return nil
		}
		if x.Err != nil {
			return x.Err
		}
		p.acks = append(p.acks, time.Since(c.epoch))
		p.took = append(p.took, time.Since(began))
		time.Sleep(probeEvery)
	}
	return nil
}

// probeEvery is how exactly a gap is measured.
const probeEvery = 2 * time.Millisecond

func (c *cluster) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(c.rnd.Int64N(int64(hi-lo)))
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// strike brings one fault about, takes it back, and waits until every shard takes
// writes.
func (c *cluster) strike(ctx context.Context, n int) error {
	fault, m := faults[n%len(faults)], c.members[c.rnd.IntN(len(c.members))]
	x := strike{fault: fault, node: m.id, from: time.Since(c.epoch)}
	if c.cfg.Struck != nil {
		c.cfg.Struck(fault, x.from)
	}
	c.out.Faults[fault]++
	var err error
	switch fault {
	case faultKill:
		if err = c.kill(m); err == nil {
			err = sleep(ctx, c.between(0, 4*time.Second))
		}
		if err == nil {
			err = c.start(ctx, m)
		}
	case faultDark:
		for _, m := range c.members { // dead before anything is taken from any
			err = errors.Join(err, m.victim.signal(syscall.SIGKILL))
		}
		for _, m := range c.members {
			if err == nil {
				err = c.kill(m)
			}
		}
		for _, m := range c.members {
			if err == nil {
				err = c.start(ctx, m)
			}
		}
	case faultStop:
		if err = m.victim.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		err = sleep(ctx, c.cfg.Stop)
		err = errors.Join(err, m.victim.signal(syscall.SIGCONT))
	default:
		c.sever(m, fault == faultMute)
		err = sleep(ctx, c.between(2*time.Second, 8*time.Second))
		c.mend()
	}
	if err == nil {
		err = c.settle(ctx)
	}
	x.to = time.Since(c.epoch) // before the next fault's own gap
	c.strikes = append(c.strikes, x)
	if err == nil {
		err = c.level(ctx, fault)
	}
	if err == nil {
		err = c.rested(ctx)
	}
	return err
}

// kill ends a node's process and takes away what it had not synced.
func (c *cluster) kill(m *member) error {
	if err := m.victim.kill(); err != nil {
		return err
	}
	c.out.Kills++
	m.victim = nil
	return lose(m.dir, m.undo, c.cfg.Shards, c.rnd, &c.out.Lost)
}

// sever cuts a node off: what it sends the others, and unless it is to be mute
// only, what they send it. A connection carries frames one way.
func (c *cluster) sever(m *member, mute bool) {
	for _, other := range c.members {
		if other == m {
			continue
		}
		other.from[c.index(m)].sever()
		if !mute {
			m.from[c.index(other)].sever()
		}
	}
}

func (c *cluster) mend() {
	for _, m := range c.members {
		for _, p := range m.from {
			p.mend()
		}
	}
}

// settle waits until every probe got an answer to a write that it began after now. A node that ended by itself ends the drill.
func (c *cluster) settle(ctx context.Context) error {
	before := make([]int, len(c.probes))
	for i := range c.probes {
		before[i] = c.appender.acked(c.appender.streams[i])
	}
	late := time.After(patience)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for i := range c.probes {
		for c.appender.acked(c.appender.streams[i]) < before[i]+2 { // the first may have begun before
			select {
			case <-look.C:
			case <-ctx.Done():
				return ctx.Err()
			case <-late:
				return &Fault{fmt.Sprintf("shard %d takes no writes within %s, with all nodes back", i, patience)}
			}
			for _, m := range c.members {
				select {
				case <-m.victim.dead:
					return m.victim.stopped()
				default:
				}
			}
		}
	}
	return nil
}

// level waits until no replica is behind.
func (c *cluster) level(ctx context.Context, fault string) error {
	if c.changing == nil {
		if err := c.beginChanging(ctx); err != nil {
			return err
		}
	}
	began := time.Now()
	wait := LevelWait{Fault: fault}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not all replicas are level %s after all nodes are back", patience))
	defer cancel()
	for i := 0; i < c.cfg.Shards; {
		lags, err := c.changing.operator.Lags(ctx, core.ShardID(i))
		if err != nil {
			return &Fault{fmt.Sprintf("shard %d: %v", i, err)}
		}
		most, level := uint64(0), true
		for k := range lags {
			most, level = max(most, lags[k].Lacks), level && lags[k].Level()
		}
		wait.Most = max(wait.Most, most)
		if level {
			i++
		} else if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return &Fault{fmt.Sprintf("shard %d: %v: %+v", i, context.Cause(ctx), lags)}
		}
	}
	wait.MS = ms(time.Since(began))
	c.out.Level = append(c.out.Level, wait)
	return nil
}

// rested is a while after all is well.
func (c *cluster) rested(ctx context.Context) error {
	return sleep(ctx, c.between(c.cfg.Rest, 2*c.cfg.Rest))
}

// rest lets the clients come to rest.
func (c *cluster) rest(ctx context.Context) error {
	c.control.Stop()
	late := time.After(patience)
	for _, r := range c.records {
		for r.Open() > 0 {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			case <-late:
				return &Fault{fmt.Sprintf("clients wait for answers %s after the last fault", patience)}
			}
		}
	}
	return nil
}

// end ends what still runs.
func (c *cluster) end() (err error) {
	if c.changing != nil {
		c.changing.client.Close()
	}
	for _, m := range c.members {
		if m.victim != nil {
			err = errors.Join(err, m.victim.kill())
			m.victim = nil
		}
		err = errors.Join(err, m.front.close())
		for _, p := range m.from {
			err = errors.Join(err, p.close())
		}
	}
	return err
}

// judge reads everything back, ends the nodes in order, and runs the checkers over
// what clients were told and what stands in the nodes.
func (c *cluster) judge(ctx context.Context, ops []checkers.Op) error {
	m := c.members[c.rnd.IntN(len(c.members))]
	reading, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	streams, payload, err := c.appender.readBack(reading, m.front.addr())
	if err != nil {
		return fmt.Errorf("read the streams back from node %d: %w", m.id, err)
	}
	audit, err := readActors(reading, c.auditor, m.id, m.front.addr(), workloads.Actors(workloads.Collect(c.records)))
	if err != nil {
		return fmt.Errorf("read back from node %d: %w", m.id, err)
	}
	for _, m := range c.members {
		if err := m.victim.close(); err != nil {
			return err
		}
		m.victim = nil
	}
	finals := append(audit.Finals(), streams...)
	states, err := finalReads(audit, c.cfg.Clients+1, c.now())
	if err != nil {
		return err
	}
	whole, folded := folds(audit)
	sender := checkers.Sender{Principal: func(c int) core.Principal { return core.Principal(clientID(c)) }, Personal: workloads.Personal}
	applied := checkers.NewApplied() // no logs: what clients were told has to do
	c.out.Checks = append(c.out.Checks,
		checkers.Linearizable(append(slices.Clone(ops), states...), finals, checkers.LinearizableOptions{}),
		checkers.Tokens(applied, ops),
		checkers.Sequence(applied, ops, finals),
		checkers.Durability(applied, readable(ops, finals), finals),
		checkers.Provenance(ops, finals, sender),
		renamed(checkers.Snapshot(whole), "state", len(whole), folded),
		payload, readBackResult(audit, len(finals)))
	agree, err := c.agreement()
	if err != nil {
		return err
	}
	c.out.Checks = append(c.out.Checks, agree)
	for i, m := range c.members {
		directory, err := verify.Run(verify.Options{Dir: m.dir, Kinds: kinds})
		if err != nil {
			return err
		}
		r := verified(directory)
		if r.Note != "" {
			r.Note = fmt.Sprintf("node %d: %s", m.id, r.Note)
		}
		if i == 0 {
			c.out.Checks = append(c.out.Checks, r)
			continue
		}
		x := &c.out.Checks[len(c.out.Checks)-1]
		if x.Examined += r.Examined; worse(r.Verdict, x.Verdict) {
			x.Verdict, x.Note = r.Verdict, r.Note
		}
	}
	return nil
}

// agreement lays the nodes' journals beside each other, read without the engine:
// up to what the shortest of them knows to be committed, they are the same, byte
// by byte.
func (c *cluster) agreement() (checkers.Result, error) {
	r := checkers.Result{Name: "replicas", Verdict: checkers.Pass}
	for i := range c.cfg.Shards {
		var logs []*history.Log
		for _, m := range c.members {
			log, err := history.OpenLog(datadir.LogDir(m.dir, core.ShardID(i)))
			if err == nil {
				defer log.Close()
				err = log.Scan(nil, nil)
			}
			if err != nil {
				return r, err
			}
			logs = append(logs, log)
		}
		from, to := core.Index(0), core.Index(1<<62)
		for _, log := range logs {
			from = max(from, log.Floor)
			to = min(to, core.Index(log.Hard.Commit))
		}
		for index := from + 1; index <= to; index++ {
			first, err := logs[0].Entry(index)
			if err != nil {
				return r, err
			}
			for k := 1; k < len(logs); k++ {
				other, err := logs[k].Entry(index)
				if err != nil {
					return r, err
				}
				if other.Term != first.Term || !bytes.Equal(other.Data, first.Data) {
					r.Verdict, r.Note = checkers.Fail, fmt.Sprintf("entry %d of shard %d is of term %d with %d bytes on node %d, of term %d with %d bytes on node %d",
						index, i, first.Term, len(first.Data), c.members[0].id, other.Term, len(other.Data), c.members[k].id)
					return r, nil
				}
			}
			r.Examined++
		}
	}
	return r, nil
}

// measure finds the gaps around each fault.
func (c *cluster) measure() {
	byFault := map[string][]float64{}
	for _, x := range c.strikes {
		for i, p := range c.probes {
			gap := longest(p.acks, x.from, x.to)
			g := Gap{Fault: x.fault, Node: uint32(x.node), Shard: i, At: x.from.Seconds(), MS: ms(gap), Led: gap >= ledGap}
			c.out.Gaps = append(c.out.Gaps, g)
			if g.Led {
				byFault[x.fault] = append(byFault[x.fault], g.MS)
			}
		}
	}
	for _, fault := range append(faults[:], didMove, didJoin, didDrain) {
		list := byFault[fault]
		if c.out.Faults[fault] == 0 {
			continue
		}
		slices.Sort(list)
		s := GapSummary{Fault: fault, Faults: c.out.Faults[fault], Gaps: len(list)}
		if len(list) > 0 {
			s.MedianMS, s.MaxMS = list[len(list)/2], list[len(list)-1]
		}
		c.out.Summary = append(c.out.Summary, s)
	}
}

// longest is the longest time between two acknowledgements that lies, in part, in
// [from, to].
func longest(acks []time.Duration, from, to time.Duration) (gap time.Duration) {
	for i := 1; i < len(acks); i++ {
		if acks[i] >= from && acks[i-1] <= to {
			gap = max(gap, acks[i]-acks[i-1])
		}
	}
	return gap
}

// Save writes the report to a directory, and the gaps as a table.
func (r *ClusterReport) Save(dir string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "drill-cluster.json"), append(b, '\n'), 0o644)
	}
	if err != nil {
		return err
	}
	rows := [][]string{{"fault", "node", "shard", "at_s", "ms", "led"}}
	for _, g := range r.Gaps {
		rows = append(rows, []string{g.Fault, fmt.Sprint(g.Node), fmt.Sprint(g.Shard), fmt.Sprintf("%.3f", g.At), fmt.Sprintf("%.3f", g.MS), fmt.Sprint(g.Led)})
	}
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	if err := w.WriteAll(rows); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "drill-cluster.csv"), text.Bytes(), 0o644)
}
