package pgkv

import (
	"fmt"

	"actordb/disk"
	"actordb/disk/checked"
)

// A part is one statement of a batch: values to be put under keys, or with no
// values keys to be deleted.
type part struct {
	keys, values [][]byte
	bytes        int
}

// divide splits a batch into statements, each of distinct keys and of bounded
// size. Of several entries of a key the last counts (K3).
func divide(b *disk.Batch) ([]part, error) {
	if b.Bytes > batchBytesMax {
		return nil, fmt.Errorf("%w: a batch of %d bytes, at most %d", disk.ErrBadRequest, b.Bytes, batchBytesMax)
	}
	last := make(map[string]int, len(b.Mutations))
	for i := range b.Mutations {
		k := b.Mutations[i].Key
		if len(k) > keyBytesMax {
			return nil, fmt.Errorf("%w: a key of %d bytes, at most %d", disk.ErrBadRequest, len(k), keyBytesMax)
		}
		last[string(k)] = i
	}
	var done []part
	var puts, deletes part
	full := func(p *part, limit int) {
		if p.bytes > limit {
			done = append(done, *p)
			*p = part{}
		}
	}
	for i := range b.Mutations {
		m := &b.Mutations[i]
		if last[string(m.Key)] != i {
			continue
		}
		p := &puts
		if m.Delete {
			p = &deletes
		} else {
			p.values = append(p.values, checked.Seal(m.Key, m.Value))
		}
		p.keys = append(p.keys, blob(m.Key))
		p.bytes += 1 + len(m.Key) + len(m.Value)
		full(p, partBytes)
	}
	full(&puts, 0)
	full(&deletes, 0)
	return done, nil
}

// blob keeps the driver from taking an empty key for NULL.
func blob(p []byte) []byte {
	if p == nil {
		return []byte{}
	}
	return p
}

// unseal returns the value in what was stored.
func unseal(key, stored []byte) ([]byte, error) {
	value, ok := checked.Value(key, stored)
	if !ok {
		return nil, fmt.Errorf("value of key %x: %w", key, ErrCorrupt)
	}
	return value, nil
}
