// Package query is the process that answers SQL: it follows the blocks of all shards
// by push, keeps materialized views, answers queries at cuts, and serves
// subscriptions. A cluster has one on each node, which serves the clients of that
// node's gateway.
//
//	catalog.go   the catalog: an actor whose events are CREATE and DROP
//	live.go      the live feed: blocks and cuts, to the catalog and to all who follow
//	runner.go    a job on its way through the blocks: by a scan, then by the live feed
//	ask.go       a statement from its arrival to its end
//	run.go       what each kind of statement does
//	learn.go     a beginning where journals were compacted
//	define.go    CREATE and DROP, as commands to the catalog's actor
//	promote.go   which projections and queries are kept though nobody said so
//	fan.go       queries that workers compute in parts; a worker is such a process, too
//	saved.go     checkpoints of kept views and of the catalog, for the next start
//	stream.go    replies, as many under way as the client has room for
//
// It keeps nothing that has to survive: what it knows is in the journals, and after a
// restart it reads them again, from its checkpoints on if they are there and whole.
// Clients ask once more then.
//
//	Q1  An answer names its cut, which is at or after the token that the client gave,
//	    the node's clock when it asked, and every system time that it reads as of. It is
//	    the answer over all events committed at or before that cut, under the catalog
//	    as of it; or of the system time, if all its tables are read as of one. A client
//	    may name the cut: all that it asks at one cut is of one state, and now() its time.
//	Q2  A statement waits for its cut without holding up others. Work is done in pieces;
//	    between two of them those that somebody waits for go before batch.
//	Q3  A subscription's steps join: each is the change from the cut of the one before,
//	    or from After for the first, to its own. No event is left out or counted twice,
//	    whatever was restarted: who goes on from a cut gets what was changed since.
//	Q4  Statements, what they hold in memory, what waits for them and what is under way
//	    to their clients are bounded, each by a limit with a SQLSTATE of its own. Who
//	    reads a subscription too slowly is cut off, and can go on from its last step.
//	Q5  Only the cluster's own processes are listened to: the gateway says who asks.
//	Q6  What is computed in parts is the answer that one process would have given: each part
//	    is in it once, or the query is computed anew as a whole.
package query

import (
	"fmt"
	"strings"

	"actordb/core"
	"actordb/core/feed"
	"actordb/core/journal"
	"actordb/core/proc"
	"actordb/core/view"
	"actordb/disk"
	"actordb/net/wire"
)

// Config of a query process.
type Config struct {
	Sources []feed.Source // all shards; the homes that are near come first
	Peers   string        // prefix of the identities of the cluster's own processes
	Gateway proc.Addr     // changes of the catalog go there
	Stored  bool          // the host gives it a KV, for checkpoints
	// Workers are asked for parts of queries: two or more, of which number i of n has each
	// n-th of the shards, from number i on (see PartOf).
	Workers []proc.Addr
	Worker  bool // it is one: Sources are its share
	Limits  Limits
}

// Validate reports what is wrong with c.
func (c *Config) Validate() error {
	if len(c.Workers) > WorkersMax {
		return fmt.Errorf("query: %d workers: want at most %d", len(c.Workers), WorkersMax)
	}
	if c.Gateway == (proc.Addr{}) && !c.Worker {
		return fmt.Errorf("query: no gateway for changes of the catalog")
	}
	if err := c.Limits.Validate(); err != nil {
		return err
	}
	live := c.feedConfig(0)
	return live.Validate()
}

const (
	markScan     proc.Mark = "query.journals-scanned"
	markNoLane   proc.Mark = "query.scan-waits"
	markRetarget proc.Mark = "query.scan-goes-further"
	markHeld     proc.Mark = "query.live-feed-held-back"
	markCutOff   proc.Mark = "query.slow-subscriber-cut-off"
	markGone     proc.Mark = "query.silent-client-given-up"
	markStrange  proc.Mark = "query.unknown-statement"
	markAgain    proc.Mark = "query.replies-sent-again"
	markFull     proc.Mark = "query.too-many-statements"
	markWaited   proc.Mark = "query.cut-waited-for"
	markLate     proc.Mark = "query.cut-not-reached"
	markConflict proc.Mark = "query.catalog-changed-meanwhile"
	markForged   proc.Mark = "query.frame-from-outside"
	markKept     proc.Mark = "query.answer-from-a-kept-view"
	markLookedUp proc.Mark = "query.kept-row-looked-up"
	markResumed  proc.Mark = "query.subscription-resumed"
	markStreams  proc.Mark = "query.answer-sent-while-read"
	markDropped  proc.Mark = "query.subscribed-view-dropped"
	markAnew     proc.Mark = "query.live-feed-begun-anew"
	markPromoted proc.Mark = "query.view-promoted"
	markDemoted  proc.Mark = "query.view-demoted"

	markQueryPromoted proc.Mark = "query.query-promoted"
	markQueryDemoted  proc.Mark = "query.query-demoted"
	markQueryKept     proc.Mark = "query.answer-from-a-promoted-query"
	markQueryDropped  proc.Mark = "query.table-of-a-promoted-query-dropped"

	markFanned   proc.Mark = "query.computed-in-parts"
	markUnfanned proc.Mark = "query.part-given-up"
	markIdlePart proc.Mark = "query.part-not-done-yet"

	markSaved       proc.Mark = "query.view-checkpointed"
	markRestored    proc.Mark = "query.view-resumed-from-a-checkpoint"
	markRefused     proc.Mark = "query.checkpoint-refused"
	markTooLarge    proc.Mark = "query.view-too-large-to-checkpoint"
	markSavedSelf   proc.Mark = "query.position-saved"
	markResumedSelf proc.Mark = "query.live-feed-resumed"
	markStoreFails  proc.Mark = "query.store-fails"
)

// Marks lists the places of this package that tests want reached.
func Marks() []proc.Mark {
	return []proc.Mark{markScan, markNoLane, markRetarget, markHeld, markCutOff, markGone, markStrange, markAgain, markFull, markWaited,
		markLate, markConflict, markForged, markKept, markLookedUp, markResumed, markStreams, markDropped, markPromoted, markDemoted, markAnew,
		markFanned, markUnfanned, markIdlePart, markQueryPromoted, markQueryDemoted, markQueryKept, markQueryDropped,
		markSaved, markRestored, markRefused, markTooLarge, markSavedSelf, markResumedSelf, markStoreFails}
}

const (
	timerLive  proc.TimerID = 1
	timerWork  proc.TimerID = 2
	timerSweep proc.TimerID = 3
	timerLane  proc.TimerID = 16 // and what follows
)

// A Process implements proc.Process.
type Process struct {
	cfg Config
	env proc.Env
	now proc.Now
	out *proc.Effects

	live     *feed.Feed
	failed   error          // of the live feed: nothing can be answered any more
	cut      core.Timestamp // of the live feed: what is at or below it was handed on
	recent   []item         // blocks handed on since then
	begun    core.Timestamp // the clock at the start
	catalogs catalogs
	lanes    []lane
	kept     []*kept
	policy   *view.Policy
	asks     map[wire.AskID]*ask
	order    []*ask // by arrival
	define   define
	learn    learn
	saved    saved
	working  bool // the work timer is set
	sweeping bool
}

// New makes an incarnation. The config must be valid.
func New(cfg Config, env proc.Env) *Process {
	core.Assert(cfg.Validate() == nil, "invalid config: %v", cfg.Validate())
	p := &Process{cfg: cfg, env: env, asks: make(map[wire.AskID]*ask), catalogs: catalogs{empty: view.NewCatalog()},
		saved:  saved{pending: make(map[proc.Token]func(*disk.KVResult)), purging: make(map[string]bool)},
		policy: view.NewPolicy(cfg.Limits.Prices, cfg.Limits.Promoted)}
	for i := range cfg.Limits.Scans {
		p.lanes = append(p.lanes, lane{number: uint32(i + 1)})
	}
	p.live = feed.New(p.feedConfig(0), feed.Position{}, env.Rand)
	return p
}

// feedConfig is that of a lane's feed; 0 is the live one. Where replicas run the live feed
// knows best.
func (p *Process) feedConfig(lane uint32) feed.Config {
	c := p.cfg.feedConfig(lane)
	if p.live != nil && !p.cfg.Worker {
		c.Sources = p.live.Sources()
	}
	return c
}

func (c *Config) feedConfig(lane uint32) feed.Config {
	timer := timerLive
	if lane > 0 {
		timer = timerLane + proc.TimerID(lane)
	}
	return feed.Config{Sources: c.Sources, Peers: c.Peers, Lane: lane, Window: c.Limits.FeedWindow, Timer: timer, Tick: feed.TickDefault}
}

// Step implements proc.Process.
func (p *Process) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	p.now, p.out = now, out
	switch in.Kind {
	case proc.Start:
		if p.cfg.Worker {
			break // it follows nobody: it is asked about cuts that were reached
		}
		if p.begun = core.Timestamp(now.Wall); !p.cfg.Stored {
			p.live.Want(p.begun)
			p.live.Start(now, out)
			break
		}
		p.saved.opening = true
		p.store(disk.KVOp{Kind: disk.KVGet, Lo: []byte{keySelf}}, p.resume)
	case proc.Message:
		if !p.saved.opening { // else it will be sent again
			p.receive(&in)
		}
	case proc.KVDone:
		p.stored(in.Token, in.KV)
	case proc.Reset:
		p.broken(in.From)
	case proc.Timer:
		p.timer(in.Timer)
	}
	p.pump()
	p.out = nil
}

func (p *Process) timer(id proc.TimerID) {
	switch {
	case id == timerWork:
		p.working = false
	case id == timerSweep:
		p.sweeping = false
		p.sweep()
	case id == timerLive:
		p.live.Timer(p.now, p.out)
	case id > timerLane && int(id-timerLane) <= len(p.lanes):
		if f := p.lanes[id-timerLane-1].feed; f != nil {
			f.Timer(p.now, p.out)
		}
	}
}

// receive takes a frame, by its kind.
func (p *Process) receive(in *proc.Input) {
	r, err := wire.Open(in.Frame)
	if err != nil {
		return // cut off: its sender will send again
	}
	if !strings.HasPrefix(in.Peer, p.cfg.Peers) {
		p.out.Mark(markForged)
		return
	}
	switch r.Kind {
	case wire.Blocks:
		var h wire.Feed
		if r.Feed(&h) {
			p.blocks(&h, &r)
		}
	case wire.Asks:
		var a wire.Ask
		for r.Ask(&a) {
			p.ask(&a)
		}
	case wire.Answers:
		var a core.Answer
		for r.Answer(&a) {
			p.answered(&a)
		}
	case wire.Replies:
		var x wire.Reply
		for r.Reply(&x) {
			p.part(in.From, &x)
		}
	}
}

// blocks hands a frame to the feed whose stream it belongs to.
func (p *Process) blocks(h *wire.Feed, r *wire.Reader) {
	if p.live.Owns(h.Stream) {
		p.live.Accept(p.now, h, r, p.out)
		return
	}
	for i := range p.lanes {
		if f := p.lanes[i].feed; f != nil && f.Owns(h.Stream) {
			f.Accept(p.now, h, r, p.out)
			return
		}
	}
}

// pump does what can be done now, in pieces, and asks to be called again if it was
// not all.
func (p *Process) pump() {
	more, most := false, turns
	if p.cfg.Worker {
		most = workerTurns
	}
	for range most {
		if more = p.turn(); !more {
			break
		}
	}
	if more && !p.working {
		p.working = true
		p.out.SetTimer(timerWork, p.now.Mono)
	}
	if (len(p.order) > 0 || p.learn.asking) && !p.sweeping {
		p.sweeping = true
		p.out.SetTimer(timerSweep, p.now.Mono+sweepEvery)
	}
}

const sweepEvery = proc.Tick(100e6)

// turn does a piece of work for each that has some: the live feed first, for all wait
// for it; batch only when nothing else is to be done.
func (p *Process) turn() (more bool) {
	more = p.intake()
	for _, k := range p.kept {
		more = p.keepOn(k) || more
	}
	p.demote()
	for _, a := range p.order {
		if !a.batch {
			more = p.work(a) || more
		}
	}
	if more {
		return true
	}
	for _, a := range p.order {
		if a.batch {
			more = p.work(a) || more
		}
	}
	return more
}

// Queues implements proc.Gauged.
func (p *Process) Queues(dst []proc.Queue) []proc.Queue {
	l, subscriptions, inbox, retained := &p.cfg.Limits, 0, 0, 0
	for _, a := range p.order {
		if a.subscription && a.stage != finished {
			subscriptions++
		}
		inbox = max(inbox, a.runner.bytes)
		retained = max(retained, a.stream.over())
	}
	for _, k := range p.kept {
		inbox = max(inbox, k.bytes)
	}
	return append(dst,
		proc.Queue{Name: "query.statements", Len: len(p.asks), Limit: l.Statements},
		proc.Queue{Name: "query.subscriptions", Len: subscriptions, Limit: l.Subscriptions},
		// What came since the last cut waits for all who scan, and is for the live feed to bound.
		proc.Queue{Name: "query.inbox-bytes", Len: inbox, Limit: l.InboxBytes + len(p.cfg.Sources)*(l.FeedWindow+journal.BlockBytesMax)},
		proc.Queue{Name: "query.replies-over", Len: retained, Limit: 2 * rowsBytesMax})
}
