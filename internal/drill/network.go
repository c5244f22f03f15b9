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
	theNode     = proc.NodeID(1)    // that is killed, when there is but one
	clientsNode = proc.NodeID(1000) // the host of the clients
)

// A network carries the frames of the clients, which are processes of a host in
// this program, to the nodes: for each client and node a TLS connection under the
// client's name. When a node is dead frames are lost; as soon as a client is
// connected again it gets a Reset, and sends again what has no answer.
type network struct {
	ctx  context.Context
	host *host.Node
	wait sync.WaitGroup

	mu      sync.Mutex
	clients uint32
	places  map[proc.NodeID]*place
	links   map[way]*link
}

// A place is where a node is.
type place struct {
	addr    string        // "": it is dead
	changed chan struct{} // closed when addr is another
}

// A way leads from a client's process to a node.
type way struct {
	from uint32
	to   proc.NodeID
}

// A link is one client's way to a node.
type link struct {
	self   proc.Addr
	node   proc.NodeID
	dialer tlsnet.Dialer
	frames chan []byte
}

const (
	linkFrames  = 64 // that wait to be written
	redialAfter = 10 * time.Millisecond
)

func newNetwork(ctx context.Context, nodes ...proc.NodeID) (*network, error) {
	n := &network{ctx: ctx, places: map[proc.NodeID]*place{}, links: map[way]*link{}}
	for _, node := range nodes {
		n.places[node] = &place{changed: make(chan struct{})}
	}
	var err error
	if n.host, err = host.New(host.Config{Node: clientsNode, Remote: n}); err != nil {
		return nil, err
	}
	return n, nil
}

// spawn starts a client's process.
func (n *network) spawn(name string, source tlsnet.Source, factory func(proc.Env) proc.Process) error {
	n.mu.Lock()
	n.clients++
	self := proc.Addr{Node: clientsNode, Proc: n.clients}
	for node := range n.places {
		l := &link{self: self, node: node, dialer: tlsnet.Dialer{Source: source, Node: node}, frames: make(chan []byte, linkFrames)}
		n.links[way{self.Proc, node}] = l
		n.wait.Go(func() { n.run(l) })
	}
	n.mu.Unlock()
	_, err := n.host.SpawnAt(self.Proc, name, name, host.Storage{}, factory)
	return err
}

// close ends the clients; the context must be done.
func (n *network) close() error {
	n.wait.Wait()
	return n.host.Close()
}

// turn tells where a node is, or with "" that it is dead.
func (n *network) turn(node proc.NodeID, addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.places[node]
	p.addr = addr
	close(p.changed)
	p.changed = make(chan struct{})
}

// Send implements host.Transport.
func (n *network) Send(from, to proc.Addr, frame []byte) {
	n.mu.Lock()
	l := n.links[way{from.Proc, to.Node}]
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
		addr, changed := n.places[l.node].addr, n.places[l.node].changed
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
	gateway := control.GatewayAt(l.node)
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
			from := proc.Addr{Node: l.node, Proc: got.From}
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
