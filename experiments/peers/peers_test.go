package main

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"actordb/internal/load"
)

// starts are the contestants.
func starts() map[string]func(context.Context, string, *contest) (store, error) {
	return map[string]func(context.Context, string, *contest) (store, error){
		"redis":    func(ctx context.Context, dir string, c *contest) (store, error) { return startRedis(ctx, dir, c) },
		"postgres": func(ctx context.Context, dir string, c *contest) (store, error) { return startPostgres(ctx, dir, c) },
		"etcd":     func(ctx context.Context, dir string, c *contest) (store, error) { return startEtcd(ctx, dir, 1, c) },
		"etcd3":    func(ctx context.Context, dir string, c *contest) (store, error) { return startEtcd(ctx, dir, 3, c) },
	}
}

// The members of etcd are this program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "etcd-node" {
		panic(etcdNode(os.Args[2:]))
	}
	m.Run()
}

// directory is one that another user may be given.
func directory(t *testing.T) string {
	dir, err := os.MkdirTemp("", "actordb-peers-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A contestant that did not check versions would not do what ActorDB does.
func TestVersionsAreChecked(t *testing.T) {
	for name, start := range starts() {
		t.Run(name, func(t *testing.T) {
			c := &contest{streams: 10, size: 20}
			s, err := start(t.Context(), directory(t), c)
			if missing := (notInstalled{}); errors.As(err, &missing) {
				t.Skip(missing)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			for i, step := range []struct {
				group []event
				right bool
			}{
				{[]event{{1, 1}, {2, 1}}, true},
				{[]event{{1, 2}, {3, 1}}, true},
				{[]event{{1, 2}}, false}, // it is taken
				{[]event{{1, 4}}, false}, // there is no third
				{[]event{{4, 2}}, false}, // nor a first
				{[]event{{1, 3}, {2, 2}}, true},
			} {
				if err := s.write(t.Context(), step.group); (err == nil) != step.right {
					t.Errorf("step %d: %v", i, err)
				}
			}
		})
	}
}

// A load on each goes through, and what is measured is whole.
func TestContest(t *testing.T) {
	for name := range starts() {
		c := &contest{streams: 100, size: 20, load: load.Config{Slots: 8, Duration: 500 * time.Millisecond}}
		m, err := c.run(t.Context(), name)
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case m.Missing != "":
			t.Log(m.Missing)
		case m.Accepted == 0 || m.CPU <= 0 || m.Memory == 0 || m.Unanswered > 0:
			t.Errorf("%s: %+v", name, m)
		}
	}
	if _, err := (&contest{streams: 100, load: load.Config{Slots: 1}}).run(t.Context(), "nobody"); err == nil {
		t.Error("a contestant that there is not")
	}
}

// Each way of sending messages ends.
func TestMessages(t *testing.T) {
	rows, err := messages(200_000)
	if err != nil || len(rows) != 3 {
		t.Fatal(rows, err)
	}
	for _, r := range rows {
		if r.Value <= 0 {
			t.Errorf("%+v", r)
		}
	}
}

// A view that its triggers keep wrongly would cost nothing: it is compared with its query.
func TestChange(t *testing.T) {
	for _, who := range []string{"postgres", "sqlite"} {
		for _, view := range []string{"group", "join"} {
			for _, batch := range []int{1, 7} {
				c := change{view: view, batch: batch, changes: 50, base: 60}
				u, err := c.run(t.Context(), who)
				if err != nil {
					t.Fatalf("%s, %s, %d: %v", who, view, batch, err)
				}
				if u.Missing == "" && (u.With <= 0 || u.Without <= 0) {
					t.Errorf("%s, %s, %d: %+v", who, view, batch, u)
				}
			}
		}
	}
}
