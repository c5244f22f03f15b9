package checkers

import "bytes"

// Snapshot checks that a snapshot is worth the events below it.
//
// Law: for each actor, the state that the engine makes of its snapshot and the
// events after it equals the state folded from all events, and the snapshot's
// position and the tail's length add up to the state's.
//
// Examined counts the states that had a snapshot under them: the others would
// be right with any snapshot code.
func Snapshot(pairs []SnapshotPair) Result {
	r := Result{Name: "snapshot", Verdict: Pass}
	for i := range pairs {
		p := &pairs[i]
		if p.SnapshotSeq > 0 {
			r.Examined++
		}
		switch at := firstDifference(p.Engine, p.Fold); {
		case uint64(p.SnapshotSeq)+p.Tail != uint64(p.Seq):
			r.fail("%s seq %d: snapshot at seq %d and %d events after it", p.Actor, p.Seq, p.SnapshotSeq, p.Tail)
		case at >= 0:
			r.fail("%s seq %d: state from the snapshot at seq %d and %d events differs from the full fold at byte %d: %s, want %s",
				p.Actor, p.Seq, p.SnapshotSeq, p.Tail, at, excerpt(p.Engine, at), excerpt(p.Fold, at))
		}
	}
	if r.Verdict == Pass && r.Examined == 0 {
		r.Note = "no state had a snapshot under it"
	}
	return r
}

func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// excerpt shows a few bytes around a position.
func excerpt(b []byte, at int) string {
	const around = 16
	return bytesToText(b[max(0, at-around):min(len(b), at+around)])
}
