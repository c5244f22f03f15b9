package checkers

import (
	"actordb/core"
)

// Owner watches that a shard has one owner at a time, and that nobody else speaks
// for it, while the records stream in.
//
// Law:
//
//   - who acknowledges commands in a term was elected in it, alone
//
//   - what is acknowledged is the owner's own block, and that block is what takes
//     effect at its index, wherever it does
//
//   - a block that takes effect was decided in the term in which it stands in the log
//
//   - reads that are confirmed reflect all that was acknowledged, by whomever, before
//     the group was asked about them
//
//   - an owner that has been replaced gives up by itself, without a word of the next one:
//     within three elections' time, by its own clock
//
// Examined counts acknowledgements and confirmed reads.
type Owner struct {
	owners map[termKey]uint64
	effect map[blockKey]core.Term
	acked  map[core.ShardID]core.Index // the highest
	asks   map[replicaKey]ask
	newest map[core.ShardID]core.Term // in which anybody was elected
	stale  map[replicaKey]int         // ticks that it has led since it was replaced
	most   int
	result Result
}

// ask is a question of a replica that is open.
type ask struct {
	term  core.Term
	state core.Index // that the reads reflect
	acked core.Index // that they must reflect
}

// NewOwner makes an empty one. A replica that hears of no leader for so many ticks
// stands for election.
func NewOwner(electionTicks int) *Owner {
	return &Owner{owners: map[termKey]uint64{}, effect: map[blockKey]core.Term{}, acked: map[core.ShardID]core.Index{},
		asks: map[replicaKey]ask{}, newest: map[core.ShardID]core.Term{}, stale: map[replicaKey]int{}, most: 3 * electionTicks, result: Result{Name: "owner", Verdict: Pass}}
}

// Result is the verdict so far.
func (o *Owner) Result() Result { return o.result }

// Decided takes in an entry of the log as a replica applied it.
func (o *Owner) Decided(l *LogRecord) {
	if !l.Void && !l.Restored && l.Decided != 0 && l.Decided != l.Term {
		o.result.fail("shard %d index %d: a block decided in term %d takes effect in term %d", l.Shard, l.Index, l.Decided, l.Term)
	}
}

// Add takes in a record. Those of a run come in the order in which they happened.
// r is not kept.
func (o *Owner) Add(r *GroupRecord) {
	switch r.Did {
	case Led:
		k := termKey{r.Shard, r.Term}
		if other, ok := o.owners[k]; ok && other != r.Replica {
			o.result.fail("shard %d has two owners in term %d, replicas %d and %d", r.Shard, r.Term, other, r.Replica)
		}
		o.owners[k] = r.Replica
		o.newest[r.Shard] = max(o.newest[r.Shard], r.Term)
	case Ticked:
		o.ticked(r)
	case Took:
		k := blockKey{r.Shard, r.Index}
		if before, ok := o.effect[k]; ok && before != r.Entry {
			o.result.fail("%s: entry %d of term %d takes effect where one of term %d was acknowledged or took effect", r.who(), r.Index, r.Entry, before)
		}
		o.effect[k] = r.Entry
	case Acknowledged:
		o.acknowledged(r)
	case Asked:
		o.asks[replicaKey{r.Shard, r.Replica}] = ask{r.Term, r.Index, o.acked[r.Shard]}
	case Confirmed:
		o.confirmed(r)
	case Recovered:
		delete(o.asks, replicaKey{r.Shard, r.Replica})
	}
}

func (o *Owner) acknowledged(r *GroupRecord) {
	o.result.Examined++
	owner, ok := o.owners[termKey{r.Shard, r.Entry}]
	switch {
	case !ok || owner != r.Replica:
		o.result.fail("%s acknowledges entry %d in term %d, which it was not elected in", r.who(), r.Index, r.Entry)
	case r.Term != r.Entry:
		o.result.fail("%s acknowledges entry %d of term %d in term %d", r.who(), r.Index, r.Entry, r.Term)
	}
	k := blockKey{r.Shard, r.Index}
	if term, ok := o.effect[k]; ok && term != r.Entry {
		o.result.fail("%s acknowledges entry %d of term %d, where one of term %d takes effect", r.who(), r.Index, r.Entry, term)
	}
	o.effect[k] = r.Entry
	o.acked[r.Shard] = max(o.acked[r.Shard], r.Index)
}

func (o *Owner) ticked(r *GroupRecord) {
	k := replicaKey{r.Shard, r.Replica}
	if o.newest[r.Shard] <= r.Term {
		o.stale[k] = 0
		return
	}
	if o.stale[k]++; o.stale[k] > o.most {
		o.result.fail("%s leads term %d still, %d ticks after another one was elected in term %d", r.who(), r.Term, o.stale[k], o.newest[r.Shard])
	}
}

func (o *Owner) confirmed(r *GroupRecord) {
	o.result.Examined++
	k := replicaKey{r.Shard, r.Replica}
	a, ok := o.asks[k]
	delete(o.asks, k)
	switch {
	case !ok:
		o.result.fail("%s confirms reads that nobody asked about", r.who())
	case r.Term != a.term || o.owners[termKey{r.Shard, r.Term}] != r.Replica:
		o.result.fail("%s confirms reads of term %d in term %d, as if it led", r.who(), a.term, r.Term)
	case a.state < a.acked:
		o.result.fail("%s answers reads of states as of entry %d, though entry %d had been acknowledged before they were confirmed", r.who(), a.state, a.acked)
	}
}
