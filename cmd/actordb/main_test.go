package main

import (
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"actordb": main})
}

// Each command as its users see it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"fields": fields,
			"same":   same,
			"edit":   edit,
			"serve":  serve,
			"quit":   quit,
			"flip":   flip,
		},
		Setup: func(e *testscript.Env) error {
			tree, err := moduleRoot()
			e.Setenv("TREE", tree)
			e.Values["server"] = &background{}
			// The go command's caches are those of the test itself.
			for _, name := range []string{"HOME", "GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOFLAGS"} {
				if value, ok := os.LookupEnv(name); ok {
					e.Setenv(name, value)
				}
			}
			return err
		},
	})
}

// An audit's first difference is the first line that is not the same, the end
// of one trace included.
func TestFirstDifference(t *testing.T) {
	for _, c := range []struct {
		a, b          string
		line          int
		first, second string
	}{
		{"", "", 0, "", ""},
		{"1 a\n2 b\n", "1 a\n2 b\n", 0, "", ""},
		{"1 a\n2 b\n", "1 a\n2 c\n", 2, "2 b", "2 c"},
		{"1 a\n", "1 a\n2 c\n", 2, "", "2 c"},
		{"x", "y", 1, "x", "y"},
	} {
		line, first, second, err := firstDifference(strings.NewReader(c.a), strings.NewReader(c.b))
		if err != nil || line != c.line || first != c.first || second != c.second {
			t.Errorf("%q, %q: line %d %q %q %v", c.a, c.b, line, first, second, err)
		}
	}
}

// Seeds are a count or a range.
func TestParseSeeds(t *testing.T) {
	for s, want := range map[string]seedRange{
		"1": {first: 1, last: 1}, "100": {first: 1, last: 100}, "7-9": {first: 7, last: 9}, "0-0": {},
	} {
		if got, err := parseSeeds(s); err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", "-1", "9-7", "1-", "a", "1-2-3", "1.5"} {
		if got, err := parseSeeds(s); err == nil {
			t.Errorf("%q: %+v", s, got)
		}
	}
}

// A line of a trace is understood, and the picture has a column for each
// process, an arrow for each delivery and a cross for each process that stops.
func TestView(t *testing.T) {
	lines := []string{
		"0 0 * spawn n1.1 gateway-0",
		"1 0 n1.1#1 gateway-0 start",
		"2 100 n2.1#1 shard-0 message from n1.1 58 bytes 00ff",
		"3 200 n2.1#1 shard-0 file token 9 00aa",
		"3 300 * n2 loses power",
		"4 400 n1.1#1 gateway-0 reset from n2.1",
		"garbage",
	}
	d, ok := parseDelivery(lines[2])
	want := delivery{step: "2", at: 100, addr: "n2.1", life: "1", name: "shard-0", kind: "message", from: "n1.1", detail: "from n1.1 58 bytes 00ff"}
	if !ok || d != want {
		t.Fatalf("%+v", d)
	}
	page := string(drawView("<seed>", "repeat", lines))
	for text, n := range map[string]int{
		`class="life"`: 2, `class="arrow"`: 1, `class="arrow reset"`: 1, "&lt;seed&gt;": 2, "l10 10m0": 1, "http://www.w3.org": 1, "src=": 0,
	} {
		if got := strings.Count(page, text); got != n {
			t.Errorf("%q stands there %d times, want %d", text, got, n)
		}
	}
}
