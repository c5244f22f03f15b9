package zset

import (
	"encoding/binary"
	"fmt"
	"slices"

	"actordb/core/row"
	"actordb/disk"
)

// A Store is the reading side of a disk.KV. A process is given one by its host
// (in simulation its latency is charged); writing it leaves to effects: what
// Spill and Checkpoint put into a disk.Batch is to be applied, and then told to
// Applied.
type Store interface {
	Get(key []byte) (value []byte, found bool, err error)
	Scan(lo, hi []byte, visit func(key, value []byte) bool) error
}

// A DamageError says that stored state is not what was stored. The state is
// derived: it can be built again.
type DamageError struct {
	Key  []byte
	What string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("zset: stored state %x: %s; drop the view's state and build it again", e.Key, e.What)
}

// storage is the part of an arrangement that lives in a store. Under its
// prefix there are
//
//	'b' id of a block     checksum, the block
//	'm'                   checksum, the manifest
type storage struct {
	store  Store
	prefix []byte
	dead   []uint64 // blocks that the next manifest does not name
	cache  []cached // decoded blocks, the latest used last
	spare  []byte
}

type cached struct {
	id  uint64
	blk *Block
}

func (s *storage) forget(id uint64) {
	s.cache = slices.DeleteFunc(s.cache, func(c cached) bool { return c.id == id })
}

// Attach names the place of the arrangement in a store.
func (a *Arrangement) Attach(store Store, prefix []byte) {
	a.storage.store, a.storage.prefix = store, slices.Clone(prefix)
}

func (s *storage) blockKey(id uint64) []byte {
	key := append(slices.Clone(s.prefix), 'b')
	return binary.BigEndian.AppendUint64(key, id)
}

func (s *storage) manifestKey() []byte { return append(slices.Clone(s.prefix), 'm') }

const checksumBytes = 8

// checksum is over key and value, so that a block in another's place is seen.
func checksum(key, value []byte) uint64 { return row.HashBytes(row.HashBytes(1, key), value) }

// put adds a write of a value whose first bytes are left free for a checksum.
func put(b *disk.Batch, key, value []byte) {
	binary.LittleEndian.PutUint64(value, checksum(key, value[checksumBytes:]))
	b.Put(key, value)
}

// get reads and checks a value.
func (s *storage) get(key []byte, most int) ([]byte, error) {
	if s.store == nil {
		return nil, &DamageError{key, "no store is attached"}
	}
	value, found, err := s.store.Get(key)
	switch {
	case err != nil:
		return nil, fmt.Errorf("zset: reading %x: %w", key, err)
	case !found:
		return nil, &DamageError{key, "is missing"}
	case len(value) < checksumBytes || len(value) > most:
		return nil, &DamageError{key, fmt.Sprintf("has %d bytes", len(value))}
	case binary.LittleEndian.Uint64(value) != checksum(key, value[checksumBytes:]):
		return nil, &DamageError{key, "has the wrong checksum"}
	}
	return value[checksumBytes:], nil
}

// write adds the block's write to b.
func (a *Arrangement) write(ref *blockRef, b *disk.Batch) {
	a.nextID++
	ref.id = a.nextID
	value := ref.mem.AppendStored(make([]byte, checksumBytes, checksumBytes+ref.bytes/2))
	value = row.AppendInts(value, ref.mem.W)
	value = binary.LittleEndian.AppendUint64(value, ref.mem.Hash[0])
	ref.size = len(value)
	ref.settle = true
	put(b, a.storage.blockKey(ref.id), value)
}

// load reads a block from the store, or from the few that are kept decoded.
func (a *Arrangement) load(ref *blockRef) (*Block, error) {
	s := &a.storage
	for i := len(s.cache) - 1; i >= 0; i-- {
		if c := s.cache[i]; c.id == ref.id {
			copy(s.cache[i:], s.cache[i+1:])
			s.cache[len(s.cache)-1] = c
			return c.blk, nil
		}
	}
	key := s.blockKey(ref.id)
	value, err := s.get(key, storedBytesMax)
	if err != nil {
		return nil, err
	}
	blk := &Block{}
	rest, err := blk.DecodeStored(value, a.types)
	if err == nil {
		blk.W, rest, err = row.DecodeInts(nil, rest, blk.N)
	}
	if err != nil {
		return nil, &DamageError{key, err.Error()}
	}
	blk.Hash = a.order.hashes(&blk.Batch.Batch, nil)
	if blk.N != ref.n || len(rest) != 8 || binary.LittleEndian.Uint64(rest) != blk.Hash[0] || blk.Hash[blk.N-1] != ref.last {
		return nil, &DamageError{key, "is not the block that the manifest names"}
	}
	if len(s.cache) == cacheBlocks {
		s.cache = slices.Delete(s.cache, 0, 1)
	}
	s.cache = append(s.cache, cached{ref.id, blk})
	return blk, nil
}

// Spill adds writes of about most bytes of state to b, of the longest runs
// first; once they are applied their memory is free. It reports whether there
// was something to write.
func (a *Arrangement) Spill(b *disk.Batch, most int) bool {
	from := b.Bytes
	written := false
	a.eachRef(func(ref *blockRef) bool {
		if ref.mem == nil || ref.settle {
			return true
		}
		if ref.id == 0 {
			a.write(ref, b)
		}
		ref.settle, written = true, true
		return b.Bytes-from < most
	})
	return written
}

// eachRef calls visit for the blocks of all runs until it returns false.
func (a *Arrangement) eachRef(visit func(ref *blockRef) bool) {
	for _, list := range [2][]*Run{a.runs, a.delta} {
		for _, r := range list {
			for i := range r.blocks {
				if !visit(&r.blocks[i]) {
					return
				}
			}
		}
	}
}

// Applied says that the batches of all spills are applied: the blocks in them
// are read from the store from now on.
func (a *Arrangement) Applied() {
	a.eachRef(func(ref *blockRef) bool {
		if ref.settle && ref.mem != nil {
			a.mem -= ref.bytes
			a.blocks--
			ref.mem = nil
		}
		ref.settle = false
		return true
	})
}

const manifestVersion = 1

// Checkpoint adds to b what is needed to restore the state as it is now, the
// manifest last, and removes what no manifest names any more. The delta must be
// empty. All of b, in whichever batches, must be applied before anything that
// the next checkpoint or spill writes.
func (a *Arrangement) Checkpoint(b *disk.Batch) error {
	if len(a.delta) > 0 {
		return fmt.Errorf("zset: a checkpoint within a step")
	}
	m := binary.AppendUvarint(make([]byte, checksumBytes), manifestVersion)
	m = binary.AppendUvarint(m, uint64(len(a.runs)))
	for _, r := range a.runs {
		m = binary.AppendUvarint(m, uint64(len(r.blocks)))
		for i := range r.blocks {
			ref := &r.blocks[i]
			if ref.id == 0 {
				a.write(ref, b)
				ref.settle = false // it may stay in memory
			}
			m = binary.AppendUvarint(m, ref.id)
			m = binary.AppendUvarint(m, uint64(ref.n))
			m = binary.AppendUvarint(m, uint64(ref.size))
			m = binary.LittleEndian.AppendUint64(m, r.first[i])
			m = binary.LittleEndian.AppendUint64(m, ref.last)
		}
	}
	m = binary.AppendUvarint(m, a.nextID)
	if len(m) > manifestBytesMax {
		return fmt.Errorf("zset: a manifest of %d bytes, at most %d: partition the view", len(m), manifestBytesMax)
	}
	put(b, a.storage.manifestKey(), m)
	for _, id := range a.storage.dead {
		b.Delete(a.storage.blockKey(id))
	}
	a.storage.dead = a.storage.dead[:0]
	return nil
}

// Restore makes the arrangement what it was at the last checkpoint that the
// store holds. Blocks stay there until they are read.
func (a *Arrangement) Restore() error {
	s := &a.storage
	key := s.manifestKey()
	m, err := s.get(key, manifestBytesMax)
	if err != nil {
		return err
	}
	d := Decoder{B: m}
	if v := d.Uvarint(); v != manifestVersion {
		return &DamageError{key, fmt.Sprintf("is of version %d, not %d", v, manifestVersion)}
	}
	a.runs, a.delta, a.merging, a.sealing, a.mem, a.blocks = nil, nil, nil, nil, 0, 0
	s.dead, s.cache = nil, nil
	named := map[uint64]bool{}
	for range d.Count(len(m)) {
		r := a.newRun()
		for range d.Count(len(m)) {
			ref := blockRef{id: d.Uvarint(), n: int(d.Uvarint()), size: int(d.Uvarint())}
			first := d.Fixed()
			ref.last = d.Fixed()
			if named[ref.id] || ref.n < 1 || ref.n > row.BatchRowsMax {
				return &DamageError{key, "names a block twice, or an empty one"}
			}
			named[ref.id] = true
			r.blocks = append(r.blocks, ref)
			r.first = append(r.first, first)
			r.n += ref.n
		}
		if r.n == 0 {
			return &DamageError{key, "has an empty run"}
		}
		a.runs = append(a.runs, r)
	}
	a.nextID = d.Uvarint()
	if d.Bad || len(d.B) != 0 {
		return &DamageError{key, "is cut short"}
	}
	return a.findDead(named)
}

// Warm reads about most rows of restored state into memory, and tells how many it read:
// none when all is there. From then on the store is not read any more.
func (a *Arrangement) Warm(most int) (rows int, err error) {
	a.eachRef(func(ref *blockRef) bool {
		if ref.mem != nil {
			return true
		}
		var blk *Block
		if blk, err = a.load(ref); err != nil {
			return false
		}
		a.storage.forget(ref.id)
		ref.mem, ref.bytes = blk, blk.memBytes()
		a.mem += ref.bytes
		a.blocks++
		rows += ref.n
		return rows < most
	})
	return rows, err
}

// findDead lists blocks that were written after the manifest, and no manifest
// ever named.
func (a *Arrangement) findDead(named map[uint64]bool) error {
	s := &a.storage
	lo := append(slices.Clone(s.prefix), 'b')
	hi := append(slices.Clone(s.prefix), 'b'+1)
	return s.store.Scan(lo, hi, func(key, _ []byte) bool {
		if len(key) == len(lo)+8 {
			if id := binary.BigEndian.Uint64(key[len(lo):]); !named[id] {
				s.dead = append(s.dead, id)
				a.nextID = max(a.nextID, id)
			}
		}
		return true
	})
}
