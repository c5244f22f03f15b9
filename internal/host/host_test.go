package host

import (
	"math/rand/v2"
	"testing"
	"time"

	"actordb/core/proc"
	"actordb/disk"
	"actordb/disk/memkv"
	"actordb/disk/simfile"
	"actordb/internal/proctest"
)

// harness runs the contract's suite on a Node over stores in memory.
type harness struct {
	t    *testing.T
	node *Node
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	n, err := New(Config{Node: 1, FileWorkers: 1}) // stores in memory know one goroutine
	if err != nil {
		t.Fatal(err)
	}
	return &harness{t, n}
}

func (h *harness) Spawn(name, peer string, factory func(proc.Env) proc.Process) proc.Addr {
	files := simfile.New(simfile.Config{Rand: rand.New(rand.NewPCG(1, 2))})
	addr, err := h.node.Spawn(name, peer, Storage{Files: disk.NewExecutor(files.FS(), 16), KV: memkv.New()}, factory)
	if err != nil {
		h.t.Fatal(err)
	}
	return addr
}

// Run waits for the end. Looking now and then is all that a test can do about
// a process that has no channel to tell it by.
func (h *harness) Run(finished func() bool) error {
	deadline := time.After(30 * time.Second)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-h.node.Done():
			return h.node.Wait()
		case <-deadline:
			h.t.Fatal("nothing happened for 30 s")
		case <-look.C:
			if finished() {
				return h.node.Close()
			}
		}
	}
}

// The production host keeps the contract that the simulator keeps.
func TestContract(t *testing.T) {
	for _, c := range proctest.Checks() {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, newHarness(t)) })
	}
}
