package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"actordb"
	"actordb/core"
	"actordb/core/actor"
	"actordb/core/control"
	"actordb/core/proc"
	"actordb/disk"
	"actordb/internal/datadir"
	"actordb/internal/host"
	"actordb/internal/observe"
	"actordb/net/tlsnet"
	"actordb/net/wire"
)

// ServeConfig of a node that others can reach.
type ServeConfig struct {
	Dir    string
	Listen string // host:port; port 0: a free one
	Web    string // host:port for HTTP: commands by RPC, health, metrics; "": none
	// Postgres is host:port for PostgreSQL's clients; "": none.
	Postgres string
	Shards   int // as in Config
	// Peers says where the cluster's nodes are, for whoever wants them reached
	// elsewhere than cluster.json says; nil: there.
	Peers map[proc.NodeID]string
	// Network says what runs and within which limits; nil: dag.jsonnet's.
	Network *control.Network
	Kinds   func() []actor.Kind
	// OpenDir opens a shard's directory, of its journal or of Pebble, for whoever
	// wants the node on other files than the machine's. It is closed with the node
	// if it can be. nil: the machine's.
	OpenDir func(dir string) (disk.FS, error)
	// Credentials say who the node is and whom it trusts; see OpenIdentity and
	// OpenDev.
	Credentials Credentials
	// Speaks are fewer versions than the program's, to try upgrades out; zero: all.
	Speaks core.Versions
	Log    *slog.Logger
}

// A Server is a node on files, Pebble and TLS.
type Server struct {
	Node    *Node
	Net     *tlsnet.Net
	Metrics *observe.Metrics

	web    *web    // or nil
	pg     *pgFace // or nil
	log    *slog.Logger
	faults chan error    // of stores, found outside of any process's call
	done   chan struct{} // closed when all has ended
	err    error         // then
	others sync.WaitGroup
}

// Serve starts a node with its stores and its network. An error names the place
// and the cure.
func Serve(cfg ServeConfig) (*Server, error) {
	s := &Server{log: cfg.Log, faults: make(chan error, 1), done: make(chan struct{})}
	var err error
	if cfg.Network == nil {
		if cfg.Network, err = actordb.Network(); err != nil {
			return nil, err
		}
	}
	if cfg.Peers == nil {
		if cfg.Peers, err = peersOf(cfg.Dir); err != nil {
			return nil, err
		}
	}
	door, reporter := cfg.Network.The(control.Listener).Limits, newReporter(cfg.Log)
	s.Net, err = tlsnet.New(tlsnet.Config{
		Source: cfg.Credentials.Source, Listen: cfg.Listen, Speaks: cfg.Speaks, Peers: cfg.Peers, Inspect: inspect, Report: reporter.report,
		Limits: tlsnet.Limits{Connections: int(door["connections"]), ConnectionsPerClient: int(door["connections_per_client"])},
	})
	if err != nil {
		return nil, err
	}
	if s.web, err = listenWeb(&cfg); err != nil {
		return nil, errors.Join(err, s.Net.Close())
	}
	if s.pg, err = listenPostgres(&cfg); err != nil {
		return nil, errors.Join(err, s.web.close(), s.Net.Close())
	}
	local := &locals{}
	s.Metrics = observe.New(map[string]string{"node": fmt.Sprint(s.Net.Node()), "network": cfg.Network.Hash.String(), "go": runtime.Version()})
	stores := &backends{dir: cfg.Dir, files: cfg.Network.The(control.Files), kv: cfg.Network.The(control.KV), fault: s.storeFault, openDir: cfg.OpenDir}
	shards := cfg.Network.ShardConfig()
	shards.Speaks = cfg.Speaks
	domain, err := trustDomain(cfg.Credentials.Source)
	if err == nil {
		s.Node, err = Start(Config{
			Dir: cfg.Dir, Node: s.Net.Node(), Shards: cfg.Shards, Kinds: cfg.Kinds, TrustDomain: domain,
			OpenFiles: stores.openFiles, OpenKV: stores.openKV,
			Shard: shards, Gateway: cfg.Network.GatewayConfig(),
			Operators: []core.Principal{core.Principal(tlsnet.ClientID(domain, AdminClient)), core.Principal(tlsnet.ClientID(domain, DevClient))},
			Upgraded:  s.Net.Require,
			Network:   cfg.Network, Observe: s.Metrics.Observer, Remote: carriers{s.Net, s.web, local},
			Listen: func(n *Node) error {
				dial := local.dialer(n, s.Net.Node(), domain)
				s.web.start(n, s.Metrics.Handler(), reporter, dial)
				s.pg.start(dial)
				return s.Net.Start(n)
			},
		})
	}
	if err != nil {
		return nil, errors.Join(err, s.pg.close(), s.web.close(), s.Net.Close())
	}
	s.Metrics.Watch(s.reports, s.Net.Stats)
	s.others.Go(s.watchStores)
	s.others.Go(func() { s.watchCluster(cfg.Dir) })
	if cfg.Credentials.Renew != nil {
		s.others.Go(func() { s.renew(cfg.Credentials.Renew) })
	}
	go s.run()
	return s, nil
}

// peersOf reads where the nodes of a directory's cluster are.
func peersOf(dir string) (map[proc.NodeID]string, error) {
	c, err := datadir.ReadCluster(dir)
	if err != nil {
		return nil, err
	}
	id, err := datadir.Read(dir)
	switch {
	case errors.Is(err, datadir.ErrNotData) && c == nil:
		return nil, nil // a new directory
	case err != nil:
		return nil, err
	case c == nil && len(id.Members) > 1:
		return nil, &datadir.IdentityError{Path: dir, Reason: fmt.Sprintf("it belongs to a cluster of %d nodes, and its %s is gone: copy another node's", len(id.Members), datadir.ClusterFile)}
	case c == nil:
		return nil, nil
	}
	if err := c.Belongs(id, dir); err != nil {
		return nil, err
	}
	peers := make(map[proc.NodeID]string)
	for _, m := range c.Nodes {
		peers[m.Node] = m.Addr
	}
	return peers, nil
}

// inspect is what a client may send: commands and statements, to the gateway.
func inspect(_ tlsnet.Identity, to uint32, frame []byte) error {
	if to != tlsnet.GatewayProc {
		return fmt.Errorf("it is for process %d; clients talk to process %d, the gateway", to, tlsnet.GatewayProc)
	}
	r, err := wire.Open(frame)
	if err == nil && r.Kind != wire.Commands && r.Kind != wire.Asks {
		err = fmt.Errorf("%w: it holds neither commands nor statements", wire.ErrFrame)
	}
	return err
}

// storeFault is called from within a store: it must not wait.
func (s *Server) storeFault(err error) {
	select {
	case s.faults <- err:
	default: // one is enough to stop the node
	}
}

// watchStores stops the node when a store breaks while no process waits for it.
func (s *Server) watchStores() {
	select {
	case fault := <-s.faults:
		s.Node.host.Stop(fault)
	case <-s.Node.Done():
	}
}

// clusterEvery is how often cluster.json is looked at, which is how a node learns of
// those that come later.
const clusterEvery = 250 * time.Millisecond

// watchCluster makes nodes known that come to the cluster.
func (s *Server) watchCluster(dir string) {
	path := filepath.Join(dir, datadir.ClusterFile)
	look := time.NewTicker(clusterEvery)
	defer look.Stop()
	var seen time.Time
	for {
		if info, err := os.Stat(path); err == nil && !info.ModTime().Equal(seen) {
			seen = info.ModTime()
			c, err := datadir.ReadCluster(dir)
			if err != nil || c == nil {
				s.log.Warn("the file of the cluster's nodes cannot be read: nodes that came are not known", "err", err)
				continue
			}
			for _, m := range c.Nodes {
				if err := s.Net.AddPeer(m.Node, m.Addr); err != nil {
					s.log.Warn("a node of the cluster's file cannot be known", "err", err)
				}
			}
		}
		select {
		case <-look.C:
		case <-s.Node.Done():
			return
		}
	}
}

// renewEvery is how often certificates are looked after. They live for a day at
// least, and what is new takes effect at once.
const renewEvery = time.Minute

func (s *Server) renew(again func() (bool, error)) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-tick.C:
		case <-s.Node.Done():
			return
		}
		switch changed, err := again(); {
		case err != nil && err.Error() != said:
			said = err.Error()
			s.log.Error("certificates are not renewed; the old ones stay in use until they expire", "error", err)
		case err == nil:
			said = ""
			if changed {
				s.log.Info("certificates renewed")
			}
		}
	}
}

// run waits for the end, and ends in order: the node, then the network, so that
// the last answers go out.
func (s *Server) run() {
	err := s.Node.Wait()
	s.err = errors.Join(err, s.pg.close(), s.web.close(), s.Net.Close())
	s.others.Wait()
	close(s.done)
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.Net.Addr() }

// reports are those of the processes, and of what serves HTTP.
func (s *Server) reports() []host.Report {
	list := s.Node.Reports()
	if s.web != nil {
		d := s.web.dispatcher
		list = append(list, host.Report{Process: "rpc", Serving: true, Queues: d.Queues(nil), Counters: d.Counters(nil)})
	}
	return list
}

// WebAddr is where it listens for HTTP, nil if it does not.
func (s *Server) WebAddr() net.Addr {
	if s.web == nil {
		return nil
	}
	return s.web.listener.Addr()
}

// PostgresAddr is where it listens for PostgreSQL's clients, nil if it does not.
func (s *Server) PostgresAddr() net.Addr {
	if s.pg == nil {
		return nil
	}
	return s.pg.listener.Addr()
}

// Done is closed when the server has ended, by Close or by a fault.
func (s *Server) Done() <-chan struct{} { return s.done }

// Wait returns when the server has ended: with the fault that stopped it, or nil
// after Close.
func (s *Server) Wait() error {
	<-s.done
	return s.err
}

// Close ends it in order.
func (s *Server) Close() error {
	s.Node.host.Stop(nil)
	return s.Wait()
}

// reporter logs why connections ended, a few lines a second at most: what
// strangers do must not fill the disk. tlsnet counts all of them.
type reporter struct {
	log *slog.Logger

	mu     sync.Mutex
	second int64
	lines  int
	hidden int
}

const reportLinesMax = 10 // a second

func newReporter(log *slog.Logger) *reporter { return &reporter{log: log} }

func (r *reporter) report(err error) {
	hidden, ok := r.admit(time.Now().Unix())
	if hidden > 0 {
		r.log.Warn("more connections were refused or lost than are logged", "hidden", hidden)
	}
	if !ok {
		return
	}
	var e *tlsnet.Error
	if !errors.As(err, &e) {
		r.log.Warn("connection", "error", err)
		return
	}
	r.log.Warn("connection", "reason", e.Reason.String(), "place", e.Place, "peer", e.Peer, "error", err)
}

// admit counts a line, and returns how many were hidden in the second before.
func (r *reporter) admit(second int64) (hidden int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if second != r.second {
		hidden = r.hidden
		r.second, r.lines, r.hidden = second, 0, 0
	}
	if r.lines >= reportLinesMax {
		r.hidden++
		return hidden, false
	}
	r.lines++
	return hidden, true
}
