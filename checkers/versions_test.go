package checkers

import (
	"strings"
	"testing"
)

// Each law of versions is kept by what is right, and broken by what is not.
func TestVersions(t *testing.T) {
	entry := func(v *Versions, r VersionRecord) { v.Applied(&r) }
	raised := func(v *Versions) {
		v.Runs(0, 3, 2)
		entry(v, VersionRecord{Replica: 1, Index: 3, Term: 1, Written: 2, Raised: 2, Decider: 1})
	}
	for name, c := range map[string]struct {
		then func(v *Versions)
		want string // of the note; "": it holds
	}{
		"nothing happens": {func(*Versions) {}, ""},
		"raised": {func(v *Versions) {
			raised(v)
			entry(v, VersionRecord{Replica: 1, Index: 4, Term: 1, Written: 1}) // was under way
			entry(v, VersionRecord{Replica: 1, Index: 5, Term: 1, Written: 2, Decider: 1})
			entry(v, VersionRecord{Replica: 2, Index: 3, Term: 1, Written: 2, Raised: 2, Decider: 1})
			v.Add(&GroupRecord{Did: Led, Replica: 2, Term: 2})
			entry(v, VersionRecord{Replica: 2, Index: 6, Term: 2, Written: 2, Decider: 2})
		}, ""},
		"an upgrade that is void": {func(v *Versions) {
			entry(v, VersionRecord{Replica: 1, Index: 3, Term: 1, Written: 2, Raised: 2, Decider: 1, Void: true})
		}, ""},
		"an old program is stopped": {func(v *Versions) { raised(v); v.Runs(0, 2, 1); v.Stopped(1, 2) }, ""},

		"written before it is raised": {func(v *Versions) { entry(v, VersionRecord{Replica: 1, Index: 3, Term: 1, Written: 2, Decider: 1}) }, "the log of version 1"},
		"void, and written too early": {func(v *Versions) {
			entry(v, VersionRecord{Replica: 1, Index: 3, Term: 1, Written: 2, Decider: 1, Void: true})
		}, "the log of version 1"},
		"an old voter": {func(v *Versions) {
			entry(v, VersionRecord{Replica: 1, Index: 3, Term: 1, Written: 2, Raised: 2, Decider: 1})
		}, "voter 3 speaks version 1"},
		"forgotten": {func(v *Versions) { raised(v); entry(v, VersionRecord{Replica: 1, Index: 4, Term: 2, Written: 1}) }, "was raised to 2 in term 1"},
		"somebody else decided it": {func(v *Versions) {
			raised(v)
			entry(v, VersionRecord{Replica: 1, Index: 4, Term: 1, Written: 2, Decider: 2})
		}, "in term 1 of replica 1"},
		"nobody decided it": {func(v *Versions) { raised(v); entry(v, VersionRecord{Replica: 1, Index: 4, Term: 1, Written: 2}) }, "does not say"},
		"an old program goes on": {func(v *Versions) {
			raised(v)
			v.Runs(0, 2, 1)
			entry(v, VersionRecord{Replica: 2, Index: 3, Term: 1, Written: 2, Raised: 2, Decider: 1})
		}, "its program speaks version 1"},
		"a new program is stopped": {func(v *Versions) { raised(v); v.Stopped(2, 2) }, "speaks version 2 is stopped"},
		"stopped for nothing":      {func(v *Versions) { v.Stopped(1, 2) }, "the logs are of version 1"},
	} {
		v := NewVersions()
		v.Add(&GroupRecord{Did: Configured, Voters: []uint64{1, 2, 3}})
		v.Add(&GroupRecord{Did: Led, Replica: 1, Term: 1})
		v.Runs(0, 1, 2)
		v.Runs(0, 2, 2)
		v.Runs(0, 3, 1)
		if !v.Mixed(0) {
			t.Errorf("%s: the programs differ", name)
		}
		entry(v, VersionRecord{Replica: 1, Index: 2, Term: 1, Written: 1})
		c.then(v)
		if r := v.Result(); (r.Verdict == Pass) != (c.want == "") || !strings.Contains(r.Note, c.want) {
			t.Errorf("%s: %s, want %q", name, r, c.want)
		}
	}
}
