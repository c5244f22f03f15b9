package memkv

const (
	// undoBatchesMax and undoBytesMax bound what can be undone (M3). They are
	// what a store with a few memory tables of 16 MB would hold back.
	undoBatchesMax = 1 << 16
	undoBytesMax   = 64 << 20

	// mutationBytes is what undoing one mutation costs beside its value.
	mutationBytes = 64
)
