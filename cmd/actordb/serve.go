package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"actordb"
	"actordb/core/actor"
	"actordb/core/control"
	"actordb/internal/datadir"
	"actordb/internal/host"
	"actordb/internal/node"
	"actordb/net/tlsnet"
	"actordb/workloads"
)

type serveCommand struct {
	Dir      string `required:"" placeholder:"DIR" help:"Where everything is kept; it is made if there is none."`
	Dev      bool   `help:"Be the own certificate authority, under DIR/ca, with an identity for a client. For one machine."`
	Identity string `placeholder:"DIR" help:"The node's identity.pem: its key, its certificate, the authorities to trust. It is read again when it is renewed. Left out, DIR/identity of a node that cluster create made."`
	Seed     string `placeholder:"DIR" help:"The node's directory as cluster create or join made it: --dir becomes it if there is nothing yet, and the identity is used from there. For volumes that begin empty."`
	Dag      string `placeholder:"FILE" help:"The process network, as dag.jsonnet; left out, the program's own (actordb dag print)."`
	Listen   string `placeholder:"HOST:PORT" help:"Where to accept connections; port 0: a free one. Left out: where DIR/cluster.json says, or 127.0.0.1:7400."`
	Web      string `placeholder:"HOST:PORT" help:"Where to answer HTTPS, such as 127.0.0.1:7401: commands by gRPC, connect and JSON (docs/rpc.md), SQL and subscriptions with JSON (docs/rest.md), /healthz, /readyz, /metrics. For clients with a certificate, as everything. Left out: nowhere."`
	Postgres string `placeholder:"HOST:PORT" help:"Where to answer PostgreSQL's clients, such as 127.0.0.1:5432: psql, pgx and others, with a certificate. Left out: nowhere."`
	Shards   int    `placeholder:"N" help:"Fixed when a directory is made. Left out, a new one gets those of --dag, or one for two processors."`
	Log      string `default:"auto" enum:"auto,text,json" help:"Form of the log on standard error: text, json, or auto: text on a terminal."`
}

func (serveCommand) Help() string {
	return `Examples:

    actordb serve --dir data --dev
    actordb serve --dir data --dev --web 127.0.0.1:7401
    actordb serve --dir trio/node-1
    actordb serve --dir /var/lib/actordb --identity /etc/actordb/node --listen 0.0.0.0:7400

When it can be reached it prints one line, READY HOST:PORT, with --web another, WEB https://HOST:PORT, with --postgres another, POSTGRES HOST:PORT, and with --dev how to send a first command. There is no mode without TLS.
Actor types served: stream (any events, appended with an expected sequence) and the samples register, list, bank, cart, counter, sensor.
Interrupt or SIGTERM ends it in order, the same again at once.
Exit codes: 0 ended in order, 2 wrong usage or the wrong directory, 4 the environment failed: a port is taken, a disk is full or damaged.`
}

// Run implements the command.
func (c *serveCommand) Run() error {
	if c.Seed != "" {
		if err := datadir.Seed(c.Dir, c.Seed); err != nil {
			return usage("--seed: %w", err)
		}
		c.Identity = cmp.Or(c.Identity, filepath.Join(c.Seed, datadir.OwnIdentityDir))
	}
	if err := c.fromCluster(); err != nil {
		return err
	}
	if c.Dev == (c.Identity != "") {
		return usage("want either --dev, to make certificates, or --identity DIR, to use some: there is no mode without")
	}
	if c.Shards < 0 || c.Shards > datadir.ShardsMax {
		return usage("--shards %d: want 1 to %d", c.Shards, datadir.ShardsMax)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return usage("--listen %s: %w; want HOST:PORT, such as 127.0.0.1:7400", c.Listen, err)
	}
	if _, _, err := net.SplitHostPort(c.Web); c.Web != "" && err != nil {
		return usage("--web %s: %w; want HOST:PORT, such as 127.0.0.1:7401", c.Web, err)
	}
	if _, _, err := net.SplitHostPort(c.Postgres); c.Postgres != "" && err != nil {
		return usage("--postgres %s: %w; want HOST:PORT, such as 127.0.0.1:5432", c.Postgres, err)
	}
	network, err := c.network()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	host.CollectLess()
	_, err = datadir.Read(c.Dir)
	fresh := c.Dev && errors.Is(err, datadir.ErrNotData)
	credentials, err := c.credentials()
	if err != nil {
		return served(err)
	}
	if network == nil {
		if network, err = actordb.Network(); err != nil {
			return served(err)
		}
	}
	log := c.logger()
	s, err := node.Serve(node.ServeConfig{Dir: c.Dir, Listen: c.Listen, Web: c.Web, Postgres: c.Postgres, Shards: c.Shards, Network: network, Kinds: sampleKinds, Credentials: credentials, Log: log})
	if err != nil {
		return served(err)
	}
	if fresh && network.Has(control.Query) {
		if err := makeSample(s.Addr().String(), credentials.Client); err != nil {
			log.Error("the sample schema is not there", "error", err)
		}
	}
	log.Info("serving", "dir", c.Dir, "listen", s.Addr().String(), "node", s.Net.Node(), "shards", len(s.Node.Shards), "pid", os.Getpid())
	fmt.Printf("READY %s\n", s.Addr())
	if at := s.WebAddr(); at != nil {
		log.Info("serving HTTPS", "listen", at.String())
		fmt.Printf("WEB https://%s\n", at)
	}
	if at := s.PostgresAddr(); at != nil {
		log.Info("serving PostgreSQL's clients", "listen", at.String())
		fmt.Printf("POSTGRES %s\n", at)
	}
	if c.Dev {
		c.invite(s.Addr().String(), credentials.Client)
	}
	select {
	case <-s.Done():
	case <-ctx.Done():
		stop() // a second signal ends the process
		log.Info("stopping")
		err := s.Close()
		if err == nil {
			log.Info("stopped", "syncs", s.Metrics.Syncs())
		}
		return served(err)
	}
	err = s.Wait()
	log.Error("stopped by a fault", "error", err)
	return served(err)
}

// fromCluster fills in what the directory of a cluster's node says.
func (c *serveCommand) fromCluster() error {
	cluster, err := datadir.ReadCluster(c.Dir)
	if err != nil {
		return usage("%w", err)
	}
	if cluster != nil {
		if c.Dev {
			return usage("--dev is for a node that is alone; %s belongs to a cluster", c.Dir)
		}
		id, err := datadir.Read(c.Dir)
		if err != nil {
			return usage("%w", err)
		}
		c.Identity = cmp.Or(c.Identity, filepath.Join(c.Dir, datadir.OwnIdentityDir))
		c.Listen = cmp.Or(c.Listen, cluster.Addr(id.Node))
	}
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:7400")
	return nil
}

// network reads --dag, whose number of shards holds unless --shards says another.
func (c *serveCommand) network() (*control.Network, error) {
	if c.Dag == "" {
		return nil, nil
	}
	n, err := loadNetwork(c.Dag)
	if err == nil && c.Shards == 0 {
		c.Shards = n.The(control.Shard).Count
	}
	return n, err
}

func (c *serveCommand) credentials() (node.Credentials, error) {
	if c.Dev {
		return node.OpenDev(c.Dir, c.Shards)
	}
	found, err := node.OpenIdentity(c.Identity)
	if err != nil {
		return found, usage("--identity: %w", err)
	}
	return found, nil
}

func (c *serveCommand) logger() *slog.Logger {
	if c.Log == "text" || c.Log == "auto" && isTerminal(os.Stderr) {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, nil))
}

// invite tells how to send a first command.
func (c *serveCommand) invite(addr, identity string) {
	fmt.Printf("\nAsk in SQL, from another terminal in this directory (\\? for help):\n\n    %s sql --identity %s %s\n", quoted(os.Args[0]), quoted(identity), addr)
	fmt.Printf("\nSend a first event:\n\n    echo '%s' |\n        %s send --target %s --identity %s -\n\n",
		`{"actor": "stream/hello", "type": "said", "payload": {"text": "hello"}}`, quoted(os.Args[0]), addr, quoted(identity))
}

// quoted is a word for a shell.
func quoted(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@", r)
	}
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// served tells a wrong request from a failure of the machine.
func served(err error) error {
	var directory *datadir.IdentityError
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*failure)):
		return err
	case errors.Is(err, datadir.ErrNotData), errors.As(err, &directory) && directory.Mismatch,
		errors.Is(err, &tlsnet.Error{Reason: tlsnet.OwnCertificate}):
		return usage("%w", err)
	}
	return environment("%w", err)
}

// sampleKinds are the actor types that serve knows: streams of any events, and
// the types of the workloads.
func sampleKinds() []actor.Kind { return append(workloads.Kinds(), actor.Stream()) }
