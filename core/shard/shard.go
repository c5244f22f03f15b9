// Package shard is one replica of a shard: a Raft group around a journal and
// the actors whose slots it owns. It is a process (see core/proc).
//
// A command passes through these files in order:
//
//	mailbox.go   it arrives in a frame, is checked at the door and queued
//	decide.go    it is deduplicated, decided in the actor's head state and put
//	             into a block, which is proposed to Raft
//	raft.go      the block becomes durable on a quorum and is committed
//	apply.go     the block takes effect; only now is anyone told
//
// A read that may be older passes by fresh.go, on any replica;
// and beside them hydrate.go brings a cold actor's state back, feed.go sends the
// applied blocks to those who derive something from them, lease.go closes times
// for cuts, checkpoint.go stores derived state and compacts the log, recover.go
// starts an incarnation.
//
// # The speculative overlay
//
// Commands are decided ahead of durability, block after block, in a pipeline. An
// actor in memory has one state, its head, which includes what is decided but
// not committed; its durable sequence stands beside it. If blocks come to
// nothing (a void block, a lost term) every actor they touched is dropped from
// memory and hydrated again from what is durable, so that memory is as it was.
//
// # Invariants
//
//	H1  Nothing is answered, shown to a read or stored in the KV before the block
//	    that holds it is committed and applied.
//	H2  A block takes effect only if it extends the applied chain and was
//	    decided under the applied epochs; otherwise every replica skips it.
//	H3  An actor's events have consecutive sequences, whatever was compacted.
//	H4  The state of an actor is the fold of its durable events plus those of
//	    blocks in flight.
//	H5  Every queue has a limit, and what exceeds it is refused at the door.
//	H6  A fault of the truth halts the node with the place of the damage.
package shard

import (
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/raft/v3"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/core/seal"
	"actordb/net/wire"
)

// Config of a shard replica. Start from DefaultConfig.
type Config struct {
	Shard     core.ShardID
	Cluster   [16]byte
	Replica   uint64   // Raft id, not 0
	Voters    []uint64 // Raft ids of the group
	Placement *Placement
	Kinds     []actor.Kind // instances of this shard's own

	// Locate says where a replica runs that came to its group after the placement was
	// made, and under which identity: of the three alone, the same for ever. nil: groups
	// do not change.
	Locate Locator

	// TrustedPeers is the prefix of the identities whose frames may carry
	// commands on behalf of other principals: the cluster's own gateways.
	TrustedPeers string
	// Operators may raise fences.
	Operators []core.Principal
	// Secret feeds the salts of personal columns.
	Secret [32]byte

	Tick            proc.Tick // between heartbeats; a leader that is silent for ten is replaced
	SegmentBytes    int64
	WindowBytes     int64
	Writes          int // of the journal, under way at once
	Sessions        actor.SessionLimits
	MailboxCommands int   // taken in and not answered: queued, parked, in flight
	MailboxBytes    int   // of their payloads
	BlockCommands   int   // commands per block
	MessageBytes    int   // of entries in one message to another replica, which has one at least
	BlockBytes      int   // a block is closed when it is this large
	Pipeline        int   // blocks in flight
	HotActors       int   // states in memory
	Hydrations      int   // under way at once
	HistoryBytes    int   // of one History answer, which has one event at least
	Feeds           int   // followers of the applied blocks
	CheckpointBytes int64 // of journal between checkpoints of the derived state
	CompactKeep     int64 // bytes of journal to keep when compacting; 0: never compact

	// Fresh says that the replica may have begun with an empty journal: its group is
	// new. Otherwise one whose journal is gone has forgotten what it promised.
	Fresh bool
	// OnOpen is told, in each life once, that the journal is open and durable, before
	// the replica promises anything to others; nil: nobody is.
	OnOpen func()

	// Speaks are the versions of the program; zero: all that core.Spoken has. Less, for
	// a program of an earlier release, in simulation.
	Speaks core.Versions
	// OnVersion is told which version the log has once that is greater than the first: in
	// each life, and whenever it is raised; nil: nobody is.
	OnVersion func(core.Version)

	// OnDamage is told of each damage of the journal that other replicas are asked to
	// mend. For checkers; nil in production.
	OnDamage func(journal.Damage)
	// BeforeRaft, in simulation only, points Raft's one source of entropy at the
	// replica's own stream. Nil in production.
	BeforeRaft func()
	// Tap sees every entry that is applied, in order. For checkers; nil in
	// production. The block is its own only during the call.
	Tap func(Applied)
	// Watch sees what the replica does as a member of its group. For checkers.
	Watch func(Watched)
	// OnHydrate sees every state that is brought back to memory. For checkers.
	OnHydrate func(Hydrated)
}

// Hydrated is what OnHydrate sees. State is encoded as the kind does.
type Hydrated struct {
	Actor    core.ActorID
	Snapshot core.Seq // of the stored state that it began with, 0 for none
	Seq      core.Seq
	State    []byte
}

// Applied is what a Tap sees.
type Applied struct {
	Shard     core.ShardID
	Index     core.Index
	Term      core.Term
	Timestamp core.Timestamp
	Void      bool
	Restored  bool // not an entry: a checkpoint at Index was loaded instead of all before it
	Block     *journal.Block
}

// DefaultConfig is for a machine of a few cores and an SSD.
func DefaultConfig() Config {
	return Config{
		Replica: 1, Voters: []uint64{1}, Tick: raftTick,
		SegmentBytes: 64 << 20, WindowBytes: 16 << 20, Writes: journal.DefaultWrites,
		Sessions:        actor.SessionLimits{Sessions: 1 << 16, Window: 1 << 10},
		MailboxCommands: 1 << 15, MailboxBytes: 64 << 20,
		BlockCommands: 4096, BlockBytes: 1 << 20, Pipeline: 4, MessageBytes: 1 << 20,
		HotActors: 1 << 16, Hydrations: 64, HistoryBytes: 256 << 10, Feeds: 64,
		CheckpointBytes: 64 << 20,
	}
}

// Validate reports the first thing wrong with c.
func (c *Config) Validate() error {
	check := func(ok bool, format string, args ...any) error {
		if ok {
			return nil
		}
		return fmt.Errorf("shard %d: %s", c.Shard, fmt.Sprintf(format, args...))
	}
	for _, err := range []error{
		check(c.Replica != 0, "the replica id must not be 0"),
		check(c.Tick > 0, "ticks must take time"),
		check(c.Speaks == (core.Versions{}) || c.Speaks.Has(core.VersionMin) && core.Spoken().Has(c.Speaks.High), "%s spoken, there are %s", c.Speaks, core.Spoken()),
		check(c.Placement != nil && int(c.Shard) < c.Placement.Shards() && (c.Locate != nil || find(c.Placement.Group(c.Shard), c.Replica) != nil), "no placement, or one without this replica"),
		check(len(c.Kinds) > 0, "no actor types"),
		check(c.Sessions.Sessions > 0 && c.Sessions.Window > 0, "session limits must be positive"),
		check(c.MailboxCommands > 0 && c.MailboxBytes > 0, "mailbox limits must be positive"),
		check(c.BlockCommands > 0 && c.BlockCommands <= journal.BlockCommandsMax, "commands per block: want 1 to %d", journal.BlockCommandsMax),
		check(c.BlockBytes > 0 && c.BlockBytes <= journal.BlockBytesMax/2, "bytes per block: want 1 to %d", journal.BlockBytesMax/2),
		check(4*int64(c.BlockBytes) <= c.SegmentBytes, "blocks of %d bytes: want at most a quarter of a segment of %d", c.BlockBytes, c.SegmentBytes),
		check(c.Pipeline > 0 && c.Pipeline <= 64, "pipeline of %d blocks: want 1 to 64", c.Pipeline),
		check(c.HotActors > 0 && c.Hydrations > 0, "limits of hot actors and hydrations must be positive"),
		check(c.MessageBytes > 0 && c.MessageBytes <= core.FrameBytesMax/4, "bytes of entries in a message: want 1 to %d", core.FrameBytesMax/4),
		check(c.HistoryBytes > 0 && c.HistoryBytes <= core.FrameBytesMax/4, "bytes of a page of history: want 1 to %d", core.FrameBytesMax/4),
		check(c.Feeds > 0, "the limit of followers must be positive"),
		check(c.CheckpointBytes > 0, "checkpoint interval must be positive"),
		check(c.CompactKeep >= 0, "negative bytes to keep"),
	} {
		if err != nil {
			return err
		}
	}
	j := c.journal()
	return j.Validate()
}

func (c *Config) journal() journal.Config {
	return journal.Config{
		Identity:     journal.Identity{Cluster: c.Cluster, Shard: c.Shard, Replica: c.Replica, Voters: c.Voters},
		SegmentBytes: c.SegmentBytes, WindowBytes: c.WindowBytes, Writes: c.Writes, Tokens: tokenJournal,
		Peers: len(c.Voters) > 1, Fresh: c.Fresh,
	}
}

// Tokens of the shard's effects.
const (
	tokenJournal    proc.Token = 0
	tokenLoad       proc.Token = journal.TokenSpace + iota // KV: recovery
	tokenApply                                             // KV: the batch of a checkpoint
	tokenCheckpoint                                        // KV: the flush that ends a checkpoint
	tokenSnapshot                                          // KV: a snapshot on its way
	tokenGive                                              // KV: state for another replica
	tokenFetch                                             // KV: state of another replica
	tokenFetchApply                                        // KV: likewise, before a flush
	tokenRepair                                            // files: the journal is mended
	tokenBase                                              // KV: state for another shard
	tokenWalk       proc.Token = 2 * journal.TokenSpace    // files and KV: walks, counted up
)

// Timers of the shard.
const (
	timerRaft  proc.TimerID = iota + 1 // Raft's tick
	timerIdle                          // vouch for the journal's tail
	timerSpace                         // ask for disk space again
	timerMove                          // what the source of a move sends is late
)

const (
	raftTick    = proc.Tick(100e6) // see Config.Tick
	idleAfter   = proc.Tick(5e6)   // no append for so long: vouch
	spaceRetry  = proc.Tick(200e6)
	reuseAnswer = 16 << 10
)

const (
	markDuplicate      proc.Mark = "shard.duplicate-answered"
	markInFlight       proc.Mark = "shard.duplicate-in-flight"
	markOverload       proc.Mark = "shard.mailbox-full"
	markVoid           proc.Mark = "shard.block-void"
	markRedecide       proc.Mark = "shard.commands-decided-again"
	markFence          proc.Mark = "shard.fence-applied"
	markHydrate        proc.Mark = "shard.actor-hydrated"
	markFromSnapshot   proc.Mark = "shard.hydrated-from-snapshot"
	markFromLight      proc.Mark = "shard.hydrated-from-light-state"
	markPassivate      proc.Mark = "shard.actor-passivated"
	markSnapshot       proc.Mark = "shard.snapshot-stored"
	markPrune          proc.Mark = "shard.snapshot-pruned"
	markCheckpoint     proc.Mark = "shard.checkpoint-durable"
	markForceSnapshot  proc.Mark = "shard.snapshot-for-compaction"
	markExpired        proc.Mark = "shard.session-expired"
	markReplay         proc.Mark = "shard.journal-replayed"
	markFromCheckpoint proc.Mark = "shard.recovered-from-checkpoint"
	markDiskFull       proc.Mark = "shard.refused-for-space"
	markRefused        proc.Mark = "shard.refusal-recorded"
	markBadFrame       proc.Mark = "shard.bad-frame"
	markHistory        proc.Mark = "shard.history-read"
	markResumed        proc.Mark = "shard.history-resumed"
	markNoPeer         proc.Mark = "shard.message-to-nowhere"
	markNotPeer        proc.Mark = "shard.frame-from-no-peer"
	markGive           proc.Mark = "shard.state-given"
	markFetch          proc.Mark = "shard.state-being-fetched"
	markFetched        proc.Mark = "shard.state-fetched"
	markRepair         proc.Mark = "shard.journal-repair-begun"
	markMended         proc.Mark = "shard.journal-mended"
	markVoidJournal    proc.Mark = "shard.journal-made-void"
	markAbstained      proc.Mark = "shard.vote-withheld"
	markYield          proc.Mark = "shard.leader-yields-for-forgetful"
	markToldLeader     proc.Mark = "shard.leader-told-to-who-asked-before"
)

// Marks lists the places of this package that tests want reached.
func Marks() []proc.Mark {
	return []proc.Mark{markDuplicate, markInFlight, markOverload, markVoid, markRedecide, markFence, markHydrate,
		markFromSnapshot, markFromLight, markPassivate, markSnapshot, markPrune, markCheckpoint, markForceSnapshot,
		markExpired, markReplay, markFromCheckpoint, markDiskFull, markRefused, markBadFrame, markHistory, markResumed,
		markNoPeer, markNotPeer, markGive, markFetch, markFetched, markRepair, markMended, markVoidJournal, markAbstained, markYield, markToldLeader,
		markLease, markFeedLive, markFeedRead, markFeedGone, markFeedRefused,
		markOffer, markStalePlan, markAdopt, markImport, markBase, markHand, markHandUnread, markOwned, markDrop, markMoved,
		markNotFresh, markFreshWait, markReadHere, markInquiry, markStaleReply,
		markUpgrade, markNotAll, markTooOld, markVersionTwo,
		markRegrouped, markRemoved, markStranger, markPromote, markCatching, markHandOver}
}

// kind is an actor type with its policy at hand.
type kind struct {
	actor.Kind
	policy actor.Policy
	number uint16 // in the shard's list
}

// kindOf is the type of an actor, or nil.
func (s *Shard) kindOf(id core.ActorID) *kind {
	name := id.Type()
	if s.usual == nil || s.usual.Name() != name {
		k := s.kinds[name]
		if k == nil {
			return nil
		}
		s.usual = k
	}
	return s.usual
}

type phase uint8

const (
	phaseNew phase = iota
	phaseJournal
	phaseCheckpoint
	phaseReplay
	phaseServing
)

// A Shard is one replica. It implements proc.Process.
type Shard struct {
	cfg      Config
	env      proc.Env
	kinds    map[string]*kind
	kindList []*kind
	usual    *kind // looked up last: commands come in runs of one type

	now   proc.Now      // of the present step
	out   *proc.Effects // of the present step
	phase phase
	load  loading

	journal     *journal.Log
	node        *raft.RawNode
	leading     bool // this term's own entry is applied: all before it is known
	term        core.Term
	leader      bool
	lead        uint64 // who leads as far as this replica knows, or 0
	eager       bool   // to stand for election at once
	peers       []*peer
	roster      Roster
	voters      []uint64 // of both halves of a joint configuration, ascending
	behind      bool     // what is committed is not applied yet: state is fetched, or entries are read
	give        giving
	fetching    fetching
	repairing   repairing
	poll        poll
	remembering remembering
	storedTo    core.Index // this replica last acknowledged this
	storedIn    core.Term  // in this term
	handed      core.Index // the last entry that Raft said is committed
	anew        uint64     // the append with which the journal last began anew
	ticks       int
	appends     []appended

	// Applied state.
	applied     core.Index
	chain       seal.Hash
	clock       core.Timestamp
	slotEpoch   core.Epoch
	policyEpoch core.Epoch
	catalog     core.Epoch
	version     core.Version   // that the next block is written in
	lease       core.Timestamp // later leaders stamp later
	unread      core.Index     // of entries up to here it is not known which are void
	voids       []core.Index   // applied entries without effect, ascending, since the log's floor
	sessions    *actor.Sessions
	actors      directory
	slots       Holding

	// Moves of slots, as the leader carries them out.
	taking   *taking
	atlas    *Atlas                  // of the other shards
	adopts   map[core.Epoch]*courier // by offer
	releases courier
	base     courier
	asking   *baseAsk

	// The overlay.
	flights     []*flight
	idleFlights []*flight
	building    *flight
	headChain   seal.Hash
	headClock   core.Timestamp
	promised    core.Timestamp // closed by this leader: it stamps later
	builder     *journal.Builder
	parsed      journal.Block // of the entry at hand
	lightBytes  int           // of states that the block being built will carry
	decision    actor.Decision
	scratch     []byte
	ahead       []uint32 // see lookAhead
	aheadSum    core.Seq

	mailbox mailbox
	spare   []*pending
	parked  int    // commands that left the mailbox and are not answered
	waiting int    // of these, waiting for hydrations
	reads   []read // to be confirmed with the next question
	asked   round
	readSeq uint64

	horizon   horizon
	waits     []*pending // reads that wait for it, by their arrival
	inquirers []inquirer // of replicas that wait for theirs

	walks    []*walk
	walkNext proc.Token
	memory   warmth
	pages    [pagesKept]page
	pageAt   int
	feeds    []*feed
	wanted   []*hot // to be hydrated when there is a place
	starting bool   // hydrations of wanted

	checkpoint checkpointing
	answered   [core.Unknown + 1]uint64 // by status, since the beginning
	reading    uint64                   // of these, reads
	events     uint64                   // applied
	blocks     uint64                   // applied
	voided     uint64                   // blocks without effect
	answers    []outbound
	askers     []asker
	lastAppend proc.Tick
	idleArmed  bool
	spaceArmed bool
	salter     seal.Salter
}

// peersKept is for how many peers a writer is kept from step to step: it
// remembers how large a frame usually gets.
const peersKept = 64

// outbound collects the answers to one peer within a step.
type outbound struct {
	to     proc.Addr
	writer wire.Writer
}

// New makes an incarnation. The config must be valid.
func New(cfg Config, env proc.Env) *Shard {
	core.Assert(cfg.Validate() == nil, "invalid config: %v", cfg.Validate())
	s := &Shard{
		cfg: cfg, env: env, kinds: make(map[string]*kind),
		journal:  journal.New(cfg.journal()),
		sessions: actor.NewSessions(cfg.Sessions),
		actors:   newDirectory(),
		salter:   seal.Salter{Secret: cfg.Secret},
		walkNext: tokenWalk,
		peers:    peersOf(&cfg),
		roster:   placed(cfg.Shard, cfg.Placement.Group(cfg.Shard)),
		voters:   slices.Sorted(slices.Values(cfg.Voters)),
		horizon:  horizon{asOf: longAgo},
		version:  core.VersionMin,
	}
	s.slots.placement = cfg.Placement
	s.atlas = NewAtlas(cfg.Placement, cfg.Locate)
	s.builder = journal.NewBuilder(&s.salter)
	for _, k := range cfg.Kinds {
		k := &kind{Kind: k, policy: k.Policy(), number: uint16(len(s.kindList))}
		s.kinds[k.Name()], s.kindList = k, append(s.kindList, k)
	}
	return s
}

// Step implements proc.Process.
func (s *Shard) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	s.now, s.out = now, out
	if s.cfg.BeforeRaft != nil {
		s.cfg.BeforeRaft()
	}
	switch in.Kind {
	case proc.Start:
		s.start()
	case proc.Message:
		if kind := wire.KindOf(in.Frame); kind == wire.Peers || kind == wire.Transfers {
			s.fromPeer(&in)
		} else {
			s.receive(&in)
		}
	case proc.Reset:
		s.unreachable(in.From)
	case proc.Timer:
		s.timer(in.Timer)
	case proc.FileDone:
		switch {
		case in.Token == tokenRepair:
			s.repairDone(in.File)
		case in.Token >= tokenWalk:
			s.walkRead(in.Token, in.File)
			s.feedRead(in.Token, in.File)
		default:
			s.journal.Done(in.Token, in.File, out)
		}
	case proc.KVDone:
		s.kvDone(in.Token, in.KV)
	}
	if out.Fault == nil {
		s.progress()
	}
	if out.Fault == nil {
		s.sendAnswers()
		s.sendPeers()
	}
	s.out = nil
}

// progress does everything that can be done without waiting.
func (s *Shard) progress() {
	if s.phase != phaseServing {
		s.recover()
		if s.phase != phaseServing {
			return
		}
	}
	for s.out.Fault == nil {
		s.drainRaft()
		if s.behind && s.out.Fault == nil {
			s.catchUp()
		}
		if s.out.Fault != nil || !s.pump() && !s.attend() {
			break
		}
	}
	core.Assert(s.waiting == 0 || len(s.walks) > 0 || s.out.Fault != nil, "%d commands wait for hydrations that nobody does", s.waiting)
	s.movesOn()
	s.confirmReads()
	s.tellLeader()
	if s.journal.Forgotten() && s.remembers() {
		s.journal.Remember(s.out)
	}
	s.feedAll()
	s.advanceCheckpoint()
	s.serve()
	s.passivate()
	s.watchSpace() // an append may wait for it though nobody asks for room
}

func (s *Shard) timer(id proc.TimerID) {
	switch id {
	case timerRaft:
		s.out.SetTimer(timerRaft, s.nextTick())
		if s.node == nil {
			s.repairing.wait++
			s.repairOn()
			return
		}
		if !s.journal.Forgotten() {
			s.node.Tick()
		}
		s.tickPeers()
		s.moveTick()
		s.freshTick()
		if s.eager {
			s.eager = false
			if err := s.node.Campaign(); err != nil {
				s.halt(err)
			}
		}
	case timerIdle:
		s.idleArmed = false
		if wait := s.lastAppend + idleAfter; s.now.Mono < wait {
			s.armIdle(wait)
			return
		}
		if s.phase == phaseServing {
			s.journal.Idle(s.out)
		}
	case timerMove:
		if t := s.taking; t != nil && t.feed != nil {
			t.feed.Timer(s.now, s.out)
		}
	case timerSpace:
		s.spaceArmed = false
		s.journal.RetrySpace(s.out)
		s.watchSpace()
	}
}

func (s *Shard) armIdle(at proc.Tick) {
	if !s.idleArmed {
		s.idleArmed = true
		s.out.SetTimer(timerIdle, at)
	}
}

// watchSpace asks for disk space again as long as there is none.
func (s *Shard) watchSpace() {
	if s.journal.Full() && !s.spaceArmed {
		s.spaceArmed = true
		s.out.SetTimer(timerSpace, s.now.Mono+spaceRetry)
	}
}

// halt stops the node: the truth or the store beneath it failed.
func (s *Shard) halt(err error) {
	s.out.Halt(fmt.Errorf("shard %d: %w", s.cfg.Shard, err))
}

func (s *Shard) answer(to proc.Addr, a *core.Answer) {
	s.answered[a.Status]++
	if !a.Kind.Changes() {
		s.reading++
	}
	for i := range s.answers {
		if s.answers[i].to == to {
			o := &s.answers[i]
			if o.writer.Count() >= core.FrameCommandsMax || o.writer.Count() > 0 && o.writer.Bytes()+len(a.State) > core.FrameBytesMax/2 {
				s.out.Send(to, o.writer.Finish(wire.Answers))
			}
			o.writer.Answer(a)
			return
		}
	}
	s.answers = append(s.answers, outbound{to: to})
	s.answers[len(s.answers)-1].writer.Answer(a)
}

func (s *Shard) sendAnswers() {
	for i := range s.answers {
		if o := &s.answers[i]; o.writer.Count() > 0 {
			s.out.Send(o.to, o.writer.Finish(wire.Answers))
		}
	}
	if len(s.answers) > peersKept {
		clear(s.answers)
		s.answers = s.answers[:0]
	}
}

// Queues implements proc.Gauged.
func (s *Shard) Queues(dst []proc.Queue) []proc.Queue {
	return append(dst,
		proc.Queue{Name: "shard.mailbox", Len: s.mailbox.len() + s.parked, Limit: s.cfg.MailboxCommands},
		proc.Queue{Name: "shard.mailbox-bytes", Len: s.mailbox.bytes, Limit: s.cfg.MailboxBytes},
		proc.Queue{Name: "shard.flights", Len: len(s.flights), Limit: s.cfg.Pipeline},
		proc.Queue{Name: "shard.sessions", Len: s.sessions.Len(), Limit: s.cfg.Sessions.Sessions},
		proc.Queue{Name: "shard.walks", Len: len(s.walks), Limit: s.cfg.Hydrations + 1},
		proc.Queue{Name: "shard.feeds", Len: len(s.feeds), Limit: s.cfg.Feeds},
	)
}

// Counters implements proc.Counted.
func (s *Shard) Counters(dst []proc.Counter) []proc.Counter {
	return append(dst,
		proc.Counter{Name: "commands.accepted", Value: s.answered[core.Accepted]},
		proc.Counter{Name: "commands.refused", Value: s.answered[core.Refused]},
		proc.Counter{Name: "commands.refused-at-door", Value: s.answered[core.RefusedAtDoor]},
		proc.Counter{Name: "commands.unknown", Value: s.answered[core.Unknown]},
		proc.Counter{Name: "commands.reads", Value: s.reading},
		proc.Counter{Name: "journal.events", Value: s.events},
		proc.Counter{Name: "journal.blocks", Value: s.blocks},
		proc.Counter{Name: "journal.blocks-void", Value: s.voided},
	)
}

func (s *Shard) trusted(peer string) bool { return strings.HasPrefix(peer, s.cfg.TrustedPeers) }

func (s *Shard) operator(p core.Principal) bool {
	for _, o := range s.cfg.Operators {
		if o == p {
			return true
		}
	}
	return false
}

// Sound reports whether the replica has all that it should have: a copy for others.
func (s *Shard) Sound() bool {
	return s.phase == phaseServing && !s.behind && !s.journal.Forgotten()
}

// Applied is the last entry that took effect.
func (s *Shard) Applied() core.Index { return s.applied }

// Leading reports whether the replica leads and has caught up with its log.
func (s *Shard) Leading() bool { return s.phase == phaseServing && s.leading }

// Serving reports whether the replica leads, or knows who does.
func (s *Shard) Serving() bool {
	return s.phase == phaseServing && !s.behind && (s.leading || !s.leader && s.lead != 0)
}

// String is one line about where the replica stands, for people.
func (s *Shard) String() string {
	return fmt.Sprintf("shard %d: phase %d leading %t term %d applied %d of %d, %d in flight, mailbox %d + %d parked, %d walks, %d hot of %d actors, %d sessions, journal %s",
		s.cfg.Shard, s.phase, s.leading, s.term, s.applied, s.journal.Last(), len(s.flights), s.mailbox.len(), s.parked,
		len(s.walks), s.memory.count, s.actors.len(), s.sessions.Len(), s.journal)
}
