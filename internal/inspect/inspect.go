// Package inspect shows what stands in a node's directory, as values that print
// as JSON and as text. It changes nothing and works beside a running node; what
// is damaged is shown as far as it can be read, with its place.
package inspect

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"unicode"
	"unicode/utf8"

	"actordb/core"
	"actordb/core/actor"
	"actordb/core/journal"
	"actordb/core/shard"
	"actordb/internal/datadir"
	"actordb/internal/history"
)

// ErrNone is wrapped when there is nothing of that name.
var ErrNone = errors.New("there is none")

// A Dir is a directory opened for looking.
type Dir struct {
	Path     string
	Identity *datadir.Identity
	kinds    map[string]actor.Kind
	shards   []*shardDir
}

type shardDir struct {
	id      core.ShardID
	log     *history.Log
	derived *history.Derived
}

// Open reads where everything stands. kinds are the types whose states can be
// shown decoded.
func Open(path string, kinds []actor.Kind, moved func(bytes int64)) (*Dir, error) {
	id, err := datadir.Read(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{Path: path, Identity: id, kinds: map[string]actor.Kind{}}
	for _, k := range kinds {
		d.kinds[k.Name()] = k
	}
	for i := range id.Shards {
		s := &shardDir{id: core.ShardID(i)}
		d.shards = append(d.shards, s)
		if s.log, err = history.OpenLog(datadir.LogDir(path, s.id)); err == nil {
			err = s.open(path, moved)
		}
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d, nil
}

// open takes hold of the log's files, then of the store's, then of what the log
// got meanwhile: so a log that is being compacted reaches back to the store's position.
func (s *shardDir) open(path string, moved func(int64)) error {
	kv, err := history.OpenKV(datadir.KVDir(path, s.id))
	if err != nil {
		return err
	}
	err = s.log.Refresh()
	if err == nil {
		s.derived, err = history.ReadDerived(kv, true)
	}
	if kv != nil {
		err = errors.Join(err, kv.Close())
	}
	if err != nil {
		return err
	}
	return s.log.Scan(nil, moved)
}

// Close lets the files go.
func (d *Dir) Close() (err error) {
	for _, s := range d.shards {
		if s.log != nil {
			err = errors.Join(err, s.log.Close())
		}
	}
	return err
}

func (d *Dir) shard(id core.ShardID) (*shardDir, error) {
	if int(id) >= len(d.shards) {
		return nil, fmt.Errorf("shard %d: %w; the directory has %d", id, ErrNone, len(d.shards))
	}
	return d.shards[id], nil
}

// A Node is the directory as a whole.
type Node struct {
	Dir      string            `json:"dir"`
	Cluster  string            `json:"cluster"`
	Node     uint32            `json:"node"`
	Restored *datadir.Restored `json:"restored,omitempty"`
	Shards   []Shard           `json:"shards"`
}

// A Shard is where one shard stands.
type Shard struct {
	Shard      core.ShardID      `json:"shard"`
	Segments   []SegmentLine     `json:"segments"`
	Floor      core.Index        `json:"floor"`
	Last       core.Index        `json:"last"`
	Term       core.Term         `json:"term"`
	Commit     core.Index        `json:"commit"`
	Checkpoint core.Index        `json:"checkpoint"`
	Chain      string            `json:"checkpoint_chain,omitempty"`
	Clock      string            `json:"checkpoint_clock,omitempty"`
	SlotEpoch  core.Epoch        `json:"checkpoint_slot_epoch"`
	Actors     int               `json:"checkpoint_actors"`
	Sessions   int               `json:"checkpoint_sessions"`
	Snapshots  int               `json:"snapshots"`
	Problems   []history.Problem `json:"problems,omitempty"`
	Notes      []history.Note    `json:"notes,omitempty"`
}

// A SegmentLine is one segment in short.
type SegmentLine struct {
	Name   string     `json:"name"`
	Bytes  int64      `json:"bytes"`
	After  core.Index `json:"after"` // the last entry before it
	Sealed bool       `json:"sealed"`
}

// Node shows the directory as a whole.
func (d *Dir) Node() *Node {
	n := &Node{Dir: d.Path, Cluster: d.Identity.Cluster, Node: uint32(d.Identity.Node), Restored: d.Identity.Restored}
	for _, s := range d.shards {
		l, p := s.log, s.derived.Position
		line := Shard{Shard: s.id, Floor: l.Floor, Last: l.Last(), Term: l.Hard.Term, Commit: l.Hard.Commit, Checkpoint: p.Applied,
			SlotEpoch: p.SlotEpoch, Actors: len(s.derived.Actors), Sessions: len(s.derived.Sessions), Snapshots: len(s.derived.Snapshots),
			Problems: l.Problems, Notes: l.Notes}
		if s.derived.There {
			line.Chain, line.Clock = hex.EncodeToString(p.Chain[:]), p.Clock.String()
		}
		for _, seg := range l.Segments {
			line.Segments = append(line.Segments, SegmentLine{journal.SegmentName(seg.Number), seg.Bytes, seg.LastIndex, seg.Sealed})
		}
		n.Shards = append(n.Shards, line)
	}
	return n
}

// A Segment is one file, frame by frame.
type Segment struct {
	File    string       `json:"file"`
	Cluster string       `json:"cluster"`
	Shard   core.ShardID `json:"shard"`
	Replica uint64       `json:"replica"`
	Number  uint64       `json:"number"`
	After   core.Index   `json:"after"`
	Frames  []Frame      `json:"frames"`
	Rest    int64        `json:"rest"` // bytes behind the last frame that could be read
	Problem string       `json:"problem,omitempty"`
}

// A Frame is one line of a segment.
type Frame struct {
	Offset  int64      `json:"offset"`
	Bytes   int64      `json:"bytes"`
	Durable int64      `json:"durable"`
	Kind    string     `json:"kind"`
	Term    core.Term  `json:"term,omitempty"`
	Index   core.Index `json:"index,omitempty"` // entry; seal: the last one
	Vote    uint64     `json:"vote,omitempty"`
	Commit  core.Index `json:"commit,omitempty"`
	Data    int        `json:"data,omitempty"` // bytes of an entry's block
}

// Segment shows the frames of a segment, up to the first that cannot be read.
func (d *Dir) Segment(id core.ShardID, number uint64) (*Segment, error) {
	s, err := d.shard(id)
	if err != nil {
		return nil, err
	}
	image, err := s.log.ImageOf(number)
	if err != nil {
		return nil, err
	}
	if image == nil {
		return nil, fmt.Errorf("segment %d of shard %d: %w", number, id, ErrNone)
	}
	out := &Segment{File: journal.SegmentName(number)}
	seg, err := journal.OpenSegment(image)
	if err != nil {
		out.Problem, out.Rest = err.Error(), int64(len(image))
		return out, nil
	}
	who := seg.Identity
	out.Cluster, out.Shard, out.Replica, out.Number, out.After = hex.EncodeToString(who.Cluster[:]), who.Shard, who.Replica, seg.Number, seg.LastIndex
	at := int64(0)
	for at < int64(len(image)) {
		f, whole, err := seg.Frame(at)
		if !whole {
			out.Problem = fmt.Sprintf("byte %d: %v", at, err)
			break
		}
		line := Frame{Offset: f.Offset, Bytes: f.End - f.Offset, Durable: f.Durable, Kind: f.Kind()}
		if e, ok := f.Entry(); ok {
			line.Term, line.Index, line.Data = e.Term, e.Index, len(e.Data)
		}
		if h, ok := f.State(); ok {
			line.Term, line.Vote, line.Commit = h.Term, h.Vote, h.Commit
		}
		if last, ok := f.Seal(); ok {
			line.Index = last
		}
		if index, term, ok := f.Restore(); ok {
			line.Index, line.Term = index, term
		}
		out.Frames = append(out.Frames, line)
		at = f.End
	}
	out.Rest = int64(len(image)) - at
	return out, nil
}

// A Value is bytes as text, where they are text, or in hexadecimal.
type Value struct {
	Text string `json:"text,omitempty"`
	Hex  string `json:"hex,omitempty"`
}

func valueOf(b []byte) *Value {
	if len(b) == 0 {
		return nil
	}
	if utf8.Valid(b) && !slices.ContainsFunc([]rune(string(b)), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return &Value{Text: string(b)}
	}
	return &Value{Hex: hex.EncodeToString(b)}
}

func (v *Value) String() string {
	switch {
	case v == nil:
		return "-"
	case v.Text != "":
		return fmt.Sprintf("%q", v.Text)
	}
	return v.Hex
}

// State is a state, decoded if its type is known.
type State struct {
	Type    string `json:"type"`
	Version uint16 `json:"version"`
	Decoded string `json:"decoded,omitempty"`
	Hex     string `json:"hex"`
	Problem string `json:"problem,omitempty"`
}

func (d *Dir) state(kind string, b []byte) State {
	s := State{Type: kind}
	if len(b) < 2 {
		s.Hex, s.Problem = hex.EncodeToString(b), "too short for a state"
		return s
	}
	s.Version, s.Hex = uint16(b[0])|uint16(b[1])<<8, hex.EncodeToString(b[2:])
	k := d.kinds[kind]
	if k == nil {
		return s
	}
	decoded, err := k.DecodeState(b)
	if err != nil {
		s.Problem = err.Error()
		return s
	}
	v := reflect.ValueOf(decoded)
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	s.Decoded = fmt.Sprintf("%+v", v)
	return s
}

// A Snapshot is a stored state of an actor.
type Snapshot struct {
	Shard core.ShardID `json:"shard"`
	Actor core.ActorID `json:"actor"`
	Seq   core.Seq     `json:"seq"`
	Block core.Index   `json:"block"`
	Named bool         `json:"named"` // by the actor's record: an unnamed one is not used
	State State        `json:"state"`
}

// Snapshots shows an actor's stored states; seq 0 means all.
func (d *Dir) Snapshots(id core.ActorID, seq core.Seq) (list []Snapshot, err error) {
	for _, s := range d.shards {
		var named []core.Seq
		if i := slices.IndexFunc(s.derived.Actors, func(a shard.DerivedActor) bool { return a.ID == id }); i >= 0 {
			named = s.derived.Actors[i].Snapshots
		}
		for _, n := range s.derived.Snapshots {
			if n.ID == id && (seq == 0 || seq == n.Seq) {
				list = append(list, Snapshot{s.id, id, n.Seq, n.Index, slices.Contains(named, n.Seq), d.state(id.Type(), n.State)})
			}
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("snapshot of %s: %w; its state is folded from its events", id, ErrNone)
	}
	return list, nil
}
