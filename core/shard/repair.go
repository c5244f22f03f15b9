package shard

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"actordb/core"
	"actordb/core/journal"
	"actordb/disk"
)

// A replica of a group heals itself.
//
// Damage that recovery located is mended from entries of the others: journal.Mend
// proves that what it makes is what stood there. Until then the journal is not open,
// so the replica neither serves, nor votes, nor acknowledges. What entries cannot
// mend (this replica's own votes, a lost file) makes the journal void: the replica
// starts again with nothing.
//
// A replica that starts with nothing though its group is not new has forgotten its
// promises. It stores and acknowledges what a leader sends it, but it does not vote
// until nothing that it may have promised can be missed: (Alagappan et al.,
// Protocol-Aware Recovery, FAST 2018, section 3; Liskov and Cowling, Viewstamped
// Replication Revisited, 2012, section 4.3)
//
//   - Each other voter has told its term, after this life began, and this replica is in
//     a term no lower. Who could still count an old vote of it was in that vote's term
//     when it told: what was sent to an earlier life of a replica never reaches a later
//     one, since connections end with it.
//   - It has everything that stood in the leader's log when the leader, in the highest
//     of these terms, told. What this replica had acknowledged stood there: a leader has
//     what it was told of, and what was committed before.

const (
	repairWait = 5 // ticks for an answer
	// repairBytes of entries are asked for at most; larger damage makes the journal void.
	repairBytes = 4 << 20
	// repairRounds through all replicas without an entry that mends: the damage is of
	// what only this replica had.
	repairRounds = 3
)

type repairStep uint8

const (
	repairNone    repairStep = iota
	repairStat               // how large the segment is
	repairRead               // its bytes
	repairAsk                // for entries
	repairWrite              // of the patch
	repairList               // the journal is being made void: which files there are
	repairMark               // noting so
	repairMarkDir            // and that durably
	repairVoid               // removing a file
	repairVoidDir            // and that durably
)

// repairing is the mending of one damage.
type repairing struct {
	step   repairStep
	damage *journal.Damage
	image  []byte
	peer   int
	wait   int
	asks   int
	patch  []byte
	done   int
	names  []string
}

// repair begins to mend what recovery has located.
func (s *Shard) repair() {
	r := &s.repairing
	d := s.journal.Damaged()
	s.out.Mark(markRepair)
	if s.cfg.OnDamage != nil {
		s.cfg.OnDamage(*d)
	}
	*r = repairing{damage: d, peer: r.peer}
	s.node = nil
	if d.To <= d.From || d.To-d.From > repairBytes {
		s.voidJournal()
		return
	}
	s.repairFile(repairStat, disk.Op{Kind: disk.OpStat, Name: d.Segment})
}

func (s *Shard) repairFile(step repairStep, op disk.Op) {
	s.repairing.step = step
	s.out.File(tokenRepair, op)
}

// repairDone takes a completion.
func (s *Shard) repairDone(res *disk.Result) {
	r := &s.repairing
	if res.Err != nil && !(r.step == repairMark && errors.Is(res.Err, disk.ErrExist)) {
		s.halt(fmt.Errorf("while the journal is mended: %w", res.Err)) // and the next life tries again
		return
	}
	switch r.step {
	case repairStat:
		if r.damage.To > res.Size {
			s.voidJournal()
			return
		}
		s.repairFile(repairRead, disk.Op{Kind: disk.OpRead, Name: r.damage.Segment, Length: int(res.Size)})
	case repairRead:
		r.image = res.Data
		r.step, r.wait = repairAsk, repairWait
		s.repairOn()
	case repairWrite:
		if r.done += res.N; r.done < len(r.patch) && res.N > 0 {
			s.writePatch()
			return
		}
		s.out.Mark(markMended)
		s.again()
	default:
		s.voidOn(res)
	}
}

// again recovers the journal anew.
func (s *Shard) again() {
	s.repairing = repairing{peer: s.repairing.peer}
	s.journal = journal.New(s.cfg.journal())
	s.journal.Recover(s.out)
}

// repairOn asks the next replica when it is time.
func (s *Shard) repairOn() {
	r := &s.repairing
	if r.step != repairAsk || r.wait < repairWait {
		return
	}
	if r.asks++; r.asks > repairRounds*len(s.peers) {
		s.voidJournal()
		return
	}
	r.peer = (r.peer + 1) % len(s.peers)
	r.wait = 0
	first := max(r.damage.After, 1)
	s.parcel(s.peers[r.peer].ID, &parcel{kind: parcelWant, at: first, chunk: int(r.damage.To-r.damage.From) + 64<<10})
}

// lend answers with entries that another replica wants, as many as it may have.
func (s *Shard) lend(to uint64, first core.Index, bytes int) {
	if s.node == nil || first <= s.journal.Floor() || first > s.journal.Last() {
		s.parcel(to, &parcel{kind: parcelNone})
		return
	}
	list, err := s.journal.Entries(uint64(first), uint64(s.journal.Last())+1, uint64(min(bytes, repairBytes)))
	if err != nil {
		s.journal.FetchCold(s.out) // it asks again
		return
	}
	p := &parcel{kind: parcelEntries}
	for _, e := range list {
		b, err := (proto.MarshalOptions{Deterministic: true}).Marshal(e)
		core.Assert(err == nil, "an entry cannot be encoded: %v", err)
		p.entries = append(p.entries, b)
	}
	s.parcel(to, p)
}

// lent takes entries that may mend the damage.
func (s *Shard) lent(p *parcel) {
	r := &s.repairing
	if r.step != repairAsk {
		return
	}
	var list []*pb.Entry
	for _, b := range p.entries {
		e := &pb.Entry{}
		if proto.Unmarshal(b, e) != nil {
			s.out.Mark(markBadFrame)
			return
		}
		list = append(list, e)
	}
	id := s.cfg.journal().Identity
	patch, err := journal.Mend(id, r.damage, r.image, list)
	if err != nil {
		r.wait = repairWait - 1 // another one may have others
		return
	}
	r.patch, r.done = patch, 0
	s.writePatch()
}

func (s *Shard) writePatch() {
	r := &s.repairing
	s.repairFile(repairWrite, disk.Op{Kind: disk.OpWrite, Sync: true, Name: r.damage.Segment,
		Offset: r.damage.From + int64(r.done), Data: r.patch[r.done:]})
}

// voidJournal notes that the journal is forgotten, durably, and then removes it, the
// newest segment first: what a crash leaves begins with the first one, or is nothing,
// and is damaged or forgotten again.
func (s *Shard) voidJournal() {
	s.out.Mark(markVoidJournal)
	s.repairFile(repairList, disk.Op{Kind: disk.OpList})
}

func (s *Shard) voidOn(res *disk.Result) {
	r := &s.repairing
	switch r.step {
	case repairList:
		for _, name := range res.Names {
			if _, ok := journal.SegmentNumber(name); ok {
				r.names = append(r.names, name)
			}
		}
		s.repairFile(repairMark, disk.Op{Kind: disk.OpCreate, Name: journal.ForgottenName})
	case repairMark:
		s.repairFile(repairMarkDir, disk.Op{Kind: disk.OpSyncDir})
	case repairVoid:
		s.repairFile(repairVoidDir, disk.Op{Kind: disk.OpSyncDir})
	default:
		last := len(r.names) - 1
		if last < 0 {
			s.again()
			return
		}
		name := r.names[last]
		r.names = r.names[:last]
		s.repairFile(repairVoid, disk.Op{Kind: disk.OpRemove, Name: name})
	}
}

// remembering is what a replica that has forgotten its promises has found out.
type remembering struct {
	nonce uint64
	terms map[uint64]core.Term // by voter
	term  core.Term            // of the leader that told,
	last  core.Index           // and the end of its log then
	wait  int
}

// recall asks the other voters what this replica may have promised.
func (s *Shard) recall() {
	m := &s.remembering
	if m.nonce == 0 {
		m.nonce, m.terms, m.wait = s.env.Rand.Uint64()|1, make(map[uint64]core.Term), repairWait
	}
	if m.wait++; m.wait < repairWait {
		return
	}
	m.wait = 0
	for _, p := range s.peers {
		s.parcel(p.ID, &parcel{kind: parcelRecall, nonce: m.nonce, at: s.journal.Last()})
	}
}

// witness answers another replica that has forgotten its promises. One that has
// forgotten its own cannot.
func (s *Shard) witness(to uint64, asked *parcel) {
	if s.phase != phaseServing || s.journal.Forgotten() {
		return
	}
	if s.leader {
		s.yieldFor(to, uint64(asked.at))
	}
	p := &parcel{kind: parcelWitness, nonce: asked.nonce, term: s.term}
	if s.leading {
		p.at = s.journal.Last()
	}
	s.parcel(to, p)
}

// yieldFor hands the leadership to another voter when this leader believes that a
// replica which has forgotten its log has more of it than it has: Raft never takes
// back what a replica said that it had, so this leader would send it the rest for
// ever. Its successor knows nothing yet of what the others have.
func (s *Shard) yieldFor(forgetful, last uint64) {
	believed, to, most := uint64(0), uint64(0), uint64(0)
	s.node.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		switch {
		case id == forgetful:
			believed = pr.Match
		case id != s.cfg.Replica && !pr.IsLearner && pr.RecentActive && pr.Match > most:
			to, most = id, pr.Match
		}
	})
	if believed > last && to != 0 {
		s.out.Mark(markYield)
		s.node.TransferLeader(to)
	}
}

// witnessed takes such an answer.
func (s *Shard) witnessed(from uint64, p *parcel) {
	m := &s.remembering
	if !s.journal.Forgotten() || p.nonce != m.nonce || m.nonce == 0 {
		return
	}
	m.terms[from] = max(m.terms[from], p.term)
	if p.at > 0 && p.term >= m.term {
		m.term, m.last = p.term, p.at
	}
}

// remembers reports whether nothing that was promised can be missed any more.
func (s *Shard) remembers() bool {
	m := &s.remembering
	for _, id := range s.voters {
		term, told := m.terms[id]
		if id != s.cfg.Replica && (!told || term > m.term) {
			return false
		}
	}
	return m.term > 0 && s.term == m.term && s.lead != 0 && s.storedTo >= m.last && s.storedIn == m.term
}
