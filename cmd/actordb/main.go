// Command actordb is the database's one binary.
//
//	actordb serve          a node: files, Pebble, TLS
//	actordb sql            queries, views and subscriptions
//	actordb send           events and commands from a file
//	actordb bench          load from outside, and what it waits for
//	actordb issue          an identity for a node or a client
//	actordb verify         does a data directory hold?
//	actordb inspect        what stands in it?
//	actordb backup         a backup of it, while its node runs
//	actordb backups        what backups there are
//	actordb restore        a directory from a backup, or from a time between
//	actordb dag check      is a process network sound?
//	actordb dag draw       a picture of it
//	actordb exp run        measure what the paper claims
//	actordb drill          a real node, killed again and again, and judged
//	actordb sim run        one simulated run of the whole engine
//	actordb sim sweep      many seeds, in parallel
//	actordb sim replay     a saved run, exactly
//	actordb sim audit      does one seed give one execution?
//	actordb sim mutants    do the checkers catch planted bugs?
//
// With --json a command writes one JSON document to standard output and nothing
// else. Exit codes are part of the contract: see the constants.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitHolds       = 0 // what was asked for was done, and every law holds
	exitViolated    = 1 // a law is broken
	exitUsage       = 2 // wrong usage or bad input
	exitDiverged    = 3 // the run was not deterministic
	exitEnvironment = 4 // the machine failed: disk full, no such directory, a process died
)

// A failure ends the command with a code. Its text is one line: the place and
// the cure. Without an error the command has said everything already.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit code %d", f.code)
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

func usage(format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...)}
}

func environment(format string, args ...any) error {
	return &failure{exitEnvironment, fmt.Errorf(format, args...)}
}

// violated and diverged end a command whose output tells all.
func violated() error { return &failure{code: exitViolated} }
func diverged() error { return &failure{code: exitDiverged} }

type commandLine struct {
	Serve   serveCommand    `cmd:"" help:"Run a node."`
	Cluster clusterCommands `cmd:"" help:"Make a cluster, and run one on this machine."`
	SQL     sqlCommand      `cmd:"" name:"sql" help:"Ask in SQL, on a terminal or not."`
	Send    sendCommand     `cmd:"" help:"Send events and commands from a file or standard input."`
	Bench   benchCommand    `cmd:"" help:"Put a load on a running node, and measure rate and latency."`
	Issue   issueCommand    `cmd:"" help:"Issue an identity for a node or a client."`
	Verify  verifyCommand   `cmd:"" help:"Check every checksum, hash and chain of a node's data directory."`
	Inspect inspectCommand  `cmd:"" help:"Show what stands in a data directory: a segment, a block, an actor's history, a snapshot, sessions."`
	Backup  backupCommand   `cmd:"" help:"Add a backup of a node's directory to a repository, also while the node runs."`
	Backups backupsCommand  `cmd:"" help:"List the backups of a repository, and check them."`
	Restore restoreCommand  `cmd:"" help:"Make a data directory from a backup, or as it was at a point in time."`
	Dag     dagCommands     `cmd:"" help:"Check and draw the process network of a node."`
	Exp     expCommands     `cmd:"" help:"Measure what the paper claims."`
	Drill   drillCommand    `cmd:"" help:"Kill a real node again and again, take away what it had not synced, and judge what comes back."`
	Victim  victimCommand   `cmd:"" name:"drill-node" hidden:"" help:"The node that a drill starts."`
	Sim     simCommands     `cmd:"" help:"Run the engine in its deterministic simulator."`
}

type simCommands struct {
	Run     runCommand     `cmd:"" help:"One seed: one execution, every checker."`
	Sweep   sweepCommand   `cmd:"" help:"Many seeds, in parallel processes."`
	Replay  replayCommand  `cmd:"" help:"A saved run again, exactly."`
	Audit   auditCommand   `cmd:"" help:"Each seed twice, in separate processes: is the trace the same?"`
	Mutants mutantsCommand `cmd:"" help:"Plant known bugs and see which checker kills each."`
	Worker  workerCommand  `cmd:"" hidden:"" help:"Runs the seeds that it reads from standard input."`
}

func main() { os.Exit(run(os.Args[1:])) }

// run is the whole program; it returns the exit code.
func run(args []string) (code int) {
	var c commandLine
	exited := false
	parser, err := kong.New(&c,
		kong.Name("actordb"),
		kong.Description("A database of actors whose code runs entirely in a deterministic simulator."),
		kong.Writers(os.Stdout, os.Stderr),
		defaults(),
		kong.Exit(func(n int) { exited, code = true, n }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		fmt.Fprintf(os.Stderr, "actordb: %v\n", err)
		return exitUsage
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, err := parser.Parse(args)
	if exited { // --help
		return code
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "actordb: %v (see %s --help)\n", err, commandOf(parser, args))
		return exitUsage
	}
	return report(ctx.Run())
}

// commandOf names the command that the arguments begin with.
func commandOf(parser *kong.Kong, args []string) string {
	name := []string{"actordb"}
	node := parser.Model.Node
	for _, arg := range args {
		var next *kong.Node
		for _, child := range node.Children {
			if child.Name == arg {
				next = child
			}
		}
		if next == nil {
			break
		}
		node, name = next, append(name, arg)
	}
	return strings.Join(name, " ")
}

// report prints what is left to say and returns the exit code.
func report(err error) int {
	var f *failure
	switch {
	case err == nil:
		return exitHolds
	case !errors.As(err, &f):
		f = &failure{exitEnvironment, err}
	}
	if f.err != nil {
		fmt.Fprintf(os.Stderr, "actordb: %s\n", strings.ReplaceAll(f.err.Error(), "\n", "; "))
	}
	return f.code
}
