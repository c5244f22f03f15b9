package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"actordb/core"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/internal/datadir"
	"actordb/net/client"
)

// older is the program of the release before.
var older = core.Versions{Low: core.VersionMin, High: core.VersionMax - 1}

// become stops a node in order and goes on with another program.
func (c *trio) become(i int, speaks core.Versions) error {
	c.t.Helper()
	if s := c.servers[i]; s != nil {
		if err := s.Close(); err != nil {
			c.t.Fatalf("node %d: %v", i+1, err)
		}
		c.servers[i] = nil
	}
	cfg := c.config(i)
	cfg.Speaks = speaks
	s, err := Serve(cfg)
	if err == nil {
		c.servers[i] = s
	}
	return err
}

// A cluster goes from one release to the next one node at a time, and back, while it
// takes commands; its logs are raised when all nodes speak the newer version and not before;
// then a node of the older release is refused, on its directory and by the others.
func TestRollingUpgrade(t *testing.T) {
	c := newTrio(t, 3, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cl := c.dial(nil)
	seq := core.Seq(0)
	works := func(when string) {
		t.Helper()
		if a, err := cl.Append(ctx, "stream/a", seq, note(when)); err != nil || a.Seq != seq+1 {
			t.Fatalf("%s: %+v, %v", when, a, err)
		}
		seq++
	}
	upgrade := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		_, err := cl.Do(ctx, core.Command{Actor: core.ShardActor(0), Kind: core.Regroup, Expected: core.AnySeq, Type: shard.VerbUpgrade, Payload: shard.AppendVersion(nil, core.VersionMax)})
		return err
	}
	become := func(i int, speaks core.Versions, when string) {
		t.Helper()
		if err := c.become(i, speaks); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		works(when)
	}
	for i := range 3 {
		become(i, older, "a node of the older release")
	}
	become(0, core.Spoken(), "one of the newer release")
	become(0, older, "the way back")
	become(0, core.Spoken(), "one of the newer release again")
	become(1, core.Spoken(), "two of the newer release")
	var refused *client.Refused
	if err := upgrade(20 * time.Second); !errors.As(err, &refused) || refused.Code != core.CodeOldVersion && refused.Code != core.CodeMalformed {
		t.Fatalf("upgraded with a node of the older release: %v", err)
	}
	become(2, core.Spoken(), "all of the newer release")
	if err := upgrade(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	works("upgraded")
	within(t, "a directory that knows", func() bool {
		for i := range 3 {
			if id, err := datadir.Read(c.made.NodeDir(proc.NodeID(i + 1))); err != nil || id.Version != int(core.VersionMax) {
				return false
			}
		}
		return true
	})
	var old *core.VersionError
	if err := c.become(2, older); !errors.As(err, &old) || old.Found != uint64(core.VersionMax) {
		t.Fatalf("a node of the older release opens the directory: %v", err)
	}
	works("one is refused")

	// What stands in its log stops it, too, if nothing else does; and so do the others, if it has none.
	id, err := datadir.Read(c.made.NodeDir(3))
	if err != nil {
		t.Fatal(err)
	}
	id.Version = int(core.VersionMin)
	if err := id.Write(c.made.NodeDir(3)); err != nil {
		t.Fatal(err)
	}
	if err = c.become(2, older); err == nil {
		err = c.servers[2].Wait()
		c.servers[2] = nil
	}
	if !errors.As(err, &old) {
		t.Fatalf("a node of the older release reads the log: %v", err)
	}
	works("one was stopped")
	become(2, core.Spoken(), "all of the newer release again")
}
