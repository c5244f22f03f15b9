package node

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"actordb/core"
	"actordb/core/control"
	"actordb/disk/pgkv/pgtest"
)

// P2: a node runs on every backend that dag.jsonnet can name, and after a kill it
// has there what it acknowledged.
func TestBackends(t *testing.T) {
	source, err := os.ReadFile("../../dag.jsonnet")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ files, kv string }{
		"os and memory":   {"backend: 'os'", "backend: 'memory'"},
		"sqlite":          {"backend: 'sqlite'", "backend: 'sqlite'"},
		"postgres":        {"backend: 'postgres', url: 'URL'", "backend: 'postgres', url: 'URL'"},
		"os and postgres": {"backend: 'os'", "backend: 'postgres', url: 'URL'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.NewReplacer("backend: 'os'", c.files, "backend: 'pebble'", c.kv, "limits: { cache_bytes: 64 * MiB },", "").Replace(string(source))
			if strings.Contains(text, "URL'") {
				text = strings.ReplaceAll(text, "URL'", pgtest.Start(t).URL()+"'")
			}
			network, err := control.Load("dag.jsonnet", text, nil)
			if err != nil {
				t.Fatal(err)
			}
			s := &site{t: t, dir: t.TempDir(), change: func(c *ServeConfig) { c.Network = network }}
			s.open()
			s.serve()
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			const events = 60
			for round := range 2 {
				c := s.dial(nil)
				for i := range events {
					id := core.ActorID(fmt.Sprintf("stream/%d", i%7))
					if _, err := c.Append(t.Context(), id, core.Seq(i/7)+core.Seq(round)*core.Seq((events-i%7+6)/7), note(fmt.Sprint(i))); err != nil {
						t.Fatal(err)
					}
				}
				if round == 0 {
					s.kill()
					s.serve()
				}
			}
			c, n := s.dial(nil), 0
			for k := range 7 {
				for e, err := range c.History(t.Context(), core.ActorID(fmt.Sprintf("stream/%d", k)), 1) {
					if err != nil || e.Seq == 0 {
						t.Fatal(err)
					}
					n++
				}
			}
			if n != 2*events {
				t.Errorf("%d events, want %d", n, 2*events)
			}
		})
	}
}
