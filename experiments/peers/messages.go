package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// A row is one quantity, measured once.
type row struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
	Note  string  `json:"note"`
}

const (
	window   = 4096 // messages under way between two actors
	fanOut   = 100_000
	patience = 5 * time.Minute
)

type (
	ping struct{ from *actor.PID }
	pong struct{}
	one  struct{}
	next struct{}
)

// messages measures protoactor-go.
func messages(n int) ([]row, error) {
	system := actor.NewActorSystemWithConfig(actor.Configure(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.NewTextHandler(io.Discard, nil))
	})))
	defer system.Shutdown()
	var rows []row
	for _, m := range []struct {
		name, note string
		n          int
		run        func(*actor.ActorSystem, int) error
	}{
		{"tell between two actors, both ways counted", fmt.Sprintf("%d under way", window), n, tells},
		{"request and response between two actors, one at a time", "pairs; the requester is an actor", max(n/10, 1), asks},
		{fmt.Sprintf("fan-out to %d actors", fanOut), "from one goroutine, round robin", n, fan},
	} {
		took, err := timed(func() error { return m.run(system, m.n) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		rows = append(rows, row{"protoactor-go, " + m.name, "1/s", float64(m.n) / took.Seconds(), m.note})
	}
	return rows, nil
}

func timed(f func() error) (time.Duration, error) {
	begun := time.Now()
	err := f()
	return time.Since(begun), err
}

func await(done chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("not within %v", patience)
	}
}

// echoes answers each ping with a pong.
func echoes(c actor.Context) {
	if p, ok := c.Message().(*ping); ok {
		c.Send(p.from, &pong{})
	}
}

// tells keeps window pings under way until n messages have gone, pings and pongs.
func tells(system *actor.ActorSystem, n int) error {
	to := system.Root.Spawn(actor.PropsFromFunc(echoes))
	return pingPong(system, to, n/2, window)
}

// asks is the same with one at a time: n pairs.
func asks(system *actor.ActorSystem, n int) error {
	to := system.Root.Spawn(actor.PropsFromFunc(echoes))
	return pingPong(system, to, n, 1)
}

func pingPong(system *actor.ActorSystem, to *actor.PID, pairs, window int) error {
	done := make(chan struct{})
	sent, got := 0, 0
	from := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
		send := func() {
			if sent < pairs {
				sent++
				c.Send(to, &ping{c.Self()})
			}
		}
		switch c.Message().(type) {
		case *next:
			for range window {
				send()
			}
		case *pong:
			if got++; got == pairs {
				close(done)
			}
			send()
		}
	}))
	system.Root.Send(from, &next{})
	err := await(done)
	system.Root.Stop(from)
	system.Root.Stop(to)
	return err
}

// fan sends n messages to many actors in turn.
func fan(system *actor.ActorSystem, n int) error {
	done := make(chan struct{})
	each := (n + fanOut - 1) / fanOut
	ended := make(chan struct{}, fanOut)
	var all []*actor.PID
	for range fanOut {
		got := 0
		all = append(all, system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			if _, ok := c.Message().(*one); ok {
				if got++; got == each {
					ended <- struct{}{}
				}
			}
		})))
	}
	go func() {
		for range fanOut {
			<-ended
		}
		close(done)
	}()
	m := &one{}
	for range each {
		for _, to := range all {
			system.Root.Send(to, m)
		}
	}
	err := await(done)
	for _, to := range all {
		system.Root.Stop(to)
	}
	return err
}
