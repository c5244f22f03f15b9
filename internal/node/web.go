package node

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"actordb/core/proc"
	"actordb/net/rest"
	"actordb/net/rpc"
	"actordb/net/tlsnet"
)

// Limits of the HTTP listener.
const (
	webConnections  = 1024
	webStreams      = 256 // requests at once on one connection
	webHeaderBytes  = 16 << 10
	webHeaderTime   = 5 * time.Second  // for the handshake, and then for each request's header
	webReadTime     = 30 * time.Second // for a request as a whole: the largest at 2.2 Mbit/s
	webWriteTime    = 30 * time.Second // for an answer, or a page of a stream
	webIdleTime     = 2 * time.Minute
	webPingTime     = 15 * time.Second // without a word on HTTP/2
	webShutdownTime = 2 * time.Second
)

// web is a node's HTTP listener: commands for other languages, SQL, health, metrics, all
// behind mutual TLS.
type web struct {
	listener   net.Listener
	door       *tlsnet.Web
	dispatcher *rpc.Dispatcher // once it runs
	rest       *rest.Server    // likewise
	server     *http.Server
	served     chan struct{}
	log        *slog.Logger
}

// listenWeb takes the address; "" is none, and returns nil.
func listenWeb(cfg *ServeConfig) (*web, error) {
	if cfg.Web == "" {
		return nil, nil
	}
	door, err := tlsnet.NewWeb(cfg.Credentials.Source, nil, nil)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", cfg.Web)
	if err != nil {
		return nil, fmt.Errorf("node: HTTP: %w; choose another address, or stop what listens there", err)
	}
	return &web{listener: listener, door: door, log: cfg.Log, served: make(chan struct{})}, nil
}

// start serves the node.
func (w *web) start(n *Node, metrics http.Handler, report *reporter, dial dialer) {
	if w == nil {
		return
	}
	w.dispatcher = rpc.NewDispatcher(rpc.Config{Deliver: func(from proc.Addr, peer string, frame []byte) bool {
		return n.Deliver(from, peer, n.Gateway, frame)
	}})
	routes := http.NewServeMux()
	routes.Handle(rpc.NewHandler(w.dispatcher, w.door.Judge))
	w.rest = rest.New(rest.Config{Judge: w.door.Judge, Dial: dial})
	routes.Handle(rest.Prefix, w.rest)
	routes.Handle("GET /healthz", w.judged(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprintln(rw, "ok") }))
	routes.Handle("GET /readyz", w.judged(func(rw http.ResponseWriter, _ *http.Request) { ready(rw, n) }))
	routes.Handle("GET /metrics", w.judged(metrics.ServeHTTP))
	w.server = &http.Server{
		Handler: http.MaxBytesHandler(routes, rpc.RequestBytesMax+64<<10), TLSConfig: w.door.TLSConfig(), ConnContext: w.door.ConnContext,
		ReadHeaderTimeout: webHeaderTime, ReadTimeout: webReadTime, WriteTimeout: webWriteTime, IdleTimeout: webIdleTime,
		MaxHeaderBytes: webHeaderBytes, ErrorLog: log.New(errorLog{report}, "", 0),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: webStreams, SendPingTimeout: webPingTime, PingTimeout: webPingTime, WriteByteTimeout: webWriteTime},
	}
	go func() {
		defer close(w.served)
		err := w.server.ServeTLS(netutil.LimitListener(w.listener, webConnections), "", "")
		if !errors.Is(err, http.ErrServerClosed) {
			w.log.Error("HTTP is not served any more", "error", err)
		}
	}()
}

// judged lets those in whom the certificate still speaks for.
func (w *web) judged(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if _, err := w.door.Judge(r); err != nil {
			http.Error(rw, err.Error(), http.StatusUnauthorized)
			return
		}
		next(rw, r)
	})
}

// ready tells whether all shards take commands.
func ready(rw http.ResponseWriter, n *Node) {
	var not []string
	serving := make(map[proc.Addr]string)
	for _, r := range n.Reports() {
		if r.Serving {
			serving[r.Addr] = r.Process
		}
	}
	for i, at := range n.Shards {
		if serving[at] == "" {
			not = append(not, fmt.Sprintf("shard-%d does not serve: it reads its journal, or has no leader", i))
		}
	}
	select {
	case <-n.Done():
		not = append(not, "the node is stopping")
	default:
	}
	if len(not) > 0 {
		http.Error(rw, strings.Join(not, "\n"), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintf(rw, "ok: %d shards serve\n", len(n.Shards))
}

// errorLog takes net/http's lines. Those of handshakes have place, reason and cure
// in them.
type errorLog struct{ *reporter }

func (l errorLog) Write(line []byte) (int, error) {
	l.report(errors.New(strings.TrimSpace(string(line))))
	return len(line), nil
}

// close ends what is under way, and returns when all has ended.
func (w *web) close() error {
	switch {
	case w == nil:
		return nil
	case w.server == nil: // it was not started
		return w.listener.Close()
	}
	w.dispatcher.Close()
	w.rest.Close()
	ctx, cancel := context.WithTimeout(context.Background(), webShutdownTime)
	defer cancel()
	err := w.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = w.server.Close()
	}
	<-w.served
	return err
}

// carriers bring frames to clients: those of this process, of HTTP, and all others.
type carriers struct {
	net    *tlsnet.Net
	web    *web
	locals *locals
}

// Send implements host.Transport.
func (c carriers) Send(from, to proc.Addr, frame []byte) {
	if to.Node == rpc.Node && to.Proc >= localFirst {
		c.locals.send(to.Proc, frame)
		return
	}
	if to.Node == rpc.Node && c.web != nil {
		c.web.dispatcher.Receive(to.Proc, frame)
		return
	}
	c.net.Send(from, to, frame)
}
