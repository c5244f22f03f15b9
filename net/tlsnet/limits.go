package tlsnet

import (
	"cmp"
	"fmt"
	"time"

	"actordb/core"
	"actordb/core/proc"
)

const (
	// frameBytesMax leaves the engine's largest frame room for an envelope.
	frameBytesMax = core.FrameBytesMax + 64<<10
	// stageBytes is what one write to TLS carries: four records of the largest
	// size, about what one call to the kernel takes without blocking.
	stageBytes = 64 << 10
	// readBytes holds one TLS record, so that each is copied once.
	readBytes = 16 << 10
	// renewMin keeps a source that is not renewed from making us redial in a loop
	// as its certificate's end comes near.
	renewMin = time.Second

	// ClientNodes is the first node number of clients; nodes are below.
	ClientNodes proc.NodeID = 1 << 31
	// ClientProc is the process number of every client.
	ClientProc = 1
	// GatewayProc is the process of a node that clients talk to.
	GatewayProc = 1

	// authorityLifetime: an authority is replaced by Rotate well before.
	authorityLifetime = 365 * 24 * time.Hour
	// CertificateLifetimeMax bounds what a stolen key is good for when nobody
	// notices; nodes renew theirs by themselves, at half of their time.
	CertificateLifetimeMax = 7 * 24 * time.Hour
	// notBeforeSlack lets peers whose clocks are behind accept a new certificate.
	notBeforeSlack = 5 * time.Minute
	// storedBytesMax bounds the files of authorities and identities: some
	// hundred certificates.
	storedBytesMax = 1 << 20
)

// Limits of a Net. Zero fields take the defaults.
type Limits struct {
	// Connections bounds what is accepted and admitted: with buffers and stacks an
	// idle one costs about 36 KiB, all of them 144 MiB.
	Connections int // 4,096
	// ConnectionsPerClient keeps one client from taking all of them.
	ConnectionsPerClient int // 64
	// ConnectionsPerNode: one to receive on, one that replaces it, and two that
	// died unnoticed; beyond that the oldest is closed.
	ConnectionsPerNode int // 4
	// Handshakes bounds the strangers who are let talk at once, and what they
	// make us compute: a handshake costs about 1 ms of a core.
	Handshakes int // 256
	// HandshakesPerAddress keeps one machine from taking all of them.
	HandshakesPerAddress int // 64
	// HandshakeTimeout is for TLS and hello together: two round trips, halfway
	// around the world, with a lost packet.
	HandshakeTimeout time.Duration // 5 s

	// PingEvery is the longest silence of an end that lives, IdleTimeout that
	// after which it is taken for dead: two lost pings.
	PingEvery   time.Duration // 5 s
	IdleTimeout time.Duration // 15 s
	// FrameTimeout is for one frame from its header to its last byte: the
	// largest at 2.2 Mbit/s.
	FrameTimeout time.Duration // 30 s
	// WriteTimeout is how long a peer may read nothing.
	WriteTimeout time.Duration // 10 s
	// FlushTimeout bounds Close and the end of a connection that is renewed.
	FlushTimeout time.Duration // 2 s

	// QueueFrames and QueueBytes bound what waits for one node: eight of the
	// largest frames, or half a second of a gigabit link.
	QueueFrames int   // 16,384
	QueueBytes  int64 // 64 MiB
	// ClientQueueFrames and ClientQueueBytes do for one client,
	ClientQueueFrames int   // 4,096
	ClientQueueBytes  int64 // 16 MiB
	// and ClientsQueueBytes for all clients together.
	ClientsQueueBytes int64 // 512 MiB
	// AssemblyBytes bounds frames that have begun to arrive, once for all nodes
	// and once for all clients; when it is used up readers wait, and TCP makes
	// the senders wait.
	AssemblyBytes int64 // 128 MiB
	// Routes bounds the pairs of processes that are told when a connection
	// breaks, and the resets that wait to be sent.
	Routes int // 65,536

	// A dial that failed is repeated after BackoffMin, doubled up to
	// BackoffMax, less a random part of up to a half.
	BackoffMin time.Duration // 50 ms
	BackoffMax time.Duration // 2 s
}

func (l Limits) withDefaults() Limits {
	l.Connections = cmp.Or(l.Connections, 4096)
	l.ConnectionsPerClient = cmp.Or(l.ConnectionsPerClient, 64)
	l.ConnectionsPerNode = cmp.Or(l.ConnectionsPerNode, 4)
	l.Handshakes = cmp.Or(l.Handshakes, 256)
	l.HandshakesPerAddress = cmp.Or(l.HandshakesPerAddress, 64)
	l.HandshakeTimeout = cmp.Or(l.HandshakeTimeout, 5*time.Second)
	l.PingEvery = cmp.Or(l.PingEvery, 5*time.Second)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, 15*time.Second)
	l.FrameTimeout = cmp.Or(l.FrameTimeout, 30*time.Second)
	l.WriteTimeout = cmp.Or(l.WriteTimeout, 10*time.Second)
	l.FlushTimeout = cmp.Or(l.FlushTimeout, 2*time.Second)
	l.QueueFrames = cmp.Or(l.QueueFrames, 16<<10)
	l.QueueBytes = cmp.Or(l.QueueBytes, 64<<20)
	l.ClientQueueFrames = cmp.Or(l.ClientQueueFrames, 4096)
	l.ClientQueueBytes = cmp.Or(l.ClientQueueBytes, 16<<20)
	l.ClientsQueueBytes = cmp.Or(l.ClientsQueueBytes, 512<<20)
	l.AssemblyBytes = cmp.Or(l.AssemblyBytes, 128<<20)
	l.Routes = cmp.Or(l.Routes, 64<<10)
	l.BackoffMin = cmp.Or(l.BackoffMin, 50*time.Millisecond)
	l.BackoffMax = cmp.Or(l.BackoffMax, 2*time.Second)
	return l
}

// validate checks limits that have their defaults.
func (l *Limits) validate() error {
	for _, v := range []struct {
		name  string
		value int64
		least int64
	}{
		{"Connections", int64(l.Connections), 1},
		{"ConnectionsPerClient", int64(l.ConnectionsPerClient), 1},
		{"ConnectionsPerNode", int64(l.ConnectionsPerNode), 1},
		{"Handshakes", int64(l.Handshakes), 1},
		{"HandshakesPerAddress", int64(l.HandshakesPerAddress), 1},
		{"HandshakeTimeout", int64(l.HandshakeTimeout), 1},
		{"PingEvery", int64(l.PingEvery), 1},
		{"IdleTimeout", int64(l.IdleTimeout), int64(l.PingEvery) + 1},
		{"FrameTimeout", int64(l.FrameTimeout), 1},
		{"WriteTimeout", int64(l.WriteTimeout), 1},
		{"FlushTimeout", int64(l.FlushTimeout), 1},
		{"QueueFrames", int64(l.QueueFrames), 1},
		{"QueueBytes", l.QueueBytes, 1},
		{"ClientQueueFrames", int64(l.ClientQueueFrames), 1},
		{"ClientQueueBytes", l.ClientQueueBytes, 1},
		{"ClientsQueueBytes", l.ClientsQueueBytes, 1},
		{"AssemblyBytes", l.AssemblyBytes, frameBytesMax},
		{"Routes", int64(l.Routes), 1},
		{"BackoffMin", int64(l.BackoffMin), 1},
		{"BackoffMax", int64(l.BackoffMax), int64(l.BackoffMin)},
	} {
		if v.value < v.least {
			return fmt.Errorf("tlsnet: Limits.%s is %d, want at least %d", v.name, v.value, v.least)
		}
	}
	return nil
}
