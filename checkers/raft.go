package checkers

import (
	"fmt"
	"math/bits"

	"actordb/core"
)

// A GroupRecord is what one replica did as a member of its shard's group.
type GroupRecord struct {
	Shard   core.ShardID
	Replica uint64
	Did     string      // one of the constants below
	Term    core.Term   // the replica's own at that time
	Index   core.Index  // of the entry it is about
	Entry   core.Term   // that entry's term
	Digest  uint64      // of that entry's bytes; 0: not known
	For     uint64      // voted: the candidate
	Terms   []core.Term // recovered: of the entries after Index
	Voters  []uint64    // configured: who votes,
	Leaving []uint64    // and in a joint configuration who voted before
}

// What a replica can do.
const (
	Recovered    = "recovered"    // its log begins after Index; once in each life
	Forgot       = "forgot"       // it has lost what it promised, and knows that: it keeps from voting by itself
	Configured   = "configured"   // it knows of a configuration from now on
	Appended     = "appended"     // an entry goes into its log, in the place of all from Index on
	Voted        = "voted"        // its vote in term Entry leaves it
	Promised     = "promised"     // it tells the leader that its log holds all up to Index
	Led          = "led"          // it is elected
	Took         = "took"         // an entry takes effect
	Acknowledged = "acknowledged" // it answers the commands of its own block at Index
	Asked        = "asked"        // it asks its group whether it leads, for reads of states as of Index
	Confirmed    = "confirmed"    // it answers these reads
	Ticked       = "ticked"       // one of its ticks has passed, while it led
	Restored     = "restored"     // its log begins anew after Index
	Installed    = "installed"    // it has the state as of Index from another replica
	Stored       = "stored"       // at the end an entry stands in its files
	Stands       = "stands"       // its state as of Index has this digest
)

// Raft watches the replicas of groups for what consensus promises (Ongaro, Consensus:
// Bridging Theory and Practice, 2014, figure 3.2), while the records stream in.
//
// Law:
//
//   - one vote: a replica votes for one candidate in a term, in all its lives
//   - kept promises: a new life is in no earlier term than the one before voted in, and
//     has all entries that it said it had and that no leader replaced, or says that it
//     has forgotten. A leader may lose its own term: votes and entries that count are
//     those of a majority, with it or without
//   - election safety: at most one replica is elected in a term
//   - leader append-only: a leader replaces no entry of its own log
//   - log matching: two entries of equal index and term are equal, and so are all
//     before them
//   - leader completeness: who is elected has every entry that took effect anywhere
//     in an earlier term
//   - state machine safety: at an index the same entry takes effect everywhere, in
//     the order of the log, and it is never replaced
//   - commit rule: what takes effect first at the leader is of its own term, or before
//     an entry of that term that a majority has (section 3.6.2)
//   - majority: what takes effect has been in the logs of a majority of the voters
//   - a log begins anew only after an entry that took effect
//   - the files say so too: what took effect stands in them at its index
//   - replicas that have applied the same have the same state: actors, sessions with their
//     answers, slots
//
// Examined counts records.
type Raft struct {
	entries map[entryKey]*entryFact
	effects map[blockKey]effect
	leaders map[termKey]uint64
	votes   map[voteKey]uint64
	logs    map[replicaKey]*replicaLog
	highest map[core.ShardID]effectAt
	states  map[blockKey]uint64
	result  Result
}

type entryKey struct {
	shard core.ShardID
	index core.Index
	term  core.Term
}

// entryFact is what is known of an entry, wherever it stands.
type entryFact struct {
	digest  uint64
	before  core.Term // of the entry before it
	holders uint64    // replicas that ever had it, by bits; those from 63 on share one
}

type effect struct {
	term   core.Term
	digest uint64
}

type effectAt struct {
	index core.Index
	term  core.Term
	seen  core.Term // term of the replica where it took effect first: it was committed in that or an earlier one
}

type termKey struct {
	shard core.ShardID
	term  core.Term
}

type voteKey struct {
	replicaKey
	term core.Term
}

type replicaKey struct {
	shard   core.ShardID
	replica uint64
}

// replicaLog is a replica's log as it was told.
type replicaLog struct {
	floor    core.Index
	terms    []core.Term // of floor and on
	took     core.Index
	term     core.Term  // in which it last voted
	said     core.Index // up to where it said that its log goes
	replaced core.Index // the last one that another took the place of
	led      core.Term  // the last term in which it was elected
	configs  [2]config  // the present one and the one before
}

type config struct{ voters, leaving uint64 }

func (l *replicaLog) last() core.Index { return l.floor + core.Index(len(l.terms)) - 1 }

func (l *replicaLog) at(i core.Index) (core.Term, bool) {
	if i < l.floor || i > l.last() {
		return 0, false
	}
	return l.terms[i-l.floor], true
}

// NewRaft makes an empty one.
func NewRaft() *Raft {
	return &Raft{entries: map[entryKey]*entryFact{}, effects: map[blockKey]effect{}, leaders: map[termKey]uint64{},
		votes: map[voteKey]uint64{}, logs: map[replicaKey]*replicaLog{}, highest: map[core.ShardID]effectAt{},
		states: map[blockKey]uint64{}, result: Result{Name: "raft", Verdict: Pass}}
}

// Result is the verdict so far.
func (c *Raft) Result() Result { return c.result }

func (r *GroupRecord) who() string { return fmt.Sprintf("shard %d replica %d", r.Shard, r.Replica) }

// Add takes in a record. Those of a run come in the order in which they happened.
// r is not kept.
func (c *Raft) Add(r *GroupRecord) {
	c.result.Examined++
	k := replicaKey{r.Shard, r.Replica}
	l := c.logs[k]
	if l == nil {
		l = &replicaLog{terms: []core.Term{0}}
		c.logs[k] = l
	}
	switch r.Did {
	case Recovered:
		c.recovered(r, l)
	case Forgot:
		l.term, l.said, l.replaced = 0, 0, 0
	case Configured:
		l.configs[1], l.configs[0] = l.configs[0], config{bitsOf(r.Voters), bitsOf(r.Leaving)}
	case Appended:
		c.appended(r, l)
	case Restored:
		c.restored(r, l)
	case Installed:
		l.took = r.Index
	case Voted:
		c.voted(r, k)
	case Promised:
		c.promised(r, l)
	case Led:
		c.led(r, l)
	case Took:
		c.took(r, l)
	case Stored:
		c.stored(r)
	case Stands:
		c.stands(r)
	}
}

func bitOf(replica uint64) uint64 { return 1 << min(replica, 63) }

func bitsOf(replicas []uint64) (set uint64) {
	for _, id := range replicas {
		set |= bitOf(id)
	}
	return set
}

func (c *Raft) recovered(r *GroupRecord, l *replicaLog) {
	if r.Term < l.term {
		c.result.fail("kept promises: %s begins a life in term %d, after one that voted in term %d", r.who(), r.Term, l.term)
	}
	if last := r.Index + core.Index(len(r.Terms)); last < l.said {
		c.result.fail("kept promises: the log of %s ends at entry %d, after it said that it had %d", r.who(), last, l.said)
	}
	l.floor, l.terms = r.Index, append([]core.Term{r.Entry}, r.Terms...)
	l.took, l.led, l.configs = 0, 0, [2]config{}
	for i := range r.Terms {
		before := l.terms[i]
		if i == 0 && r.Entry == 0 && r.Index > 0 {
			continue
		}
		c.fact(r, r.Index+1+core.Index(i), r.Terms[i], before, 0)
	}
}

// restored begins a log anew: what it is said to begin after took effect.
func (c *Raft) restored(r *GroupRecord, l *replicaLog) {
	if e, ok := c.effects[blockKey{r.Shard, r.Index}]; !ok || e.term != r.Entry {
		c.result.fail("%s begins its log anew after entry %d.%d, which did not take effect", r.who(), r.Entry, r.Index)
	}
	l.floor, l.terms, l.took, l.said = r.Index, []core.Term{r.Entry}, 0, min(l.said, r.Index)
}

// fact notes an entry and what stands before it: by induction on the index, that is
// the log matching property.
func (c *Raft) fact(r *GroupRecord, index core.Index, term, before core.Term, digest uint64) *entryFact {
	k := entryKey{r.Shard, index, term}
	f := c.entries[k]
	switch {
	case f == nil:
		f = &entryFact{digest: digest, before: before}
		c.entries[k] = f
	case f.before != before:
		c.result.fail("log matching: entry %d.%d follows term %d at %s, and term %d elsewhere", term, index, before, r.who(), f.before)
	case f.digest != 0 && digest != 0 && f.digest != digest:
		c.result.fail("log matching: entry %d.%d has other bytes at %s than elsewhere", term, index, r.who())
	case f.digest == 0:
		f.digest = digest
	}
	f.holders |= bitOf(r.Replica)
	return f
}

func (c *Raft) appended(r *GroupRecord, l *replicaLog) {
	if r.Index <= l.floor || r.Index > l.last()+1 {
		c.result.fail("%s appends entry %d to a log of %d to %d", r.who(), r.Index, l.floor+1, l.last())
		return
	}
	if r.Index <= l.last() {
		if l.led == r.Term {
			c.result.fail("leader append-only: %s leads term %d and replaces its entry %d", r.who(), r.Term, r.Index)
		}
		if have, ok := c.effects[blockKey{r.Shard, r.Index}]; ok && r.Index <= l.took {
			if old, _ := l.at(r.Index); old == have.term && r.Entry != old {
				c.result.fail("state machine safety: %s replaces entry %d.%d, which took effect, by one of term %d", r.who(), old, r.Index, r.Entry)
			}
		}
		l.replaced = max(l.replaced, l.last())
		l.terms = l.terms[:r.Index-l.floor]
		l.said = min(l.said, r.Index-1)
	}
	before := l.terms[len(l.terms)-1]
	l.terms = append(l.terms, r.Entry)
	c.fact(r, r.Index, r.Entry, before, r.Digest)
}

func (c *Raft) voted(r *GroupRecord, k replicaKey) {
	v := voteKey{k, r.Entry}
	if before, ok := c.votes[v]; ok && before != r.For {
		c.result.fail("one vote: %s votes for %d in term %d, and voted for %d", r.who(), r.For, r.Entry, before)
	}
	c.votes[v] = r.For
	c.logs[k].term = max(c.logs[k].term, r.Entry)
}

// promised takes what a replica says that it has. What leaves late may be of entries
// that another leader has replaced meanwhile: it binds nobody.
func (c *Raft) promised(r *GroupRecord, l *replicaLog) {
	last := l.last()
	if r.Index > max(last, l.replaced) {
		c.result.fail("kept promises: %s says that it has entry %d, its log ends at %d", r.who(), r.Index, last)
	}
	l.said = max(l.said, min(r.Index, last))
}

func (c *Raft) led(r *GroupRecord, l *replicaLog) {
	k := termKey{r.Shard, r.Term}
	if other, ok := c.leaders[k]; ok && other != r.Replica {
		c.result.fail("election safety: replicas %d and %d of shard %d are both elected in term %d", other, r.Replica, r.Shard, r.Term)
	}
	c.leaders[k] = r.Replica
	l.led = r.Term
	// Log matching makes the last one stand for all.
	high := c.highest[r.Shard]
	if have, ok := l.at(high.index); high.index > l.floor && high.seen < r.Term && (!ok || have != high.term) {
		c.result.fail("leader completeness: %s is elected in term %d without entry %d.%d, which took effect", r.who(), r.Term, high.term, high.index)
	}
}

func (c *Raft) took(r *GroupRecord, l *replicaLog) {
	if l.took != 0 && r.Index != l.took+1 {
		c.result.fail("%s: entry %d takes effect after %d", r.who(), r.Index, l.took)
	}
	l.took = r.Index
	if have, ok := l.at(r.Index); !ok || have != r.Entry {
		c.result.fail("%s: entry %d.%d takes effect, which is not in its log", r.who(), r.Entry, r.Index)
	}
	k := blockKey{r.Shard, r.Index}
	first, seen := c.effects[k]
	if !seen {
		c.effects[k] = effect{r.Entry, r.Digest}
		if high := c.highest[r.Shard]; r.Index > high.index {
			c.highest[r.Shard] = effectAt{r.Index, r.Entry, r.Term}
		}
		c.majority(r, l)
		c.ownTerm(r, l)
		return
	}
	if first.term != r.Entry || first.digest != 0 && r.Digest != 0 && first.digest != r.Digest {
		c.result.fail("state machine safety: entry %d.%d takes effect at %s, and %d.%d did elsewhere, or other bytes", r.Entry, r.Index, r.who(), first.term, r.Index)
	}
}

// majority checks that an entry that takes effect for the first time has been in
// the logs of a majority.
func (c *Raft) majority(r *GroupRecord, l *replicaLog) {
	f := c.entries[entryKey{r.Shard, r.Index, r.Entry}]
	if f == nil || l.configs[0].voters == 0 {
		return
	}
	enough := false
	for _, g := range l.configs {
		enough = enough || g.voters != 0 && most(f.holders, g.voters) && most(f.holders, g.leaving)
	}
	if !enough {
		c.result.fail("majority: entry %d.%d takes effect at %s, and of the voters %b only %b have had it", r.Entry, r.Index, r.who(), l.configs[0].voters, f.holders)
	}
}

// ownTerm checks that a leader commits entries of earlier terms only with one of its
// own behind them.
func (c *Raft) ownTerm(r *GroupRecord, l *replicaLog) {
	if l.led != r.Term || r.Entry == r.Term || l.configs[0].voters == 0 {
		return
	}
	for i := l.last(); i > r.Index; i-- {
		term, _ := l.at(i)
		if f := c.entries[entryKey{r.Shard, i, term}]; term == r.Term && f != nil && (most(f.holders, l.configs[0].voters) || most(f.holders, l.configs[1].voters) && l.configs[1].voters != 0) {
			return
		}
	}
	c.result.fail("commit rule: entry %d.%d takes effect at %s, which leads term %d, with no entry of that term behind it that a majority has", r.Entry, r.Index, r.who(), r.Term)
}

func most(have, of uint64) bool {
	return of == 0 || bits.OnesCount64(have&of) > bits.OnesCount64(of)/2
}

func (c *Raft) stored(r *GroupRecord) {
	e, ok := c.effects[blockKey{r.Shard, r.Index}]
	if ok && (e.term != r.Entry || e.digest != 0 && e.digest != r.Digest) {
		c.result.fail("%s: in its files entry %d is one of term %d, but one of term %d took effect, or other bytes", r.who(), r.Index, r.Entry, e.term)
	}
}

func (c *Raft) stands(r *GroupRecord) {
	k := blockKey{r.Shard, r.Index}
	if first, seen := c.states[k]; seen && first != r.Digest {
		c.result.fail("state machine safety: %s has applied all up to %d, and its state is another one than that of a replica that has, too", r.who(), r.Index)
	}
	c.states[k] = r.Digest
}
