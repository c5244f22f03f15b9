package shard

import (
	"encoding/binary"
	"errors"
	"fmt"

	"actordb/core"
	"actordb/core/journal"
	"actordb/core/proc"
)

// What the replicas share is written in the log's version (core.Version), which an
// Upgrade block raises. So that a group can be upgraded one node at a time:
//
//	V1  A block is of the version that the applied log had when its leader began it:
//	    who can apply the log can read what comes next.
//	V2  The version is raised only when all members, learners too, have said that their
//	    programs speak the greater one: since an operator asked for it. From then on
//	    nobody starts an older program, who does not want it stopped by V3.
//	V3  It is never lowered, and part of the applied state. A program that does not
//	    speak it halts at the first entry or checkpoint of it, and says so.
//	V4  Who has not said that it speaks the log's version is not let vote.

// pollEvery and pollKept are in ticks: how often a leader asks what the others speak, and
// how long an answer is good for those who only want to know; pollWait is for what who
// wants an upgrade waits for: one that was restarted last may still have to be reached.
const (
	pollEvery = electionTicks
	pollKept  = 4 * pollEvery
	pollWait  = 2 * pollEvery
)

// poll is a leader's last question to all others, which versions they speak. What
// answers an earlier one may be of an earlier program.
type poll struct {
	nonce   uint64
	asked   proc.Tick
	upgrade proc.Tick // when an upgrade was asked for; 0: it was not, or long ago
}

// spoken is what a replica said that it speaks, and when it was asked; the zero value:
// nothing yet, or its program is one that knows no other versions.
type spoken struct {
	core.Versions
	asked proc.Tick
}

const (
	markUpgrade    proc.Mark = "shard.version-raised"
	markNotAll     proc.Mark = "shard.upgrade-too-early"
	markTooOld     proc.Mark = "shard.program-too-old"
	markVersionTwo proc.Mark = "shard.block-of-version-2"
)

// speaks are the versions of this replica's program.
func (s *Shard) speaks() core.Versions {
	if s.cfg.Speaks == (core.Versions{}) {
		return core.Spoken()
	}
	return s.cfg.Speaks
}

// tooNew says that this program does not read a version of the log: the node is to
// run a newer one.
func (s *Shard) tooNew(what string, v core.Version) error {
	if high := s.speaks().High; v > high {
		return &core.VersionError{Place: what, Found: uint64(v), Reads: uint64(high)}
	}
	return nil
}

// pollTick has a leader ask now and then.
func (s *Shard) pollTick() {
	if s.leader && s.ticks%pollEvery == 0 {
		s.pollAll()
	}
}

func (s *Shard) pollAll() {
	if s.speaks().High < 2 {
		return // that program did not know how to ask
	}
	s.poll.nonce, s.poll.asked = s.env.Rand.Uint64(), s.now.Mono
	for _, p := range s.peers {
		s.pollOne(p.ID)
	}
}

func (s *Shard) pollOne(id uint64) { s.parcel(id, &parcel{kind: parcelPoll, nonce: s.poll.nonce}) }

// polledBy answers who asks what this program speaks.
func (s *Shard) polledBy(from uint64, p *parcel) {
	if s.speaks().High < 2 {
		s.out.Mark(markBadFrame)
		return
	}
	s.parcel(from, &parcel{kind: parcelSpeaks, nonce: p.nonce, speaks: s.speaks()})
}

// spoke takes note of what a replica speaks.
func (s *Shard) spoke(from uint64, p *parcel) {
	if peer := s.peer(from); peer != nil && p.nonce == s.poll.nonce {
		peer.spoken = spoken{p.speaks, s.poll.asked}
	}
}

// spokenBy is what a member speaks, if it was asked at a time or later.
func (s *Shard) spokenBy(id uint64, since proc.Tick) (core.Versions, bool) {
	if id == s.cfg.Replica {
		return s.speaks(), true
	}
	if p := s.peer(id); p != nil && p.spoken.High > 0 && p.spoken.asked >= since {
		return p.spoken.Versions, true
	}
	return core.Versions{}, false
}

// lately is the time since which an answer is good to know.
func (s *Shard) lately() proc.Tick { return s.now.Mono - pollKept*s.cfg.Tick }

// Verbs of a Regroup about versions. VerbUpgrade's payload is the version that is
// wanted (AppendVersion), and the answer's Count is 1 when the log has it. VerbVersions
// has no payload and is answered with a Tongue.
const (
	VerbUpgrade  = "upgrade"
	VerbVersions = "versions"
)

// A Tongue is a log's version, and what each of its members speaks.
type Tongue struct {
	Log     core.Version
	Members []MemberVersions
}

// MemberVersions is what a member's program speaks: as far as the leader heard lately.
type MemberVersions struct {
	ID     uint64
	Speaks core.Versions // zero: it has not said
}

// AppendVersion encodes the payload of a VerbUpgrade.
func AppendVersion(b []byte, v core.Version) []byte { return binary.AppendUvarint(b, uint64(v)) }

// ErrVersions is wrapped when bytes do not tell of versions.
var ErrVersions = errors.New("not versions")

func decodeVersion(b []byte) (core.Version, error) {
	f := fields{b: b}
	v := f.version()
	if err := f.end(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrVersions, err)
	}
	return v, nil
}

func (r *fields) version() core.Version {
	v := r.uvarint()
	if v > 1<<16-1 {
		r.fail()
	}
	return core.Version(v)
}

// tongue encodes the Tongue: u log  u n, n × (u id  u low  u high).
func (s *Shard) tongue() []byte {
	b := AppendVersion(nil, s.version)
	b = binary.AppendUvarint(b, uint64(len(s.roster.Members)))
	for _, m := range s.roster.Members {
		v, _ := s.spokenBy(m.ID, s.lately())
		b = binary.AppendUvarint(b, m.ID)
		b = AppendVersion(AppendVersion(b, v.Low), v.High)
	}
	return b
}

// DecodeTongue reads the answer to VerbVersions.
func DecodeTongue(b []byte) (Tongue, error) {
	f := fields{b: b}
	t := Tongue{Log: f.version()}
	n := f.uvarint()
	if n > ReplicasMax {
		f.fail()
		n = 0
	}
	for range n {
		t.Members = append(t.Members, MemberVersions{f.uvarint(), core.Versions{Low: f.version(), High: f.version()}})
	}
	if err := f.end(); err != nil {
		return Tongue{}, fmt.Errorf("%w: %w", ErrVersions, err)
	}
	return t, nil
}

// upgradeAsked raises the log's version if all members can follow.
func (s *Shard) upgradeAsked(p *pending) {
	to, err := decodeVersion(p.command.Payload)
	if err != nil {
		core.Assert(false, "a version passed the door: %v", err)
	}
	if to <= s.version {
		s.accept(p, 1)
		return
	}
	if have := &s.roster; have.Joint || s.journal.Membership(s.journal.Last()).Index != have.Index {
		s.reject(p, core.CodeOverloaded, "the group is about to change")
		return
	}
	code, why := s.allSpeak(to)
	if code != core.CodeOverloaded {
		s.poll.upgrade = 0 // whoever asks next is told what is so then
	}
	if code == core.CodeOldVersion {
		s.out.Mark(markNotAll)
	}
	if code != core.CodeNone {
		s.reject(p, code, why)
		return
	}
	f := s.newFlight(journal.Upgrade)
	f.header.Raise = core.Epoch(to)
	s.writeIn(&f.header, to)
	p.recorded.Timestamp, p.recorded.Count = f.header.Timestamp, 1
	f.commands = append(f.commands, p)
	data, hash := journal.EncodeEmpty(f.header)
	s.launch(f, data, hash, s.journal.Last()+1)
}

// allSpeak says who does not speak a version that the log is to be raised to. It asks
// all of them, and is told as overloaded while they may still answer: gateways ask again.
func (s *Shard) allSpeak(to core.Version) (core.Code, string) {
	if s.poll.upgrade == 0 || s.poll.upgrade < s.lately() {
		s.pollAll()
		s.poll.upgrade = s.now.Mono
	}
	for _, m := range s.roster.Members {
		switch v, heard := s.spokenBy(m.ID, s.poll.upgrade); {
		case !heard && s.now.Mono-s.poll.upgrade < pollWait*s.cfg.Tick:
			s.pollOne(m.ID) // the question may be lost
			return core.CodeOverloaded, fmt.Sprintf("replica %d on node %d was asked what it speaks", m.ID, m.Node)
		case !heard:
			return core.CodeOldVersion, fmt.Sprintf("replica %d on node %d does not say that it speaks version %d", m.ID, m.Node, to)
		case !v.Has(to):
			return core.CodeOldVersion, fmt.Sprintf("replica %d on node %d speaks %s", m.ID, m.Node, v)
		}
	}
	return core.CodeNone, ""
}

// writeIn gives a header what a version has.
func (s *Shard) writeIn(h *journal.Header, v core.Version) {
	if h.Version = v; v >= 2 {
		h.Decider, h.Wall = s.cfg.Replica, min(core.Timestamp(s.now.Wall), h.Timestamp)
	}
}

// applyUpgrade raises the log's version.
func (s *Shard) applyUpgrade(to core.Version) {
	s.out.Mark(markUpgrade)
	s.version = max(s.version, to)
	s.versionKnown()
}

// versionKnown tells the node what its programs have to speak from now on.
func (s *Shard) versionKnown() {
	if s.cfg.OnVersion != nil && s.version > core.VersionMin {
		s.cfg.OnVersion(s.version)
	}
}

// mute tells why a replica may not vote: it is not known to read what the log is
// written in.
func (s *Shard) mute(id uint64) (string, bool) {
	if s.version == core.VersionMin {
		return "", false
	}
	v, heard := s.spokenBy(id, s.lately())
	switch {
	case !heard:
		return fmt.Sprintf("replica %d does not say that it speaks version %d", id, s.version), true
	case !v.Has(s.version):
		return fmt.Sprintf("replica %d speaks %s, the log is of version %d", id, v, s.version), true
	}
	return "", false
}
