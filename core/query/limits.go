package query

import (
	"fmt"

	"actordb/core"
	"actordb/core/feed"
	"actordb/core/proc"
	"actordb/core/view"
)

// Limits of a query process. Start from DefaultLimits.
type Limits struct {
	Statements    int // that wait, run or are being read, of all clients
	Subscriptions int // of these
	Promoted      int // views that are kept though nobody said so
	Scans         int // of the journals at once, for queries, new views and new subscriptions
	MemoryBytes   int // that the circuits of one statement may hold
	InboxBytes    int // of blocks that wait for one view or subscription
	WindowBytes   int // of replies under way to one client for one statement, whatever it allows
	// CheckpointBytes of blocks are between two checkpoints of what is kept.
	CheckpointBytes int
	FeedWindow      int // bytes of each shard's blocks, held and under way, of the live feed and of each scan

	Prices view.Prices // by which views are promoted and demoted

	Wait  proc.Tick      // for a cut; then the statement is refused
	Idle  proc.Tick      // a client that says nothing for so long is given up
	Late  proc.Tick      // an answer that takes longer raises the price of computing it
	Ahead core.Timestamp // a time farther ahead of the node's clock is not waited for
}

// DefaultLimits suit a node with some memory.
func DefaultLimits() Limits {
	return Limits{Statements: 256, Subscriptions: 128, Promoted: 16, Scans: 4, MemoryBytes: view.MemoryDefault, InboxBytes: 8 << 20, WindowBytes: 2 << 20, FeedWindow: feed.WindowDefault, CheckpointBytes: 64 << 20,
		Prices: view.DefaultPrices(), Wait: 10e9, Idle: 30e9, Late: 200e6, Ahead: 5e9}
}

// Validate reports what is wrong with l.
func (l *Limits) Validate() error {
	switch {
	case l.Statements <= 0 || l.Subscriptions <= 0 || l.Subscriptions > l.Statements:
		return fmt.Errorf("query: %d statements, %d of them subscriptions: want 1 or more, and no more subscriptions than statements", l.Statements, l.Subscriptions)
	case l.Scans <= 0 || l.Scans > scansMax:
		return fmt.Errorf("query: %d scans at once: want 1 to %d", l.Scans, scansMax)
	case l.MemoryBytes <= 0 || l.InboxBytes <= 0 || l.WindowBytes <= 0 || l.CheckpointBytes <= 0:
		return fmt.Errorf("query: limits of memory must be positive, and bytes between checkpoints")
	case l.FeedWindow <= 0 || l.FeedWindow > core.FeedWindowMax:
		return fmt.Errorf("query: a window of %d bytes: want 1 to %d", l.FeedWindow, core.FeedWindowMax)
	case l.Promoted < 0 || l.Promoted > view.WatchedMax:
		return fmt.Errorf("query: %d promoted views: want 0 to %d", l.Promoted, view.WatchedMax)
	case l.Prices.Validate() != nil:
		return fmt.Errorf("query: %w", l.Prices.Validate())
	case l.Wait <= 0 || l.Idle <= 0 || l.Late <= 0 || l.Ahead < 0:
		return fmt.Errorf("query: the times must be positive")
	}
	return nil
}

const (
	scansMax = 64
	// replyBytes is when a reply of rows is sent off: large enough that its overhead
	// does not count, small enough that a window holds several.
	replyBytes = 128 << 10
	// replyRows bounds them, too: nothing is done for long without a pause.
	replyRows = 4096
	// fuel is how many rows of a circuit's step are worked on at once, and blocksAtOnce
	// how many blocks are taken.
	fuel         = 20_000
	blocksAtOnce = 16
	// turns are how many such pieces of work a step of the process does at most.
	turns = 32
	// workerTurns are fewer: a block may have thousands of events, and a worker is asked whether it
	// is still there.
	workerTurns = 4
)

// Every reply must fit a frame with what stands around it.
const rowsBytesMax = core.FrameBytesMax - 4096
