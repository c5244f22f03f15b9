package history

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"actordb/core"
	"actordb/core/journal"
	"actordb/core/seal"
	"actordb/core/shard"
)

// made is a log of blocks as a shard would propose them.
type made struct {
	chain   seal.Hash // of what is applied
	entries []journal.Entry
	after   []shard.Position
	pos     shard.Position

	upgrades bool // the next one raises the log's version
}

// add proposes a block decided under a slot epoch; a fence raises it.
func (m *made) add(t *testing.T, epoch, raise core.Epoch, extends seal.Hash, void bool) {
	t.Helper()
	index := core.Index(len(m.entries) + 1)
	h := journal.Header{Version: m.pos.Version, Kind: journal.Commands, Extends: extends, Term: 1, SlotEpoch: epoch, Raise: raise, Timestamp: core.Timestamp(index) * 10}
	if m.upgrades {
		m.pos.Version = core.VersionMax
		h.Version, h.Kind, h.Raise = m.pos.Version, journal.Upgrade, core.Epoch(m.pos.Version)
	}
	if h.Version >= 2 {
		h.Decider, h.Wall = 1, h.Timestamp
	}
	var data []byte
	var hash seal.Hash
	if raise > 0 {
		h.Kind = journal.Fence
	}
	if h.Raise > 0 {
		data, hash = journal.EncodeEmpty(h)
	} else {
		b := journal.NewBuilder(&seal.Salter{})
		b.Start(h)
		data, hash = b.Finish()
	}
	m.entries = append(m.entries, journal.Entry{Term: 1, Index: index, Data: data})
	if m.pos.Applied = index; !void {
		m.pos.Chain, m.pos.Clock = seal.Chain(extends, hash), h.Timestamp
		m.pos.SlotEpoch = max(m.pos.SlotEpoch, raise)
	}
	m.after = append(m.after, m.pos)
}

// write makes a log that begins after an entry.
func (m *made) write(t *testing.T, floor core.Index) *Log {
	t.Helper()
	dir := t.TempDir()
	info := journal.SegmentInfo{Identity: journal.Identity{Replica: 1, Voters: []uint64{1}}, Number: 1, LastIndex: floor, LastTerm: 1}
	if floor > 0 {
		info.Number = 5
	}
	image := journal.NewImage(info, journal.State{Term: 1, Commit: floor})
	for _, e := range m.entries[floor:] {
		image.Entry(e)
	}
	if err := os.WriteFile(filepath.Join(dir, journal.SegmentName(info.Number)), image.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := OpenLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if err := l.Scan(nil, nil); err != nil || len(l.Problems) > 0 {
		t.Fatal(err, l.Problems)
	}
	return l
}

// A block that was decided under an epoch of before a fence, or on another
// history, is void; the same ones are when what was before them is gone, and
// only the position of a checkpoint tells on what they stand.
func TestVoidBlocks(t *testing.T) {
	m := &made{pos: shard.Position{Version: core.VersionMin}}
	void := []bool{false, false, true, true, false, true, false, false, false, false}
	m.add(t, 0, 0, m.pos.Chain, false)
	m.add(t, 0, 1, m.pos.Chain, false) // fence
	m.add(t, 0, 0, m.pos.Chain, true)  // in flight while the fence was
	m.add(t, 0, 0, m.pos.Chain, true)
	m.add(t, 1, 0, m.pos.Chain, false)
	m.add(t, 1, 0, seal.Hash{9}, true) // another history
	m.add(t, 1, 0, m.pos.Chain, false)
	m.upgrades = true
	m.add(t, 1, 0, m.pos.Chain, false)
	m.upgrades = false
	m.pos.Version = core.VersionMin
	m.add(t, 1, 0, m.pos.Chain, false) // in flight while it was raised
	m.pos.Version = core.VersionMax
	m.after[len(m.after)-1].Version = core.VersionMax
	m.add(t, 1, 0, m.pos.Chain, false)
	for floor := core.Index(0); floor < core.Index(len(void)); floor++ {
		l := m.write(t, floor)
		for at := max(floor, 1); at <= core.Index(len(void)); at++ {
			d := &Derived{There: true, Position: m.after[at-1]}
			w, err := l.NewWalk(d)
			if err != nil {
				t.Fatal(err)
			}
			for i := floor; ; i++ {
				a, err := w.Next()
				if err != nil {
					t.Fatalf("floor %d, checkpoint %d: %v", floor, at, err)
				}
				if a == nil {
					break
				}
				if a.Void != void[i] {
					t.Errorf("floor %d, checkpoint %d: entry %d void %t", floor, at, a.Index, a.Void)
				}
				if a.Index >= at && a.After != m.after[i] {
					t.Errorf("floor %d, checkpoint %d: after entry %d %+v, want %+v", floor, at, a.Index, a.After, m.after[i])
				}
			}
		}
	}
	d := &Derived{}
	if _, err := m.write(t, 3).NewWalk(d); err == nil {
		t.Error("a compacted log without a checkpoint is walked through")
	}
}

// A block of a version that its log was not raised to is a problem.
func TestVersionOfALog(t *testing.T) {
	m := &made{pos: shard.Position{Version: core.VersionMin}}
	m.add(t, 0, 0, m.pos.Chain, false)
	m.pos.Version = core.VersionMax
	m.add(t, 0, 0, m.pos.Chain, false)
	w, err := m.write(t, 0).NewWalk(&Derived{})
	for err == nil {
		var a *Applied
		if a, err = w.Next(); a == nil && err == nil {
			t.Fatal("nobody notices")
		}
	}
	if problem := (*Problem)(nil); !errors.As(err, &problem) || problem.Entry != 2 {
		t.Fatal(err)
	}
}
