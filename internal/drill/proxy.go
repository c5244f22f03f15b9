package drill

import (
	"errors"
	"io"
	"net"
	"sync"
)

// A proxy carries the connections to one node, for one of those that dial it, so
// that they can be cut. What it carries it cannot read.
type proxy struct {
	listener net.Listener
	running  sync.WaitGroup

	mu    sync.Mutex
	to    string // "": nobody is there
	cut   bool
	conns map[net.Conn]struct{}
	ended bool
}

func newProxy() (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, conns: map[net.Conn]struct{}{}}
	p.running.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// turn says where the node is.
func (p *proxy) turn(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
}

// sever ends all connections and lets no new one through, until it is mended.
func (p *proxy) sever() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

func (p *proxy) close() error {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.sever()
	p.running.Wait()
	return err
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return // it is closed
		}
		p.running.Go(func() { p.carry(c) })
	}
}

// admit makes a connection known, unless none may pass.
func (p *proxy) admit(c net.Conn) (to string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut || p.ended || p.to == "" {
		return "", false
	}
	p.conns[c] = struct{}{}
	return p.to, true
}

func (p *proxy) carry(c net.Conn) {
	to, ok := p.admit(c)
	if !ok {
		c.Close()
		return
	}
	defer p.strike(c)
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	if _, ok := p.admit(far); !ok {
		far.Close()
		return
	}
	defer p.strike(far)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, far}, {far, c}} {
		both.Go(func() {
			_, err := io.Copy(way[0], way[1])
			if half, ok := way[0].(*net.TCPConn); ok && err == nil {
				half.CloseWrite() // the other way may go on
			} else if !errors.Is(err, net.ErrClosed) {
				way[0].Close()
				way[1].Close()
			}
		})
	}
	both.Wait()
}

func (p *proxy) strike(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
