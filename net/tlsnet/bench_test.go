package tlsnet

import (
	"fmt"
	"testing"

	"actordb/core/proc"
)

// echo is a Local that answers each frame.
type echo struct{ net *Net }

func (e *echo) Deliver(from proc.Addr, _ string, to proc.Addr, frame []byte) bool {
	e.net.Send(to, from, frame)
	return true
}
func (e *echo) Broken(proc.Addr, proc.Addr) {}

// BenchmarkEcho is a client's frames there and back, on one connection.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{128, 4096, 64 << 10} {
		for _, flight := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("bytes=%d/flight=%d", size, flight), func(b *testing.B) { benchEcho(b, size, flight) })
		}
	}
}

func benchEcho(b *testing.B, size, flight int) {
	c := newCluster(b)
	n, err := New(Config{Source: c.source(NodeID(domain, 2)), Listen: "127.0.0.1:0", Limits: Limits{ClientQueueBytes: 64 << 20}})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	if err := n.Start(&echo{n}); err != nil {
		b.Fatal(err)
	}
	conn := dial(b, n, c.client("a"))
	defer conn.Close()
	tokens := make(chan struct{}, flight)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			tokens <- struct{}{}
			if err := conn.Send(background, 1, make([]byte, size)); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	for range b.N {
		if m, err := conn.Recv(); err != nil || m.Reset {
			b.Fatal(m.Reset, err)
		}
		<-tokens
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

// BenchmarkNodes is frames one way, from node to node.
func BenchmarkNodes(b *testing.B) {
	for _, size := range []int{128, 4096, 64 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			c := newCluster(b)
			n1, r1, _, r2 := c.pair(nil)
			window := make(chan struct{}, 512)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			go func() {
				for range b.N {
					window <- struct{}{}
					n1.Send(here, there, make([]byte, size))
				}
			}()
			for range b.N {
				if g := <-r2.in; g.reset {
					b.Fatal("reset")
				}
				<-window
			}
			if len(r1.in) > 0 {
				b.Fatal("frames were dropped")
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}

// BenchmarkDial is a client's connection: TCP, a full handshake with two
// certificates to check, hello, and the end; both ends on this machine.
func BenchmarkDial(b *testing.B) {
	c := newCluster(b)
	n, _ := c.node(2, nil)
	source := c.client("a")
	for b.Loop() {
		conn, err := Dial(b.Context(), n.Addr().String(), source)
		if err != nil {
			b.Fatal(err)
		}
		conn.Close()
	}
}
