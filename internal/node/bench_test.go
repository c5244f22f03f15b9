package node

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
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

// benchServer is a server on a directory, and a client of it.
func benchServer(b *testing.B, dir string) (*client.Client, func()) {
	return benchServerOf(b, ServeConfig{Dir: dir})
}

// benchServerOf is one with a network or shards of its own.
func benchServerOf(b *testing.B, cfg ServeConfig) (*client.Client, func()) {
	b.Helper()
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
	cfg.Listen, cfg.Kinds = "127.0.0.1:0", sampleKinds
	cfg.Credentials, cfg.Log = Credentials{Source: source(tlsnet.NodeID(testDomain, 1))}, slog.New(slog.DiscardHandler)
	s, err := Serve(cfg)
	if err != nil {
		b.Fatal(err)
	}
	c, err := client.Dial(b.Context(), client.Config{Addrs: []string{s.Addr().String()}, Source: source(tlsnet.ClientID(testDomain, "a"))})
	if err != nil {
		b.Fatal(err)
	}
	return c, func() {
		c.Close()
		s.Close()
	}
}

func benchmarkThroughTLS(b *testing.B, inFlight int) {
	c, done := benchServer(b, b.TempDir())
	defer done()
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

// BenchmarkSubscribe is the time from a command to its change at a subscriber, through
// mTLS both ways, on files in memory where there are some.
func BenchmarkSubscribe(b *testing.B) {
	dir, err := os.MkdirTemp("/dev/shm", "actordb")
	if err != nil {
		b.Skip("no file system in memory: ", err)
	}
	defer os.RemoveAll(dir)
	c, done := benchServer(b, dir)
	defer done()
	if _, err := c.Exec(b.Context(), `CREATE EVENT TYPE stream.sold (item text NOT NULL, n int8)`); err != nil {
		b.Fatal(err)
	}
	if _, err := c.Exec(b.Context(), `CREATE PROJECTION total AS SELECT sum(n) AS total FROM stream.sold`); err != nil {
		b.Fatal(err)
	}
	sub, err := c.Subscribe(b.Context(), `SUBSCRIBE TO total`, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer sub.Close()
	took := make([]time.Duration, 0, b.N)
	ended := make(chan *client.Call, 1)
	call := &client.Call{Done: func(call *client.Call) { ended <- call }}
	for i := range b.N {
		call.Command = core.Command{Actor: core.ActorID(fmt.Sprintf("stream/%d", i%100)), Kind: core.Append, Expected: core.AnySeq, Events: []core.NewEvent{sale("pear", 1)}}
		begun := time.Now()
		if err := c.Go(b.Context(), call); err != nil {
			b.Fatal(err)
		}
		want := fmt.Sprint(i + 1)
		for shown := false; !shown; {
			change, err := sub.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for k, w := range change.Weights {
				shown = shown || w > 0 && string(change.Rows.Cols[0].AppendText(nil, k)) == want
			}
		}
		took = append(took, time.Since(begun))
		if call := <-ended; call.Err != nil {
			b.Fatal(call.Err)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkWorkers is a group by over a million events in two shards, computed by the query process
// and by two workers.
func BenchmarkWorkers(b *testing.B) {
	const events, each = 1_000_000, 1000
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			c, done := benchServerOf(b, ServeConfig{Dir: b.TempDir(), Shards: 2, Network: withWorkers(b, workers)})
			defer done()
			if _, err := c.Exec(b.Context(), `CREATE EVENT TYPE stream.sold (item text NOT NULL, n int8)`); err != nil {
				b.Fatal(err)
			}
			list := make([]core.NewEvent, each)
			for i := range events / each {
				for n := range each {
					list[n] = sale(fmt.Sprint("item-", n%100), int64(i*each+n))
				}
				if _, err := c.Append(b.Context(), core.ActorID(fmt.Sprintf("stream/%d", i%1000)), core.AnySeq, list...); err != nil {
					b.Fatal(err)
				}
			}
			for i := 0; b.Loop(); i++ { // each with a constant of its own: none of them comes again
				rows, err := c.Query(b.Context(), fmt.Sprintf(`SELECT item, count(*), sum(n) FROM stream.sold WHERE n <> -%d GROUP BY item`, i+1))
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for rows.Next() {
					n += rows.Batch().N
				}
				if err := rows.Err(); err != nil || n != 100 {
					b.Fatalf("%d rows, %v", n, err)
				}
				rows.Close()
			}
			b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
