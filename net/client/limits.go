package client

import (
	"time"

	"actordb/core/proc"
)

const (
	// inFlight is enough for a node that answers within a few milliseconds to
	// be busy; a gateway holds four times as many.
	inFlight = 4096
	// inFlightBytes is half of what a gateway holds for all of its clients.
	inFlightBytes = 32 << 20
	// InFlightMax bounds what a client remembers.
	InFlightMax = 1 << 16

	// window is how far the numbers of one session may be apart. A shard keeps
	// the answers of as many (shard.DefaultConfig, Sessions.Window) and refuses
	// what goes beyond it; with one less in its way a command is never refused.
	window = 1024

	// sessionLifetime is how long a shard remembers a session, and its answers,
	// after its client is gone. A client opens a new one after half of it, so a
	// command can be repeated for the other half.
	sessionLifetime    = 30 * time.Minute
	sessionLifetimeMin = 2 * time.Second

	// silence is longer than an election among nodes that are well, so that a node
	// which waits for one is not left for another that waits for the same.
	silence = time.Second

	// frameBytes is when a frame is full enough to go; a single command may be
	// larger.
	frameBytes = 1 << 20
	// queueFrames: one frame is being written, the next one is ready. More would
	// leave with less in each.
	queueFrames = 2

	// A command is sent again after resendMin, doubled each time, at most
	// resendMax, all more by up to a quarter that is drawn.
	resendMin = proc.Tick(10e6)
	resendMax = proc.Tick(1e9)
	// A dial that failed is repeated likewise.
	redialMin = proc.Tick(20e6)
	redialMax = proc.Tick(2e9)
)
