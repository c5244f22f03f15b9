package sim

import (
	"encoding/binary"
	"fmt"
	"strings"

	"actordb/core/proc"
	"actordb/disk"

	"github.com/cespare/xxhash/v2"
)

// TraceHash returns the rolling hash over everything that happened so far:
// every input delivered (step, time, target, incarnation, kind, sender, timer or
// token, payload) and every event of the world.
func (w *World) TraceHash() string { return fmt.Sprintf("%016x", w.trace) }

// traceInput hashes one delivered input.
func (w *World) traceInput(p *process, e *entry, payload uint64) {
	b := &w.traceBuf
	le := binary.LittleEndian
	le.PutUint64(b[0:], w.trace)
	le.PutUint64(b[8:], w.steps)
	le.PutUint64(b[16:], uint64(w.now))
	le.PutUint32(b[24:], uint32(p.addr.Node))
	le.PutUint32(b[28:], p.addr.Proc)
	le.PutUint32(b[32:], p.incarnation)
	le.PutUint32(b[36:], uint32(e.kind))
	le.PutUint32(b[40:], uint32(e.from.Node))
	le.PutUint32(b[44:], e.from.Proc)
	le.PutUint64(b[48:], e.id)
	le.PutUint64(b[56:], payload)
	w.trace = xxhash.Sum64(b[:])
	if w.cfg.Trace != nil {
		w.cfg.Trace(w.inputLine(p, e, payload))
	}
}

func (w *World) inputLine(p *process, e *entry, payload uint64) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d %d %v#%d %s %v", w.steps, int64(w.now), p.addr, p.incarnation, p.name, e.kind)
	switch e.kind {
	case proc.Message:
		fmt.Fprintf(&s, " from %v %d bytes %016x", e.from, len(e.frame), payload)
	case proc.Reset:
		fmt.Fprintf(&s, " from %v", e.from)
	case proc.Timer:
		fmt.Fprintf(&s, " %d at %d", e.id, int64(e.tick))
	case proc.FileDone, proc.KVDone:
		fmt.Fprintf(&s, " token %d %016x", e.id, payload)
	}
	return s.String()
}

func (w *World) traceEvent(what string) {
	d := &w.digest
	d.Reset()
	b := w.traceBuf[:24]
	binary.LittleEndian.PutUint64(b[0:], w.trace)
	binary.LittleEndian.PutUint64(b[8:], w.steps)
	binary.LittleEndian.PutUint64(b[16:], uint64(w.now))
	_, _ = d.Write(b) // a Digest never fails
	_, _ = d.WriteString(what)
	w.trace = d.Sum64()
	if w.cfg.Trace != nil {
		w.cfg.Trace(fmt.Sprintf("%d %d * %s", w.steps, int64(w.now), what))
	}
}

// hasher feeds values of any length to the world's digest, each with its
// length, so that no two lists of values look alike.
type hasher struct {
	d   *xxhash.Digest
	buf *[64]byte
}

func (w *World) hasher() hasher {
	w.digest.Reset()
	return hasher{&w.digest, &w.traceBuf}
}

func (h hasher) int(n uint64) {
	binary.LittleEndian.PutUint64(h.buf[:], n)
	_, _ = h.d.Write(h.buf[:8])
}

func (h hasher) bytes(p []byte) {
	h.int(uint64(len(p)))
	_, _ = h.d.Write(p)
}

func (h hasher) string(s string) {
	h.int(uint64(len(s)))
	_, _ = h.d.WriteString(s)
}

func (h hasher) err(err error) {
	if err != nil {
		h.string(err.Error())
	}
}

func (w *World) hashResult(r *disk.Result) uint64 {
	h := w.hasher()
	h.int(uint64(r.Kind))
	h.int(uint64(r.N))
	h.int(uint64(r.Size))
	h.bytes(r.Data)
	for _, name := range r.Names {
		h.string(name)
	}
	h.err(r.Err)
	return h.d.Sum64()
}

func (w *World) hashKVResult(r *disk.KVResult) uint64 {
	h := w.hasher()
	h.int(uint64(r.Kind))
	h.bytes(r.Value)
	if r.Found {
		h.int(1)
	}
	for _, pair := range r.Pairs {
		h.bytes(pair.Key)
		h.bytes(pair.Value)
	}
	if r.More {
		h.int(2)
	}
	h.err(r.Err)
	return h.d.Sum64()
}

func (w *World) hashBatch(b *disk.Batch) uint64 {
	h := w.hasher()
	h.int(uint64(len(b.Mutations)))
	for i := range b.Mutations {
		m := &b.Mutations[i]
		h.bytes(m.Key)
		h.bytes(m.Value)
		if m.Delete {
			h.int(1)
		}
	}
	return h.d.Sum64()
}
