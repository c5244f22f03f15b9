package disk

import (
	"fmt"
	"strings"
	"sync"
)

// nameBytesMax is the longest file name that common file systems take.
const nameBytesMax = 255

// readUncheckedBytes is how long a read may be without a look at the size of
// the file first: the buffer is made before the read, and a request for more
// bytes than the file has must not take the memory of more.
const readUncheckedBytes = 1 << 20

// ValidName reports whether name can name a file in a flat directory. It
// refuses what would leave the directory on some system.
func ValidName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= nameBytesMax &&
		!strings.ContainsAny(name, "/\\\x00")
}

// Check reports what is malformed in op, or nil. The error wraps
// ErrBadRequest.
func (o Op) Check() error {
	bad := false
	switch o.Kind {
	case OpList, OpSyncDir:
	case OpCreate, OpSync, OpStat, OpRemove:
		bad = !ValidName(o.Name)
	case OpRename:
		bad = !ValidName(o.Name) || !ValidName(o.To)
	case OpWrite:
		bad = !ValidName(o.Name) || o.Offset < 0 || o.Offset+int64(len(o.Data)) < 0
	case OpRead:
		bad = !ValidName(o.Name) || o.Offset < 0 || o.Length < 0
	case OpTruncate, OpReserve:
		bad = !ValidName(o.Name) || o.Offset < 0
	default:
		bad = true
	}
	if bad {
		return &PathError{o.Kind, o.Name, o.Offset, ErrBadRequest}
	}
	return nil
}

// An Executor runs Ops against a synchronous FS. It keeps files open between
// Ops, up to a limit.
//
// It may be used from several goroutines. It orders nothing: whoever promises
// F1 runs the Ops of one name one after the other.
//
// A file that was written and not synced is synced before it is closed to make
// room, because some systems tell a failed write-back only to a handle that was
// open at the time. If that Sync fails, the handle stays open and each later
// Sync of that name fails, so that F5 reaches the caller.
type Executor struct {
	fs         FS
	handlesMax int

	mu       sync.Mutex
	open     map[string]*handle
	oldest   *handle // ends of the list in order of use
	newest   *handle
	closeErr error // the first failed Close
}

type handle struct {
	name         string
	file         File
	users        int   // Ops that run on it now
	gone         bool  // renamed, removed or evicted: closed by the last user
	dirty        bool  // written since the last good Sync
	failed       error // what a Sync said on eviction
	older, newer *handle
}

// NewExecutor returns an Executor that keeps at most handlesMax files open,
// and more only while more than that are in use or have failed.
func NewExecutor(fs FS, handlesMax int) *Executor {
	if handlesMax < 1 {
		panic(fmt.Sprintf("disk: handlesMax = %d", handlesMax))
	}
	return &Executor{fs: fs, handlesMax: handlesMax, open: make(map[string]*handle)}
}

// Do runs op to its end.
func (e *Executor) Do(op Op) Result {
	res := Result{Kind: op.Kind}
	if res.Err = op.Check(); res.Err != nil {
		return res
	}
	switch op.Kind {
	case OpList:
		res.Names, res.Err = e.fs.List()
	case OpCreate:
		var f File
		if f, res.Err = e.fs.Create(op.Name); res.Err == nil {
			// A handle under this name would be of a file that is gone.
			e.forget(op.Name)
			e.release(e.adopt(op.Name, f))
		}
	case OpRename:
		e.forget(op.Name)
		e.forget(op.To)
		res.Err = e.fs.Rename(op.Name, op.To)
		// Again, for an Op that opened a file in between: it broke F1, and
		// must not leave a wrong file in the cache for those that keep it.
		e.forget(op.Name)
		e.forget(op.To)
	case OpRemove:
		e.forget(op.Name)
		res.Err = e.fs.Remove(op.Name)
	case OpSyncDir:
		res.Err = e.fs.SyncDir()
	default:
		h, err := e.acquire(op.Name)
		if err != nil {
			res.Err = err
			return res
		}
		e.onFile(h, op, &res)
		e.release(h)
	}
	return res
}

func (e *Executor) onFile(h *handle, op Op, res *Result) {
	switch op.Kind {
	case OpWrite:
		e.setDirty(h)
		res.N, res.Err = h.file.WriteAt(op.Data, op.Offset)
		if res.Err == nil && op.Sync {
			res.Err = e.sync(h)
		}
	case OpRead:
		length := int64(op.Length)
		if length > readUncheckedBytes {
			size, err := h.file.Size()
			if err != nil {
				res.Err = err
				return
			}
			length = max(0, min(length, size-op.Offset))
		}
		buf := make([]byte, length)
		res.N, res.Err = h.file.ReadAt(buf, op.Offset)
		res.Data = buf[:res.N]
	case OpSync:
		res.Err = e.sync(h)
	case OpTruncate:
		e.setDirty(h)
		res.Err = h.file.Truncate(op.Offset)
	case OpReserve:
		e.setDirty(h)
		res.Err = h.file.Reserve(op.Offset)
	case OpStat:
		res.Size, res.Err = h.file.Size()
	}
}

func (e *Executor) setDirty(h *handle) {
	e.mu.Lock()
	h.dirty = true
	e.mu.Unlock()
}

func (e *Executor) sync(h *handle) error {
	e.mu.Lock()
	failed := h.failed
	e.mu.Unlock()
	if failed != nil {
		return failed
	}
	err := h.file.Sync()
	if err == nil {
		e.mu.Lock()
		h.dirty = false
		e.mu.Unlock()
	}
	return err
}

// acquire returns the handle of name, opened if it is not open.
func (e *Executor) acquire(name string) (*handle, error) {
	e.mu.Lock()
	if h := e.open[name]; h != nil {
		h.users++
		e.unlink(h)
		e.link(h)
		e.mu.Unlock()
		return h, nil
	}
	e.mu.Unlock()
	f, err := e.fs.Open(name)
	if err != nil {
		return nil, err
	}
	return e.adopt(name, f), nil
}

// adopt puts an open file into the cache, in use by the caller.
func (e *Executor) adopt(name string, f File) *handle {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := e.open[name]; h != nil { // another goroutine was faster
		h.users++
		e.close(f)
		return h
	}
	e.evict(e.handlesMax - 1)
	h := &handle{name: name, file: f, users: 1}
	e.open[name] = h
	e.link(h)
	return h
}

func (e *Executor) release(h *handle) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h.users--; h.users == 0 && h.gone {
		e.close(h.file)
	}
}

// forget drops the handle of a name that is about to mean another file.
func (e *Executor) forget(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := e.open[name]; h != nil {
		e.drop(h)
	}
}

// evict closes the files used longest ago until keep are left.
func (e *Executor) evict(keep int) {
	for h := e.oldest; h != nil && len(e.open) > keep; {
		next := h.newer
		if h.users == 0 && h.failed == nil {
			if h.dirty {
				h.failed = h.file.Sync()
			}
			if h.failed == nil {
				e.drop(h)
			}
		}
		h = next
	}
}

func (e *Executor) drop(h *handle) {
	delete(e.open, h.name)
	e.unlink(h)
	h.gone = true
	if h.users == 0 {
		e.close(h.file)
	}
}

func (e *Executor) close(f File) {
	if err := f.Close(); err != nil && e.closeErr == nil {
		e.closeErr = err
	}
}

func (e *Executor) link(h *handle) {
	h.older, h.newer = e.newest, nil
	if e.newest != nil {
		e.newest.newer = h
	} else {
		e.oldest = h
	}
	e.newest = h
}

func (e *Executor) unlink(h *handle) {
	if h.older != nil {
		h.older.newer = h.newer
	} else {
		e.oldest = h.newer
	}
	if h.newer != nil {
		h.newer.older = h.older
	} else {
		e.newest = h.older
	}
	h.older, h.newer = nil, nil
}

// Close closes all files and returns the first error that closing a file has
// given. No Op may run any more.
func (e *Executor) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.oldest != nil {
		e.drop(e.oldest)
	}
	return e.closeErr
}

// Check reports what is malformed in op, or nil. The error wraps
// ErrBadRequest.
func (o KVOp) Check() error {
	switch {
	case o.Kind == KVGet, o.Kind == KVFlush,
		o.Kind == KVScan && o.Limit > 0,
		o.Kind == KVApply && o.Batch != nil:
		return nil
	}
	return fmt.Errorf("kv %s: %w", o.Kind, ErrBadRequest)
}

// DoKV runs op against kv to its end.
func DoKV(kv KV, op KVOp) KVResult {
	res := KVResult{Kind: op.Kind}
	if res.Err = op.Check(); res.Err != nil {
		return res
	}
	switch op.Kind {
	case KVGet:
		res.Value, res.Found, res.Err = kv.Get(op.Lo)
	case KVScan:
		res.Err = kv.Scan(op.Lo, op.Hi, func(key, value []byte) bool {
			if len(res.Pairs) == op.Limit {
				res.More = true
				return false
			}
			res.Pairs = append(res.Pairs, Pair{append([]byte{}, key...), append([]byte{}, value...)})
			return true
		})
	case KVApply:
		res.Err = kv.Apply(op.Batch)
	case KVFlush:
		res.Err = kv.Flush()
	}
	return res
}
