package host

import (
	"fmt"
	"sync"
	"time"

	"actordb/core/proc"
	"actordb/disk"
)

// task is a process with its goroutine, mailbox, timers and workers.
type task struct {
	node     *Node
	addr     proc.Addr
	name     string
	peer     string
	storage  Storage
	process  proc.Process
	observer Observer // or nil

	mu       sync.Mutex
	inbox    []proc.Input
	frames   int // of inbox: messages and resets, which are bounded
	gauges   []proc.Queue
	counters []proc.Counter
	serving  bool
	wake     chan struct{}
	timers   timers
	out      proc.Effects
	lanes    []*lane // file workers
	kv       *lane
	workers  sync.WaitGroup
}

// put adds an input that must not be dropped.
func (t *task) put(in proc.Input) {
	t.mu.Lock()
	t.inbox = append(t.inbox, in)
	t.mu.Unlock()
	t.signal()
}

// offer adds an input that may be dropped (N1).
func (t *task) offer(in proc.Input) bool {
	t.mu.Lock()
	if t.frames >= t.node.cfg.MailboxInputs || t.node.stopped.Load() {
		t.mu.Unlock()
		return false
	}
	t.frames++
	t.inbox = append(t.inbox, in)
	t.mu.Unlock()
	t.signal()
	return true
}

func (t *task) signal() {
	select {
	case t.wake <- struct{}{}:
	default: // it is awake already
	}
}

// take empties the mailbox into batch.
func (t *task) take(batch []proc.Input) []proc.Input {
	t.mu.Lock()
	defer t.mu.Unlock()
	batch, t.inbox = t.inbox, batch[:0]
	t.frames = 0
	return batch
}

// run is the process's goroutine.
func (t *task) run() {
	defer t.node.running.Done()
	defer t.stopWorkers()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var batch []proc.Input
	for {
		batch = t.take(batch)
		for i := range batch {
			if i%batchInputs == 0 {
				t.fire()
			}
			if t.node.stopped.Load() && t.node.fault != nil {
				return
			}
			t.step(batch[i])
		}
		clear(batch)
		if t.node.stopped.Load() {
			return
		}
		if len(batch) > 0 {
			continue
		}
		wait := t.fire()
		if wait == 0 {
			continue
		}
		timer.Reset(wait)
		select {
		case <-t.wake:
		case <-timer.C:
		case <-t.node.done:
		}
	}
}

const longest = time.Hour

// fire steps through the timers that are due and returns how long to wait for
// the next one, 0 if some fired.
func (t *task) fire() time.Duration {
	fired := false
	for !t.node.stopped.Load() {
		now := t.node.cfg.Clock.Now()
		id, at, ok := t.timers.next()
		switch {
		case !ok && fired:
			return 0
		case !ok:
			return longest
		case at > now.Mono && fired:
			return 0
		case at > now.Mono:
			return min(time.Duration(at-now.Mono), longest)
		}
		t.timers.cancel(id)
		fired = true
		t.step(proc.Input{Kind: proc.Timer, Timer: id})
	}
	return 0
}

// step runs one Step and carries out its effects.
func (t *task) step(in proc.Input) {
	t.out.Reset()
	var begun time.Time
	if t.observer != nil {
		begun = time.Now()
	}
	if err := t.call(in); err != nil {
		t.node.Stop(err)
		return
	}
	if t.observer != nil {
		t.observer.Step(in.Kind, time.Since(begun))
		for _, m := range t.out.Marks {
			t.observer.Mark(m)
		}
	}
	for _, s := range t.out.Timers {
		if s.At < 0 {
			t.timers.cancel(s.ID)
		} else {
			t.timers.set(s.ID, s.At)
		}
	}
	for i := range t.out.Files {
		t.submitFile(&t.out.Files[i])
	}
	for i := range t.out.KVs {
		t.submitKV(&t.out.KVs[i])
	}
	for i := range t.out.Sends {
		t.send(&t.out.Sends[i])
	}
	if t.out.Fault != nil {
		t.node.Stop(fmt.Errorf("%s: %w", t.name, t.out.Fault))
	}
	t.report()
}

// report keeps what the process says of itself, for those who ask from elsewhere.
func (t *task) report() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.process.(proc.Gauged); ok {
		t.gauges = p.Queues(t.gauges[:0])
	}
	if p, ok := t.process.(proc.Counted); ok {
		t.counters = p.Counters(t.counters[:0])
	}
	t.serving = true
	if p, ok := t.process.(proc.Server); ok {
		t.serving = p.Serving()
	}
}

func (t *task) call(in proc.Input) (err error) {
	defer func() {
		if v := panicked(t.name, recover()); v != nil {
			err = v
		}
	}()
	t.process.Step(t.node.cfg.Clock.Now(), in, &t.out)
	return nil
}

func (t *task) send(s *proc.Send) {
	if s.To.Node != t.addr.Node {
		if t.node.cfg.Remote != nil {
			t.node.cfg.Remote.Send(t.addr, s.To, s.Frame)
		}
		return
	}
	if !t.node.Deliver(t.addr, t.peer, s.To, s.Frame) {
		if t.observer != nil {
			t.observer.Dropped()
		}
		t.offer(proc.Input{Kind: proc.Reset, From: s.To})
	}
}

func (t *task) queues() []proc.Queue {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := []proc.Queue{{Name: "host.mailbox", Len: t.frames, Limit: t.node.cfg.MailboxInputs}}
	return append(list, t.gauges...)
}

// lane is a worker with a queue of its own. A process bounds what it has under
// way; the queue only carries it.
type lane struct {
	mu    sync.Mutex
	ready *sync.Cond
	queue []func()
	ended bool
}

func newLane() *lane {
	l := &lane{}
	l.ready = sync.NewCond(&l.mu)
	return l
}

func (l *lane) push(work func()) {
	l.mu.Lock()
	l.queue = append(l.queue, work)
	l.mu.Unlock()
	l.ready.Signal()
}

// end lets the worker finish what is queued and go, or drops the queue: after a
// fault nothing more may be written.
func (l *lane) end(drop bool) {
	l.mu.Lock()
	l.ended = true
	if drop {
		l.queue = nil
	}
	l.mu.Unlock()
	l.ready.Signal()
}

func (l *lane) work() {
	var batch []func()
	for {
		l.mu.Lock()
		for len(l.queue) == 0 && !l.ended {
			l.ready.Wait()
		}
		if len(l.queue) == 0 {
			l.mu.Unlock()
			return
		}
		batch, l.queue = l.queue, batch[:0]
		l.mu.Unlock()
		for i := range batch {
			batch[i]()
			batch[i] = nil
		}
	}
}

func (t *task) startWorkers() {
	start := func() *lane {
		l := newLane()
		t.workers.Add(1)
		go func() {
			defer t.workers.Done()
			l.work()
		}()
		return l
	}
	if t.storage.Files != nil {
		for range t.node.cfg.FileWorkers {
			t.lanes = append(t.lanes, start())
		}
	}
	if t.storage.KV != nil {
		t.kv = start()
	}
}

func (t *task) stopWorkers() {
	drop := t.node.fault != nil
	for _, l := range t.lanes {
		l.end(drop)
	}
	if t.kv != nil {
		t.kv.end(drop)
	}
	t.workers.Wait()
}

func (t *task) submitFile(f *proc.FileOp) {
	token, op := f.Token, f.Op
	if t.lanes == nil {
		t.put(proc.Input{Kind: proc.FileDone, Token: token, File: &disk.Result{Kind: op.Kind, Err: errNoStorage}})
		return
	}
	t.lanes[laneOf(&op, len(t.lanes))].push(func() {
		begun := time.Now()
		res := t.storage.Files.Do(op)
		if t.observer != nil {
			t.observer.File(&op, &res, time.Since(begun))
		}
		t.put(proc.Input{Kind: proc.FileDone, Token: token, File: &res})
	})
}

// laneOf sends the operations of one name to one worker, and all those on the
// directory to the first.
func laneOf(op *disk.Op, lanes int) int {
	switch op.Kind {
	case disk.OpList, disk.OpRename, disk.OpRemove, disk.OpSyncDir:
		return 0
	}
	h := uint32(2166136261)
	for i := range len(op.Name) {
		h = (h ^ uint32(op.Name[i])) * 16777619
	}
	return int(h % uint32(lanes))
}

func (t *task) submitKV(k *proc.KVOp) {
	token, op := k.Token, k.Op
	if t.kv == nil {
		t.put(proc.Input{Kind: proc.KVDone, Token: token, KV: &disk.KVResult{Kind: op.Kind, Err: errNoStorage}})
		return
	}
	t.kv.push(func() {
		begun := time.Now()
		res := disk.DoKV(t.storage.KV, op)
		if t.observer != nil {
			t.observer.KV(op.Kind, res.Err, time.Since(begun))
		}
		t.put(proc.Input{Kind: proc.KVDone, Token: token, KV: &res})
	})
}
