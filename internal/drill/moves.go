package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"time"

	"actordb/core"
	"actordb/core/proc"
	"actordb/internal/admission"
	"actordb/internal/operator"
	"actordb/net/client"
	"actordb/net/tlsnet"

	"os"
)

// Instead of faults a drill can bring about what operators do to a cluster that serves:
// slots move from shard to shard, a node joins, another one is drained. No client is
// to notice more than that some answers come later.
const (
	didMove  = "moved" // slots, those of a probe among them
	didJoin  = "joined"
	didDrain = "drained"
)

// changes in the order in which they come about; the last ones over and over.
var changes = []string{didMove, didMove, didJoin, didMove, didDrain, didMove}

// A Latency is over the probes' appends of one event, from asking to the answer.
type Latency struct {
	When    string  `json:"when"` // "at rest", or what was done meanwhile
	Changes int     `json:"changes"`
	Appends int     `json:"appends"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
	Took    float64 `json:"took_ms"` // the change, median
}

// changing is what the drill needs to change the cluster.
type changing struct {
	client   *client.Client
	operator *operator.Operator
	joined   *member
}

// change brings one about, and waits until every shard takes writes.
func (c *cluster) change(ctx context.Context, n int) error {
	if c.changing == nil {
		if err := c.beginChanging(ctx); err != nil {
			return err
		}
	}
	did := changes[min(n, len(changes)-1)]
	x := strike{fault: did, node: c.members[0].id, from: time.Since(c.epoch)}
	if c.cfg.Struck != nil {
		c.cfg.Struck(did, x.from)
	}
	c.out.Faults[did]++
	var err error
	switch did {
	case didMove:
		err = c.moveSome(ctx)
	case didJoin:
		err = c.join(ctx)
		x.node = c.members[len(c.members)-1].id
	case didDrain:
		for i := range c.cfg.Shards {
			if err == nil {
				err = c.changing.operator.Drain(ctx, core.ShardID(i), x.node)
			}
		}
	}
	if x.to = time.Since(c.epoch); err != nil {
		return fmt.Errorf("while nodes or slots are %s: %w", did, err)
	}
	c.strikes = append(c.strikes, x)
	if err = c.settle(ctx); err == nil {
		err = c.rested(ctx)
	}
	return err
}

func (c *cluster) beginChanging(ctx context.Context) error {
	identity, err := tlsnet.LoadIdentity(c.made.ClientDir())
	if err != nil {
		return err
	}
	x := &changing{}
	if x.client, err = client.Dial(ctx, client.Config{Addrs: c.made.Addrs, Source: identity}); err != nil {
		return err
	}
	if x.operator, err = operator.New(ctx, x.client); err != nil {
		return err
	}
	c.changing = x
	return nil
}

// moveSome moves half of a shard's slots to the next one, and that of a probe that is
// there.
func (c *cluster) moveSome(ctx context.Context) error {
	from := core.ShardID(c.rnd.IntN(c.cfg.Shards))
	s, err := c.changing.operator.Look(ctx, from)
	if err != nil {
		return err
	}
	probed := map[core.Slot]bool{}
	for _, stream := range c.appender.streams {
		probed[stream.Slot()] = true
	}
	var slots []core.Slot
	for i, slot := range s.Owns() {
		if probed[slot] || i%2 == 0 {
			slots = append(slots, slot)
		}
	}
	if len(slots) == 0 {
		return nil // it has given away all of them
	}
	return c.changing.operator.Move(ctx, from, (from+1)%core.ShardID(c.cfg.Shards), slots)
}

// join starts one more node and takes it into all groups.
func (c *cluster) join(ctx context.Context) error {
	front, err := newProxy()
	if err != nil {
		return err
	}
	dir, id, err := c.admit(ctx, front.addr())
	if err != nil {
		return err
	}
	m := &member{id: id, front: front, from: map[int]*proxy{}, dir: dir,
		undo: filepath.Join(c.cfg.Dir, fmt.Sprintf("undo-%d", id)), log: filepath.Join(c.cfg.Dir, fmt.Sprintf("node-%d.log", id))}
	if err := os.MkdirAll(m.undo, 0o700); err != nil {
		return err
	}
	c.members = append(c.members, m)
	if err := c.start(ctx, m); err != nil {
		return err
	}
	for i := range c.cfg.Shards {
		if err := c.changing.operator.Enlist(ctx, core.ShardID(i), id); err != nil {
			return err
		}
	}
	return nil
}

// admit makes the directory of one more node by a token, as its machine would.
func (c *cluster) admit(ctx context.Context, addr string) (dir string, id proc.NodeID, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- (&admission.Reception{Made: &c.made}).Serve(ctx, l) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-ended)
	}()
	token, err := admission.Invite(&c.made, addr, l.Addr().String(), time.Minute, time.Now())
	if err != nil {
		return "", 0, err
	}
	dir = filepath.Join(c.cfg.Dir, "joined")
	m, err := admission.Join(ctx, token, dir, nil)
	return dir, m.Node, err
}

// latencies are those of the probes at rest, and while something was changed.
func (c *cluster) latencies() (list []Latency) {
	for _, when := range []string{"", didMove, didJoin, didDrain} {
		x := Latency{When: when}
		var took, changed []float64
		for _, s := range c.strikes {
			if s.fault == when {
				changed = append(changed, ms(s.to-s.from))
			}
		}
		for _, p := range c.probes {
			for i, ack := range p.acks {
				asked, during := ack-p.took[i], ""
				for _, s := range c.strikes {
					if ack >= s.from && asked <= s.to {
						during = s.fault
					}
				}
				if during == when {
					took = append(took, ms(p.took[i]))
				}
			}
		}
		slices.Sort(took)
		slices.Sort(changed)
		if x.Appends, x.Changes = len(took), len(changed); x.Appends > 0 {
			x.P50, x.P99, x.Max = took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
		}
		if x.Changes > 0 {
			x.Took = changed[len(changed)/2]
		}
		if when == "" {
			x.When = "at rest"
		}
		list = append(list, x)
	}
	return list
}
