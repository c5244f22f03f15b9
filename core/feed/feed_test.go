package feed

import (
	"math/rand/v2"
	"testing"

	"actordb/core/proc"
	"actordb/net/wire"
)

// A replica that answers, does not lead and tells nothing new is left for the next one
// when there is more to be had: it may have left its group, and not know.
func TestBarrenReplicaIsLeft(t *testing.T) {
	here, there := proc.Addr{Node: 1, Proc: 2}, proc.Addr{Node: 2, Proc: 2}
	f := New(Config{Sources: []Source{{Shard: 0, Homes: []proc.Addr{here, there}}}, Peers: "spiffe://test/", Window: WindowDefault, Timer: 1, Tick: TickDefault},
		Position{}, rand.New(rand.NewPCG(1, 2)))
	now := proc.Now{Mono: 1}
	out := &proc.Effects{}
	f.Start(now, out)
	f.Want(100)
	for now.Mono < 4*barren {
		sends := out.Sends
		out = &proc.Effects{}
		for _, s := range sends {
			if s.To == there {
				return
			}
			r, err := wire.Open(s.Frame)
			var follow wire.Follow
			if err != nil || !r.Follow(&follow) {
				t.Fatal(err, r.Err())
			}
			var w wire.Writer
			head := wire.Feed{Stream: follow.Stream, First: follow.Next, Next: follow.Next, Closed: 50}
			if !f.Receive(now, "spiffe://test/shard", w.FinishFeed(&head), out) {
				t.Fatal("its frame is not the feed's")
			}
		}
		now.Mono += TickDefault
		f.Timer(now, out)
	}
	t.Errorf("followed for %d ms, though time 100 is wanted and it is at 50", now.Mono/1e6)
}
