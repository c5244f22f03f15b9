package checkers

import (
	"cmp"
	"fmt"
	"slices"

	"actordb/core"
)

// Cuts judges what followers of several shards are told about time. It is fed
// while a run goes on: the blocks that replicas apply, those that followers are
// handed, and the cuts that they are promised.
//
//	A follower's life is a contiguous piece of all blocks that ever took effect,
//	in the order of (timestamp, shard): from the cut where it began, nothing left
//	out, nothing twice. A cut is promised after all blocks at or below it, by all
//	shards, whatever is applied later: so a leader that stamps a block with a time
//	that was closed is found, even if nobody was handed that block.
type Cuts struct {
	blocks map[cutKey]core.Timestamp
	lives  []*follower
	cuts   int
	wrong  string
}

type cutKey struct {
	shard core.ShardID
	index core.Index
}

// cutBlock is a block in the order of time.
type cutBlock struct {
	timestamp core.Timestamp
	cutKey
}

func byTime(a, b cutBlock) int {
	return cmp.Or(cmp.Compare(a.timestamp, b.timestamp), cmp.Compare(a.shard, b.shard))
}

// follower is one incarnation of a follower.
type follower struct {
	name   string
	from   core.Timestamp
	handed []cutBlock
	cuts   []promise
}

// promise: after so many blocks, this cut.
type promise struct {
	handed int
	cut    core.Timestamp
}

// NewCuts makes an empty one.
func NewCuts() *Cuts { return &Cuts{blocks: make(map[cutKey]core.Timestamp)} }

// Applied takes an entry with a block that took effect on some replica.
func (c *Cuts) Applied(shard core.ShardID, index core.Index, at core.Timestamp) {
	key := cutKey{shard, index}
	if before, ok := c.blocks[key]; ok && before != at && c.wrong == "" {
		c.wrong = fmt.Sprintf("entry %d of shard %d is stamped %s by one replica and %s by another", index, shard, before, at)
	}
	c.blocks[key] = at
}

// Begin starts a follower's life after a cut and returns its number.
func (c *Cuts) Begin(name string, from core.Timestamp) int {
	c.lives = append(c.lives, &follower{name: name, from: from})
	return len(c.lives) - 1
}

// Handed takes a block that a follower was given.
func (c *Cuts) Handed(life int, shard core.ShardID, index core.Index, at core.Timestamp) {
	f := c.lives[life]
	f.handed = append(f.handed, cutBlock{at, cutKey{shard, index}})
}

// Promised takes a cut that a follower was promised.
func (c *Cuts) Promised(life int, cut core.Timestamp) {
	f := c.lives[life]
	if n := len(f.cuts); n > 0 && cut <= f.cuts[n-1].cut {
		if cut < f.cuts[n-1].cut && c.wrong == "" {
			c.wrong = fmt.Sprintf("%s: the cut went from %s back to %s", f.name, f.cuts[n-1].cut, cut)
		}
		return
	}
	c.cuts++
	f.cuts = append(f.cuts, promise{len(f.handed), cut})
}

// Wrong takes what a follower itself found out.
func (c *Cuts) Wrong(what string) {
	if c.wrong == "" {
		c.wrong = what
	}
}

// Result judges what was fed. Examined are the cuts.
func (c *Cuts) Result() Result {
	r := Result{Name: "cuts", Verdict: Pass, Examined: c.cuts}
	if c.wrong == "" {
		c.judge()
	}
	if c.wrong != "" {
		r.Verdict, r.Note = Fail, c.wrong
	}
	return r
}

func (c *Cuts) judge() {
	all := make([]cutBlock, 0, len(c.blocks))
	for key, at := range c.blocks { // sorted below
		all = append(all, cutBlock{at, key})
	}
	slices.SortFunc(all, func(a, b cutBlock) int { return cmp.Or(byTime(a, b), cmp.Compare(a.index, b.index)) })
	for _, f := range c.lives {
		if c.wrong = f.judge(all); c.wrong != "" {
			return
		}
	}
}

// judge lays a life beside all blocks and says what is wrong with it, or nothing.
func (f *follower) judge(all []cutBlock) string {
	at, _ := slices.BinarySearchFunc(all, f.from, func(b cutBlock, t core.Timestamp) int {
		if b.timestamp <= t {
			return -1
		}
		return 1
	})
	rest := all[at:]
	next := 0 // of the promises
	for i := 0; ; i++ {
		for ; next < len(f.cuts) && f.cuts[next].handed == i; next++ {
			if cut := f.cuts[next].cut; i < len(rest) && rest[i].timestamp <= cut {
				return fmt.Sprintf("%s was promised the cut %s before entry %d of shard %d, stamped %s", f.name, cut,
					rest[i].index, rest[i].shard, rest[i].timestamp)
			}
		}
		if i == len(f.handed) {
			return ""
		}
		got := f.handed[i]
		if i >= len(rest) {
			return fmt.Sprintf("%s was handed entry %d of shard %d, stamped %s, which no replica applied there", f.name, got.index, got.shard, got.timestamp)
		}
		if want := rest[i]; got != want {
			return fmt.Sprintf("%s was handed entry %d of shard %d, stamped %s, where entry %d of shard %d, stamped %s, comes next", f.name,
				got.index, got.shard, got.timestamp, want.index, want.shard, want.timestamp)
		}
	}
}
