package observe

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"actordb/core/proc"
	"actordb/disk"
	"actordb/internal/host"
	"actordb/net/tlsnet"
)

// busy is a process that marks every message, and tells of itself.
type busy struct{ steps uint64 }

func (b *busy) Step(_ proc.Now, in proc.Input, out *proc.Effects) {
	b.steps++
	if in.Kind == proc.Message {
		out.Mark("busy.message")
	}
}
func (b *busy) Queues(dst []proc.Queue) []proc.Queue {
	return append(dst, proc.Queue{Name: "busy.queue", Len: 3, Limit: 7})
}
func (b *busy) Counters(dst []proc.Counter) []proc.Counter {
	return append(dst, proc.Counter{Name: "steps.all", Value: b.steps})
}
func (b *busy) Serving() bool { return b.steps > 1 }

// What a process on the host does is what Prometheus is told, and the format is
// Prometheus's own.
func TestExport(t *testing.T) {
	m := New(map[string]string{"node": "7"})
	h, err := host.New(host.Config{Node: 7, Observe: m.Observer})
	if err != nil {
		t.Fatal(err)
	}
	at, err := h.Spawn("busy", "", host.Storage{}, func(proc.Env) proc.Process { return &busy{} })
	if err != nil {
		t.Fatal(err)
	}
	m.Watch(h.Reports, func() tlsnet.Stats {
		return tlsnet.Stats{FramesIn: 5, Connections: 2, Errors: []tlsnet.ReasonCount{{Reason: tlsnet.Expired, Count: 4}}}
	})
	for range 3 {
		if !h.Deliver(proc.Addr{}, "", at, nil) {
			t.Fatal("the mailbox is full")
		}
	}
	o := m.Observer("disk")
	o.File(&disk.Op{Kind: disk.OpWrite, Sync: true}, &disk.Result{N: 100}, time.Millisecond)
	o.File(&disk.Op{Kind: disk.OpRead}, &disk.Result{Data: make([]byte, 30), Err: errors.New("bad")}, time.Millisecond)
	o.KV(disk.KVFlush, errors.New("bad"), time.Second)
	o.Dropped()
	if err := h.Close(); err != nil { // all of it is handled
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`actordb_info{node="7"} 1`,
		`actordb_marks_total{mark="busy.message",process="busy"} 3`,
		`actordb_step_seconds_count{input="message",process="busy"} 3`,
		`actordb_step_seconds_count{input="start",process="busy"} 1`,
		`actordb_queue_length{process="busy",queue="busy.queue"} 3`,
		`actordb_queue_limit{process="busy",queue="busy.queue"} 7`,
		`actordb_operations_total{process="busy",what="steps",which="all"} 4`,
		`actordb_serving{process="busy"} 1`,
		`actordb_file_operation_seconds_count{operation="write-sync",process="disk"} 1`,
		`actordb_file_bytes_total{operation="write",process="disk"} 100`,
		`actordb_file_bytes_total{operation="read",process="disk"} 30`,
		`actordb_storage_errors_total{operation="read",process="disk",store="files"} 1`,
		`actordb_storage_errors_total{operation="flush",process="disk",store="kv"} 1`,
		`actordb_frames_dropped_total{process="disk"} 1`,
		`actordb_net_frames_total{direction="in"} 5`,
		`actordb_net_connections 2`,
		`actordb_net_errors_total{reason="` + tlsnet.Expired.String() + `"} 4`,
		"go_goroutines", "process_open_fds",
	} {
		if !strings.Contains(w.Body.String(), want+" ") && !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("not told: %s", want)
		}
	}
	if t.Failed() {
		t.Log(w.Body.String())
	}
}

// Each kind of input and operation has a series: there are fewer than the array
// holds, and a kind without a name would be a nil series.
func TestKinds(t *testing.T) {
	o := New(nil).Observer("all").(*observer)
	for kind := disk.OpKind(1); kind.String() != "?"; kind++ {
		o.File(&disk.Op{Kind: kind}, &disk.Result{}, 0)
	}
	for kind := disk.KVKind(1); kind.String() != "?"; kind++ {
		o.KV(kind, nil, 0)
	}
	for kind := proc.Kind(1); kind.String() != "?"; kind++ {
		o.Step(kind, 0)
	}
}
