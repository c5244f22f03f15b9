package backup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cespare/xxhash/v2"

	"actordb/core"
	"actordb/disk"
	"actordb/internal/datadir"
	"actordb/internal/history"
)

// Options of a backup.
type Options struct {
	Dir   string
	Moved func(bytes int64) // progress; may be nil

	between func() // tests have the node go on here: each time that files are held
}

// attempts to read a shard: what is read while it is written may look damaged, if
// a part of it is older than another part that vouches for it, or if a segment
// came and went meanwhile. What is damaged stays so.
const attempts = 4

// Take adds a backup of a directory, whose node may run. If a journal or a store
// is damaged, nothing is added and the error says where, as a *history.Problem.
func (r *Repository) Take(o Options) (*Manifest, error) {
	core.Assert(r.lock != nil, "a backup into a repository that is open for reading")
	m := &Manifest{Format: repositoryFormat, Begun: time.Now().UTC()}
	m.ID = m.Begun.Format("20060102T150405.000000000Z")
	id, err := datadir.Read(o.Dir)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(o.Dir, datadir.IdentityFile))
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	if err := compact(&packed, b); err != nil {
		return nil, err
	}
	m.Cluster, m.Node, m.Identity = id.Cluster, uint32(id.Node), packed.Bytes()
	for i := range id.Shards {
		s, err := r.takeShard(&o, id, core.ShardID(i))
		var problem *history.Problem
		for again := 1; errors.As(err, &problem) && again < attempts; again++ {
			s, err = r.takeShard(&o, id, core.ShardID(i))
		}
		if err != nil {
			return nil, fmt.Errorf("shard %d: %w", i, err)
		}
		m.Shards = append(m.Shards, *s)
	}
	m.Ended = time.Now().UTC()
	return m, r.commit(m)
}

// takeShard takes hold of the journal's files, then of the store's as they are at
// a moment, then of the journal's again; only then it reads, as long as that takes.
// So the journal reaches back to the store's position, since the node does not
// compact beyond it and files that we hold stay, and forward to it, since the node
// stores nothing that its journal does not have.
func (r *Repository) takeShard(o *Options, id *datadir.Identity, shard core.ShardID) (_ *Shard, err error) {
	pause := func() {
		if o.between != nil {
			o.between()
		}
	}
	l, err := history.OpenLog(datadir.LogDir(o.Dir, shard))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	pause()
	kv, err := history.OpenKV(datadir.KVDir(o.Dir, shard))
	if err != nil {
		return nil, err
	}
	if kv != nil {
		defer func() { err = errors.Join(err, kv.Close()) }()
	}
	pause()
	if err := l.Refresh(); err != nil {
		return nil, err
	}
	pause()
	s := &Shard{Shard: shard, Segments: []Segment{}, Derived: []string{}}
	derived, err := r.takeDerived(kv, s)
	if err != nil {
		return nil, err
	}
	if err := l.Scan(&history.Whose{Cluster: id.ClusterID(), Shard: shard}, o.Moved); err != nil {
		return nil, err
	}
	if len(l.Problems) > 0 {
		return nil, &l.Problems[0]
	}
	if s.Floor, s.Last = l.Floor, l.Last(); len(l.Segments) == 0 {
		return s, nil
	}
	if s.Until, err = last(l, derived); err != nil {
		return nil, err
	}
	for i := range l.Segments {
		seg := &l.Segments[i]
		image, err := l.Image(i)
		if err != nil {
			return nil, err
		}
		out := Segment{Number: seg.Number, Bytes: seg.Bytes, After: seg.LastIndex, End: seg.End, Chunks: []string{}}
		for at := int64(0); at < seg.Bytes; at += chunkBytes {
			name, err := r.put(image[at:min(at+chunkBytes, seg.Bytes)])
			if err != nil {
				return nil, err
			}
			out.Chunks = append(out.Chunks, name)
		}
		s.Segments = append(s.Segments, out)
	}
	return s, nil
}

// last walks through the blocks, which finds what is wrong in them, and returns
// the time of the last one.
func last(l *history.Log, d *history.Derived) (core.Timestamp, error) {
	w, err := l.NewWalk(d)
	if err != nil {
		return 0, err
	}
	for at := d.Position.Clock; ; {
		a, err := w.Next()
		if a == nil || err != nil {
			return at, err
		}
		if a.Block != nil && !a.Void {
			at = a.After.Clock
		}
	}
}

// Pairs of the derived store are packed into chunks that end where the hash of a
// key says so: a change changes the chunk that it is in, and no other.
const (
	pairsPerChunk = 512 // about
	pairBytes     = 256 << 10
)

func (r *Repository) takeDerived(kv disk.KV, s *Shard) (*history.Derived, error) {
	if kv == nil {
		return &history.Derived{}, nil
	}
	derived, err := history.ReadDerived(kv, false)
	if err != nil || !derived.There {
		return &history.Derived{}, err // no checkpoint: it is rebuilt
	}
	s.Position, s.Clock = derived.Position.Applied, derived.Position.Clock
	var chunk []byte
	var failed error
	store := func() bool {
		name, err := r.put(chunk)
		s.Derived, chunk, failed = append(s.Derived, name), chunk[:0], err
		return err == nil
	}
	err = kv.Scan(nil, nil, func(key, value []byte) bool {
		chunk = appendPair(chunk, key, value)
		if len(chunk) >= pairBytes || xxhash.Sum64(key)%pairsPerChunk == 0 {
			return store()
		}
		return true
	})
	if err == nil && failed == nil && len(chunk) > 0 {
		store()
	}
	return derived, errors.Join(err, failed)
}

func appendPair(b, key, value []byte) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(key))), key...)
	return append(binary.AppendUvarint(b, uint64(len(value))), value...)
}

var errPairs = errors.New("not pairs of a derived store")

func takePair(b []byte) (key, value, rest []byte, err error) {
	field := func() (f []byte) {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			err = errPairs
			return nil
		}
		f, b = b[k:k+int(n)], b[k+int(n):]
		return f
	}
	if key = field(); err == nil {
		value = field()
	}
	return key, value, b, err
}

// derivedOf is a derived store as a backup holds it, for reading.
type derivedOf struct {
	disk.KV // nothing but Scan is there
	repo    *Repository
	chunks  []string
}

// Scan visits all pairs.
func (d *derivedOf) Scan(_, _ []byte, visit func(key, value []byte) bool) error {
	for _, name := range d.chunks {
		b, err := d.repo.get(name)
		for err == nil && len(b) > 0 {
			var key, value []byte
			if key, value, b, err = takePair(b); err == nil && !visit(key, value) {
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
