package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
	"actordb/core/shard"
	"actordb/disk"
	"actordb/internal/datadir"
	"actordb/internal/history"
	"actordb/internal/verify"
)

func compact(w *bytes.Buffer, b []byte) error { return json.Compact(w, b) }

// RestoreOptions say what to make.
type RestoreOptions struct {
	Dir    string // must not exist, or be empty
	Backup string // "": the newest
	// Until, if not 0, leaves out all blocks recorded after it; UntilIndex, by
	// shard, all entries after one.
	Until      core.Timestamp
	UntilIndex map[core.ShardID]core.Index
	// LostQuorum makes a cluster of one out of one replica of each group, of what that
	// one has: what it had not got, though a majority had acknowledged it, is lost, and
	// what it has that was never acknowledged takes effect.
	LostQuorum bool
	Kinds      func() []actor.Kind               // to verify what was made
	OpenKV     func(dir string) (disk.KV, error) // the store that the node will use
	Moved      func(bytes int64)                 // progress; may be nil
}

// A Restored directory is told of.
type Restored struct {
	Dir     string        `json:"dir"`
	Backup  string        `json:"backup"`
	From    string        `json:"from_cluster"`
	Cluster string        `json:"cluster"`
	Shards  []ShardResult `json:"shards"`
}

// A ShardResult says how far one shard goes.
type ShardResult struct {
	Shard core.ShardID   `json:"shard"`
	Floor core.Index     `json:"floor"`
	Last  core.Index     `json:"last"`
	Until core.Timestamp `json:"until"` // of the last block
	Cut   core.Index     `json:"cut"`   // entries of the backup that were left out
}

// A RangeError says that a point in time cannot be restored from what there is.
type RangeError struct {
	Shard  core.ShardID
	Reason string
}

func (e *RangeError) Error() string { return fmt.Sprintf("shard %d: %s", e.Shard, e.Reason) }

// ErrDirTaken is wrapped when the directory to restore to has something in it.
var ErrDirTaken = errors.New("the directory is not empty: name a new one")

const stagingSuffix = ".restoring"

// Restore makes a directory. It appears whole, verified and durable, or not at all.
func (r *Repository) Restore(o RestoreOptions) (_ *Restored, err error) {
	if entries, err := os.ReadDir(o.Dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("%s: %w", o.Dir, ErrDirTaken)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	m, older, err := r.pick(o.Backup)
	if err != nil {
		return nil, err
	}
	was, err := datadir.ParseIdentity(filepath.Join(backupsDir, m.ID+manifestSuffix), m.Identity)
	if err != nil {
		return nil, err
	}
	// A new cluster with a new secret: see docs/decisions.
	node := was.Node
	if o.LostQuorum {
		node = 1 // of a cluster of one
	}
	now, err := datadir.Fresh(node, was.Shards)
	if err != nil {
		return nil, err
	}
	now.Version = was.Version
	now.Restored = &datadir.Restored{Cluster: m.Cluster, Backup: m.ID, At: time.Now().UTC().Format(time.RFC3339), Until: o.until()}
	staging := filepath.Clean(o.Dir) + stagingSuffix
	if err := errors.Join(os.RemoveAll(staging), os.MkdirAll(staging, 0o700)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(staging)) }()
	out := &Restored{Dir: o.Dir, Backup: m.ID, From: m.Cluster, Cluster: now.Cluster}
	made := filepath.Join(staging, "made")
	for i := range m.Shards {
		s := &shardRestore{repo: r, o: &o, m: m, older: older, part: &m.Shards[i], identity: now,
			source: filepath.Join(staging, fmt.Sprintf("source-%d", i)), dir: made}
		if err := s.run(); err != nil {
			return nil, err
		}
		out.Shards = append(out.Shards, s.result)
	}
	if err := now.Write(made); err != nil {
		return nil, err
	}
	report, err := verify.Run(verify.Options{Dir: made, Kinds: o.Kinds})
	if err != nil {
		return nil, err
	}
	if !report.Holds() {
		return nil, fmt.Errorf("what was restored does not hold: %w", &report.Problems[0])
	}
	return out, publish(made, o.Dir)
}

// publish makes all names durable and gives the directory its own.
func publish(made, dir string) error {
	err := filepath.WalkDir(made, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = datadir.SyncDir(path)
		}
		return err
	})
	if err == nil {
		err = os.Rename(made, filepath.Clean(dir))
	}
	if err != nil {
		return err
	}
	return datadir.SyncDir(filepath.Dir(filepath.Clean(dir)))
}

func (o *RestoreOptions) until() string {
	switch {
	case o.Until != 0:
		return o.Until.String()
	case len(o.UntilIndex) > 0:
		return fmt.Sprintf("entries %v", o.UntilIndex)
	}
	return ""
}

// pick finds the backup, and those of the same cluster before it, newest first.
func (r *Repository) pick(id string) (*Manifest, []*Manifest, error) {
	ids, err := r.IDs()
	if err != nil {
		return nil, nil, err
	}
	if len(ids) == 0 {
		return nil, nil, fmt.Errorf("%s: %w: it has none", r.path, ErrNone)
	}
	wanted := id
	if wanted == "" {
		wanted = ids[len(ids)-1]
	}
	m, err := r.Manifest(wanted)
	if err != nil {
		return nil, nil, err
	}
	list := []*Manifest{m}
	for _, other := range slices.Backward(ids) {
		if other >= wanted && id != "" || other == wanted {
			continue
		}
		// One that cannot be read is not needed, unless this one does not suffice.
		before, err := r.Manifest(other)
		switch {
		case err != nil:
		case before.Cluster == m.Cluster:
			list = append(list, before)
		case id == "":
			return nil, nil, fmt.Errorf("%s has backups of several clusters: %w chosen; say which", r.path, ErrNone)
		}
	}
	return m, list, nil
}

// shardRestore makes one shard.
type shardRestore struct {
	repo     *Repository
	o        *RestoreOptions
	m        *Manifest
	older    []*Manifest // of the same cluster up to m, newest first
	part     *Shard
	identity *datadir.Identity
	source   string // directory for the segments as they were backed up
	dir      string // that is being made
	base     *Shard // whose derived store is used; nil: none, the journal has all
	segments []Segment
	result   ShardResult
}

func (s *shardRestore) run() error {
	logDir, kvDir := datadir.LogDir(s.dir, s.part.Shard), datadir.KVDir(s.dir, s.part.Shard)
	for _, d := range []string{s.source, logDir, kvDir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	s.result = ShardResult{Shard: s.part.Shard}
	if len(s.part.Segments) == 0 {
		return nil // never started
	}
	if err := s.plan(); err != nil {
		return err
	}
	for i := range s.segments {
		if err := s.fetch(&s.segments[i]); err != nil {
			return err
		}
	}
	l, err := history.OpenLog(s.source)
	if err != nil {
		return err
	}
	cut, err := s.cut(l)
	if err == nil {
		err = s.journal(l, logDir, cut)
	}
	if err := errors.Join(err, l.Close()); err != nil {
		return err
	}
	s.result.Cut = s.part.Last - min(cut, s.part.Last)
	if s.base == nil {
		return nil // the node rebuilds it
	}
	return s.derived(kvDir, cut)
}

// plan chooses where to begin: the newest derived store that reflects nothing too
// late, and for which the backups hold the journal without a gap up to the point
// wanted.
func (s *shardRestore) plan() error {
	for i, m := range s.older {
		end := &m.Shards[s.part.Shard]
		if i > 0 && !s.covers(end) {
			break // nor do older ones
		}
		all := reach(s.older[i:], s.part.Shard)
		if len(all) == 0 {
			continue
		}
		for _, m := range s.older[i:] {
			base := &m.Shards[s.part.Shard]
			if base.Position > 0 && all[0].After <= base.Floor && s.early(base) {
				s.base, s.segments = base, from(all, base.Floor)
				return nil
			}
		}
		if all[0].After == 0 {
			s.segments = all
			return nil
		}
	}
	return &RangeError{s.part.Shard, fmt.Sprintf("of before %s, when this backup stood at entry %d, there is not all: the journal was compacted, and the backups before it do not lead up to it without a gap; restore an older backup as it is, or a later time",
		s.part.Clock, s.part.Position)}
}

// covers tells whether a backup goes as far as is asked for.
func (s *shardRestore) covers(p *Shard) bool {
	index, ok := s.o.UntilIndex[s.part.Shard]
	return ok && index <= p.Last || !ok && s.o.Until != 0 && s.o.Until <= p.Until
}

// early tells whether a derived store reflects nothing later than asked for.
func (s *shardRestore) early(p *Shard) bool {
	if index, ok := s.o.UntilIndex[s.part.Shard]; ok && p.Position > index {
		return false
	}
	return s.o.Until == 0 || p.Clock <= s.o.Until
}

// reach lists a backup's segments, and before them those of older backups that
// lead up to it without a gap.
func reach(list []*Manifest, shard core.ShardID) []Segment {
	all := slices.Clone(list[0].Shards[shard].Segments)
	for _, m := range list[1:] {
		for _, seg := range slices.Backward(m.Shards[shard].Segments) {
			if len(all) > 0 && seg.Number+1 == all[0].Number && seg.End == all[0].After {
				all = slices.Insert(all, 0, seg)
			}
		}
	}
	return all
}

// from drops the segments before the one that begins after floor.
func from(all []Segment, floor core.Index) []Segment {
	i := 0
	for i+1 < len(all) && all[i+1].After <= floor {
		i++
	}
	return all[i:]
}

// fetch puts a segment as it was backed up into the source directory.
func (s *shardRestore) fetch(seg *Segment) error {
	f, err := os.OpenFile(filepath.Join(s.source, journal.SegmentName(seg.Number)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	size := int64(0)
	for _, name := range seg.Chunks {
		var b []byte
		if b, err = s.repo.get(name); err != nil {
			break
		}
		if _, err = f.Write(b); err != nil {
			break
		}
		if size += int64(len(b)); s.o.Moved != nil {
			s.o.Moved(int64(len(b)))
		}
	}
	if err == nil && size != seg.Bytes {
		err = &Damage{s.m.ID, fmt.Sprintf("segment %d has %d bytes, want %d", seg.Number, size, seg.Bytes)}
	}
	return errors.Join(err, f.Close())
}

// cut reads the journal as it was, and finds the last entry to keep.
func (s *shardRestore) cut(l *history.Log) (core.Index, error) {
	if err := l.Scan(nil, nil); err != nil {
		return 0, err
	}
	if len(l.Problems) > 0 {
		return 0, &l.Problems[0]
	}
	derived := &history.Derived{}
	if s.base != nil {
		var err error
		if derived, err = history.ReadDerived(s.stored(), false); err != nil {
			return 0, err
		}
	}
	limit, limited := s.o.UntilIndex[s.part.Shard]
	if limited && (limit < derived.Position.Applied || limit > l.Last()) {
		return 0, &RangeError{s.part.Shard, fmt.Sprintf("entry %d: want one of %d to %d", limit, derived.Position.Applied, l.Last())}
	}
	w, err := l.NewWalk(derived)
	if err != nil {
		return 0, err
	}
	cut := max(l.Floor, derived.Position.Applied)
	s.result.Until = derived.Position.Clock
	for {
		a, err := w.Next()
		if err != nil {
			return 0, err
		}
		if a == nil {
			return l.Last(), nil
		}
		if limited && a.Index > limit {
			return limit, nil
		}
		if a.Block == nil || a.Void {
			continue
		}
		if s.o.Until != 0 && a.After.Clock > s.o.Until {
			return cut, nil
		}
		cut, s.result.Until = max(cut, a.Index), a.After.Clock
	}
}

// stored is the derived store that is used.
func (s *shardRestore) stored() disk.KV { return &derivedOf{repo: s.repo, chunks: s.base.Derived} }

// journal writes the entries up to the cut again, as those of the new cluster.
func (s *shardRestore) journal(l *history.Log, dir string, cut core.Index) error {
	s.result.Floor, s.result.Last = l.Floor, cut
	who := l.Segments[0].Identity
	if len(who.Voters) != 1 {
		if !s.o.LostQuorum {
			return &RangeError{s.part.Shard, fmt.Sprintf("it has %d voters, and one replica need not have all that they acknowledged: start the others again; if they are gone for good, --lost-quorum makes do with this one", len(who.Voters))}
		}
		who.Replica, who.Voters = 1, []uint64{1} // as a node's that is alone
	}
	who.Cluster = s.identity.ClusterID()
	index, term := l.Floor, l.Segments[0].LastTerm
	for i := range l.Segments {
		image := journal.NewImage(journal.SegmentInfo{Identity: who, Number: l.Segments[i].Number, LastIndex: index, LastTerm: term},
			journal.State{Term: term, Commit: index})
		for ; index < cut && l.FileOf(index+1) == i; index++ {
			e, err := l.Entry(index + 1)
			if err != nil {
				return err
			}
			image.Entry(e)
			term = e.Term
		}
		end := index == cut || i == len(l.Segments)-1
		if image.State(journal.State{Term: term, Commit: index}); !end {
			image.Seal()
		}
		if err := writeSynced(filepath.Join(dir, journal.SegmentName(l.Segments[i].Number)), image.Bytes()); err != nil {
			return err
		}
		if end {
			break
		}
	}
	core.Assert(index == cut, "restored up to entry %d of %d", index, cut)
	return nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(b))
	return errors.Join(err, f.Sync(), f.Close())
}

const batchBytes = 1 << 20

// derived fills the store, but for states of events that were cut off.
func (s *shardRestore) derived(dir string, cut core.Index) error {
	kv, err := s.o.OpenKV(dir)
	if err != nil {
		return err
	}
	batch := &disk.Batch{}
	keep := true
	visitor := shard.DerivedVisitor{
		Position: func(shard.Position) error { return nil },
		Actor:    func(shard.DerivedActor) error { return nil },
		Session:  func(*actor.Session) error { return nil },
		Snapshot: func(d shard.DerivedSnapshot) error { keep = d.Index <= cut; return nil },
	}
	var failed error
	err = s.stored().Scan(nil, nil, func(key, value []byte) bool {
		keep = true
		if failed = visitor.Visit(key, value); failed != nil {
			return false
		}
		if keep {
			batch.Put(slices.Clone(key), slices.Clone(value))
		}
		if batch.Bytes >= batchBytes {
			failed = kv.Apply(batch)
			batch = &disk.Batch{}
		}
		return failed == nil
	})
	if err = errors.Join(err, failed); err == nil {
		err = kv.Apply(batch)
	}
	if err == nil {
		err = kv.Flush()
	}
	return errors.Join(err, kv.Close())
}
