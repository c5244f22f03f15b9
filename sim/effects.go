package sim

import (
	"fmt"
	"time"

	"actordb/core/proc"
	"actordb/disk"

	"github.com/cespare/xxhash/v2"
)

// carryOut turns effects into pending inputs, in the order of H2.
func (w *World) carryOut(p *process, out *proc.Effects) {
	for i := range out.Sends {
		w.send(p, out.Sends[i].To, out.Sends[i].Frame)
	}
	for _, t := range out.Timers {
		w.setTimer(p, t.ID, t.At)
	}
	for i := range out.Files {
		w.submitFile(p, &out.Files[i])
	}
	for i := range out.KVs {
		w.submitKV(p, &out.KVs[i])
	}
	for _, m := range out.Marks {
		w.marks[m]++
	}
}

// add makes an entry pending. It sets the number and, through enqueue, the place.
func (w *World) add(e entry) int32 {
	w.seq++
	e.seq, e.next, e.pos = w.seq, none, none
	slot := w.q.alloc()
	w.q.slab[slot] = e
	w.enqueue(slot)
	return slot
}

// Keys of channels: the top two bits tell the classes apart.
const (
	frameChannel uint64 = 1 << 62
	fileChannel  uint64 = 2 << 62
	kvChannel    uint64 = 3 << 62
	channelMask  uint64 = 1<<62 - 1
)

func frameChannelOf(sender *process) uint64 { return frameChannel | uint64(sender.index) }

// fileChannelOf orders operations as F1 does. Operations on the directory have
// a channel of their own, as directories of hosts have.
func fileChannelOf(op *disk.Op) uint64 {
	switch op.Kind {
	case disk.OpList, disk.OpSyncDir, disk.OpRename, disk.OpRemove:
		return fileChannel
	}
	return fileChannel | xxhash.Sum64String(op.Name)&channelMask
}

func (w *World) send(p *process, to proc.Addr, frame []byte) {
	target := w.lookup(to)
	if target == nil {
		w.blame(p, fmt.Sprintf("frame sent to %v, which does not exist", to))
		return
	}
	frame = frame[:len(frame):len(frame)] // an append by the receiver must not reach the sender's bytes
	e := entry{
		kind: proc.Message, target: target.index, from: p.addr, sender: p.index, frame: frame,
	}
	if target.node == p.node {
		if target.running {
			e.at, e.channel, e.hash = w.now+w.cfg.LocalDelay, frameChannelOf(p), xxhash.Sum64(frame)
			w.add(e)
		}
		return
	}
	if w.cfg.Network == nil {
		w.route = append(w.route[:0], Delivery{Outcome: Whole, Ordered: true, Delay: linkDelayDefault})
	} else {
		w.route = w.cfg.Network.Route(w.now, p.addr, to, len(frame), w.route[:0])
	}
	for i := range w.route {
		w.consequence(&w.route[i], p, target, e)
	}
}

// consequence carries out one Delivery of the frame in e.
func (w *World) consequence(d *Delivery, p, target *process, e entry) {
	e.at = w.now + max(d.Delay, 0)
	switch d.Outcome {
	case Part:
		e.frame = e.frame[:min(d.Keep, len(e.frame)):min(d.Keep, len(e.frame))]
	case Break:
		w.purge(func(x *entry) bool {
			return x.kind == proc.Message && (x.sender == p.index && x.target == target.index || x.sender == target.index && x.target == p.index)
		})
		return
	case ResetReceiver:
		w.addReset(e.at, target, p)
		return
	case ResetSender:
		w.addReset(e.at, p, target)
		return
	}
	if !target.running {
		return
	}
	if d.Ordered {
		e.channel = frameChannelOf(p)
	}
	e.hash = xxhash.Sum64(e.frame)
	w.add(e)
}

func (w *World) addReset(at time.Duration, target, from *process) {
	if target.running {
		w.add(entry{at: at, kind: proc.Reset, target: target.index, from: from.addr, sender: from.index})
	}
}

func (w *World) setTimer(p *process, id proc.TimerID, at proc.Tick) {
	if slot, ok := p.timers[id]; ok {
		if at >= 0 { // reuse the entry: the commonest thing done to a timer
			w.seq++
			e := &w.q.slab[slot]
			e.seq, e.tick = w.seq, at
			e.at = p.node.clock.due(w.now, int64(at))
			w.q.fix(slot)
			return
		}
		w.q.take(w.q.slab[slot].pos)
		w.q.release(slot)
		delete(p.timers, id)
		return
	}
	if at >= 0 {
		p.timers[id] = w.add(entry{
			at: p.node.clock.due(w.now, int64(at)), kind: proc.Timer, target: p.index, id: uint64(id), tick: at,
		})
	}
}

func (w *World) submitFile(p *process, f *proc.FileOp) {
	if p.storage.Files == nil {
		w.blame(p, "file operation of a process without files")
		return
	}
	e := entry{kind: proc.FileDone, target: p.index, id: uint64(f.Token), channel: fileChannelOf(&f.Op)}
	if f.Op.Kind == disk.OpWrite {
		e.frame, e.hash = f.Op.Data, xxhash.Sum64(f.Op.Data)
	}
	ticket, latency := p.storage.Files.Submit(f.Op)
	e.ticket, e.at = ticket, w.now+max(latency, 0)
	w.add(e)
}

func (w *World) submitKV(p *process, k *proc.KVOp) {
	if p.storage.KV == nil {
		w.blame(p, "KV operation of a process without a KV")
		return
	}
	e := entry{kind: proc.KVDone, target: p.index, id: uint64(k.Token), channel: kvChannel}
	if k.Op.Batch != nil {
		e.batch, e.hash = k.Op.Batch, w.hashBatch(k.Op.Batch)
	}
	ticket, latency := p.storage.KV.Submit(k.Op)
	e.ticket, e.at = ticket, w.now+max(latency, 0)
	w.add(e)
}
