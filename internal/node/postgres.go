package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"actordb/core/proc"
	"actordb/net/client"
	"actordb/net/pgwire"
	"actordb/net/tlsnet"
)

// pgFace is a node's listener for PostgreSQL's clients, behind mutual TLS.
type pgFace struct {
	listener net.Listener
	door     *tlsnet.Web
	log      *slog.Logger
	server   *pgwire.Server // once it runs
}

// listenPostgres takes the address; "" is none, and returns nil.
func listenPostgres(cfg *ServeConfig) (*pgFace, error) {
	if cfg.Postgres == "" {
		return nil, nil
	}
	door, err := tlsnet.NewWeb(cfg.Credentials.Source, nil, nil)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", cfg.Postgres)
	if err != nil {
		return nil, fmt.Errorf("node: PostgreSQL's protocol: %w; choose another address, or stop what listens there", err)
	}
	return &pgFace{listener: listener, door: door, log: cfg.Log}, nil
}

// start serves the node's SQL.
func (f *pgFace) start(dial dialer) {
	if f == nil {
		return
	}
	f.server = pgwire.Serve(pgwire.Config{Listener: f.listener, Door: f.door, Log: f.log, Dial: dial})
}

// dialer makes a client of the node, within its own process, for a peer of one of its faces.
type dialer func(ctx context.Context, who tlsnet.Identity) (*client.Client, error)

func (l *locals) dialer(n *Node, self proc.NodeID, domain string) dialer {
	node := tlsnet.Identity{ID: tlsnet.NodeID(domain, self), Node: self}
	return func(ctx context.Context, who tlsnet.Identity) (*client.Client, error) {
		return client.Dial(ctx, client.Config{Addrs: []string{"this node"}, Connect: func(context.Context, string) (client.Link, error) {
			return l.connect(n, node, who.ID), nil
		}})
	}
}

func (f *pgFace) close() error {
	switch {
	case f == nil:
		return nil
	case f.server == nil:
		return f.listener.Close()
	}
	return f.server.Close()
}
