package losefs

const (
	// compactBytes is the least journal that is worth writing again, and
	// compactRatio how much of it must be out of date: both only bound work.
	compactBytes = 32 << 10
	compactRatio = 4

	// pendingBytesMax bounds what can be undone, and so the side directory. A
	// process that leaves this much unsynced does not sync at all.
	pendingBytesMax = 1 << 30

	// bodyBytesMax is the longest record that is believed: one write, or what
	// one truncation cut off.
	bodyBytesMax = 1<<30 + 1<<12
)
