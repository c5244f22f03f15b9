package memkv

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tidwall/btree"

	"actordb/disk"
)

// Faults says how often what goes wrong, in parts per million of the chances
// that there are.
type Faults struct {
	ReadError     uint32 // a Get or Scan fails
	WriteError    uint32 // an Apply or Flush fails
	LostUnflushed uint32 // a crash takes a suffix of the batches that are not durable
}

// Latency is the distribution of the time that a kind of operation takes: Base,
// plus up to Jitter, plus, in TailPPM of a million cases, up to Tail.
type Latency struct {
	Base    time.Duration
	Jitter  time.Duration
	TailPPM uint32
	Tail    time.Duration
}

// Latencies of the kinds of operations.
type Latencies struct {
	Read  Latency // Get, Scan
	Apply Latency
	Flush Latency
}

// Config is what a Sim is made of.
type Config struct {
	// Rand is the store's own stream. Nothing else may draw from it.
	Rand *rand.Rand

	Latencies Latencies
	Faults    Faults

	// Now reads the clock that the host's completions run by, in nanoseconds.
	// Without it (nil) the Sim cannot know how much time has passed, and an
	// operation takes at least as long as those before it in flight.
	Now func() int64

	// Count, if set, is told each effect of a fault.
	Count func(site string)
}

// The sites of faults, as they are counted.
const (
	SiteLost       = "kv_lost"
	SiteReadError  = "kv_read_error"
	SiteUnflushed  = "kv_unflushed_lost"
	SiteWriteError = "kv_write_error"
)

var sites = [...]string{SiteLost, SiteReadError, SiteUnflushed, SiteWriteError}

// A Hit tells how often a fault had an effect.
type Hit struct {
	Site  string
	Count uint64
}

// A Sim is a simulated KV. It is not safe for concurrent use.
type Sim struct {
	cfg    Config
	faults Faults
	store  *Store

	undo      []undo
	undoHead  int // those before it are durable by M3
	batches   int // that can be undone
	undoBytes int

	queue   []disk.KVOp // in flight
	first   uint64      // the ticket of queue[0]
	finish  int64
	latency time.Duration
	hits    [len(sites)]uint64
}

// An undo takes back one mutation. last marks the last one of a batch.
type undo struct {
	key, value string
	existed    bool
	last       bool
}

// NewSim returns an empty store.
func NewSim(cfg Config) *Sim {
	if cfg.Rand == nil {
		panic("memkv: no stream of random numbers")
	}
	return &Sim{cfg: cfg, faults: cfg.Faults, store: New(), first: 1}
}

// Hits returns the count of every site, sorted by its name.
func (s *Sim) Hits() []Hit {
	hits := make([]Hit, len(sites))
	for i, site := range sites {
		hits[i] = Hit{site, s.hits[i]}
	}
	return hits
}

func (s *Sim) hit(site string) {
	for i := range sites {
		if sites[i] == site {
			s.hits[i]++
		}
	}
	if s.cfg.Count != nil {
		s.cfg.Count(site)
	}
}

// SetFaults puts new rates in force.
func (s *Sim) SetFaults(f Faults) { s.faults = f }

// Heal ends all injection of faults.
func (s *Sim) Heal() { s.faults = Faults{} }

// Len returns the number of keys.
func (s *Sim) Len() int { return s.store.Len() }

// Submit starts op. The host calls Complete with the ticket when latency has
// passed, unless a Crash comes first.
func (s *Sim) Submit(op disk.KVOp) (ticket uint64, latency time.Duration) {
	l := &s.cfg.Latencies.Read
	switch op.Kind {
	case disk.KVApply:
		l = &s.cfg.Latencies.Apply
	case disk.KVFlush:
		l = &s.cfg.Latencies.Flush
	}
	t := l.Base
	if l.Jitter > 0 {
		t += time.Duration(s.cfg.Rand.Int64N(int64(l.Jitter) + 1))
	}
	if l.Tail > 0 && s.chance(l.TailPPM) {
		t += time.Duration(s.cfg.Rand.Int64N(int64(l.Tail) + 1))
	}
	// One nanosecond more than the one before: hosts may break ties as they like.
	if s.cfg.Now != nil {
		now := s.cfg.Now()
		s.finish = max(now+int64(t), s.finish+1)
		t = time.Duration(s.finish - now)
	} else if len(s.queue) > 0 {
		t = max(t, s.latency+1)
	}
	s.latency = t
	s.queue = append(s.queue, op)
	return s.first + uint64(len(s.queue)) - 1, t
}

// Complete executes the operation of a ticket and returns its result.
func (s *Sim) Complete(ticket uint64) disk.KVResult {
	if ticket != s.first || len(s.queue) == 0 {
		panic(fmt.Sprintf("memkv: ticket %d completed, %d is the next of %d in flight", ticket, s.first, len(s.queue)))
	}
	op := s.queue[0]
	n := copy(s.queue, s.queue[1:])
	s.queue[n] = disk.KVOp{}
	s.queue = s.queue[:n]
	s.first++
	return s.execute(op)
}

func (s *Sim) execute(op disk.KVOp) disk.KVResult {
	rate, site := s.faults.ReadError, SiteReadError
	if op.Kind == disk.KVApply || op.Kind == disk.KVFlush {
		rate, site = s.faults.WriteError, SiteWriteError
	}
	if err := op.Check(); err != nil {
		return disk.KVResult{Kind: op.Kind, Err: err}
	}
	if s.chance(rate) {
		s.hit(site)
		return disk.KVResult{Kind: op.Kind, Err: fmt.Errorf("kv %s: %w", op.Kind, disk.ErrIO)}
	}
	switch op.Kind {
	case disk.KVApply:
		s.apply(op.Batch)
	case disk.KVFlush:
		s.clean()
	default:
		return disk.DoKV(s.store, op)
	}
	return disk.KVResult{Kind: op.Kind}
}

// apply writes b and remembers how to take it back.
func (s *Sim) apply(b *disk.Batch) {
	if len(b.Mutations) == 0 {
		return
	}
	s.store.fork()
	for i := range b.Mutations {
		m := &b.Mutations[i]
		u := undo{key: string(m.Key), last: i == len(b.Mutations)-1}
		if m.Delete {
			u.value, u.existed = s.store.tree.Delete(u.key)
		} else {
			u.value, u.existed = s.store.tree.Set(u.key, string(m.Value))
		}
		s.undoBytes += mutationBytes + len(u.key) + len(u.value)
		s.undo = append(s.undo, u)
	}
	s.batches++
	for s.batches > undoBatchesMax || s.undoBytes > undoBytesMax {
		s.forgetOldest()
	}
}

// forgetOldest makes the oldest batch durable.
func (s *Sim) forgetOldest() {
	for last := false; !last; s.undoHead++ {
		u := &s.undo[s.undoHead]
		last = u.last
		s.undoBytes -= mutationBytes + len(u.key) + len(u.value)
		*u = undo{}
	}
	s.batches--
	if s.undoHead > len(s.undo)/2 {
		n := copy(s.undo, s.undo[s.undoHead:])
		clear(s.undo[n:])
		s.undo, s.undoHead = s.undo[:n], 0
	}
}

// clean makes everything durable.
func (s *Sim) clean() {
	clear(s.undo)
	s.undo = s.undo[:0]
	if cap(s.undo) > undoBatchesMax {
		s.undo = nil
	}
	s.undoHead, s.batches, s.undoBytes = 0, 0, 0
}

// Crash ends everything in flight and takes back what M2 allows. power makes no
// difference. Tickets given before are void.
func (s *Sim) Crash(power bool) {
	if len(s.queue) > 0 {
		for _, op := range s.queue[:s.cfg.Rand.IntN(len(s.queue)+1)] {
			if op.Check() != nil {
				continue
			}
			switch op.Kind {
			case disk.KVApply:
				s.apply(op.Batch)
			case disk.KVFlush:
				s.clean()
			}
		}
	}
	s.first += uint64(len(s.queue))
	clear(s.queue)
	s.queue = s.queue[:0]
	s.finish, s.latency = 0, 0
	if s.batches > 0 && s.chance(s.faults.LostUnflushed) {
		s.takeBack(1 + s.cfg.Rand.IntN(s.batches))
		s.hit(SiteUnflushed)
	}
	s.clean()
	s.store.scanned = false // no Scan survives a crash
}

// takeBack undoes the last n batches.
func (s *Sim) takeBack(n int) {
	s.store.fork()
	i := len(s.undo) - 1
	for ; i >= s.undoHead; i-- {
		u := &s.undo[i]
		if u.last {
			if n == 0 {
				break
			}
			n--
		}
		if u.existed {
			s.store.tree.Set(u.key, u.value)
		} else {
			s.store.tree.Delete(u.key)
		}
	}
}

// Lose empties the store, as if its device had been replaced. What is in
// flight is not.
func (s *Sim) Lose() {
	if s.store.Len() > 0 {
		s.hit(SiteLost)
	}
	s.store.tree = new(btree.Map[string, string])
	s.store.scanned = false
	s.clean()
}

func (s *Sim) chance(ppm uint32) bool {
	return ppm > 0 && s.cfg.Rand.Uint32N(1_000_000) < ppm
}

// KV returns the store as a synchronous disk.KV, with the faults in force and
// no latency. Nothing may be in flight while it is used.
func (s *Sim) KV() disk.KV { return view{s} }

type view struct{ s *Sim }

func (v view) Get(key []byte) (value []byte, found bool, err error) {
	res := v.s.execute(disk.KVOp{Kind: disk.KVGet, Lo: key})
	return res.Value, res.Found, res.Err
}

func (v view) Apply(b *disk.Batch) error {
	return v.s.execute(disk.KVOp{Kind: disk.KVApply, Batch: b}).Err
}

func (v view) Flush() error { return v.s.execute(disk.KVOp{Kind: disk.KVFlush}).Err }

func (v view) Scan(lo, hi []byte, visit func(key, value []byte) bool) error {
	if v.s.chance(v.s.faults.ReadError) {
		v.s.hit(SiteReadError)
		return fmt.Errorf("kv scan: %w", disk.ErrIO)
	}
	return v.s.store.Scan(lo, hi, visit)
}

func (v view) Close() error { return nil }
