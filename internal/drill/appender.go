package drill

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"actordb/checkers"
	"actordb/core"
	"actordb/net/client"
	"actordb/net/tlsnet"
	"actordb/workloads"
)

// An appender appends to streams through net/client, with a new client in each
// life of the node. What has no answer when the node dies is not asked again.
type appender struct {
	number  int // as a client, in the record
	source  tlsnet.Source
	clock   func() int64
	streams []core.ActorID // of small events: one in each shard
	noise   []byte

	acknowledged atomic.Int64 // bytes of payloads

	mu       sync.Mutex
	ops      []checkers.Op
	next     int64                // ordinal of the next payload
	answered map[core.ActorID]int // acknowledged, by stream
}

const (
	streamPrefix = "stream/drill-"
	bulkPrefix   = "stream/bulk-"
	probeBytes   = 32
	bulkBytes    = 64 << 10
	bulkInFlight = 16
	// bulkEvents go to one stream, then another takes its place: a history is
	// read in pages, and for each the node walks back from the newest event.
	bulkEvents = 16
	// bulkPerLife keeps a node that is not killed soon from filling the disk.
	bulkPerLife = (48 << 20) / bulkBytes
	noiseBytes  = 1 << 20
)

func newAppender(number int, source tlsnet.Source, clock func() int64, shardOf func(core.ActorID) core.ShardID, shards int) *appender {
	a := &appender{number: number, source: source, clock: clock, streams: make([]core.ActorID, shards), noise: make([]byte, noiseBytes), answered: map[core.ActorID]int{}}
	for i, missing := 0, shards; missing > 0; i++ {
		id := core.ActorID(streamPrefix + strconv.Itoa(i))
		if s := shardOf(id); a.streams[s] == "" {
			a.streams[s] = id
			missing--
		}
	}
	noise := rand.NewChaCha8([32]byte{1})
	_, _ = noise.Read(a.noise) // documented never to fail
	return a
}

// payload is the n-th: told apart by its first bytes and by the rest of it.
func (a *appender) payload(n int64, size int) []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, size), uint64(n))
	from := int(n*997) % (noiseBytes - size)
	return append(b, a.noise[from:from+size-len(b)]...)
}

// An appending is one append under way.
type appending struct {
	client.Call
	op checkers.Op
}

// begin fills in the next append to a stream, or to one of those for bulk.
func (a *appender) begin(x *appending, to core.ActorID, size int) {
	a.mu.Lock()
	n := a.next
	a.next++
	a.mu.Unlock()
	if to == "" {
		to = core.ActorID(bulkPrefix + strconv.FormatInt(n/bulkEvents, 10))
	}
	x.Command = core.Command{Actor: to, Kind: core.Append, Expected: core.AnySeq,
		Events: []core.NewEvent{{Type: "noise", Version: 1, Payload: a.payload(n, size)}}}
	x.op = checkers.Op{Client: a.number, Actor: to, Kind: core.Append, Name: "append", In: checkers.Value{Ints: []int64{n}},
		Expected: core.AnySeq, Status: core.Unknown, Code: core.CodeTimeout, Invoke: a.clock()}
}

// ended records an append. One that was never sent is none.
func (a *appender) ended(x *appending) {
	x.op.Session, x.op.Number, x.op.Return = x.Command.Session, x.Command.Number, a.clock()
	var refused *client.Refused
	var unanswered *client.Unanswered
	switch {
	case x.Err == nil:
		x.op.Status, x.op.Code, x.op.Seq, x.op.Count = x.Answer.Status, x.Answer.Code, x.Answer.Seq, x.Answer.Count
		a.acknowledged.Add(int64(len(x.Command.Events[0].Payload)))
	case errors.As(x.Err, &refused):
		x.op.Status, x.op.Code, x.op.Seq = refused.Status, refused.Code, refused.Seq
	case errors.As(x.Err, &unanswered) && unanswered.Attempts == 0:
		return
	}
	a.mu.Lock()
	a.ops = append(a.ops, x.op)
	if x.Err == nil {
		a.answered[x.Command.Actor]++
	}
	a.mu.Unlock()
}

// acked counts the acknowledged appends to a stream.
func (a *appender) acked(to core.ActorID) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.answered[to]
}

// A start is how long after its process began a node accepted commands.
type start struct{ first, all time.Duration }

// live appends to a node until the context is done: at once to each shard, which
// it reports, and then, if bulk is asked for, large events to all of them.
func (a *appender) live(ctx context.Context, addr string, begun time.Time, bulk bool, served func(start)) error {
	c, err := client.Dial(ctx, client.Config{Addrs: []string{addr}, Source: a.source})
	if err != nil {
		return err
	}
	defer c.Close()
	took, err := a.probe(ctx, c, begun)
	if err != nil {
		return err
	}
	served(took)
	if !bulk {
		<-ctx.Done()
		return nil
	}
	free := make(chan *appending, bulkInFlight)
	for range bulkInFlight {
		x := &appending{}
		x.Done = func(*client.Call) { a.ended(x); free <- x }
		free <- x
	}
	for range bulkPerLife {
		select {
		case x := <-free:
			a.begin(x, "", bulkBytes)
			if err := c.Go(ctx, &x.Call); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
	<-ctx.Done()
	return nil
}

// probe appends to each shard and measures.
func (a *appender) probe(ctx context.Context, c *client.Client, begun time.Time) (took start, err error) {
	answered := make(chan *appending, len(a.streams))
	for _, to := range a.streams {
		x := &appending{}
		x.Done = func(*client.Call) { a.ended(x); answered <- x }
		a.begin(x, to, probeBytes)
		if err := c.Go(ctx, &x.Call); err != nil {
			return took, err
		}
	}
	for i := range a.streams {
		select {
		case x := <-answered:
			if x.Err != nil {
				return took, x.Err
			}
		case <-ctx.Done():
			return took, ctx.Err()
		}
		if took.all = time.Since(begun); i == 0 {
			took.first = took.all
		}
	}
	return took, nil
}

// readBack reads the streams, and judges that each payload is the one that its
// command sent. The histories come without them.
func (a *appender) readBack(ctx context.Context, addr string) (finals []checkers.Final, r checkers.Result, err error) {
	r = checkers.Result{Name: "payload", Verdict: checkers.Pass}
	c, err := client.Dial(ctx, client.Config{Addrs: []string{addr}, Source: a.source})
	if err != nil {
		return nil, r, err
	}
	defer c.Close()
	type command struct {
		session core.SessionID
		number  core.CommandNumber
	}
	sent := make(map[command]int64, len(a.ops))
	for i := range a.ops {
		o := &a.ops[i]
		sent[command{o.Session, o.Number}] = o.In.Ints[0]
	}
	for _, id := range workloads.Actors(a.ops) {
		f, err := a.history(ctx, c, id, func(e *core.Event) {
			n, ok := sent[command{e.Session, e.Number}]
			if !ok {
				return // for durability to report
			}
			if r.Examined++; len(e.Payload) < 8 || !bytes.Equal(e.Payload, a.payload(n, len(e.Payload))) {
				r.Verdict, r.Note = checkers.Fail, fmt.Sprintf("%s holds other bytes than append %d sent", e, n)
			}
		})
		if err != nil {
			return nil, r, err
		}
		finals = append(finals, f)
	}
	return finals, r, nil
}

// history reads all of a stream that was not compacted.
func (a *appender) history(ctx context.Context, c *client.Client, id core.ActorID, each func(*core.Event)) (f checkers.Final, err error) {
	f.Actor = id
	for again := true; again; {
		again = false
		for e, err := range c.History(ctx, id, f.Floor+1) {
			var refused *client.Refused
			if errors.As(err, &refused) && refused.Code == core.CodeCompacted && refused.Seq > f.Floor+1 {
				f.Floor, f.Events, again = refused.Seq-1, nil, true
				break
			}
			if err != nil {
				return f, err
			}
			each(&e)
			e.Payload = nil
			f.Events = append(f.Events, e)
		}
	}
	return f, nil
}
