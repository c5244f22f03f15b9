package rpc

import (
	"time"

	"actordb/core"
)

const (
	// inFlight is what the gateway holds, by default, for four such faces.
	inFlight = 4096
	// inFlightBytes is half of what the gateway holds for all of its clients.
	inFlightBytes = 32 << 20
	// inFlightPerClient leaves room for others.
	inFlightPerClient = 2048
	// frameBytes is when a frame is full enough to go; a single command may be
	// larger.
	frameBytes = 1 << 20

	// RequestBytesMax bounds one message of a request, decompressed. It holds the
	// largest command, in JSON too, where bytes take a third more.
	RequestBytesMax = core.FrameBytesMax
	// batchMax bounds the commands of one batch.
	batchMax = 1024
	// compressBytes: what is smaller is not worth it.
	compressBytes = 4 << 10

	sessionLifetimeMin     = time.Second
	sessionLifetimeDefault = 30 * time.Minute
	// sessionLifetimeMax is short of core.SessionLifetimeMax, so that a shard whose
	// clock is behind takes it, too.
	sessionLifetimeMax = 23 * time.Hour

	// window is how far numbers of a session may be apart: a shard keeps as many
	// answers (shard.DefaultConfig, Sessions.Window).
	window = 1024
	// ownSessionsMax is enough for all commands in flight, and as many again that
	// wait for a slow one.
	ownSessionsMax = 2 * (inFlight/window + 1)
)
