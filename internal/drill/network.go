package drill

import (
	"context"
	"sync"
	"time"

	"actordb/core/control"
	"actordb/core/proc"
	"actordb/internal/host"
	"actordb/net/tlsnet"
)

const (
	theNode     = proc.NodeID(1) // that is killed
	clientsNode = proc.NodeID(2) // the host of the clients
)

// A network carries the frames of the clients, which are processes of a host in
// this program, to the node: for each a TLS connection under its own name. When
// the node is dead frames are lost; as soon as a client is connected again it
// gets a Reset, and sends again what has no answer.
type network struct {
	ctx  context.Context
	host *host.Node
	wait sync.WaitGroup

	mu      sync.Mutex
	addr    string        // "": the node is dead
	changed chan struct{} // closed when addr is another
	links   map[uint32]*link
}

// A link is one client's way to the node.
type link struct {
	self   proc.Addr
	dialer tlsnet.Dialer
	frames chan []byte
}

const (
	linkFrames  = 64 // that wait to be written
	redialAfter = 10 * time.Millisecond
)

func newNetwork(ctx context.Context) (*network, error) {
	n := &network{ctx: ctx, changed: make(chan struct{}), links: map[uint32]*link{}}
	var err error
	if n.host, err = host.New(host.Config{Node: clientsNode, Remote: n}); err != nil {
		return nil, err
	}
	return n, nil
}

// spawn starts a client's process.
func (n *network) spawn(name string, source tlsnet.Source, factory func(proc.Env) proc.Process) error {
	n.mu.Lock()
	l := &link{self: proc.Addr{Node: clientsNode, Proc: uint32(len(n.links) + 1)}, dialer: tlsnet.Dialer{Source: source, Node: theNode}, frames: make(chan []byte, linkFrames)}
	n.links[l.self.Proc] = l
	n.mu.Unlock()
	n.wait.Go(func() { n.run(l) })
	_, err := n.host.SpawnAt(l.self.Proc, name, name, host.Storage{}, factory)
	return err
}

// close ends the clients; the context must be done.
func (n *network) close() error {
	n.wait.Wait()
	return n.host.Close()
}

// turn tells where the node is, or with "" that it is dead.
func (n *network) turn(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addr = addr
	close(n.changed)
	n.changed = make(chan struct{})
}

// Send implements host.Transport.
func (n *network) Send(from, to proc.Addr, frame []byte) {
	n.mu.Lock()
	l := n.links[from.Proc]
	n.mu.Unlock()
	select {
	case l.frames <- frame:
	default:
		n.host.Broken(from, to)
	}
}

func (n *network) run(l *link) {
	for n.ctx.Err() == nil {
		n.mu.Lock()
		addr, changed := n.addr, n.changed
		n.mu.Unlock()
		again := make(<-chan time.Time)
		if addr != "" {
			if conn, err := l.dialer.Dial(n.ctx, addr); err == nil {
				n.use(l, conn)
			}
			again = time.After(redialAfter)
		}
		select {
		case <-changed:
		case <-again:
		case <-n.ctx.Done():
		}
	}
}

// use carries frames until the connection ends.
func (n *network) use(l *link, conn *tlsnet.Conn) {
	gateway := control.GatewayAt(theNode)
	for len(l.frames) > 0 {
		<-l.frames // of before; what it asked is asked again
	}
	n.host.Broken(l.self, gateway)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			got, err := conn.Recv()
			if err != nil {
				return
			}
			from := proc.Addr{Node: theNode, Proc: got.From}
			if got.Reset || !n.host.Deliver(from, conn.Node().ID, l.self, got.Frame) {
				n.host.Broken(l.self, from)
			}
		}
	}()
	for open := true; open; {
		select {
		case frame := <-l.frames:
			open = conn.Send(n.ctx, gateway.Proc, frame) == nil
		case <-ended:
			open = false
		case <-n.ctx.Done():
			open = false
		}
	}
	conn.Close()
	<-ended
}
