package query

import (
	"encoding/binary"
	"slices"

	"actordb/core"
	"actordb/core/feed"
	"actordb/core/proc"
	"actordb/core/row"
	"actordb/core/sql/lower"
	"actordb/core/view"
	"actordb/core/zset"
	"actordb/disk"
)

// What a process has in its store, so that after a restart it need not read the journals
// from their beginnings. All of it is derived: what is lost, damaged or of another
// definition is refused, and built from the journals.
//
//	'p'                   where the live feed stood at a cut, and the catalog as of it
//	'r' name              a declared view that is kept: its definition, its cut, where a feed goes on
//	                      after it, what vouches for its state, and what core/view returned
//	's' u16(BE) name …    its state, see core/view
//
// A view's record and the state that it vouches for are written in one batch, by the step that
// ends at the cut (K1 of package disk: both or none). The record has the sum of all pairs
// of the state, so that a state that is torn, mixed with another or short of a pair is none.
const (
	keySelf  = 'p'
	keyView  = 'r'
	keyState = 's'

	savedVersion = 1
	savedHash    = 0x5a6e_d2c1 // seed of checksums and sums
	pairsAtOnce  = 16          // that are read; each holds some thousand rows at most
	warmAtOnce   = 4 * row.ChunkRows
)

// saved is what the process knows of its store.
type saved struct {
	opening bool // the process's own record is being read: nothing goes on meanwhile
	broken  bool // a write failed: what is there stays as it is until the next start
	swept   bool
	token   proc.Token
	pending map[proc.Token]func(*disk.KVResult)
	bytes   int  // of blocks since something was due
	due     bool // the process's own record is
	purging map[string]bool
}

// store submits an operation. then gets its result.
func (p *Process) store(op disk.KVOp, then func(*disk.KVResult)) {
	p.saved.token++
	p.saved.pending[p.saved.token] = then
	p.out.KV(p.saved.token, op)
}

func (p *Process) stored(token proc.Token, res *disk.KVResult) {
	then := p.saved.pending[token]
	delete(p.saved.pending, token)
	if then != nil {
		then(res)
	}
}

// write applies a batch and makes it durable. done is called when it is.
func (p *Process) write(b *disk.Batch, done func()) {
	p.store(disk.KVOp{Kind: disk.KVApply, Batch: b}, func(res *disk.KVResult) { p.wrote(res) })
	p.store(disk.KVOp{Kind: disk.KVFlush}, func(res *disk.KVResult) {
		if p.wrote(res); !p.saved.broken {
			done()
		}
	})
}

func (p *Process) wrote(res *disk.KVResult) {
	if res.Err != nil {
		p.out.Mark(markStoreFails)
		p.saved.broken = true
	}
}

// count notes a block of the live feed: after so many bytes all is due to be saved.
func (p *Process) count(bytes int) {
	if p.saved.bytes += bytes; !p.cfg.Stored || p.saved.bytes < p.cfg.Limits.CheckpointBytes {
		return
	}
	p.saved.bytes, p.saved.due = 0, true
	for _, k := range p.kept {
		k.due = !p.policy.Keeps(k.name) // after a restart nobody has asked (decision 25)
	}
}

// position is that of the cut at hand, if somebody saves something as of it.
func (p *Process) position() *feed.Position {
	if p.saved.broken || !p.saved.due && !slices.ContainsFunc(p.kept, func(k *kept) bool { return k.due }) {
		return nil
	}
	at := p.live.Position()
	return &at
}

// saveSelf saves where the live feed is, and the catalog.
func (p *Process) saveSelf(at *feed.Position) {
	if !p.saved.due || at == nil {
		return
	}
	p.saved.due = false
	v := binary.AppendUvarint(nil, savedVersion)
	v = p.appendPosition(v, at)
	v = binary.AppendUvarint(v, uint64(len(p.catalogs.list)))
	for i := range p.catalogs.list {
		d := &p.catalogs.list[i]
		v = binary.AppendVarint(v, int64(d.at))
		v = appendText(v, d.text)
	}
	b := &disk.Batch{}
	putChecked(b, []byte{keySelf}, v)
	p.write(b, func() { p.out.Mark(markSavedSelf) })
}

// resume begins the live feed, where the record says if there is one.
func (p *Process) resume(res *disk.KVResult) {
	p.saved.opening = false
	if at, ok := p.parseSelf(res); ok {
		p.out.Mark(markResumedSelf)
		p.cut = at.Cut
		p.live = feed.New(p.feedConfig(0), *at, p.env.Rand)
	}
	p.live.Want(p.begun)
	p.live.Start(p.now, p.out)
}

func (p *Process) parseSelf(res *disk.KVResult) (*feed.Position, bool) {
	d, ok := checked([]byte{keySelf}, res)
	if !ok || d.Uvarint() != savedVersion {
		return nil, false
	}
	at := p.readPosition(&d)
	var list []definition
	for range d.Count(len(d.B)) {
		list = append(list, definition{at: core.Timestamp(d.Varint()), text: string(d.Bytes())})
	}
	if at == nil || d.Bad || len(d.B) > 0 {
		return nil, false
	}
	for i := range list {
		p.catalogs.add(core.Seq(i+1), list[i].at, list[i].text)
	}
	return at, true
}

// save saves a view that has just finished the step to a cut, if that is due.
func (p *Process) save(k *kept) {
	at := k.at
	if k.at = nil; at == nil || !k.due || k.saving || p.saved.broken || p.saved.purging[k.name] {
		return
	}
	k.due = false
	if k.view.MemBytes() > p.cfg.Limits.MemoryBytes/2 {
		p.out.Mark(markTooLarge) // what is stored is held a second time, until it changes
		return
	}
	b := &disk.Batch{}
	state, err := k.view.Checkpoint(b)
	if err != nil {
		k.err = err
		p.release(&k.runner)
		return
	}
	k.sum.note(b)
	v := binary.AppendUvarint(nil, savedVersion)
	v = appendText(v, k.catalog.Definition(k.name))
	v = p.appendPosition(v, at)
	v = binary.AppendUvarint(v, uint64(len(k.sum.pairs)))
	v = binary.LittleEndian.AppendUint64(v, k.sum.total)
	putChecked(b, viewKey(k.name), append(v, state...))
	k.saving = true
	p.write(b, func() {
		k.saving = false
		p.out.Mark(markSaved)
	})
}

// opening is a view whose checkpoint is being read. It is the store that core/view reads.
type opening struct {
	at    *feed.Position
	count uint64
	total uint64
	state []byte
	pairs []disk.Pair // in the order of their keys
	whole bool
	view  *view.View // being read into memory
}

// open looks for a view's checkpoint.
func (p *Process) open(k *kept) {
	key := viewKey(k.name)
	p.store(disk.KVOp{Kind: disk.KVGet, Lo: key}, func(res *disk.KVResult) {
		if !slices.Contains(p.kept, k) {
			return // dropped meanwhile
		}
		d, ok := checked(key, res)
		if !ok || d.Uvarint() != savedVersion || string(d.Bytes()) != k.catalog.Definition(k.name) {
			p.fresh(k, res.Err != nil || res.Found)
			return
		}
		o := &opening{at: p.readPosition(&d), count: d.Uvarint()}
		if o.at == nil || d.Bad || len(d.B) < 8 {
			p.fresh(k, true)
			return
		}
		o.total, o.state = binary.LittleEndian.Uint64(d.B), d.B[8:]
		k.opening = o
		p.openPairs(k, statePrefix(k.name))
	})
}

// openPairs reads the state from a key on.
func (p *Process) openPairs(k *kept, lo []byte) {
	hi := append(statePrefix(k.name), 0xff)
	p.store(disk.KVOp{Kind: disk.KVScan, Lo: lo, Hi: hi, Limit: pairsAtOnce}, func(res *disk.KVResult) {
		o := k.opening
		if !slices.Contains(p.kept, k) || o == nil {
			return
		}
		o.pairs = append(o.pairs, res.Pairs...)
		switch {
		case res.Err != nil || uint64(len(o.pairs)) > o.count:
			p.fresh(k, true)
		case res.More:
			p.openPairs(k, append(slices.Clone(res.Pairs[len(res.Pairs)-1].Key), 0))
		default:
			for _, x := range o.pairs {
				k.sum.put(x.Key, x.Value)
			}
			if uint64(len(o.pairs)) != o.count || k.sum.total != o.total {
				p.fresh(k, true)
				return
			}
			o.whole = true
		}
	})
}

// openNext does a piece of work on a view whose checkpoint was read: when the cut has come to
// it, it becomes the view, and follows from there.
func (p *Process) openNext(k *kept) (more bool) {
	o := k.opening
	if o == nil || !o.whole {
		return false
	}
	if p.cut < o.at.Cut {
		p.live.Want(o.at.Cut)
		return false
	}
	projection, _ := k.catalog.Projection(k.name)
	var err error
	if o.view == nil {
		at := p.placed(k.name)
		at.Place.Store = o
		o.view, err = k.catalog.RestoreView(projection.Query, at, o.state)
		if err == nil && o.view.Cut() != o.at.Cut {
			err = &zset.DamageError{Key: viewKey(k.name), What: "is of another cut than its state"}
		}
	} else {
		var done bool
		if done, err = o.view.Warm(warmAtOnce); done {
			p.out.Mark(markRestored)
			k.view, k.job, k.from, k.restored = o.view, o.view, o.at, true
			k.opening, o.pairs, o.state = nil, nil, nil
			p.begin(&k.runner)
		}
	}
	if err != nil {
		p.fresh(k, true)
	}
	return true
}

// Get implements zset.Store.
func (o *opening) Get(key []byte) (value []byte, found bool, err error) {
	i, found := slices.BinarySearchFunc(o.pairs, key, func(x disk.Pair, key []byte) int { return slices.Compare(x.Key, key) })
	if !found {
		return nil, false, nil
	}
	return o.pairs[i].Value, true, nil
}

// Scan implements zset.Store.
func (o *opening) Scan(lo, hi []byte, visit func(key, value []byte) bool) error {
	for _, x := range o.pairs {
		if slices.Compare(x.Key, lo) >= 0 && slices.Compare(x.Key, hi) < 0 && !visit(x.Key, x.Value) {
			break
		}
	}
	return nil
}

// fresh builds a view from the journals. What stands in the store under its name goes first.
func (p *Process) fresh(k *kept, refused bool) {
	if refused {
		p.out.Mark(markRefused)
	}
	projection, _ := k.catalog.Projection(k.name)
	v, err := k.catalog.NewView(projection.Query, p.placed(k.name))
	k.opening, k.restored, k.sum, k.due = nil, false, newSum(), true
	if err != nil { // it is computed when somebody asks, who is told why not
		k.err = err
		return
	}
	k.view, k.runner = v, runner{job: v, catalog: k.catalog, follows: true, ended: k.ended}
	p.purge(k.name)
	p.begin(&k.runner)
}

func (p *Process) placed(name string) view.Options {
	return view.Options{Memory: p.cfg.Limits.MemoryBytes, Place: lower.Place{Prefix: statePrefix(name)}}
}

// renew gives up a checkpoint from which a view could not go on: the blocks after it may be
// compacted.
func (p *Process) renew(k *kept) {
	if k.err != nil && k.restored {
		p.release(&k.runner)
		p.fresh(k, true)
	}
}

// purge deletes what the store has under a view's name. Nothing is saved under it until
// that is done.
func (p *Process) purge(name string) {
	if p.saved.purging[name] {
		return // it ends only when nothing is left
	}
	p.saved.purging[name] = true
	b := &disk.Batch{}
	b.Delete(viewKey(name))
	p.purgeNext(name, b)
}

func (p *Process) purgeNext(name string, b *disk.Batch) {
	p.write(b, func() {
		lo := statePrefix(name)
		p.store(disk.KVOp{Kind: disk.KVScan, Lo: lo, Hi: append(slices.Clone(lo), 0xff), Limit: pairsAtOnce}, func(res *disk.KVResult) {
			switch {
			case res.Err != nil:
				p.wrote(res)
			case len(res.Pairs) == 0:
				delete(p.saved.purging, name)
			default:
				b := &disk.Batch{}
				for _, x := range res.Pairs {
					b.Delete(x.Key)
				}
				p.purgeNext(name, b)
			}
		})
	})
}

// sweepStore looks once for views that were dropped while this node was down.
func (p *Process) sweepStore(lo []byte) {
	p.store(disk.KVOp{Kind: disk.KVScan, Lo: lo, Hi: []byte{keyView + 1}, Limit: pairsAtOnce}, func(res *disk.KVResult) {
		for _, x := range res.Pairs {
			if name := string(x.Key[1:]); !slices.ContainsFunc(p.kept, func(k *kept) bool { return k.name == name }) {
				p.purge(name)
			}
		}
		if res.More {
			p.sweepStore(append(slices.Clone(res.Pairs[len(res.Pairs)-1].Key), 0))
		}
	})
}

func viewKey(name string) []byte { return append([]byte{keyView}, name...) }

// statePrefix is no other name's, and no beginning of one.
func statePrefix(name string) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{keyState}, uint16(len(name))), name...)
}

// A sum vouches for the pairs of a state together. A pair counts by its hash, whatever the
// others are, so that a batch's changes need not look at the rest.
type sum struct {
	pairs map[string]uint64
	total uint64
}

func newSum() sum { return sum{pairs: map[string]uint64{}} }

// note takes the mutations of a batch.
func (s *sum) note(b *disk.Batch) {
	for i := range b.Mutations {
		if m := &b.Mutations[i]; m.Delete {
			s.total -= s.pairs[string(m.Key)]
			delete(s.pairs, string(m.Key))
		} else {
			s.put(m.Key, m.Value)
		}
	}
}

func (s *sum) put(key, value []byte) {
	h := row.HashBytes(row.HashBytes(savedHash, key), value)
	s.total += h - s.pairs[string(key)]
	s.pairs[string(key)] = h
}

// putChecked adds a value behind its checksum.
func putChecked(b *disk.Batch, key, value []byte) {
	h := row.HashBytes(row.HashBytes(savedHash, key), value)
	b.Put(key, append(binary.LittleEndian.AppendUint64(nil, h), value...))
}

func checked(key []byte, res *disk.KVResult) (zset.Decoder, bool) {
	if res.Err != nil || !res.Found || len(res.Value) < 8 {
		return zset.Decoder{}, false
	}
	v := res.Value[8:]
	return zset.Decoder{B: v}, binary.LittleEndian.Uint64(res.Value) == row.HashBytes(row.HashBytes(savedHash, key), v)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func (p *Process) appendPosition(dst []byte, at *feed.Position) []byte {
	dst = binary.AppendVarint(dst, int64(at.Cut))
	dst = binary.AppendUvarint(dst, uint64(len(at.Next)))
	for i, next := range at.Next {
		dst = binary.AppendUvarint(dst, uint64(p.cfg.Sources[i].Shard))
		dst = binary.AppendUvarint(dst, uint64(next))
	}
	return dst
}

// readPosition reads a position; nil if it is in other shards than there are.
func (p *Process) readPosition(d *zset.Decoder) *feed.Position {
	at := &feed.Position{Cut: core.Timestamp(d.Varint())}
	if n := d.Uvarint(); n != uint64(len(p.cfg.Sources)) {
		return nil
	}
	for i := range p.cfg.Sources {
		if d.Uvarint() != uint64(p.cfg.Sources[i].Shard) {
			return nil
		}
		at.Next = append(at.Next, core.Index(d.Uvarint()))
	}
	return at
}
