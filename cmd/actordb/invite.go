package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"actordb/internal/admission"
	"actordb/internal/datadir"
	"actordb/internal/node"
)

type clusterInviteCommand struct {
	Dir       string        `required:"" placeholder:"DIR" help:"What cluster create made, with the authority."`
	Addr      string        `required:"" placeholder:"HOST:PORT" help:"Where the new node will listen."`
	Listen    string        `required:"" placeholder:"HOST:PORT" help:"Where the machine finds this command, which waits for it there."`
	Advertise string        `placeholder:"HOST:PORT" help:"If it finds it under another address."`
	TTL       time.Duration `name:"ttl" default:"10m" help:"How long the token is good for, at most ${tokenttl}."`
}

func (clusterInviteCommand) Help() string {
	return `Prints a token for one machine, and waits until that has come with it or the token has expired. The token is good once. It names this authority: the machine tells its secret to nobody else. The authority's key stays here, and the node's key there.

Example, here and on the new machine:

    actordb cluster invite --dir trio --addr db4:7400 --listen ops:7499
    actordb cluster join --token actordb1.… --dir node-4
    actordb serve --dir node-4`
}

// Run implements the command.
func (c *clusterInviteCommand) Run() error {
	for flag, addr := range map[string]string{"--addr": c.Addr, "--listen": c.Listen, "--advertise": c.Advertise} {
		if _, _, err := net.SplitHostPort(addr); err != nil && (addr != "" || flag != "--advertise") {
			return usage("%s %s: %w; want HOST:PORT", flag, addr, err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return environment("%w", err)
	}
	reception := c.Advertise
	if reception == "" {
		reception = l.Addr().String()
		if host, _, err := net.SplitHostPort(c.Listen); err == nil && host != "" {
			reception = net.JoinHostPort(host, fmt.Sprint(l.Addr().(*net.TCPAddr).Port)) // by its name, not what that stands for
		}
	}
	made := &node.NewCluster{Dir: c.Dir}
	token, err := admission.Invite(made, c.Addr, reception, c.TTL, time.Now())
	if err != nil {
		return errors.Join(usage("%w", err), l.Close())
	}
	ctx, cancel := context.WithTimeout(ctx, c.TTL)
	defer cancel()
	came := false
	r := &admission.Reception{Made: made, Admitted: func(m datadir.Member) {
		if m.Addr == c.Addr { // others may come with tokens of earlier invitations
			came = true
			cancel()
		}
		fmt.Fprintf(os.Stderr, "node %d is admitted, to listen at %s\n", m.Node, m.Addr)
	}}
	fmt.Println(token)
	if err := r.Serve(ctx, l); err != nil {
		return environment("%w", err)
	}
	if !came {
		return environment("nobody came with the token in time; what it was made for can be asked for again")
	}
	return nil
}

type clusterJoinCommand struct {
	Dir   string `required:"" placeholder:"DIR" help:"With --addr: what cluster create made, with the authority. With --token: of the node that this machine is to be; empty or not there yet."`
	Addr  string `xor:"how" placeholder:"HOST:PORT" help:"Where the new node will listen."`
	Token string `xor:"how" placeholder:"TOKEN" help:"That cluster invite has printed."`
}

func (clusterJoinCommand) Help() string {
	return `Makes the directory of one more node, with its certificate: by a token on the machine where the node is to run, or by --addr where the authority is. That writes where the node listens into the other nodes' directories that stand beside the authority;
where nodes run elsewhere, carry the cluster.json of the new directory to theirs: a running node takes it.

Example:

    actordb cluster join --dir trio --addr 127.0.0.1:7430
    actordb serve --dir trio/node-4
    actordb cluster enlist --target 127.0.0.1:7400 --identity trio/client --node 4
    actordb cluster drain --target 127.0.0.1:7410 --identity trio/client --node 1`
}

// Run implements the command.
func (c *clusterJoinCommand) Run() error {
	if (c.Addr == "") == (c.Token == "") {
		return usage("want --addr HOST:PORT or --token TOKEN")
	}
	made := node.NewCluster{Dir: c.Dir}
	dir, m := c.Dir, datadir.Member{Addr: c.Addr}
	var err error
	if c.Token == "" {
		m.Node, err = made.AddNode(c.Addr)
		dir = filepath.Clean(made.NodeDir(m.Node))
	} else {
		var token admission.Token
		if token, err = admission.ParseToken(c.Token); err == nil {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			m, err = admission.Join(ctx, token, c.Dir, nil)
		}
	}
	if refused := (*admission.Error)(nil); err != nil && c.Token != "" && !errors.As(err, &refused) {
		return environment("%w", err)
	}
	if err != nil {
		return usage("%w", err)
	}
	fmt.Printf("actordb serve --dir %s    # node %d, at %s; then: actordb cluster enlist --node %d\n", quoted(dir), m.Node, m.Addr, m.Node)
	return nil
}
