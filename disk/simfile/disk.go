package simfile

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tidwall/btree"

	"actordb/disk"
)

// Config is what a Disk is made of.
type Config struct {
	// Rand is the disk's own stream. Nothing else may draw from it.
	Rand *rand.Rand

	Latencies Latencies
	Faults    Faults

	// Now reads the clock that the host's completions run by, in nanoseconds.
	// With it an Op waits for the Ops before it as long as it must. Without it
	// (nil) the Disk cannot know how much of their time has passed, and an Op
	// takes at least as long as those before it on its name that are in flight.
	Now func() int64

	// Atlas and Eligible allow damage that destroys truth (S6); without both of
	// them there is none. Eligible tells whether other copies of a whole range
	// exist.
	Atlas    *Atlas
	Eligible func(name string, off, n int64) bool

	// Count, if set, is told each effect of a fault.
	Count func(site string)
}

// A Disk is a simulated directory. It is not safe for concurrent use.
type Disk struct {
	cfg    Config
	faults Faults

	names   btree.Map[string, *inode]
	dirents []direntOp // not durable, in their order
	used    int64      // bytes charged to the quota

	queue []inflight // by ticket; those before head have completed
	head  int
	first uint64           // the ticket of queue[head]
	lanes map[string]*lane // of names with Ops in flight, or with a file
	dir   lane

	opCount  uint64
	failAt   uint64 // the opCount that FailNth waits for, or 0
	failOnce bool
	hits     [len(sites)]uint64
}

// A lane is the order of the Ops on one name, or on the directory.
type lane struct {
	submitted, completed uint64
	finish               int64 // when the last one completes, if there is a clock
	latency              time.Duration
	stopped              bool // by a crash
}

type inflight struct {
	op   disk.Op
	lane *lane
	at   uint64 // place in the lane
	fail bool   // FailNth chose it
	done bool
}

// New returns an empty directory.
func New(cfg Config) *Disk {
	if cfg.Rand == nil {
		panic("simfile: no stream of random numbers")
	}
	d := &Disk{cfg: cfg, faults: cfg.Faults, first: 1, lanes: make(map[string]*lane)}
	if cfg.Atlas != nil {
		cfg.Atlas.disks = append(cfg.Atlas.disks, d)
	}
	return d
}

// Submit starts op. The host calls Complete with the ticket when latency has
// passed, unless a Crash comes first.
func (d *Disk) Submit(op disk.Op) (ticket uint64, latency time.Duration) {
	d.opCount++
	fail := d.failAt != 0 && (d.opCount == d.failAt || !d.failOnce && d.opCount > d.failAt)
	l := d.laneOf(op)
	latency = d.latency(op, l)
	l.submitted++
	ticket = d.first + uint64(len(d.queue)-d.head)
	d.queue = append(d.queue, inflight{op: op, lane: l, at: l.submitted, fail: fail})
	return ticket, latency
}

func (d *Disk) laneOf(op disk.Op) *lane {
	switch op.Kind {
	case disk.OpList, disk.OpRename, disk.OpRemove, disk.OpSyncDir:
		return &d.dir
	}
	l := d.lanes[op.Name]
	if l == nil {
		l = new(lane)
		d.lanes[op.Name] = l
	}
	return l
}

// latency draws how long op takes and stretches it so that S1 holds.
func (d *Disk) latency(op disk.Op, l *lane) time.Duration {
	var t time.Duration
	switch c := &d.cfg.Latencies; op.Kind {
	case disk.OpRead:
		t = d.draw(&c.Read, op.Length)
	case disk.OpWrite:
		t = d.draw(&c.Write, len(op.Data))
		if op.Sync {
			t += d.draw(&c.Sync, 0)
		}
	case disk.OpSync, disk.OpSyncDir:
		t = d.draw(&c.Sync, 0)
	default:
		t = d.draw(&c.Meta, 0)
	}
	if d.faults.SlowFactor > 1 && d.chance(d.faults.SlowDisk) {
		t *= time.Duration(d.faults.SlowFactor)
		d.hit(SiteSlowDisk)
	}
	// One nanosecond more than the Op before: hosts may break ties as they like.
	if d.cfg.Now != nil {
		now := d.cfg.Now()
		l.finish = max(now+int64(t), l.finish+1)
		return time.Duration(l.finish - now)
	}
	if l.submitted > l.completed {
		t = max(t, l.latency+1)
	}
	l.latency = t
	return t
}

// Complete executes the Op of a ticket and returns its result.
func (d *Disk) Complete(ticket uint64) disk.Result {
	i := d.head + int(ticket-d.first)
	if ticket < d.first || i >= len(d.queue) || d.queue[i].done {
		panic(fmt.Sprintf("simfile: ticket %d is not in flight", ticket))
	}
	p := &d.queue[i]
	if p.at != p.lane.completed+1 {
		panic(fmt.Sprintf("simfile: %v completed before an earlier operation on its name", p.op))
	}
	res := d.execute(p.op, p.fail)
	p.lane.completed++
	p.done = true
	d.tidyLane(p.op.Name)
	d.advance()
	return res
}

// tidyLane forgets the lane of a name that has no file and no Op in flight, so
// that lanes do not outnumber files.
func (d *Disk) tidyLane(name string) {
	if l := d.lanes[name]; l != nil && l.submitted == l.completed {
		if _, ok := d.names.Get(name); !ok {
			delete(d.lanes, name)
		}
	}
}

// advance drops what has completed from the front of the queue.
func (d *Disk) advance() {
	for d.head < len(d.queue) && d.queue[d.head].done {
		d.queue[d.head] = inflight{}
		d.head++
		d.first++
	}
	if d.head == len(d.queue) {
		d.queue, d.head = d.queue[:0], 0
	} else if d.head > 64 && d.head > len(d.queue)/2 {
		n := copy(d.queue, d.queue[d.head:])
		clear(d.queue[n:])
		d.queue, d.head = d.queue[:n], 0
	}
}

// Names lists the files as reads see them, sorted. Unlike the FS view it does
// not ask for the queue to be empty.
func (d *Disk) Names() []string {
	list := make([]string, 0, d.names.Len())
	d.names.Scan(func(name string, _ *inode) bool {
		list = append(list, name)
		return true
	})
	return list
}

// Export returns a copy of a file as reads see it. Damage shows.
func (d *Disk) Export(name string) (contents []byte, ok bool) {
	f, ok := d.names.Get(name)
	if !ok {
		return nil, false
	}
	return f.bytes(), true
}

// ExportDurable returns a copy of what a power loss would leave of a file if it
// took everything that it may take.
func (d *Disk) ExportDurable(name string) (contents []byte, ok bool) {
	names := d.names.Copy()
	for i := len(d.dirents) - 1; i >= 0; i-- {
		d.dirents[i].undo(names)
	}
	f, ok := names.Get(name)
	if !ok {
		return nil, false
	}
	c := f.clone()
	c.settle(func(r *record) fate {
		if r.state == synced {
			return kept
		}
		return lost
	}, nil)
	return c.bytes(), true
}
