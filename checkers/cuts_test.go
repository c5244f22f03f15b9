package checkers

import (
	"strings"
	"testing"

	"actordb/core"
)

// told is one thing that the checker of cuts is fed, in short form.
type told struct {
	what  string // applied, begin, handed, cut
	shard core.ShardID
	index core.Index
	at    core.Timestamp
}

func feedCuts(list []told) Result {
	c := NewCuts()
	life := -1
	for _, x := range list {
		switch x.what {
		case "applied":
			c.Applied(x.shard, x.index, x.at)
		case "begin":
			life = c.Begin("watcher", x.at)
		case "handed":
			c.Handed(life, x.shard, x.index, x.at)
		case "cut":
			c.Promised(life, x.at)
		}
	}
	return c.Result()
}

// Three blocks of two shards: at 10 and 30 of the first, at 20 of the second.
var threeBlocks = []told{{"applied", 0, 2, 10}, {"applied", 1, 2, 20}, {"applied", 0, 3, 30}}

func TestCuts(t *testing.T) {
	for name, c := range map[string]struct {
		told []told
		want string // in the note; "": it holds
	}{
		"all in order":         {[]told{{what: "begin"}, {"handed", 0, 2, 10}, {"cut", 0, 0, 15}, {"handed", 1, 2, 20}, {"handed", 0, 3, 30}, {"cut", 0, 0, 30}}, ""},
		"later blocks not yet": {[]told{{what: "begin"}, {"handed", 0, 2, 10}, {"cut", 0, 0, 19}}, ""},
		"goes on from a cut":   {[]told{{"begin", 0, 0, 20}, {"cut", 0, 0, 29}, {"handed", 0, 3, 30}}, ""},
		"two lives":            {[]told{{what: "begin"}, {"handed", 0, 2, 10}, {what: "begin"}, {"handed", 0, 2, 10}, {"cut", 0, 0, 12}}, ""},

		"a block left out":         {[]told{{what: "begin"}, {"handed", 0, 2, 10}, {"handed", 0, 3, 30}}, "comes next"},
		"a block twice":            {[]told{{what: "begin"}, {"handed", 0, 2, 10}, {"handed", 0, 2, 10}}, "comes next"},
		"out of order":             {[]told{{what: "begin"}, {"handed", 1, 2, 20}, {"handed", 0, 2, 10}}, "comes next"},
		"a cut too early":          {[]told{{what: "begin"}, {"handed", 0, 2, 10}, {"cut", 0, 0, 20}}, "was promised the cut"},
		"a cut before anything":    {[]told{{what: "begin"}, {"cut", 0, 0, 10}}, "was promised the cut"},
		"a closed time is stamped": {[]told{{what: "begin"}, {"handed", 0, 2, 10}, {"cut", 0, 0, 19}, {"applied", 1, 3, 19}}, "was promised the cut"},
		"the cut goes back":        {[]told{{what: "begin"}, {"handed", 0, 2, 10}, {"cut", 0, 0, 15}, {"cut", 0, 0, 12}}, "back to"},
		"what nobody applied":      {[]told{{what: "begin"}, {"handed", 0, 2, 10}, {"handed", 1, 2, 20}, {"handed", 0, 3, 30}, {"handed", 0, 4, 40}}, "no replica applied"},
		"void, yet handed":         {[]told{{what: "begin"}, {"handed", 0, 1, 5}}, "comes next"},
		"before the life's cut":    {[]told{{"begin", 0, 0, 20}, {"handed", 1, 2, 20}}, "comes next"},
		"replicas disagree":        {[]told{{"applied", 0, 3, 31}}, "by another"},
	} {
		r := feedCuts(append(append([]told(nil), threeBlocks...), c.told...))
		if (r.Verdict == Pass) != (c.want == "") || !strings.Contains(r.Note, c.want) {
			t.Errorf("%s: %s, want %q", name, r, c.want)
		}
	}
}
