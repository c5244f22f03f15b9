package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"pgregory.net/rapid"

	"actordb/core"
	"actordb/core/proc"
	"actordb/disk/simfile"
)

// model is a log as it should be: what was appended, and what of it counts.
type model struct {
	log     []*pb.Entry // as appended, from entry 1
	term    core.Term
	vote    uint64
	commit  uint64
	applied core.Index
	vouched []appendOp // appends that are not known durable, in order
	base    []*pb.Entry
	hard    [2]uint64 // term and vote of base
	newest  [2]uint64 // term and vote as last appended
	floor   core.Index
}

type appendOp struct {
	id      uint64
	entries []*pb.Entry
	hard    [2]uint64
}

// lay puts an entry where it belongs and drops what it replaces.
func lay(list []*pb.Entry, e *pb.Entry) []*pb.Entry {
	i := e.GetIndex() - 1
	return append(list[:i:i], e)
}

// durable moves appends that were reported durable into the base.
func (m *model) durable(id uint64) {
	for len(m.vouched) > 0 && m.vouched[0].id <= id {
		for _, e := range m.vouched[0].entries {
			m.base = lay(m.base, e)
		}
		m.hard = m.vouched[0].hard
		m.vouched = m.vouched[1:]
	}
}

// recovered checks a recovered log: its entries are those of the durable appends
// and of a prefix of what came after, frame by frame.
func (m *model) recovered(h *host) error {
	l := h.log
	if l.Floor() > m.floor {
		return fmt.Errorf("the floor is %d, entries were compacted to %d", l.Floor(), m.floor)
	}
	var found []*pb.Entry
	for index := l.Floor() + 1; index <= l.Last(); index++ {
		e, err := h.entry(index)
		if err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		found = append(found, e)
	}
	fits := func(list []*pb.Entry) error {
		if int(l.Last()) != len(list) {
			return fmt.Errorf("the log ends at %d, want %d", l.Last(), len(list))
		}
		for i, e := range found {
			if why := same(e, list[int(l.Floor())+i]); why != "" {
				return errors.New(why)
			}
		}
		return nil
	}
	list := m.base
	err := fits(list)
	for i := 0; i < len(m.vouched) && err != nil; i++ {
		for _, e := range m.vouched[i].entries {
			list = lay(list, e)
			if fits(list) == nil {
				err = nil
				break
			}
		}
	}
	if err != nil {
		return fmt.Errorf("not a prefix of what was appended after the durable part: %w", err)
	}
	state := l.HardState()
	got := [2]uint64{state.GetTerm(), state.GetVote()}
	ok := got == m.hard
	for i := range m.vouched {
		ok = ok || got == m.vouched[i].hard
	}
	if !ok {
		return fmt.Errorf("term and vote are %v, durable are %v", got, m.hard)
	}
	if state.GetCommit() > uint64(l.Last()) || state.GetCommit() > m.commit {
		return fmt.Errorf("commit %d of a log that ends at %d, where %d was the highest", state.GetCommit(), l.Last(), m.commit)
	}
	if term, err := l.Term(uint64(l.Floor())); err != nil || l.Floor() > 0 && term != list[l.Floor()-1].GetTerm() {
		return fmt.Errorf("the floor %d has term %d, %v", l.Floor(), term, err)
	}
	// What recovery keeps is durable from now on.
	m.base, m.log = list, append([]*pb.Entry(nil), list...)
	m.hard, m.newest, m.vouched = got, got, nil
	m.term, m.vote = core.Term(got[0]), got[1]
	if n := len(list); n > 0 { // Raft never has an entry beyond its term
		m.term = max(m.term, core.Term(list[n-1].GetTerm()))
	}
	m.commit = max(state.GetCommit(), uint64(m.applied))
	m.floor = l.Floor()
	return nil
}

var crashFaults = simfile.Faults{TornWrite: 500_000, LostUnsynced: 400_000, LostDirent: 500_000,
	ShortWrite: 60_000, ReadError: 20_000}

// machine runs a log and its model side by side.
type machine struct {
	h *host
	m *model
}

func (x *machine) draw(t *rapid.T, label string, lo, hi int) int {
	return rapid.IntRange(lo, hi).Draw(t, label)
}

func (x *machine) alive() bool { return x.h.fault == nil && x.h.log.Open() }

func (x *machine) append(t *rapid.T, first core.Index, hard bool) {
	m := x.m
	list := m.log[:first-1]
	var entries []*pb.Entry
	for range x.draw(t, "entries", 1, 4) {
		index := core.Index(len(list)) + 1
		n := x.draw(t, "bytes", 0, 1500)
		if rapid.IntRange(0, 30).Draw(t, "huge") == 0 {
			n += 12 << 10
		}
		e := entryOf(m.term, index, payload(m.term, index, n))
		list = lay(list, e)
		entries = append(entries, e)
	}
	m.log = list
	var state *pb.HardState
	if hard {
		state = stateOf(uint64(m.term), m.vote, m.commit)
		m.newest = [2]uint64{uint64(m.term), m.vote}
	}
	id := x.h.append(entries, state)
	m.vouched = append(m.vouched, appendOp{id, entries, m.newest})
}

func (x *machine) reopen(t *rapid.T, power bool) {
	x.m.durable(x.h.log.Durable())
	x.h.crash(power)
	x.h.disk.FailNth(0, true)
	x.recover(t)
}

func (x *machine) recover(t *rapid.T) {
	for tries := 0; ; tries++ {
		err := x.h.open()
		if err == nil {
			break
		}
		var damage *Damage
		if errors.As(err, &damage) || tries > 20 {
			t.Fatalf("recovery: %v", err)
		}
		x.h.crash(false) // a read failed for good, as far as this incarnation goes
	}
	if err := x.m.recovered(x.h); err != nil {
		t.Fatal(err)
	}
	x.h.log.Applied(x.m.applied)
}

func (x *machine) actions() map[string]func(*rapid.T) {
	h, m := x.h, x.m
	need := func(t *rapid.T) {
		if !x.alive() {
			t.Skip("the log is not open")
		}
	}
	return map[string]func(*rapid.T){
		"append": func(t *rapid.T) {
			need(t)
			m.term = max(m.term, 1)
			x.append(t, core.Index(len(m.log))+1, rapid.Bool().Draw(t, "hard"))
		},
		"replace": func(t *rapid.T) {
			need(t)
			lowest := int(max(m.applied, core.Index(m.commit))) + 1
			if lowest > len(m.log) {
				t.Skip("nothing may be replaced")
			}
			m.term++
			x.append(t, core.Index(x.draw(t, "from", lowest, len(m.log))), true)
		},
		"vote": func(t *rapid.T) {
			need(t)
			m.term++
			m.vote = uint64(x.draw(t, "vote", 0, 3))
			id := h.append(nil, stateOf(uint64(m.term), m.vote, m.commit))
			m.newest = [2]uint64{uint64(m.term), m.vote}
			m.vouched = append(m.vouched, appendOp{id, nil, m.newest})
		},
		"commit": func(t *rapid.T) { // the quorum may be ahead of this disk
			need(t)
			if int(m.commit) >= len(m.log) {
				t.Skip("nothing to commit")
			}
			m.commit = uint64(x.draw(t, "commit", int(m.commit), len(m.log)))
			h.log.NoteCommit(stateOf(uint64(m.term), m.vote, m.commit))
		},
		"apply": func(t *rapid.T) {
			need(t)
			m.durable(h.log.Durable())
			top := 0 // applied is what is committed and durable as it is
			for top < len(m.base) && top < int(m.commit) && m.base[top] == m.log[top] {
				top++
			}
			if core.Index(top) <= m.applied {
				t.Skip("nothing to apply")
			}
			m.applied = core.Index(x.draw(t, "applied", int(m.applied)+1, top))
			h.log.Applied(m.applied)
		},
		"compact": func(t *rapid.T) {
			need(t)
			to := h.log.CompactableTo(m.applied)
			if to < h.log.Floor() {
				t.Fatalf("compactable to %d below the floor %d", to, h.log.Floor())
			}
			h.log.Compact(to, &h.fx)
			h.submit()
			m.floor = max(m.floor, to)
		},
		"room": func(t *rapid.T) {
			need(t)
			h.log.Room(x.draw(t, "bytes", 0, 20_000), &h.fx)
			h.submit()
		},
		"idle": func(t *rapid.T) {
			need(t)
			h.idle()
		},
		"complete": func(t *rapid.T) {
			for range x.draw(t, "steps", 1, 10) {
				h.step()
			}
		},
		"settle": func(*rapid.T) { h.settle() },
		"fail":   func(t *rapid.T) { h.disk.FailNth(uint64(x.draw(t, "op", 1, 6)), rapid.Bool().Draw(t, "once")) },
		"kill":   func(t *rapid.T) { x.reopen(t, false) },
		"power":  func(t *rapid.T) { x.reopen(t, true) },
		"crashInRecovery": func(t *rapid.T) {
			m.durable(h.log.Durable())
			h.crash(rapid.Bool().Draw(t, "power"))
			h.disk.FailNth(0, true)
			for range x.draw(t, "recoveries", 1, 3) {
				h.start()
				for range x.draw(t, "steps", 0, 25) {
					h.step()
				}
				h.crash(rapid.Bool().Draw(t, "again"))
			}
			x.recover(t)
		},
		"": func(t *rapid.T) { x.invariant(t) },
	}
}

// invariant compares what can be read now with the model, a sample of it.
func (x *machine) invariant(t *rapid.T) {
	h, m := x.h, x.m
	m.durable(h.log.Durable())
	if !x.alive() {
		return
	}
	if int(h.log.Last()) != len(m.log) {
		t.Fatalf("the log ends at %d, the model at %d", h.log.Last(), len(m.log))
	}
	for _, index := range []core.Index{h.log.Floor() + 1, m.applied, m.applied + 1, h.log.Last()} {
		if index <= h.log.Floor() || index > h.log.Last() {
			continue
		}
		data, ok := h.log.Entry(index)
		if !ok {
			continue
		}
		term, err := h.log.Term(uint64(index))
		if err != nil {
			t.Fatal(err)
		}
		if why := same(entryOf(core.Term(term), index, data), m.log[index-1]); why != "" {
			t.Fatal(why)
		}
	}
	first, _ := h.log.FirstIndex()
	if core.Index(first) > m.applied+1 && core.Index(first) > core.Index(m.commit)+1 && core.Index(first) <= h.log.Last() {
		t.Fatalf("entries from %d on are in memory, applied is %d", first, m.applied)
	}
}

// J1 to J7: whatever is appended, replaced, compacted, crashed and failed, what
// was reported durable comes back as it was, and the rest as a prefix of it.
func TestLogAgainstModel(t *testing.T) {
	marks := map[proc.Mark]int{}
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		d, order := newDisk(seed), rand.New(rand.NewPCG(seed, 12))
		h := newHost(d)
		h.marks = marks
		mustOpenRapid(t, h)
		d.SetFaults(crashFaults)
		h.pick = order.IntN
		x := &machine{h: h, m: &model{}}
		t.Repeat(x.actions())
		d.Heal()
		x.reopen(t, true)
	})
	t.Logf("reached: %v", marks)
}

func mustOpenRapid(t *rapid.T, h *host) {
	if err := h.open(); err != nil {
		t.Fatal(err)
	}
}
