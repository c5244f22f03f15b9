package history

import (
	"fmt"

	"actordb/core"
	"actordb/core/journal"
	"actordb/core/seal"
	"actordb/core/shard"
)

// An Applied entry is one that took effect, or was void. The block is its own
// only during the call.
type Applied struct {
	Index core.Index
	Term  core.Term
	Void  bool
	Block *journal.Block // nil: a leader's first entry
	After shard.Position
}

// A Walk goes through a log's entries in order, as replicas apply them.
type Walk struct {
	log   *Log
	pos   shard.Position
	check shard.Position      // of a compacted log's derived store
	void  map[core.Index]bool // known for those up to the checkpoint of a compacted log
	upTo  core.Index
	adopt bool
	block journal.Block
}

// NewWalk begins behind the log's floor. A compacted log needs the position of
// its derived store, from which it follows what was applied before.
func (l *Log) NewWalk(d *Derived) (*Walk, error) {
	w := &Walk{log: l, pos: shard.Position{Applied: l.Floor, Version: core.VersionMin}}
	if l.Floor == 0 {
		return w, nil
	}
	if !d.There || d.Position.Applied < l.Floor {
		return nil, &Problem{File: "kv", What: fmt.Sprintf("the derived store reflects entry %d, but the journal begins after %d", d.Position.Applied, l.Floor),
			Cure: "restore the directory from a backup"}
	}
	return w, w.back(d.Position)
}

// back goes from the checkpoint's chain to that at the floor: of the blocks
// before a position, those were applied that the chain was made of.
func (w *Walk) back(p shard.Position) error {
	w.check, w.void, w.upTo, w.adopt = p, map[core.Index]bool{}, p.Applied, true
	if p.Applied == w.log.Floor {
		w.pos, w.adopt = p, false
	}
	if p.Applied > w.log.Last() {
		return &Problem{File: "kv", What: fmt.Sprintf("the derived store reflects entry %d, but the journal ends at %d", p.Applied, w.log.Last()),
			Cure: cureRestore}
	}
	chain := p.Chain
	for index := p.Applied; index > w.log.Floor; index-- {
		b, err := w.parse(index)
		if err != nil {
			return err
		}
		if b == nil {
			continue
		}
		if seal.Chain(b.Extends, b.Hash()) == chain {
			chain = b.Extends
			continue
		}
		w.void[index] = true
	}
	w.pos.Chain = chain
	return nil
}

// parse reads an entry's block, nil if it has none.
func (w *Walk) parse(index core.Index) (*journal.Block, error) {
	e, err := w.log.Entry(index)
	if err != nil || len(e.Data) == 0 {
		return nil, err
	}
	if err := w.block.Parse(e.Data); err != nil {
		file, offset := w.log.Place(index)
		return nil, &Problem{File: file, Offset: offset, Entry: index, What: err.Error(), Cure: cureRestore}
	}
	return &w.block, nil
}

// Next applies the next entry. It returns nil at the end of the log.
func (w *Walk) Next() (*Applied, error) {
	index := w.pos.Applied + 1
	if index > w.log.Last() {
		return nil, nil
	}
	b, err := w.parse(index)
	if err != nil {
		return nil, err
	}
	a := &Applied{Index: index, Term: w.log.Entries[index-w.log.Floor-1].Term, Block: b}
	w.pos.Applied = index
	defer func() {
		if w.adopt && index == w.upTo { // nothing before told clock and epochs
			w.pos, w.adopt = w.check, false
			a.After = w.pos
		}
	}()
	if b == nil {
		a.After = w.pos
		return a, nil
	}
	known := w.void != nil && index <= w.upTo
	if known {
		a.Void = w.void[index]
	}
	if known && w.adopt && !a.Void {
		w.adopt = false
		w.pos.SlotEpoch, w.pos.PolicyEpoch, w.pos.Catalog = b.SlotEpoch, b.PolicyEpoch, b.Catalog
		w.pos.Version = w.check.Version // or less, up to where it was raised
	}
	stands := b.Shard == w.log.shard() && b.Extends == w.pos.Chain && b.SlotEpoch == w.pos.SlotEpoch &&
		b.PolicyEpoch == w.pos.PolicyEpoch && b.Catalog == w.pos.Catalog
	if known && w.adopt {
		stands = false // void, under epochs that are not known yet
	}
	if known && a.Void == stands {
		return nil, w.wrong(index, "the block stands on the entries before it: %t; the checkpoint of the derived store says %t", stands, !a.Void)
	}
	if a.Void = !stands; a.Void {
		a.After = w.pos
		return a, nil
	}
	if b.Timestamp <= w.pos.Clock {
		return nil, w.wrong(index, "time goes from %s to %s", w.pos.Clock, b.Timestamp)
	}
	switch {
	case b.Kind == journal.Upgrade:
		w.pos.Version = max(w.pos.Version, core.Version(b.Raise))
	case b.Version > w.pos.Version:
		return nil, w.wrong(index, "a block of version %d in a log of version %d", b.Version, w.pos.Version)
	}
	w.pos.Clock = b.Timestamp
	w.pos.Chain = seal.Chain(w.pos.Chain, b.Hash())
	if b.Kind == journal.Fence || b.Kind == journal.Hand {
		w.pos.SlotEpoch = max(w.pos.SlotEpoch, b.Raise)
	}
	a.After = w.pos
	return a, nil
}

func (w *Walk) wrong(index core.Index, format string, args ...any) error {
	file, offset := w.log.Place(index)
	return &Problem{File: file, Offset: offset, Entry: index, What: fmt.Sprintf(format, args...), Cure: cureRestore}
}

func (l *Log) shard() core.ShardID { return l.Segments[0].Identity.Shard }
