package experiments

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/proc"
	"actordb/internal/node"
	"actordb/net/client"
	"actordb/net/tlsnet"
	"actordb/net/wire"
)

// serve starts a real node: files, Pebble, mutual TLS. With change it is another one than
// the experiments' usual one.
func serve(dir string, shards int, change ...func(*node.ServeConfig)) (*node.Server, node.Credentials, error) {
	c, err := node.OpenDev(dir, shards)
	if err != nil {
		return nil, c, err
	}
	cfg := node.ServeConfig{Dir: dir, Listen: "127.0.0.1:0", Shards: shards,
		Kinds:       func() []actor.Kind { return []actor.Kind{counter(actor.Policy{}).Instance(), actor.Stream()} },
		Credentials: c, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&cfg)
	}
	s, err := node.Serve(cfg)
	return s, c, err
}

// floods clients keep floodBatch commands each under way.
const (
	floods     = 16
	floodBatch = 100
	inFlight   = floods * floodBatch
)

// flood is floods clients within the node: each sends a frame, waits until all of it
// is answered, and sends the next, until n commands are answered.
type flood struct {
	gateway  proc.Addr
	n        int
	clients  [floods]*adds
	waits    [floods]int // commands of each that have no answer
	sent     int
	answered int
	done     chan error
}

// Step implements proc.Process.
func (f *flood) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	switch in.Kind {
	case proc.Start:
		for i := range f.clients {
			f.clients[i] = newAdds(now, uint64(i))
			f.send(i, out)
		}
	case proc.Message:
		r, err := wire.Open(in.Frame)
		if err != nil {
			f.end(err)
			return
		}
		var a core.Answer
		for r.Answer(&a) {
			if a.Status != core.Accepted {
				f.end(fmt.Errorf("command %d: %s, %s", a.Number, a.Status, a.Code))
				return
			}
			i := binary.BigEndian.Uint64(a.Session[8:])
			f.answered++
			if f.waits[i]--; f.waits[i] == 0 {
				f.send(int(i), out)
			}
		}
		if f.answered == f.n {
			f.end(nil)
		}
	}
}

func (f *flood) end(err error) {
	select {
	case f.done <- err:
	default: // it has ended
	}
}

func (f *flood) send(i int, out *proc.Effects) {
	k, from := min(floodBatch, f.n-f.sent), f.sent
	if k > 0 {
		f.sent, f.waits[i] = f.sent+k, k
		out.Send(f.gateway, f.clients[i].frame(k, func(i int) core.ActorID { return counterID(from + i) }))
	}
}

// durableWrites is the time per event with inFlight commands under way, from a
// process of the node itself.
func durableWrites(ctx context.Context, dir string, n int) (ns float64, err error) {
	s, _, err := serve(dir, 2)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	f := &flood{gateway: s.Node.Gateway, n: n, done: make(chan error, 1)}
	begun := time.Now()
	if _, err := s.Node.Spawn("flood", "spiffe://experiment/flood", func(proc.Env) proc.Process { return f }); err != nil {
		return 0, err
	}
	select {
	case err := <-f.done:
		return float64(time.Since(begun)) / float64(n), err
	case <-s.Done():
		return 0, s.Wait()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// dial connects a client to a server of this process.
func dial(ctx context.Context, s *node.Server, c node.Credentials) (*client.Client, error) {
	identity, err := tlsnet.LoadIdentity(filepath.Clean(c.Client))
	if err != nil {
		return nil, err
	}
	return client.Dial(ctx, client.Config{Addrs: []string{s.Addr().String()}, Source: identity})
}

// wireWrites is durableWrites through mutual TLS.
func wireWrites(ctx context.Context, dir string, n int) (ns float64, err error) {
	s, credentials, err := serve(dir, 2)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	c, err := dial(ctx, s, credentials)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	var sent, answered atomic.Int64
	done := make(chan error, 1)
	payload := binary.AppendVarint(nil, 1)
	var again func(call *client.Call)
	again = func(call *client.Call) {
		if call.Err != nil {
			select {
			case done <- call.Err:
			default:
			}
			return
		}
		if answered.Add(1) == int64(n) {
			done <- nil
			return
		}
		i := sent.Add(1) - 1
		if i >= int64(n) {
			return
		}
		call.Command.Actor = counterID(int(i))
		if err := c.TryGo(call); err != nil {
			select {
			case done <- err:
			default:
			}
		}
	}
	begun := time.Now()
	for range min(inFlight, n) {
		call := &client.Call{Done: again}
		call.Command = core.Command{Actor: counterID(int(sent.Add(1) - 1)), Kind: core.Decide, Expected: core.AnySeq, Type: "add", Payload: payload}
		if err := c.Go(ctx, call); err != nil {
			return 0, err
		}
	}
	select {
	case err := <-done:
		return float64(time.Since(begun)) / float64(n), err
	case <-s.Done():
		return 0, s.Wait()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
