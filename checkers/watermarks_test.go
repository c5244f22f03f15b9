package checkers

import "testing"

// The definition, in a history that can be followed by hand: two sources, of which
// one falls silent and comes back; a clock that is far ahead; corrections and what
// comes after them.
func TestWatermarks(t *testing.T) {
	w := NewWatermarks(Timing{Lateness: 10, Correction: 20, Skew: 5, Idle: 100})
	block := func(commit int64, list ...Reading) {
		for i := range list {
			list[i].Commit = commit
		}
		w.Block(commit, list)
	}
	expect := func(commit, at int64, known bool) {
		t.Helper()
		if m := w.Before(commit); m != (Mark{at, known}) {
			t.Errorf("before %d the mark is %v, want %d", commit, m, at)
		}
	}
	expect(0, 0, false)
	block(1000, Reading{Source: "a", Event: 1000}, Reading{Source: "b", Event: 900})
	expect(1000, 890, true)
	block(1050, Reading{Source: "a", Event: 1_000_000}) // counts as 1055
	expect(1050, 890, true)
	expect(1101, 1045, true) // b is silent for more than 100
	expect(1150, 1045, true)
	expect(1151, 1045, true)                        // a, too: nobody is waited for
	block(1160, Reading{Source: "b", Event: 1030})  // late, to be corrected
	block(1161, Reading{Source: "b", Event: 1010})  // its window of 10 ends at 1020: closed is 1025
	block(1162, Reading{Source: "b", Event: 1021})  // ends at 1030
	block(1163, Reading{Source: "a", Event: 1_200}) // counts as 1168
	block(1164, Reading{Source: "b", Event: 1_100}) // holds it back again
	expect(1164, 1090, true)
	if a := w.Account(10); a != (Account{In: 8, OnTime: 5, Corrected: 2, Missed: 1, Future: 2}) {
		t.Error(a)
	}
	windows, missed := w.Hops(10, 10)
	if len(missed) != 1 || missed[0].Start != 1010 || len(windows) != 7 {
		t.Error(windows, missed)
	}
	if sessions, missed := w.Sessions(3); len(missed) != 2 || len(sessions) != 6 { // 1021 + 3 is closed, too
		t.Error(sessions, missed)
	}
}
