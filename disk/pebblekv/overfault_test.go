package pebblekv_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"actordb/disk"
	"actordb/disk/pebblekv"
	"actordb/disk/simfile"
)

// Protects P1 to P3 through OverFS: each call that Pebble makes of a directory of
// package disk fails in turn, once or from then on, and then the power goes, with
// whatever was not synced, names among it. What was flushed is there, the
// position that the store names is that of the data in it, and a change that
// failed for good is never passed over in silence.
func TestEveryCallOverFSFails(t *testing.T) {
	stride := 1
	if testing.Short() {
		stride = 17
	}
	for _, forGood := range []bool{false, true} {
		t.Run(fmt.Sprintf("forgood=%v", forGood), func(t *testing.T) {
			told, fatal, n := 0, 0, 0
			for more := true; more; n += stride {
				var f *pebblekv.Fault
				if f, more = failOver(t, n, forGood); f != nil {
					told++
					if f.Fatal {
						fatal++
					}
				}
			}
			t.Logf("%d calls, %d faults told, %d of them fatal", n, told, fatal)
			if told == 0 || fatal == 0 || fatal == told {
				t.Errorf("the test met no fault of one of the two forms")
			}
		})
	}
}

// failOver runs a workload whose n-th call fails. It returns false if there were
// fewer calls.
func failOver(t *testing.T, n int, forGood bool) (told *pebblekv.Fault, more bool) {
	when := fmt.Sprintf("call %d fails, for good %v", n, forGood)
	m := newMachine(uint64(n), simfile.Faults{TornWrite: 300_000, LostUnsynced: 700_000, LostDirent: 700_000})
	calls, hit, hitChange := 0, false, false // under the gate's lock
	m.call = func(kind disk.OpKind, name string) error {
		calls++
		if calls-1 != n && (!forGood || calls-1 < n) {
			return nil
		}
		hit = true
		hitChange = hitChange || kind == disk.OpWrite || kind == disk.OpSync || kind == disk.OpSyncDir
		return &disk.PathError{Kind: kind, Name: name, Err: disk.ErrIO}
	}
	var fault atomic.Pointer[pebblekv.Fault]
	var tellings atomic.Int64
	cfg := pebblekv.Config{NoCompactions: true, OnFault: func(f *pebblekv.Fault) { tellings.Add(1); fault.Store(f) }}
	last, flushed := 0, 0
	s, err := m.open(cfg)
	opened := s != nil
	for err == nil && last < 24 {
		last++ // a batch that failed may be there all the same
		if err = s.Apply(batch(last)); err == nil && last%5 == 0 {
			if err = s.Flush(); err == nil {
				flushed = last
			}
		}
	}
	if err == nil {
		if err = s.Close(); err == nil {
			flushed = last // Close flushes
		}
	}
	if err != nil {
		located(t, when, err)
	}
	if k := tellings.Load(); k > 1 || opened && fault.Load() != nil && err == nil {
		t.Fatalf("%s: a fault was told %d times, the last call said %v", when, k, err)
	}
	m.crash()
	m.g.mu.Lock()
	more = hit
	if forGood && hitChange && err == nil {
		t.Fatalf("%s: no change reached the disk from then on, and nothing is said", when)
	}
	m.g.mu.Unlock()
	m.call = nil
	again, err := m.open(pebblekv.Config{})
	if err != nil {
		t.Fatalf("%s: opened again with a good disk: %v", when, err)
	}
	wantPrefix(t, again, when, last, flushed)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	return fault.Load(), more
}
