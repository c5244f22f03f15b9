package node

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"actordb/core"
	"actordb/net/client"
	"actordb/net/tlsnet"
)

// BenchmarkThroughTLS is durable appends of 200 bytes through mTLS, client and
// server in one process, with so many in flight.
func BenchmarkThroughTLS(b *testing.B) {
	for _, inFlight := range []int{1, 16, 256, 1600} {
		b.Run(fmt.Sprint(inFlight), func(b *testing.B) { benchmarkThroughTLS(b, inFlight) })
	}
}

func benchmarkThroughTLS(b *testing.B, inFlight int) {
	ca, err := tlsnet.NewCA(testDomain)
	if err != nil {
		b.Fatal(err)
	}
	source := func(id string) tlsnet.Source {
		s, err := ca.Source(id, time.Hour)
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	s, err := Serve(ServeConfig{Dir: b.TempDir(), Listen: "127.0.0.1:0", Kinds: sampleKinds,
		Credentials: Credentials{Source: source(tlsnet.NodeID(testDomain, 1))}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c, err := client.Dial(b.Context(), client.Config{Addrs: []string{s.Addr().String()}, Source: source(tlsnet.ClientID(testDomain, "a"))})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	actors := make([]core.ActorID, 1000)
	for i := range actors {
		actors[i] = core.ActorID(fmt.Sprintf("stream/%d", i))
	}
	payload := make([]byte, 200)
	ended := make(chan *client.Call, inFlight)
	for range inFlight {
		ended <- &client.Call{Done: func(call *client.Call) { ended <- call },
			Command: core.Command{Kind: core.Append, Expected: core.AnySeq, Events: []core.NewEvent{{Type: "t", Version: 1, Payload: payload}}}}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		call := <-ended
		if call.Err != nil {
			b.Fatal(call.Err)
		}
		call.Command.Actor = actors[i%len(actors)]
		if err := c.Go(b.Context(), call); err != nil {
			b.Fatal(err)
		}
	}
	for range inFlight {
		if call := <-ended; call.Err != nil {
			b.Fatal(call.Err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
}
