package memkv

import (
	"github.com/tidwall/btree"

	"actordb/disk"
)

// A Store is the plain form: an ordered map in memory that keeps disk.KV's
// promises as long as it exists. It is not safe for concurrent use.
//
// Keys and values are kept as strings, since those can be shared: with the undo
// records of a Sim, and with the callers of Scan.
type Store struct {
	tree     *btree.Map[string, string]
	scanned  bool   // a Scan runs on tree
	key, val []byte // Scan's, when there is one Scan
}

var _ disk.KV = (*Store)(nil)

// New returns an empty Store.
func New() *Store { return &Store{tree: new(btree.Map[string, string])} }

// Len returns the number of keys.
func (s *Store) Len() int { return s.tree.Len() }

// Get returns a copy of the value of key.
func (s *Store) Get(key []byte) (value []byte, found bool, err error) {
	v, ok := s.tree.Get(string(key))
	if !ok {
		return nil, false, nil
	}
	return []byte(v), true, nil
}

// Apply writes b. It keeps none of its slices.
func (s *Store) Apply(b *disk.Batch) error {
	s.fork()
	for i := range b.Mutations {
		m := &b.Mutations[i]
		if m.Delete {
			s.tree.Delete(string(m.Key))
		} else {
			s.tree.Set(string(m.Key), string(m.Value))
		}
	}
	return nil
}

// fork leaves the tree to the Scans that run on it, so that they see the state
// as of their start (K3). The copy is made lazily, node by node.
func (s *Store) fork() {
	if s.scanned {
		s.tree = s.tree.Copy()
		s.scanned = false
	}
}

// Flush does nothing: a Store lives and dies with its process.
func (s *Store) Flush() error { return nil }

// Close does nothing.
func (s *Store) Close() error { return nil }

// Scan visits [lo, hi) in order. visit may call Apply and Scan.
func (s *Store) Scan(lo, hi []byte, visit func(key, value []byte) bool) error {
	key, val := s.key, s.val
	s.key, s.val = nil, nil // a Scan within visit makes its own
	outer := s.scanned
	tree := s.tree
	s.scanned = true
	end := string(hi)
	tree.Ascend(string(lo), func(k, v string) bool {
		if hi != nil && k >= end {
			return false
		}
		key = append(key[:0], k...)
		val = append(val[:0], v...)
		return visit(key, val)
	})
	s.key, s.val = key[:0], val[:0]
	// If visit has forked, no Scan runs on the new tree. Otherwise the outer
	// ones, if any, run on this one still.
	s.scanned = s.scanned && outer
	return nil
}
