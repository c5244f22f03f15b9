package node

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"actordb"
	"actordb/core"
	"actordb/core/control"
	"actordb/net/client"
)

// A disk that fills up: commands are refused as such, reads go on, nothing
// acknowledged is lost, and with room again the same node goes on.
func TestFullDisk(t *testing.T) {
	s := &site{t: t, dir: t.TempDir()}
	if err := syscall.Mount("tmpfs", s.dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("no small file system to fill: mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(s.dir, 0); err != nil {
			t.Error(err)
		}
	})
	s.open()
	network, err := actordb.Network()
	if err == nil {
		network, err = network.With("shard", 1, map[string]int64{"segment_bytes": 1 << 20, "block_bytes": 128 << 10})
	}
	if err == nil { // what is in the way is told when the gateway gives up
		network, err = network.With("gateway", 1, map[string]int64{"deadline_ms": 1000})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.change = func(c *ServeConfig) { c.Network, c.Shards = network, network.The(control.Shard).Count }
	s.serve()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c := s.dial(nil)
	accepted := 0
	write := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := c.Append(ctx, core.ActorID(fmt.Sprintf("stream/%d", accepted%7)), core.Seq(accepted/7),
			core.NewEvent{Type: "noted", Version: 1, Payload: make([]byte, 100<<10)})
		if err == nil {
			accepted++
		}
		return err
	}
	for err = error(nil); err == nil; err = write(3 * time.Second) {
		if accepted > 240 {
			t.Fatalf("%d events of 100 KiB on a disk of 24 MiB", accepted)
		}
	}
	var open *client.Unanswered
	if !errors.As(err, &open) || open.Code != core.CodeDiskFull {
		t.Fatalf("after %d events: %v, want %s", accepted, err, core.CodeDiskFull)
	}
	t.Logf("after %d events of 100 KiB: %v", accepted, err)
	count := func() (n int) {
		for k := range 7 {
			for e, err := range c.History(t.Context(), core.ActorID(fmt.Sprintf("stream/%d", k)), 1) {
				if err != nil || len(e.Payload) != 100<<10 {
					t.Fatalf("stream/%d at %d: %d bytes, %v", k, e.Seq, len(e.Payload), err)
				}
				n++
			}
		}
		return n
	}
	if got := count(); got != accepted {
		t.Fatalf("%d events can be read, %d were accepted", got, accepted)
	}
	if err := syscall.Mount("tmpfs", s.dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if err := write(30 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	s.kill()
	s.serve()
	c = s.dial(nil)
	if got := count(); got != accepted {
		t.Fatalf("%d events can be read after a restart, %d were accepted", got, accepted)
	}
}
