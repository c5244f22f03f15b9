package checkers

import (
	"actordb/core"
)

// A VersionRecord is what an entry of a shard's log says of versions, when a replica
// applies it.
type VersionRecord struct {
	Shard   core.ShardID
	Replica uint64
	Index   core.Index
	Term    core.Term
	Void    bool
	Written core.Version // what the entry is written in
	Raised  core.Version // the entry raises the log's version to this; 0: it does not
	Decider uint64       // who the entry says decided it; 0: it does not say
}

// Versions watches that what replicas share is written in a version that all of them can
// read, while the records stream in.
//
// Law, in the order in which entries first take effect anywhere:
//
//   - nothing is written in a version before the log has been raised to it
//   - the log is raised only to what the program of each voter speaks
//   - it is never lowered: who leads in a later term writes in no lesser version
//   - who an entry says decided it was elected in its term
//
// and in any order:
//
//   - no program applies what it does not speak, and none is stopped but for that
//
// Examined counts entries, and programs that were stopped.
type Versions struct {
	speaks  map[replicaKey]core.Version // the greatest, of the present program
	voters  map[core.ShardID]votersAt
	logs    map[core.ShardID]*versionLog
	leaders map[termKey]uint64
	result  Result
}

type votersAt struct {
	index core.Index
	list  []uint64
}

// versionLog is how far a log has been looked at.
type versionLog struct {
	at      core.Index
	version core.Version
	raised  core.Term // in which it was
}

// NewVersions makes an empty one.
func NewVersions() *Versions {
	return &Versions{speaks: map[replicaKey]core.Version{}, voters: map[core.ShardID]votersAt{}, logs: map[core.ShardID]*versionLog{},
		leaders: map[termKey]uint64{}, result: Result{Name: "versions", Verdict: Pass}}
}

// Result is the verdict so far.
func (v *Versions) Result() Result { return v.result }

// Runs says that a replica's new life is of a program that speaks up to a version.
func (v *Versions) Runs(shard core.ShardID, replica uint64, speaks core.Version) {
	v.speaks[replicaKey{shard, replica}] = speaks
}

// Mixed tells whether the voters of a shard run programs of different versions.
func (v *Versions) Mixed(shard core.ShardID) bool {
	list := v.voters[shard].list
	for _, id := range list {
		if v.speaks[replicaKey{shard, id}] != v.speaks[replicaKey{shard, list[0]}] {
			return true
		}
	}
	return false
}

// Add takes in what a replica did. r is not kept.
func (v *Versions) Add(r *GroupRecord) {
	switch r.Did {
	case Configured:
		if now := v.voters[r.Shard]; r.Index >= now.index {
			v.voters[r.Shard] = votersAt{r.Index, append(append([]uint64(nil), r.Voters...), r.Leaving...)}
		}
	case Led:
		v.leaders[termKey{r.Shard, r.Term}] = r.Replica
	}
}

// Stopped says that a program that speaks up to one version was stopped by another one.
func (v *Versions) Stopped(speaks, found core.Version) {
	v.result.Examined++
	raised := core.VersionMin
	for _, l := range v.logs {
		raised = max(raised, l.version)
	}
	if found <= speaks || found > raised {
		v.result.fail("a program that speaks version %d is stopped by version %d; the logs are of version %d", speaks, found, raised)
	}
}

// Applied takes in an entry. r is not kept.
func (v *Versions) Applied(r *VersionRecord) {
	if speaks := v.speaks[replicaKey{r.Shard, r.Replica}]; r.Written > speaks {
		v.result.fail("shard %d replica %d applies entry %d of version %d, its program speaks version %d", r.Shard, r.Replica, r.Index, r.Written, speaks)
	}
	l := v.logs[r.Shard]
	if l == nil {
		l = &versionLog{version: core.VersionMin}
		v.logs[r.Shard] = l
	}
	if r.Index <= l.at {
		return
	}
	l.at = r.Index
	v.result.Examined++
	switch {
	case r.Written > l.version && r.Raised == 0:
		v.result.fail("shard %d entry %d is of version %d, the log of version %d", r.Shard, r.Index, r.Written, l.version)
	case r.Written < l.version && r.Term > l.raised:
		v.result.fail("shard %d entry %d of term %d is of version %d, the log was raised to %d in term %d", r.Shard, r.Index, r.Term, r.Written, l.version, l.raised)
	case r.Void:
		return
	}
	if leader, ok := v.leaders[termKey{r.Shard, r.Term}]; ok && r.Decider != 0 && r.Decider != leader {
		v.result.fail("shard %d entry %d says that replica %d decided it, in term %d of replica %d", r.Shard, r.Index, r.Decider, r.Term, leader)
	}
	if r.Written >= 2 && r.Decider == 0 {
		v.result.fail("shard %d entry %d of version %d does not say who decided it", r.Shard, r.Index, r.Written)
	}
	if r.Raised > l.version {
		v.raise(r, l)
	}
}

func (v *Versions) raise(r *VersionRecord, l *versionLog) {
	for _, id := range v.voters[r.Shard].list {
		if speaks := v.speaks[replicaKey{r.Shard, id}]; speaks < r.Raised {
			v.result.fail("shard %d entry %d raises the log to version %d, the program of voter %d speaks version %d", r.Shard, r.Index, r.Raised, id, speaks)
		}
	}
	l.version, l.raised = r.Raised, r.Term
}
