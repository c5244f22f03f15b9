package journal

import (
	"testing"

	"actordb/core"
)

// A replica whose files are gone knows that it has forgotten, through any number of
// lives and losses of power, until it is told that it need not know any more. One
// that is alone, or whose group is new, has forgotten nothing.
func TestForgotten(t *testing.T) {
	for _, c := range []struct{ peers, fresh, forgotten bool }{{false, false, false}, {true, true, false}, {true, false, true}} {
		h := newHost(newDisk(5))
		h.cfg.Peers, h.cfg.Fresh = c.peers, c.fresh
		for range 3 {
			if err := h.open(); err != nil {
				t.Fatal(err)
			}
			if h.log.Forgotten() != c.forgotten {
				t.Fatalf("peers %t, fresh %t: forgotten %t", c.peers, c.fresh, h.log.Forgotten())
			}
			last := h.log.Last() + 1
			h.append(entries1(last, payload(1, last, 100)), stateOf(1, 0, uint64(last)))
			h.settle()
			h.disk.Crash(true)
			h.cfg.Fresh = false
		}
		if err := h.open(); err != nil {
			t.Fatal(err)
		}
		h.log.Remember(&h.fx)
		h.submit()
		h.settle()
		h.disk.Crash(true)
		if err := h.open(); err != nil || h.log.Forgotten() || h.log.Last() != 3 {
			t.Fatalf("%v, forgotten %t, %d entries", err, h.log.Forgotten(), h.log.Last())
		}
	}
}

// Damage in a log that has peers is told, and neither opens the log nor ends its
// process.
func TestDamageIsTold(t *testing.T) {
	d := newFlippable(7)
	h := newHost(d)
	h.cfg.Peers, h.cfg.Fresh = true, true
	if err := h.open(); err != nil {
		t.Fatal(err)
	}
	for i := core.Index(1); i <= 5; i++ {
		h.append(entries1(i, payload(1, i, 500)), nil)
		h.settle()
	}
	if !d.FlipBit(segmentName(1), 900) {
		t.Fatal("no bit was flipped")
	}
	d.Crash(true)
	h.start()
	h.settle()
	if found := h.log.Damaged(); found == nil || found.Segment != segmentName(1) || found.From > 900 || found.To <= 900 {
		t.Fatalf("found %v", found)
	}
	if h.fault != nil || h.log.Open() {
		t.Errorf("fault %v, open %t", h.fault, h.log.Open())
	}
}
