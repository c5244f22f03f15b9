package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"actordb/core"
	"actordb/core/journal"
	"actordb/core/proc"
)

// Who makes up a group changes by entries of its log (journal/members.go). An operator
// says who is to make it up, and as of which entry that was thought up; the leader
// compares, and proposes one change: a new replica first learns, and votes when it has
// caught up. Several differences at once go through a joint configuration (Ongaro,
// Consensus: Bridging Theory and Practice, 2014, section 4.3). A leader that is to go
// hands over first.
//
//	R1  The id of a replica is used once: an id that was removed, or a greater one was
//	    known, is not taken in again, and what it says is not heard.
//	R2  A replica that is not known yet, under an id greater than all known ones, is
//	    heard if its node's identity is the cluster's: who lags may have missed its
//	    coming. What it says is for Raft to judge.
//	R3  A change is made only if of those who vote after it a majority is heard from.

// A Member is a replica as a group's log names it.
type Member struct {
	ID      uint64
	Node    proc.NodeID
	Learner bool
}

// A Roster is who makes up a group.
type Roster struct {
	Shard   core.ShardID
	Index   core.Index // the entry that made it so, 0: it is as placed
	Joint   bool       // the change is under way: some of those who voted before vote still
	Members []Member   // ascending by id
	Highest uint64     // id that was ever used
}

// ErrRoster is wrapped when bytes are not a roster.
var ErrRoster = errors.New("not the roster of a group")

// Append encodes a roster: u shard  u index  u8 joint  u highest  u n, n × (u id  u node  u8 learner).
func (r *Roster) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(r.Shard))
	b = binary.AppendUvarint(b, uint64(r.Index))
	b = append(b, flag(r.Joint))
	b = binary.AppendUvarint(b, r.Highest)
	b = binary.AppendUvarint(b, uint64(len(r.Members)))
	for _, m := range r.Members {
		b = binary.AppendUvarint(b, m.ID)
		b = binary.AppendUvarint(b, uint64(m.Node))
		b = append(b, flag(m.Learner))
	}
	return b
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}

// DecodeRoster reads and checks a roster.
func DecodeRoster(b []byte) (Roster, error) {
	f := fields{b: b}
	shard := f.uvarint()
	if shard > 1<<32-1 {
		f.fail()
	}
	r := Roster{Shard: core.ShardID(shard), Index: core.Index(f.uvarint()), Joint: f.flag(), Highest: f.uvarint()}
	n := f.uvarint()
	if n > ReplicasMax {
		f.fail()
		n = 0
	}
	for range n {
		id, node := f.uvarint(), f.uvarint()
		if id == 0 || id > r.Highest || node == 0 || node > 1<<32-1 || len(r.Members) > 0 && id <= r.Members[len(r.Members)-1].ID {
			f.fail()
		}
		r.Members = append(r.Members, Member{ID: id, Node: proc.NodeID(node), Learner: f.flag()})
	}
	if err := f.end(); err != nil {
		return Roster{}, fmt.Errorf("%w: %w", ErrRoster, err)
	}
	return r, nil
}

func (f *fields) flag() bool {
	b := f.bytes(1)
	if len(b) == 1 && b[0] > 1 {
		f.fail()
	}
	return len(b) == 1 && b[0] == 1
}

// Find is the member of an id, or nil.
func (r *Roster) Find(id uint64) *Member {
	for i := range r.Members {
		if r.Members[i].ID == id {
			return &r.Members[i]
		}
	}
	return nil
}

// placed is a group's roster in the beginning.
func placed(shard core.ShardID, group []Replica) (r Roster) {
	r.Shard = shard
	for _, x := range group {
		r.Members = append(r.Members, Member{ID: x.ID, Node: x.Addr.Node})
		r.Highest = max(r.Highest, x.ID)
	}
	slices.SortFunc(r.Members, func(a, b Member) int { return int(a.ID) - int(b.ID) })
	return r
}

// rosterOf is what a membership of the log means.
func (s *Shard) rosterOf(m journal.Membership) (Roster, error) {
	r := placed(s.cfg.Shard, s.cfg.Placement.Group(s.cfg.Shard))
	if len(m.Note) > 0 {
		var err error
		if r, err = DecodeRoster(m.Note); err != nil {
			return r, err
		}
	}
	r.Index, r.Joint = m.Index, len(m.Conf.GetVotersOutgoing()) > 0
	return r, nil
}

// located is where a member runs.
func (s *Shard) located(m Member) Replica {
	if x := find(s.cfg.Placement.Group(s.cfg.Shard), m.ID); x != nil {
		return *x
	}
	return s.cfg.Locate(s.cfg.Shard, m.ID, m.Node)
}

// regrouped takes note of who makes up the group. Those who leave are peers as long as
// they vote.
func (s *Shard) regrouped(m journal.Membership) {
	r, err := s.rosterOf(m)
	if err != nil {
		s.halt(fmt.Errorf("entry %d: %w", m.Index, err))
		return
	}
	s.voters = append(append(s.voters[:0], m.Conf.GetVoters()...), m.Conf.GetVotersOutgoing()...)
	slices.Sort(s.voters)
	s.voters = slices.Compact(s.voters)
	var list []*peer
	keep := func(x Replica) {
		if x.ID == s.cfg.Replica {
			return
		}
		if p := s.peer(x.ID); p != nil {
			list = append(list, p)
		} else {
			list = append(list, &peer{Replica: x})
		}
	}
	for _, x := range r.Members {
		keep(s.located(x))
	}
	for _, p := range s.peers {
		if r.Find(p.ID) == nil && slices.Contains(s.voters, p.ID) {
			list = append(list, p)
		}
	}
	asked := uint64(0)
	if len(s.peers) > 0 {
		asked = s.peers[s.fetching.peer%len(s.peers)].ID
	}
	s.roster, s.peers = r, list
	s.repairing.peer = 0
	if s.fetching.peer = slices.IndexFunc(list, func(p *peer) bool { return p.ID == asked }); s.fetching.peer < 0 {
		s.fetching.peer = 0
		if s.fetching.step == fetchChunks {
			s.fetchAnew()
		}
	}
	s.watch(Watched{Did: Configured, Index: m.Index, Voters: m.Conf.GetVoters(), Leaving: m.Conf.GetVotersOutgoing()})
}

// regroup makes a committed change of the group known to Raft and to this replica.
func (s *Shard) regroup(e *pb.Entry) {
	cc, err := journal.ParseChange(e)
	if err != nil {
		s.halt(err)
		return
	}
	s.out.Mark(markRegrouped)
	s.node.ApplyConfChange(cc)
	s.regrouped(s.journal.Membership(core.Index(e.GetIndex())))
	if s.out.Fault == nil && !slices.Contains(s.voters, s.cfg.Replica) && s.roster.Find(s.cfg.Replica) == nil {
		s.out.Mark(markRemoved)
	}
}

// stranger takes a replica for a peer that this one has not heard of (R2).
func (s *Shard) stranger(id uint64, in *proc.Input) *peer {
	if s.cfg.Locate == nil || id <= s.roster.Highest || !s.trusted(in.Peer) {
		return nil
	}
	p := &peer{Replica: s.cfg.Locate(s.cfg.Shard, id, in.From.Node)}
	if p.ID != id || p.Addr != in.From || p.Peer != in.Peer || len(s.peers) >= 2*ReplicasMax {
		return nil
	}
	s.out.Mark(markStranger)
	s.peers = append(s.peers, p)
	return p
}

// Verbs of a Regroup, in its command's Type. The payload of VerbRegroup is the roster
// that is wanted, whose Index is that of the roster it was thought up on; the answer's
// Count is 1 when it is so. VerbRoster has no payload and is answered with a roster,
// VerbLags likewise with a Lag for each of its members (DecodeLags).
const (
	VerbRegroup = "regroup"
	VerbRoster  = "roster"
	VerbLags    = "lags"
)

// A Lag is how far a replica is behind its leader.
type Lag struct {
	ID      uint64
	Lacks   uint64 // entries of the leader's log that it has not acknowledged
	Unheard bool   // it has not been heard from for an election's time
}

// Level tells of a replica that has all but what is on its way.
func (l *Lag) Level() bool { return !l.Unheard && l.Lacks < learnerLag }

// lags encodes those of the group: u n, n × (u id  u lacks  u8 unheard).
func (s *Shard) lags() []byte {
	b := binary.AppendUvarint(nil, uint64(len(s.roster.Members)))
	progress := make(map[uint64]tracker.Progress)
	s.node.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) { progress[id] = pr })
	last := uint64(s.journal.Last())
	for _, m := range s.roster.Members {
		l := Lag{ID: m.ID}
		if pr := progress[m.ID]; m.ID != s.cfg.Replica {
			l.Lacks, l.Unheard = last-min(last, pr.Match), !pr.RecentActive
		}
		b = binary.AppendUvarint(b, l.ID)
		b = binary.AppendUvarint(b, l.Lacks)
		b = append(b, flag(l.Unheard))
	}
	return b
}

// DecodeLags reads the answer to VerbLags.
func DecodeLags(b []byte) ([]Lag, error) {
	f := fields{b: b}
	n := f.uvarint()
	if n > ReplicasMax {
		f.fail()
		n = 0
	}
	list := make([]Lag, n)
	for i := range list {
		list[i] = Lag{ID: f.uvarint(), Lacks: f.uvarint(), Unheard: f.flag()}
	}
	if err := f.end(); err != nil {
		return nil, fmt.Errorf("%w: lags: %w", ErrRoster, err)
	}
	return list, nil
}

const (
	markRegrouped proc.Mark = "shard.group-changed"
	markRemoved   proc.Mark = "shard.replica-removed"
	markStranger  proc.Mark = "shard.unknown-replica-heard"
	markPromote   proc.Mark = "shard.learner-votes"
	markCatching  proc.Mark = "shard.learner-not-caught-up"
	markHandOver  proc.Mark = "shard.leader-leaves"
)

// learnerLag is how many entries a learner may lack and be let vote.
const learnerLag = 64

// regroupDoor checks a Regroup at the door.
func (s *Shard) regroupDoor(c *core.Command) (core.Code, string) {
	switch {
	case !s.operator(c.Principal):
		return core.CodeNotPermitted, "only operators change groups"
	case c.Type == VerbUpgrade && s.speaks().High >= 2:
		if _, err := decodeVersion(c.Payload); err != nil {
			return core.CodeMalformed, clip(err.Error())
		}
		return core.CodeNone, ""
	case c.Type == VerbVersions && s.speaks().High >= 2:
		return core.CodeNone, ""
	case s.cfg.Locate == nil:
		return core.CodeMalformed, "this group cannot change"
	case c.Type == VerbRoster, c.Type == VerbLags:
		return core.CodeNone, ""
	case c.Type != VerbRegroup:
		return core.CodeMalformed, clip("no such verb of a regroup: " + c.Type)
	}
	if _, err := DecodeRoster(c.Payload); err != nil {
		return core.CodeMalformed, clip(err.Error())
	}
	return core.CodeNone, ""
}

// regroupAsked answers a Regroup. What is under way is told as overloaded: gateways ask again.
func (s *Shard) regroupAsked(p *pending) {
	c := &p.command
	if c.Type == VerbUpgrade {
		s.upgradeAsked(p)
		return
	}
	if c.Type != VerbRegroup {
		told := s.roster.Append(nil)
		switch c.Type {
		case VerbLags:
			told = s.lags()
		case VerbVersions:
			told = s.tongue()
		}
		s.reads = append(s.reads, read{pending: p, answer: core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind,
			Status: core.Accepted, Timestamp: s.clock, State: told}})
		return
	}
	want, err := DecodeRoster(c.Payload)
	if err != nil {
		core.Assert(false, "a roster passed the door: %v", err)
	}
	have := &s.roster
	switch {
	case have.Joint || s.journal.Membership(s.journal.Last()).Index != have.Index:
		s.reject(p, core.CodeOverloaded, "a change is under way")
	case slices.Equal(have.Members, want.Members):
		s.accept(p, 1)
	case want.Index != have.Index || want.Shard != have.Shard:
		s.out.Mark(markStalePlan)
		s.answer(p.from, &core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: core.RefusedAtDoor,
			Code: core.CodeStalePlan, Seq: core.Seq(have.Index)})
		s.release(p)
	default:
		code, detail := s.changeTo(&want)
		s.reject(p, code, detail)
	}
}

// changeTo proposes what makes the group the one that is wanted.
func (s *Shard) changeTo(want *Roster) (core.Code, string) {
	have := &s.roster
	cc := &pb.ConfChangeV2{}
	add := func(kind pb.ConfChangeType, id uint64) {
		cc.Changes = append(cc.Changes, &pb.ConfChangeSingle{Type: &kind, NodeId: &id})
	}
	voters, heard := 0, 0
	progress := make(map[uint64]tracker.Progress)
	s.node.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) { progress[id] = pr })
	for _, m := range want.Members {
		old, pr := have.Find(m.ID), progress[m.ID]
		switch {
		case old == nil && m.ID <= have.Highest:
			return core.CodeMalformed, fmt.Sprintf("replica %d was there before: give a new one an id above %d", m.ID, have.Highest)
		case old == nil && !m.Learner:
			return core.CodeMalformed, fmt.Sprintf("replica %d is new: it has to learn before it votes", m.ID)
		case old == nil:
			add(pb.ConfChangeAddLearnerNode, m.ID)
		case old.Node != m.Node:
			return core.CodeMalformed, fmt.Sprintf("replica %d is on node %d: a replica does not move, another one takes its place", m.ID, old.Node)
		case old.Learner && !m.Learner:
			if pr.Match+learnerLag < uint64(s.journal.Last()) {
				s.out.Mark(markCatching)
				return core.CodeOverloaded, fmt.Sprintf("replica %d has entries up to %d of %d", m.ID, pr.Match, s.journal.Last())
			}
			if why, mute := s.mute(m.ID); mute {
				return core.CodeOldVersion, why
			}
			s.out.Mark(markPromote)
			add(pb.ConfChangeAddNode, m.ID)
		case !old.Learner && m.Learner:
			add(pb.ConfChangeAddLearnerNode, m.ID)
		}
		if !m.Learner {
			voters++
			if m.ID == s.cfg.Replica || pr.RecentActive {
				heard++
			}
		}
	}
	for _, m := range have.Members {
		if want.Find(m.ID) == nil {
			add(pb.ConfChangeRemoveNode, m.ID)
		}
	}
	if voters == 0 {
		return core.CodeMalformed, "nobody would vote"
	}
	if 2*heard <= voters {
		return core.CodeOverloaded, fmt.Sprintf("of %d voters %d are heard from", voters, heard)
	}
	if me := want.Find(s.cfg.Replica); me == nil || me.Learner {
		return s.leave(want, progress)
	}
	next := Roster{Shard: s.cfg.Shard, Members: want.Members, Highest: max(have.Highest, want.Members[len(want.Members)-1].ID)}
	cc.Context = next.Append(nil)
	if err := s.node.ProposeConfChange(cc); err != nil {
		return core.CodeNotLeader, ""
	}
	return core.CodeOverloaded, "the change is under way"
}

// leave hands the leadership to one of those who stay.
func (s *Shard) leave(want *Roster, progress map[uint64]tracker.Progress) (core.Code, string) {
	to, most := uint64(0), uint64(0)
	for _, m := range want.Members {
		pr := progress[m.ID]
		if old := s.roster.Find(m.ID); old != nil && !old.Learner && !m.Learner && pr.RecentActive && pr.Match >= most {
			to, most = m.ID, pr.Match
		}
	}
	if to == 0 {
		return core.CodeOverloaded, "none of those who stay can lead yet"
	}
	s.out.Mark(markHandOver)
	s.node.TransferLeader(to)
	return core.CodeNotLeader, ""
}
