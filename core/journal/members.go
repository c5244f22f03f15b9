package journal

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/raft/v3/confchange"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"actordb/core"
)

// Who makes up the group is what the entries say that change it (Raft's configuration
// changes), on top of the voters that the log was created with. A log knows it as of
// any of its entries: each segment begins with what it was as of an entry that was
// applied by then, and compaction leaves those changes in place that no later segment
// reflects.

// A Membership is who makes up a group as of an entry.
type Membership struct {
	Index core.Index // the entry that made it so, 0: it is as the log was created
	Conf  *pb.ConfState
	Note  []byte // context of the last change that had one: for the owner, who the replicas are
}

// change is an entry of the log that changes the group.
type change struct {
	index core.Index
	cc    *pb.ConfChangeV2
}

// MembershipBytesMax bounds what a segment's header says of the group.
const MembershipBytesMax = 768

// ParseChange reads the data of an entry that changes the group.
func ParseChange(e *pb.Entry) (*pb.ConfChangeV2, error) {
	cc := &pb.ConfChangeV2{}
	if e.GetType() != pb.EntryConfChangeV2 {
		return nil, fmt.Errorf("entry %d is of type %s", e.GetIndex(), e.GetType())
	}
	if err := proto.Unmarshal(e.GetData(), cc); err != nil {
		return nil, fmt.Errorf("entry %d does not change the group: %w", e.GetIndex(), err)
	}
	return cc, nil
}

// noteChange remembers an entry that may be one. Those from its index on are replaced.
func (l *Log) noteChange(e *pb.Entry) {
	l.dropChanges(core.Index(e.GetIndex()))
	if e.GetType() == pb.EntryNormal {
		return
	}
	cc, err := ParseChange(e)
	core.Assert(err == nil, "%v", err)
	l.changes = append(l.changes, change{core.Index(e.GetIndex()), cc})
}

func (l *Log) dropChanges(from core.Index) {
	for len(l.changes) > 0 && l.changes[len(l.changes)-1].index >= from {
		l.changes = l.changes[:len(l.changes)-1]
	}
}

// Membership is who makes up the group as of an entry of the log, or its floor.
func (l *Log) Membership(index core.Index) Membership {
	m := l.members
	if m.Conf == nil {
		m.Conf = &pb.ConfState{Voters: append([]uint64(nil), l.cfg.Identity.Voters...)}
	}
	for i := range l.changes {
		c := &l.changes[i]
		if c.index <= m.Index || c.index > index {
			continue
		}
		conf, err := after(m.Conf, c.cc)
		core.Assert(err == nil, "entry %d: %v", c.index, err)
		m.Index, m.Conf = c.index, conf
		if note := c.cc.GetContext(); len(note) > 0 {
			m.Note = note
		}
	}
	return m
}

// after is the configuration that a change makes, as Raft does it.
func after(conf *pb.ConfState, cc *pb.ConfChangeV2) (*pb.ConfState, error) {
	changer := confchange.Changer{Tracker: tracker.MakeProgressTracker(1, 0), LastIndex: 1}
	var err error
	if changer.Tracker.Config, changer.Tracker.Progress, err = confchange.Restore(changer, conf); err != nil {
		return nil, err
	}
	if cc.LeaveJoint() {
		changer.Tracker.Config, changer.Tracker.Progress, err = changer.LeaveJoint()
	} else if auto, joint := cc.EnterJoint(); joint {
		changer.Tracker.Config, changer.Tracker.Progress, err = changer.EnterJoint(auto, cc.Changes...)
	} else {
		changer.Tracker.Config, changer.Tracker.Progress, err = changer.Simple(cc.Changes...)
	}
	if err != nil {
		return nil, err
	}
	return changer.Tracker.ConfState(), nil
}

// StartAt says as of which entry Raft is to begin.
func (l *Log) StartAt(index core.Index) { l.startAt = index }

// KeepsChange is the last entry that may be compacted away: those after it change the
// group, and no segment begins with what came of it.
func (l *Log) KeepsChange() core.Index {
	if len(l.segments) == 0 {
		return l.floor
	}
	reflected := l.last().header.members.Index
	for i := range l.changes {
		if l.changes[i].index > max(reflected, l.restored) {
			return l.changes[i].index - 1
		}
	}
	return l.Last()
}

// u64 index, u32 bytes of the configuration, Raft's ConfState, the note
func (m *Membership) encode(dst []byte) []byte {
	conf, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Conf)
	core.Assert(err == nil && len(conf)+len(m.Note) <= MembershipBytesMax-12, "a configuration of %d bytes cannot be stored: %v", len(conf)+len(m.Note), err)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.Index))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(conf)))
	return append(append(dst, conf...), m.Note...)
}

func parseMembership(b []byte) (m Membership, err error) {
	if len(b) < 12 || uint64(binary.LittleEndian.Uint32(b[8:])) > uint64(len(b)-12) {
		return m, fmt.Errorf("a membership of %d bytes", len(b))
	}
	n := 12 + int(binary.LittleEndian.Uint32(b[8:]))
	m.Index, m.Conf = core.Index(le64(b)), &pb.ConfState{}
	if err := proto.Unmarshal(b[12:n], m.Conf); err != nil {
		return m, err
	}
	m.Note = append([]byte(nil), b[n:]...)
	return m, nil
}

// MembershipOf is what a snapshot of Log.Snapshot says of the group.
func MembershipOf(s *pb.Snapshot) Membership {
	m, err := parseMembership(s.GetData())
	if err != nil { // of a version that knew voters alone
		m = Membership{Index: core.Index(s.GetMetadata().GetIndex())}
	}
	m.Conf = s.GetMetadata().GetConfState()
	return m
}
