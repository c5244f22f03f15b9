package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"actordb/core/proc"
	"actordb/internal/datadir"
	"actordb/internal/node"
	"actordb/net/tlsnet"
)

type clusterCommands struct {
	Create  clusterCreateCommand  `cmd:"" help:"Make the directories of a new cluster: an authority, each node's, an identity for a client."`
	Run     clusterRunCommand     `cmd:"" help:"Run all nodes of a cluster on this machine, each in a process of its own, to try it out."`
	Status  clusterStatusCommand  `cmd:"" help:"Where slots and replicas are."`
	Move    clusterMoveCommand    `cmd:"" help:"Move slots, with their actors, from one shard to another while both serve."`
	Invite  clusterInviteCommand  `cmd:"" help:"Let one machine become a node, by a token that is good once."`
	Join    clusterJoinCommand    `cmd:"" help:"Make the directory of one more node."`
	Enlist  clusterEnlistCommand  `cmd:"" help:"Take a node's replicas into their groups."`
	Upgrade clusterUpgradeCommand `cmd:"" help:"Let the nodes share what only newer programs can read: there is no way back."`
	Drain   clusterDrainCommand   `cmd:"" help:"Take a node's replicas out of their groups."`
}

type clusterCreateCommand struct {
	Dir    string   `required:"" placeholder:"DIR" help:"Where they are made; empty or not there yet."`
	Node   []string `required:"" placeholder:"HOST:PORT" help:"Where a node will listen; once for each node. 3 survive the loss of one, 5 of two."`
	Shards int      `placeholder:"N" help:"Each a group of one replica on every node. Left out: one for two processors of this machine."`
	Domain string   `default:"cluster.actordb" placeholder:"NAME" help:"Trust domain of the identities."`
}

func (clusterCreateCommand) Help() string {
	return `Examples:

    actordb cluster create --dir trio --node 127.0.0.1:7400 --node 127.0.0.1:7410 --node 127.0.0.1:7420
    actordb serve --dir trio/node-1
    actordb send --target 127.0.0.1:7410 --identity trio/client events.ndjson

DIR/ca holds the authority's key: keep it apart. Carry DIR/node-N to where node N runs, and DIR/client to whoever sends commands.
Certificates live for ` + tlsnet.CertificateLifetimeMax.String() + `: actordb issue renews them, and a running node takes the new ones.`
}

// Run implements the command.
func (c *clusterCreateCommand) Run() error {
	made := node.NewCluster{Dir: c.Dir, Domain: c.Domain, Addrs: c.Node, Shards: c.Shards}
	for _, addr := range c.Node {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return usage("--node %s: %w; want HOST:PORT, such as 127.0.0.1:7400", addr, err)
		}
	}
	if err := made.Create(); err != nil {
		return usage("%w", err)
	}
	for i, addr := range c.Node {
		fmt.Printf("actordb serve --dir %s    # node %d, at %s\n", quoted(made.NodeDir(proc.NodeID(i+1))), i+1, addr)
	}
	return nil
}

type clusterRunCommand struct {
	Dir    string `required:"" placeholder:"DIR" help:"What cluster create made; left to be made if there is none."`
	Nodes  int    `default:"3" placeholder:"N" help:"Of a cluster that is to be made."`
	Port   int    `default:"7400" placeholder:"PORT" help:"Of the first node of a cluster that is to be made; the others take every tenth port after it."`
	Shards int    `placeholder:"N" help:"Of a cluster that is to be made."`
}

func (clusterRunCommand) Help() string {
	return `Example:

    actordb cluster run --dir trio

Kill one of the processes that it names, and the others go on; it is started again. Interrupt ends all.`
}

// Run implements the command.
func (c *clusterRunCommand) Run() error {
	if c.Nodes < 1 || c.Nodes > datadir.FirstNodesMax {
		return usage("--nodes %d: want 1 to %d", c.Nodes, datadir.FirstNodesMax)
	}
	first := filepath.Join(c.Dir, "node-1")
	cluster, err := datadir.ReadCluster(first)
	if err != nil {
		return usage("%w", err)
	}
	if cluster == nil {
		made := node.NewCluster{Dir: c.Dir, Domain: "dev.actordb", Shards: c.Shards}
		for i := range c.Nodes {
			made.Addrs = append(made.Addrs, net.JoinHostPort("127.0.0.1", strconv.Itoa(c.Port+10*i)))
		}
		if err := made.Create(); err != nil {
			return usage("%w", err)
		}
		if cluster, err = datadir.ReadCluster(first); err != nil {
			return usage("%w", err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return environment("%w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := &lines{to: os.Stdout}
	var running sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for _, m := range cluster.Nodes {
		running.Go(func() {
			if err := keepNode(ctx, self, filepath.Join(c.Dir, fmt.Sprintf("node-%d", m.Node)), m, out); err != nil {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
				stop()
			}
		})
	}
	out.print("", fmt.Sprintf("try: echo '{\"actor\": \"stream/hello\", \"type\": \"said\", \"payload\": {\"text\": \"hello\"}}' | %s send --target %s --identity %s -",
		quoted(os.Args[0]), addrsOf(cluster), quoted(filepath.Join(c.Dir, "client"))))
	running.Wait()
	if failed != nil {
		return environment("%w", failed)
	}
	return nil
}

func addrsOf(c *datadir.Cluster) string {
	var list []string
	for _, m := range c.Nodes {
		list = append(list, m.Addr)
	}
	return strings.Join(list, ",")
}

// keepNode runs a node's process, again when it was killed, until ctx is done. A
// node that ends by itself has said why; it is not started again.
func keepNode(ctx context.Context, self, dir string, m datadir.Member, out *lines) error {
	name := fmt.Sprintf("node %d", m.Node)
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, self, "serve", "--dir", dir, "--log", "text")
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the terminal's interrupt is passed on once
		said, err := cmd.StderrPipe()
		if err != nil {
			return err
		}
		ready, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		out.print(name, fmt.Sprintf("process %d", cmd.Process.Pid))
		var readers sync.WaitGroup
		for _, r := range []io.Reader{said, ready} {
			readers.Go(func() { out.copy(name, r) })
		}
		readers.Wait()
		var exit *exec.ExitError
		switch err := cmd.Wait(); {
		case err == nil || ctx.Err() != nil:
			return nil
		case errors.As(err, &exit) && exit.ExitCode() < 0: // by a signal
			out.print(name, "killed; it is started again")
		default:
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// lines puts what several processes say together, line by line.
type lines struct {
	mu sync.Mutex
	to io.Writer
}

func (l *lines) print(who, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if who != "" {
		who += ": "
	}
	fmt.Fprintf(l.to, "%s%s\n", who, text)
}

func (l *lines) copy(who string, r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		if s.Text() != "" {
			l.print(who, s.Text())
		}
	}
}
