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

	// held bounds the bytes of requests, and of pages of history, that are in memory.
	held = 64 << 20
	// pageBytes is what a page of history takes while it is read and sent: the
	// events as the shard encodes them (256 KiB), as messages, and encoded again.
	pageBytes = 1 << 20

	// RequestBytesMax bounds one request. It holds the largest command, in JSON too,
	// where bytes take a third more.
	RequestBytesMax = core.FrameBytesMax
	// batchMax bounds the commands of one batch.
	batchMax = 1024

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
