package node

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"actordb/core/proc"
	"actordb/net/client"
	"actordb/net/tlsnet"
)

// locals are clients in this process: those whose sessions speak another protocol than
// frames. Each has a number at node 0, as those of HTTP do; theirs begin at localFirst.
type locals struct {
	mu    sync.Mutex
	links map[uint32]*localLink
	last  uint32
}

const (
	localFirst = 1 << 31
	// localFrames bounds the frames that wait for a client; beyond, its link breaks,
	// and it connects anew. Statements have windows and commands a bound, so it is
	// for clients that do not read at all.
	localFrames = 1 << 12
)

var (
	errLocalSlow  = errors.New("node: a client of this process does not read")
	errLocalEnded = errors.New("node: the link has ended")
)

// localLink is a client.Link to the gateway of this process.
type localLink struct {
	node   *Node
	who    tlsnet.Identity // the node's
	peer   string          // the client's identity
	from   proc.Addr
	owner  *locals
	frames chan []byte
	ended  chan struct{}
	once   sync.Once
	cause  error
}

// connect makes a link for a peer.
func (l *locals) connect(n *Node, self tlsnet.Identity, peer string) client.Link {
	x := &localLink{node: n, who: self, peer: peer, owner: l, frames: make(chan []byte, localFrames), ended: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.links == nil {
		l.links = map[uint32]*localLink{}
	}
	for x.from.Proc == 0 || l.links[x.from.Proc] != nil {
		l.last++
		x.from.Proc = localFirst | l.last
	}
	l.links[x.from.Proc] = x
	return x
}

// send brings a frame to a client, if it is there.
func (l *locals) send(to uint32, frame []byte) {
	l.mu.Lock()
	x := l.links[to]
	l.mu.Unlock()
	if x == nil {
		return
	}
	select {
	case x.frames <- bytes.Clone(frame):
	default:
		x.end(errLocalSlow)
	}
}

func (x *localLink) end(cause error) {
	x.once.Do(func() {
		x.cause = cause
		close(x.ended)
		x.owner.mu.Lock()
		delete(x.owner.links, x.from.Proc)
		x.owner.mu.Unlock()
	})
}

// Node implements client.Link.
func (x *localLink) Node() tlsnet.Identity { return x.who }

// Send implements client.Link. A gateway without room takes the frame as lost: its
// client sends it again.
func (x *localLink) Send(_ context.Context, to uint32, frame []byte) error {
	select {
	case <-x.ended:
		return x.cause
	case <-x.node.Done():
		x.end(errLocalEnded)
		return errLocalEnded
	default:
	}
	if to != tlsnet.GatewayProc {
		return errLocalEnded
	}
	if !x.node.Deliver(x.from, x.peer, x.node.Gateway, bytes.Clone(frame)) {
		select {
		case x.frames <- nil: // a reset
		default:
		}
	}
	return nil
}

// Recv implements client.Link.
func (x *localLink) Recv() (tlsnet.Received, error) {
	select {
	case frame := <-x.frames:
		return tlsnet.Received{From: x.node.Gateway.Proc, Reset: frame == nil, Frame: frame}, nil
	case <-x.ended:
		return tlsnet.Received{}, x.cause
	case <-x.node.Done():
		x.end(errLocalEnded)
		return tlsnet.Received{}, errLocalEnded
	}
}

// Abort implements client.Link.
func (x *localLink) Abort() { x.end(errLocalEnded) }

// Close implements client.Link.
func (x *localLink) Close() error {
	x.end(errLocalEnded)
	return nil
}
