package control

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// load reads the project's own network, changed.
func load(t *testing.T, old, new string) (*Network, error) {
	t.Helper()
	source, err := os.ReadFile("../../dag.jsonnet")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), old) {
		t.Fatalf("dag.jsonnet does not contain %q", old)
	}
	return Load("dag.jsonnet", strings.Replace(string(source), old, new, 1), nil)
}

func must(t *testing.T, n *Network, err error) *Network {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOwnNetwork(t *testing.T) {
	n, err := load(t, "", "")
	must(t, n, err)
	if got, want := strings.Join(n.Instances(), " "), "files kv shard-0 shard-1 gateway query listener"; got != want {
		t.Errorf("instances start as %s, want %s", got, want)
	}
	c, g := n.ShardConfig(), n.GatewayConfig()
	if c.SegmentBytes != 64<<20 || c.BlockBytes != 1<<20 || c.HotActors != 65536 || g.PendingMax != 16384 {
		t.Errorf("configs %+v, %+v", c, g)
	}
	var started []string
	boom := errors.New("boom")
	err = n.Start(func(p *Process, i int) error {
		started = append(started, p.Instance(i))
		if p.Kind == Shard && i == 1 {
			return boom
		}
		return nil
	})
	if !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "shard-1: ") || len(started) != 4 {
		t.Errorf("started %v, then %v", started, err)
	}
}

// Each thing that can be wrong is told with its place and what to do.
func TestWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"syntax", "processes: {", "processes: {{", "dag.jsonnet:11:15-16 Unexpected"},
		{"format", "format: 1", "format: 2", `dag.jsonnet: format: "2": this program reads 1`},
		{"unknown field", "count: 2", "cuont: 2", `unknown field "cuont"`},
		{"unknown kind", "kind: 'kv'", "kind: 'kw'", `processes.kv.kind: "kw": want one of files, kv, shard, gateway, query, worker, listener`},
		{"unknown limit", "segment_bytes:", "segmnet_bytes:", "processes.shard.limits.segmnet_bytes: a shard has no such limit: did you mean segment_bytes?"},
		{"limit too large", "hot_actors: 65536", "hot_actors: 1e12", "processes.shard.limits.hot_actors: 1000000000000: want 1 to 268435456 actors"},
		{"limit not whole", "hot_actors: 65536", "hot_actors: 1.5", "processes.shard.limits.hot_actors: 1.5: want a whole number"},
		{"count", "count: 2", "count: 65", "processes.shard.count: 65: want 1 to 64"},
		{"count of none", "count: 2", "count: 0", "processes.shard.count: 0: want 1 to 64"},
		{"backend", "'pebble'", "'peble'", `processes.kv.backend: "peble": want one of pebble, memory, sqlite, postgres`},
		{"backend of none", "kind: 'listener'", "kind: 'listener', backend: 'os'", "processes.listener.backend: a listener has no backend: drop it"},
		{"no url", "'pebble'", "'postgres'", "processes.kv.url: postgres needs one, such as postgres://"},
		{"url of none", "'pebble'", "'pebble', url: 'postgres://x'", "processes.kv.url: only postgres has one: drop it"},
		{"url", "'pebble'", "'postgres', url: 'postgres://me@there/db'", ""},
		{"unknown need", "['files', 'kv']", "['fils', 'kv']", `processes.shard.needs: there is no process "fils": did you mean files?`},
		{"itself", "['files', 'kv']", "['files', 'kv', 'shard']", "processes.shard.needs: a process cannot need itself"},
		{"twice", "['files', 'kv']", "['files', 'kv', 'kv']", `processes.shard.needs: "kv" stands twice`},
		{"missing need", "['files', 'kv']", "['files']", "processes.shard.needs: a shard needs a kv: add kv"},
		{"not minimal", "['shard']", "['shard', 'kv']", "processes.gateway.needs: shard needs kv already: drop kv"},
		{"cycle", "kind: 'files'", "kind: 'files', needs: ['listener']", "processes: files -> listener -> query -> gateway -> shard -> files: each needs the next: break the cycle"},
		{"two of a kind", "listener: {", "other: { kind: 'gateway', needs: ['shard'] }, listener: {", "processes.other: gateway is a gateway already, and a node has one: give it a count instead"},
		{"none of a kind", "    listener: {", "    //", "processes: there is no listener"},
		{"block and segment", "block_bytes: 1 * MiB", "block_bytes: 30 * MiB", "processes.shard.limits.block_bytes: 31457280: want 1024 to"},
		{"sizes", "segment_bytes: 64 * MiB", "segment_bytes: 2 * MiB", "processes.shard.limits.block_bytes: 1048576: want at most a quarter of segment_bytes, 2097152"},
		{"forgetful", "backend: 'pebble',\n      limits: { cache_bytes: 64 * MiB },", "backend: 'memory'", ""},
		{"name", "listener: {", "'Listener 1': {", "processes.Listener 1: a name has 1 to 48 of"},
		{"null", "listener: { kind: 'listener', needs: ['query'] }", "listener: null", "processes.listener: null: want an object"},
		{"import", "local KiB = 1024", "local KiB = import 'x.libsonnet'", "x.libsonnet"},
		{"recursion", "local KiB", "local f(x) = f(x + 1) + 1; local y = f(0); assert y > 0; local KiB", "dag.jsonnet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := load(t, c.old, c.new)
			switch {
			case c.want == "":
				must(t, n, err)
			case err == nil:
				t.Errorf("accepted:\n%s", n.Text())
			case !strings.Contains(err.Error(), c.want):
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestAllThatIsWrongIsTold(t *testing.T) {
	_, err := load(t, "count: 2", "count: 99, backend: 'os'")
	var wrong *Error
	if !errors.As(err, &wrong) || len(wrong.Problems) != 2 {
		t.Errorf("got %v, want two problems", err)
	}
}

func TestForgetfulStoreAndCompaction(t *testing.T) {
	n, err := load(t, "backend: 'pebble',\n      limits: { cache_bytes: 64 * MiB },", "backend: 'memory'")
	must(t, n, err)
	if _, err := n.With("shard", 2, map[string]int64{"compact_keep_bytes": 1 << 30}); err == nil || !strings.Contains(err.Error(), "processes.kv.backend") {
		t.Errorf("got %v", err)
	}
}

// N3, and what a hash is for: it tells what a change reaches, and nothing else.
func TestHash(t *testing.T) {
	n, err := load(t, "", "")
	must(t, n, err)
	for _, c := range []struct{ name, old, new, want string }{
		{"a comment", "// The truth", "// It", ""},
		{"a default written out", "hot_actors: 65536,", "hot_actors: 65536, pipeline: 4,", ""},
		{"order", "needs: ['files', 'kv']", "needs: ['kv', 'files']", ""},
		{"a limit of the shard", "hot_actors: 65536", "hot_actors: 65537", "shard gateway query listener"},
		{"a backend", "'pebble'", "'memory'", "kv shard gateway query listener"},
		{"the count", "count: 2", "count: 3", "shard gateway query listener"},
		{"the listener", "needs: ['query'] }", "needs: ['gateway'], limits: { connections: 10 } }", "listener"},
	} {
		m, err := load(t, c.old, c.new)
		must(t, m, err)
		if got := strings.Join(n.Changed(m), " "); got != c.want || (n.Hash == m.Hash) != (c.want == "") {
			t.Errorf("%s changes %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDrawings(t *testing.T) {
	n, err := load(t, "", "")
	must(t, n, err)
	for form, text := range map[string]string{"text": n.Text(), "dot": n.DOT(), "svg": n.SVG()} {
		for _, p := range n.Processes {
			if !strings.Contains(text, p.Name) || !strings.Contains(text, p.Hash.String()) {
				t.Errorf("%s does not show %s", form, p.Name)
			}
		}
	}
}

// Any graph: either it has a cycle and one is named, or every process stands after
// all that it needs.
func TestSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d", "e", "f"}
		list := make(map[string]*Process)
		for _, name := range names {
			p := &Process{Name: name}
			for _, need := range names {
				if need != name && rapid.IntRange(0, 4).Draw(t, name+need) == 0 {
					p.Needs = append(p.Needs, need)
				}
			}
			list[name] = p
		}
		n := &Network{}
		cycle := n.sort(names, list)
		if cycle != nil {
			for i := range cycle[:len(cycle)-1] {
				if !slices.Contains(list[cycle[i]].Needs, cycle[i+1]) {
					t.Fatalf("%v is no cycle", cycle)
				}
			}
			if cycle[0] != cycle[len(cycle)-1] {
				t.Fatalf("%v does not close", cycle)
			}
			return
		}
		seen := make(map[string]bool)
		for _, p := range n.Processes {
			for _, need := range p.Needs {
				if !seen[need] {
					t.Fatalf("%s before %s", p.Name, need)
				}
			}
			seen[p.Name] = true
		}
		if len(seen) != len(names) {
			t.Fatalf("%d processes of %d", len(seen), len(names))
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"format": 1, "processes": {"files": {"kind": "files"}}}`))
	f.Add([]byte(`{"format": 1, "processes": {"a": null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := Parse(data)
		if (n == nil) == (err == nil) {
			t.Fatalf("%v, %v", n, err)
		}
	})
}

// Imports stand beside the file or below it, and are read once.
func TestImports(t *testing.T) {
	source, err := os.ReadFile("../../dag.jsonnet")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"lib/a.libsonnet": "(import 'b.libsonnet') + 1", "lib/b.libsonnet": "1023", "secret": "1024"}
	read := func(name string) (string, error) {
		text, ok := files[name]
		if !ok {
			return "", errors.New("no file " + name)
		}
		return text, nil
	}
	load := func(path string) error {
		_, err := Load("deploy/dag.jsonnet", strings.Replace(string(source), "KiB = 1024", "KiB = import '"+path+"'", 1), read)
		return err
	}
	if err := load("lib/a.libsonnet"); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{
		"lib/c.libsonnet": "no file lib/c.libsonnet", "../secret": "or below it", "/secret": "or below it", "lib/../../secret": "or below it",
	} {
		if err := load(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("import of %s: %v, want %s", path, err, want)
		}
	}
}

// Workers have addresses of their own, if there are enough of them to divide something among.
func TestWorkers(t *testing.T) {
	for count, want := range map[int]int{1: 0, 2: 2, 16: 16} {
		n, err := load(t, "listener: {", fmt.Sprintf("worker: { kind: 'worker', count: %d, needs: ['query'], limits: { scans: 3 } },\n listener: {", count))
		must(t, n, err)
		list := n.Workers(7)
		if len(list) != want || n.WorkerLimits().Scans != 3 {
			t.Errorf("%d workers: %v", count, list)
		}
		for i, at := range list {
			if at.Node != 7 || at.Proc <= QueryAt(7).Proc || slices.Contains(list[:i], at) {
				t.Errorf("worker %d is at %v", i, at)
			}
		}
	}
	if _, err := load(t, "listener: {", "worker: { kind: 'worker', count: 17, needs: ['query'] },\n listener: {"); err == nil {
		t.Error("17 workers are taken")
	}
	if _, err := load(t, "listener: {", "worker: { kind: 'worker', needs: ['shard'] },\n listener: {"); err == nil {
		t.Error("a worker without a query process is taken")
	}
}
