package core

// Every input from outside has a limit. What exceeds one is refused at the
// door with CodeTooLarge.
const (
	// TypeNameBytesMax: names of types are dictionary entries of every block.
	TypeNameBytesMax = 48
	// ActorKeyBytesMax leaves an id, type included, below 256 bytes, so that its
	// length is one byte in every format.
	ActorKeyBytesMax = 200
	// PrincipalBytesMax: RFC-conforming SPIFFE ids have at most 2,048 bytes;
	// ours name workloads, and each block carries them.
	PrincipalBytesMax = 255
	// DetailBytesMax bounds the text of a recorded refusal, which every replica keeps.
	DetailBytesMax = 200
	// PayloadBytesMax bounds one command's payload and one event's.
	PayloadBytesMax = 1 << 20
	// CommandEventsMax: the events of one command stand in one block.
	CommandEventsMax = 1024
	// CommandBytesMax bounds a command with all its events: a block holds at
	// least one command, and a frame at least one block.
	CommandBytesMax = 4 << 20
	// FrameBytesMax bounds what one frame on the wire may hold.
	FrameBytesMax = 8 << 20
	// FrameCommandsMax bounds the commands of one frame.
	FrameCommandsMax = 4096
	// FeedWindowMax bounds the bytes of blocks under way to one follower of a shard.
	FeedWindowMax = 64 << 20
	// Slots is fixed for the life of a cluster: 4,096 slots let 64 shards be
	// balanced to about 2 %.
	Slots = 4096
	// SessionLifetimeMax bounds how long a shard must remember a session.
	SessionLifetimeMax = Timestamp(24 * 3600 * 1e9)
)
