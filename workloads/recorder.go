package workloads

import (
	"slices"
	"sync/atomic"

	"actordb/checkers"
	"actordb/core"
)

// Control is how whoever runs the clients tells them to stop. One may be shared
// by all.
type Control struct{ stopped atomic.Bool }

// Stop keeps clients from beginning operations; those under way go on.
func (c *Control) Stop() { c.stopped.Store(true) }

// Stopped reports whether Stop was called.
func (c *Control) Stopped() bool { return c.stopped.Load() }

// A Recorder keeps what one client did, in all of its incarnations. Its clock
// tells true time; the client puts it into the record and nowhere else.
type Recorder struct {
	clock       func() int64
	client      int
	incarnation int
	ops         []checkers.Op
	unsettled   []int // of this incarnation
	open        atomic.Int64
	issued      atomic.Int64
}

// NewRecorder makes the record of a client.
func NewRecorder(client int, clock func() int64) *Recorder {
	return &Recorder{clock: clock, client: client}
}

// Client is the number that the operations bear.
func (r *Recorder) Client() int { return r.client }

// Open is how many operations wait for their end: with a stopped Control and
// none open, the client is idle. Safe to call from anywhere.
func (r *Recorder) Open() int { return int(r.open.Load()) }

// Issued is how many operations were begun. Safe to call from anywhere.
func (r *Recorder) Issued() int { return int(r.issued.Load()) }

// Ops are the operations so far, in the order of their invocation. The slice
// belongs to the recorder: read it when its client does not run.
func (r *Recorder) Ops() []checkers.Op { return r.ops }

// Abandon ends what is open as unknown, now: its client died. A new
// incarnation does it for the one before; whoever runs the clients does it for
// one that will not come back.
func (r *Recorder) Abandon() {
	for _, i := range r.unsettled {
		r.ops[i].Return = r.clock()
	}
	r.unsettled = r.unsettled[:0]
	r.open.Store(0)
}

// begin starts an incarnation.
func (r *Recorder) begin() {
	r.Abandon()
	r.incarnation++
}

// invoke records a first attempt and returns the operation's index.
func (r *Recorder) invoke(p *Planned) int {
	c := &p.Command
	fresh := core.Freshness{}
	if c.Kind == core.Read {
		fresh, _ = core.FreshnessOf(c) // the client's own
	}
	r.ops = append(r.ops, checkers.Op{
		Client: r.client, Incarnation: r.incarnation,
		Session: c.Session, Number: c.Number, Actor: c.Actor, Kind: c.Kind,
		Name: p.Name, In: p.In, Expected: c.Expected, Fresh: fresh,
		Status: core.Unknown, Code: core.CodeTimeout,
		Invoke: r.clock(), Return: checkers.Pending,
	})
	i := len(r.ops) - 1
	r.unsettled = append(r.unsettled, i)
	r.open.Add(1)
	r.issued.Add(1)
	return i
}

// again records a further attempt. Only operations that have one keep a list.
func (r *Recorder) again(i int) {
	o := &r.ops[i]
	if o.Attempts == nil {
		o.Attempts = append(make([]int64, 0, 4), o.Invoke)
	}
	o.Attempts = append(o.Attempts, r.clock())
}

// settle ends an operation and returns it for its answer to be filled in.
func (r *Recorder) settle(i int) *checkers.Op {
	k := slices.Index(r.unsettled, i)
	core.Assert(k >= 0, "operation %d of client %d ends twice", i, r.client)
	r.unsettled = slices.Delete(r.unsettled, k, k+1)
	r.open.Add(-1)
	o := &r.ops[i]
	o.Return = r.clock()
	return o
}

// Collect joins the records of many clients.
func Collect(recorders []*Recorder) []checkers.Op {
	n := 0
	for _, r := range recorders {
		n += len(r.ops)
	}
	all := make([]checkers.Op, 0, n)
	for _, r := range recorders {
		all = append(all, r.ops...)
	}
	return all
}

// Actors lists whom operations were about, sorted.
func Actors(ops []checkers.Op) []core.ActorID {
	seen := make(map[core.ActorID]bool)
	var list []core.ActorID
	for i := range ops {
		if a := ops[i].Actor; !seen[a] {
			seen[a] = true
			list = append(list, a)
		}
	}
	slices.Sort(list)
	return list
}
