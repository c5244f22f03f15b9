package disk

import "fmt"

// KV is an ordered map from byte strings to byte strings that holds derived
// state: snapshots, indexes, the state of views.
//
// K1. A Batch is atomic, and visible to reads once Apply has returned.
//
// K2. After a crash the store holds the effect of a prefix of the applied
// batches that includes everything applied before the last Flush that returned
// nil. (So a position that a batch writes beside its data always tells what
// that data reflects.)
//
// K3. Within a batch the last entry of a key wins. Iteration is in ascending
// byte order of the keys and sees the state as of its start.
//
// K4. A value read is the value written, or an error: backends checksum.
type KV interface {
	Get(key []byte) (value []byte, found bool, err error) // value belongs to the caller
	Apply(b *Batch) error
	Flush() error
	// Scan calls visit for keys in [lo, hi), hi nil meaning no bound, until it
	// returns false. Slices are valid only during the call.
	Scan(lo, hi []byte, visit func(key, value []byte) bool) error
	Close() error
}

// A Mutation writes or deletes one key.
type Mutation struct {
	Key    []byte
	Value  []byte
	Delete bool
}

// A Batch is a list of mutations that take effect together.
type Batch struct {
	Mutations []Mutation
	Bytes     int // of keys and values, for limits
}

// Put adds a write. The batch keeps both slices.
func (b *Batch) Put(key, value []byte) {
	b.Mutations = append(b.Mutations, Mutation{Key: key, Value: value})
	b.Bytes += len(key) + len(value)
}

// Delete adds a deletion. The batch keeps the slice.
func (b *Batch) Delete(key []byte) {
	b.Mutations = append(b.Mutations, Mutation{Key: key, Delete: true})
	b.Bytes += len(key)
}

// KVKind names a call on a KV.
type KVKind uint8

const (
	KVGet   KVKind = iota + 1 // the value of Lo
	KVScan                    // up to Limit pairs in [Lo, Hi)
	KVApply                   // Batch, visible but not durable
	KVFlush                   // everything applied before it is durable
)

func (k KVKind) String() string {
	switch k {
	case KVGet:
		return "get"
	case KVScan:
		return "scan"
	case KVApply:
		return "apply"
	case KVFlush:
		return "flush"
	}
	return "?"
}

// A KVOp is one call on a KV, as a value. KVOps of one process are executed
// and completed in the order in which they were submitted.
type KVOp struct {
	Kind  KVKind
	Lo    []byte
	Hi    []byte
	Limit int
	Batch *Batch
}

func (o KVOp) String() string {
	switch o.Kind {
	case KVApply:
		return fmt.Sprintf("kv apply %d mutations, %d bytes", len(o.Batch.Mutations), o.Batch.Bytes)
	case KVScan:
		return fmt.Sprintf("kv scan [%x,%x) limit %d", o.Lo, o.Hi, o.Limit)
	}
	return fmt.Sprintf("kv %s %x", o.Kind, o.Lo)
}

// A KVResult completes a KVOp.
type KVResult struct {
	Kind  KVKind
	Value []byte // KVGet
	Found bool   // KVGet
	Pairs []Pair // KVScan
	More  bool   // KVScan: Limit was reached and there is a next pair
	Err   error
}

// A Pair is a key and its value.
type Pair struct{ Key, Value []byte }
