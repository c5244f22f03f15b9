package control

import (
	"maps"
	"slices"
	"strings"

	"actordb/core"
	"actordb/core/gateway"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/core/query"
	"actordb/core/shard"
)

// A Limit is what a process of a kind may be told about its size.
type Limit struct {
	Name     string
	Unit     string
	Min, Max int64
	Default  int64
	Says     string
}

// spec is what all processes of a kind have in common.
type spec struct {
	kind     Kind
	countMax int
	optional bool     // a network may do without
	needs    []Kind   // one process of each, directly or not
	backends []string // the first is the default; none: it has no backend
	limits   []Limit
}

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
	gib = int64(1) << 30
)

// heartbeatMs makes a node's death an interruption of a second or less among nodes
// of one building. Give nodes that are farther apart ten round trips at least.
const heartbeatMs = 50

// ShardsMax is how many shards a node may have.
const ShardsMax = 64

// specs by kind. The defaults are those of the packages that they configure.
var specs = func() []*spec {
	s, g, q := shard.DefaultConfig(), gateway.DefaultConfig(), query.DefaultLimits()
	ms := func(t proc.Tick) int64 { return int64(t) / 1e6 }
	return []*spec{
		{kind: Files, countMax: 1, backends: []string{"os", "sqlite", "postgres"}},
		{kind: KV, countMax: 1, backends: []string{"pebble", "memory", "sqlite", "postgres"}, limits: []Limit{
			{"cache_bytes", "bytes", 1 * mib, 64 * gib, 64 * mib, "block cache of each shard's store"},
			{"memtable_bytes", "bytes", 1 * mib, 1 * gib, 16 * mib, "changes that a store keeps in memory before it writes a table"},
		}},
		{kind: Shard, countMax: ShardsMax, needs: []Kind{Files, KV}, limits: []Limit{
			{"segment_bytes", "bytes", 16 * kib, 1 * gib, s.SegmentBytes, "one file of the journal"},
			{"window_bytes", "bytes", 0, 16 * gib, s.WindowBytes, "newest entries kept in memory"},
			{"writes", "writes", 1, journal.WritesMax, int64(s.Writes), "to the journal under way at once; what comes meanwhile shares the next one's sync"},
			{"block_bytes", "bytes", 1 * kib, journal.BlockBytesMax / 2, int64(s.BlockBytes), "a block is closed when it is this large"},
			{"block_commands", "commands", 1, journal.BlockCommandsMax, int64(s.BlockCommands), "in one block"},
			{"pipeline", "blocks", 1, 64, int64(s.Pipeline), "on their way to the disk at once"},
			{"hot_actors", "actors", 1, 1 << 28, int64(s.HotActors), "states in memory"},
			{"hydrations", "actors", 1, 1 << 16, int64(s.Hydrations), "brought back to memory at once"},
			{"heartbeat_ms", "ms", 5, 60_000, heartbeatMs, "between a leader's heartbeats; one that is silent for ten to twenty of them is replaced"},
			{"feeds", "followers", 1, 1 << 12, int64(s.Feeds), "of its applied blocks: views and what else derives from them"},
			{"mailbox_commands", "commands", 1, 1 << 24, int64(s.MailboxCommands), "taken in and not answered"},
			{"mailbox_bytes", "bytes", core.CommandBytesMax, 64 * gib, int64(s.MailboxBytes), "of their payloads"},
			{"sessions", "sessions", 1, 1 << 24, int64(s.Sessions.Sessions), "of clients, remembered at once"},
			{"session_answers", "answers", 1, 1 << 20, int64(s.Sessions.Window), "remembered per session above its floor"},
			{"checkpoint_bytes", "bytes", 16 * kib, 1024 * gib, s.CheckpointBytes, "of journal between checkpoints of the derived state"},
			{"compact_keep_bytes", "bytes", 0, 1024 * 1024 * gib, s.CompactKeep, "of journal kept when compacting; 0: all of it"},
		}},
		{kind: Gateway, countMax: 1, needs: []Kind{Shard}, limits: []Limit{
			{"pending_commands", "commands", 1, 1 << 24, int64(g.PendingMax), "under way"},
			{"pending_bytes", "bytes", core.FrameBytesMax, 64 * gib, int64(g.PendingBytes), "of their payloads"},
			{"resend_base_ms", "ms", 1, 60_000, ms(g.ResendBase), "before the second attempt; doubled for each further one"},
			{"resend_max_ms", "ms", 1, 600_000, ms(g.ResendMax), "between two attempts"},
			{"silence_ms", "ms", 1, 600_000, ms(g.Silence), "of a replica that was asked, before another one of its shard is"},
			{"deadline_ms", "ms", 1, 3_600_000, ms(g.Deadline), "after which the answer is unknown"},
		}},
		{kind: Query, countMax: 1, optional: true, needs: []Kind{Gateway}, limits: []Limit{
			{"statements", "statements", 1, 1 << 16, int64(q.Statements), "of SQL at once, of all clients"},
			{"subscriptions", "subscriptions", 1, 1 << 16, int64(q.Subscriptions), "of these"},
			{"scans", "scans", 1, 64, int64(q.Scans), "of the journals at once; each follows all shards (their limit feeds)"},
			{"memory_bytes", "bytes", 64 * kib, 64 * gib, int64(q.MemoryBytes), "that one statement, or one kept view, may hold"},
			{"inbox_bytes", "bytes", 64 * kib, 16 * gib, int64(q.InboxBytes), "of blocks that wait for one view or subscription"},
			{"window_bytes", "bytes", 4 * kib, 64 * mib, int64(q.WindowBytes), "of an answer under way to one client"},
			{"checkpoint_bytes", "bytes", 16 * kib, 1024 * gib, int64(q.CheckpointBytes), "of blocks between two checkpoints of the views that are kept"},
			{"feed_window_bytes", "bytes", 4 * kib, core.FeedWindowMax, int64(q.FeedWindow), "of each shard's blocks under way, for the live feed and for each scan"},
			{"wait_ms", "ms", 1, 3_600_000, ms(q.Wait), "for a cut; then a statement is refused"},
			{"idle_ms", "ms", 1000, 3_600_000, ms(q.Idle), "a client that says nothing for so long is given up"},
			{"ahead_ms", "ms", 0, 3_600_000, int64(q.Ahead) / 1e6, "a time farther ahead of the clock is not waited for"},
		}},
		{kind: Worker, countMax: query.WorkersMax, optional: true, needs: []Kind{Query}, limits: []Limit{
			{"statements", "parts", 1, 1 << 16, int64(q.Statements), "of queries at once"},
			{"scans", "scans", 1, 64, int64(q.Scans), "of its shards' journals at once (their limit feeds)"},
			{"memory_bytes", "bytes", 64 * kib, 64 * gib, int64(q.MemoryBytes), "that one part may hold"},
			{"feed_window_bytes", "bytes", 4 * kib, core.FeedWindowMax, int64(q.FeedWindow), "of each shard's blocks under way, for each scan"},
		}},
		{kind: Listener, countMax: 1, needs: []Kind{Gateway}, limits: []Limit{
			{"connections", "connections", 1, 1 << 20, 4096, "at once"},
			{"connections_per_client", "connections", 1, 1 << 20, 64, "of one identity"},
		}},
	}
}()

func specOf(kind Kind) *spec {
	for _, s := range specs {
		if s.kind == kind {
			return s
		}
	}
	return nil
}

// Limits lists what a process of a kind may be told.
func Limits(kind Kind) []Limit {
	if s := specOf(kind); s != nil {
		return s.limits
	}
	return nil
}

func (s *spec) limit(name string) *Limit {
	for i := range s.limits {
		if s.limits[i].Name == name {
			return &s.limits[i]
		}
	}
	return nil
}

func kindNames() []string {
	var names []string
	for _, s := range specs {
		names = append(names, string(s.kind))
	}
	return names
}

const (
	processesMax = 256 // of a network's
	urlBytesMax  = 2048
)

// checkProcess looks at one process, and fills in its defaults.
func checkProcess(p *Process, list map[string]*Process, wrong *problems) {
	place := "processes." + p.Name
	if !core.ValidTypeName(p.Name) {
		wrong.add(place, "a name has 1 to %d of a-z 0-9 . _ -, starting with a letter", core.TypeNameBytesMax)
	}
	checkNeeds(p, place, list, wrong)
	s := specOf(p.Kind)
	if s == nil {
		wrong.add(place+".kind", "%.60q: want one of %s", string(p.Kind), strings.Join(kindNames(), ", "))
		return
	}
	if p.Count < 1 || p.Count > s.countMax {
		wrong.add(place+".count", "%d: want 1 to %d", p.Count, s.countMax)
	}
	switch {
	case len(s.backends) == 0 && p.Backend != "":
		wrong.add(place+".backend", "a %s has no backend: drop it", p.Kind)
	case len(s.backends) > 0 && p.Backend == "":
		p.Backend = s.backends[0]
	case len(s.backends) > 0 && !slices.Contains(s.backends, p.Backend):
		wrong.add(place+".backend", "%.60q: want one of %s", p.Backend, strings.Join(s.backends, ", "))
	}
	switch {
	case p.Backend == "postgres" && p.URL == "":
		wrong.add(place+".url", "postgres needs one, such as postgres://user@host/database; the password is taken from PGPASSWORD or ~/.pgpass")
	case p.Backend != "postgres" && p.URL != "":
		wrong.add(place+".url", "only postgres has one: drop it")
	case len(p.URL) > urlBytesMax:
		wrong.add(place+".url", "%d bytes, the limit is %d", len(p.URL), urlBytesMax)
	}
	given := p.Limits
	p.Limits = make(map[string]int64, len(s.limits))
	for _, l := range s.limits {
		p.Limits[l.Name] = l.Default
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		l, v := s.limit(name), given[name]
		switch {
		case l == nil:
			wrong.add(place+".limits."+name, "a %s has no such limit%s", p.Kind, meant(name, p.Limits))
		case v < l.Min || v > l.Max:
			wrong.add(place+".limits."+name, "%d: want %d to %d %s", v, l.Min, l.Max, l.Unit)
		default:
			p.Limits[name] = v
		}
	}
}

func meant[V any](wrong string, known map[string]V) string {
	if name := nearest(wrong, slices.Sorted(maps.Keys(known))); name != "" {
		return ": did you mean " + name + "?"
	}
	return ""
}

func checkNeeds(p *Process, place string, list map[string]*Process, wrong *problems) {
	p.Needs = slices.Clone(p.Needs)
	slices.Sort(p.Needs)
	for i, need := range p.Needs {
		switch {
		case i > 0 && p.Needs[i-1] == need:
			wrong.add(place+".needs", "%.60q stands twice", need)
		case need == p.Name:
			wrong.add(place+".needs", "a process cannot need itself")
		case list[need] == nil:
			wrong.add(place+".needs", "there is no process %.60q%s", need, meant(need, list))
		}
	}
}

// checkKinds demands one process of each kind, and that each needs what its kind
// does, directly or not.
func checkKinds(names []string, list map[string]*Process, wrong *problems) {
	if len(names) > processesMax {
		wrong.add("processes", "%d of them, the limit is %d", len(names), processesMax)
	}
	of := make(map[Kind]string)
	for _, name := range names {
		p := list[name]
		switch first, twice := of[p.Kind]; {
		case specOf(p.Kind) == nil:
		case twice:
			wrong.add("processes."+name, "%s is a %s already, and a node has one: give it a count instead", first, p.Kind)
		default:
			of[p.Kind] = name
		}
	}
	for _, s := range specs {
		name := of[s.kind]
		if name == "" && s.optional {
			continue
		}
		if name == "" {
			wrong.add("processes", "there is no %s", s.kind)
			continue
		}
		for _, kind := range s.needs {
			if need := of[kind]; need != "" && !reaches(list, name, need, map[string]bool{}) {
				wrong.add("processes."+name+".needs", "a %s needs a %s: add %s", s.kind, kind, need)
			}
		}
	}
}

func reaches(list map[string]*Process, from, to string, seen map[string]bool) bool {
	if list[from] == nil || seen[from] {
		return false
	}
	seen[from] = true
	for _, need := range list[from].Needs {
		if need == to || reaches(list, need, to, seen) {
			return true
		}
	}
	return false
}

// ShardConfig is what the network says of its shards. Who and where they are is
// the caller's to fill in.
func (n *Network) ShardConfig() shard.Config {
	c, l := shard.DefaultConfig(), n.The(Shard).Limits
	c.SegmentBytes, c.WindowBytes = l["segment_bytes"], l["window_bytes"]
	c.Writes = int(l["writes"])
	c.BlockBytes, c.BlockCommands = int(l["block_bytes"]), int(l["block_commands"])
	c.Pipeline, c.HotActors, c.Hydrations = int(l["pipeline"]), int(l["hot_actors"]), int(l["hydrations"])
	c.Feeds, c.Tick = int(l["feeds"]), proc.Tick(l["heartbeat_ms"]*1e6)
	c.MailboxCommands, c.MailboxBytes = int(l["mailbox_commands"]), int(l["mailbox_bytes"])
	c.Sessions.Sessions, c.Sessions.Window = int(l["sessions"]), int(l["session_answers"])
	c.CheckpointBytes, c.CompactKeep = l["checkpoint_bytes"], l["compact_keep_bytes"]
	return c
}

// GatewayConfig is what the network says of its gateway.
func (n *Network) GatewayConfig() gateway.Config {
	c, l := gateway.DefaultConfig(), n.The(Gateway).Limits
	c.PendingMax, c.PendingBytes = int(l["pending_commands"]), int(l["pending_bytes"])
	c.ResendBase, c.ResendMax = proc.Tick(l["resend_base_ms"]*1e6), proc.Tick(l["resend_max_ms"]*1e6)
	c.Silence, c.Deadline = proc.Tick(l["silence_ms"]*1e6), proc.Tick(l["deadline_ms"]*1e6)
	return c
}

// QueryLimits is what the network says of its query process.
func (n *Network) QueryLimits() query.Limits {
	c, l := query.DefaultLimits(), n.The(Query).Limits
	c.Statements, c.Subscriptions, c.Scans = int(l["statements"]), int(l["subscriptions"]), int(l["scans"])
	c.MemoryBytes, c.InboxBytes, c.WindowBytes = int(l["memory_bytes"]), int(l["inbox_bytes"]), int(l["window_bytes"])
	c.FeedWindow, c.CheckpointBytes = int(l["feed_window_bytes"]), int(l["checkpoint_bytes"])
	c.Wait, c.Idle, c.Ahead = proc.Tick(l["wait_ms"]*1e6), proc.Tick(l["idle_ms"]*1e6), core.Timestamp(l["ahead_ms"]*1e6)
	return c
}

// WorkerLimits is what the network says of its workers.
func (n *Network) WorkerLimits() query.Limits {
	c, l := query.DefaultLimits(), n.The(Worker).Limits
	c.Statements, c.Scans = int(l["statements"]), int(l["scans"])
	c.Subscriptions = min(c.Subscriptions, c.Statements)
	c.MemoryBytes, c.FeedWindow = int(l["memory_bytes"]), int(l["feed_window_bytes"])
	return c
}

// checkSizes finds limits that do not go together.
func (n *Network) checkSizes(wrong *problems) {
	s, kv := n.The(Shard), n.The(KV)
	if 4*s.Limits["block_bytes"] > s.Limits["segment_bytes"] {
		wrong.add("processes."+s.Name+".limits.block_bytes", "%d: want at most a quarter of segment_bytes, %d", s.Limits["block_bytes"], s.Limits["segment_bytes"])
	}
	if kv.Backend == "memory" && s.Limits["compact_keep_bytes"] > 0 {
		wrong.add("processes."+kv.Name+".backend", "what is compacted away lives in the kv alone, and this one forgets: take pebble, or set compact_keep_bytes to 0")
	}
	if n.Has(Query) {
		if q := n.The(Query); q.Limits["subscriptions"] > q.Limits["statements"] {
			wrong.add("processes."+q.Name+".limits.subscriptions", "%d: want at most statements, %d", q.Limits["subscriptions"], q.Limits["statements"])
		}
	}
	g := n.The(Gateway)
	if base := g.Limits["resend_base_ms"]; g.Limits["resend_max_ms"] < base || g.Limits["deadline_ms"] < base {
		wrong.add("processes."+g.Name+".limits.resend_base_ms", "%d: want at most resend_max_ms, %d, and deadline_ms, %d", base, g.Limits["resend_max_ms"], g.Limits["deadline_ms"])
	}
}
