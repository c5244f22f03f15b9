// Package verify judges a node's directory without the engine: every checksum
// and chain that the formats have, and whether what is derived follows from what
// is recorded. It changes nothing.
//
//	V1  node.json is whole and of a format that is known.
//	V2  Each segment is whole, belongs to this node's cluster and shard, and
//	    continues the one before. A torn tail is none of its damage: it is noted.
//	V3  Entries are numbered without holes, terms and commits do not go back.
//	V4  Each block is well formed, its personal columns are those committed to,
//	    and applied blocks make one chain, forward in time.
//	V5  An actor's events are numbered without holes, and each block names the one
//	    before it that holds events of the same actor.
//	V6  A (session, number) has one outcome.
//	V7  Each stored state is the fold of the events before it, where the actor's
//	    type is known and the events were not compacted.
//	V8  The checkpoint of the derived store is what its journal amounts to there:
//	    position, chain, epochs, actors, sessions and their answers.
package verify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/shard"
	"actordb/disk"
	"actordb/disk/osfile"
	"actordb/internal/datadir"
	"actordb/internal/history"
)

// A Report is what was found.
type Report struct {
	Dir      string            `json:"dir"`
	Cluster  string            `json:"cluster,omitempty"`
	Node     uint32            `json:"node,omitempty"`
	Shards   []Shard           `json:"shards"`
	Problems []history.Problem `json:"problems"`
	Notes    []history.Note    `json:"notes"`
}

// Holds reports whether nothing is wrong.
func (r *Report) Holds() bool { return len(r.Problems) == 0 }

// A Shard is what was looked at in one shard.
type Shard struct {
	Shard      core.ShardID   `json:"shard"`
	Segments   int            `json:"segments"`
	Bytes      int64          `json:"bytes"`
	Floor      core.Index     `json:"floor"` // the last entry that was compacted away
	Last       core.Index     `json:"last"`
	Blocks     int            `json:"blocks"`
	Void       int            `json:"void_blocks"`
	Events     int            `json:"events"`
	Outcomes   int            `json:"outcomes"`
	Actors     int            `json:"actors"`
	Sessions   int            `json:"sessions"`
	Checkpoint core.Index     `json:"checkpoint"` // that the derived store reflects
	Snapshots  int            `json:"snapshots"`
	Folded     int            `json:"states_folded"` // snapshots and light states compared with a fold
	Until      core.Timestamp `json:"until"`         // of the last block
}

// Options of Run.
type Options struct {
	Dir   string
	Kinds func() []actor.Kind           // fresh instances; states of other types are not folded
	Moved func(done, total int64)       // progress in bytes; may be nil
	Open  func(string) (disk.KV, error) // the derived store, for reading; nil: history.OpenKV
}

// problemsMax bounds a report: damage that is everywhere need not be told a million times.
const problemsMax = 1000

// Run judges a directory. The caller keeps nodes out of it. The error is of the
// machine, or says that it is no data directory (datadir.ErrNotData).
func Run(o Options) (*Report, error) {
	if o.Open == nil {
		o.Open = history.OpenKV
	}
	r := &Report{Dir: o.Dir, Shards: []Shard{}, Problems: []history.Problem{}, Notes: []history.Note{}}
	id, err := datadir.Read(o.Dir)
	var version *core.VersionError
	var identity *datadir.IdentityError
	switch {
	case errors.As(err, &version):
		r.problem(history.Problem{File: datadir.IdentityFile, What: version.Error(), Cure: "nothing here was changed"})
		return r, nil
	case errors.As(err, &identity):
		r.problem(history.Problem{File: datadir.IdentityFile, What: identity.Reason, Cure: "the journals still name their cluster and shard"})
		return r, nil
	case err != nil:
		return nil, err
	}
	r.Cluster, r.Node = id.Cluster, uint32(id.Node)
	if err := r.strays(o.Dir, id); err != nil {
		return nil, err
	}
	var done, total int64
	var logs []*history.Log
	defer func() {
		for _, l := range logs {
			_ = l.Close() // only read
		}
	}()
	for i := range id.Shards {
		l, err := history.OpenLog(datadir.LogDir(o.Dir, core.ShardID(i)))
		if err != nil {
			return nil, err
		}
		logs = append(logs, l)
		total += 2 * l.Bytes() // frames, then blocks
	}
	for i, l := range logs {
		s := shardRun{report: r, options: &o, id: core.ShardID(i), log: l, moved: func(n int64) {
			if done += n; o.Moved != nil {
				o.Moved(min(done, total), total)
			}
		}}
		if err := s.run(id); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Report) problem(p history.Problem) {
	if len(r.Problems) < problemsMax {
		r.Problems = append(r.Problems, p)
	}
}

// strays names what does not belong to the database.
func (r *Report) strays(dir string, id *datadir.Identity) error {
	known := map[string]bool{osfile.LockName: true, datadir.IdentityFile: true, datadir.AuthorityDir: true,
		filepath.Base(datadir.ViewsDir(dir)): true, filepath.Base(datadir.ViewsDamaged(dir)): true}
	for i := range id.Shards {
		known[filepath.Base(datadir.ShardDir(dir, core.ShardID(i)))] = true
	}
	if err := r.strayIn(dir, ".", known); err != nil {
		return err
	}
	for i := range id.Shards {
		sub := datadir.ShardDir(dir, core.ShardID(i))
		err := r.strayIn(sub, filepath.Base(sub), map[string]bool{"log": true, "kv": true})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (r *Report) strayIn(dir, name string, known map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case known[e.Name()]:
		case name == "." && strings.HasPrefix(e.Name(), "shard-"):
			r.problem(history.Problem{File: e.Name(), What: fmt.Sprintf("a shard beyond those of %s", datadir.IdentityFile), Cure: "move it away, or restore the directory from a backup"})
		default:
			r.note(filepath.Join(name, e.Name()), "not the database's: it is left alone")
		}
	}
	return nil
}

func (r *Report) note(file, what string) {
	r.Notes = append(r.Notes, history.Note{File: filepath.Clean(file), What: what})
}

// shardRun judges one shard.
type shardRun struct {
	report  *Report
	options *Options
	id      core.ShardID
	log     *history.Log
	moved   func(int64)
	found   Shard
	derived *history.Derived
	kinds   map[string]actor.Kind
}

func (s *shardRun) dir() string { return fmt.Sprintf("shard-%d", s.id) }

func (s *shardRun) run(id *datadir.Identity) error {
	s.found.Shard = s.id
	whose := &history.Whose{Cluster: id.ClusterID(), Shard: s.id}
	if err := s.log.Scan(whose, s.moved); err != nil {
		return err
	}
	logDir := filepath.Join(s.dir(), "log")
	for _, p := range s.log.Problems {
		p.File = filepath.Join(logDir, p.File)
		s.report.problem(p)
	}
	for _, n := range s.log.Notes {
		n.File = filepath.Join(logDir, n.File)
		s.report.Notes = append(s.report.Notes, n)
	}
	for _, name := range s.log.Stray() {
		if name != osfile.LockName {
			s.report.note(filepath.Join(logDir, name), "not a segment: it is left alone")
		}
	}
	s.found.Segments, s.found.Bytes = len(s.log.Segments), s.log.Bytes()
	s.found.Floor, s.found.Last = s.log.Floor, s.log.Last()
	if s.openDerived() && len(s.log.Segments) > 0 && s.log.Segments[0].Bytes > 0 {
		s.blocks()
	} else if len(s.log.Segments) == 0 && (s.derived == nil || !s.derived.There) {
		s.report.note(logDir, "no segment: the shard was never started")
	} else if len(s.log.Segments) == 0 {
		s.kvProblem(fmt.Sprintf("the derived store reflects entry %d, and there is no journal", s.derived.Position.Applied))
	}
	s.report.Shards = append(s.report.Shards, s.found)
	return nil
}

// openDerived reads the derived store. What is wrong with it is a problem of the
// store alone, and the journal is judged without it unless that was compacted.
func (s *shardRun) openDerived() bool {
	s.derived = &history.Derived{}
	kv, err := s.options.Open(datadir.KVDir(s.options.Dir, s.id))
	if err == nil && kv != nil {
		s.derived, err = history.ReadDerived(kv, true)
		err = errors.Join(err, kv.Close())
	}
	if err != nil {
		s.derived = &history.Derived{}
		s.kvProblem(err.Error())
		return s.log.Floor == 0
	}
	s.found.Checkpoint, s.found.Snapshots = s.derived.Position.Applied, len(s.derived.Snapshots)
	return true
}

// kvProblem reports a derived store, which is rebuilt if the journal is whole.
func (s *shardRun) kvProblem(what string) {
	dir := filepath.Join(s.dir(), "kv")
	cure := fmt.Sprintf("remove %s: it is rebuilt from the journal", dir)
	if s.log.Floor > 0 {
		cure = "restore the directory from a backup: the journal was compacted and does not hold all of it"
	}
	s.report.problem(history.Problem{File: dir, What: what, Cure: cure})
}

// position compares the checkpoint with what the journal amounts to.
func (s *shardRun) position(at shard.Position) {
	p := s.derived.Position
	if p != at {
		s.kvProblem(fmt.Sprintf("the checkpoint says entry %d, chain %s, clock %s, epochs %d %d %d; the journal makes it chain %s, clock %s, epochs %d %d %d",
			p.Applied, p.Chain, p.Clock, p.SlotEpoch, p.PolicyEpoch, p.Catalog, at.Chain, at.Clock, at.SlotEpoch, at.PolicyEpoch, at.Catalog))
	}
}
