package flow

import (
	"encoding/binary"
	"fmt"
	"slices"

	"actordb/core/row"
	"actordb/core/zset"
	"actordb/disk"
)

// Config bounds and places a circuit.
type Config struct {
	MemoryBytes int        // limit of what it holds; 0: a default
	Store       zset.Store // where state is read that was spilled or restored; may be nil
	Prefix      []byte     // of its keys there
	// Once says that there will be one step, and no retraction in it: a query on
	// demand. ORDER BY … LIMIT then keeps no more than it needs.
	Once bool
}

// an op is an operator at work.
type op interface {
	// absorb takes a batch of its input port. It keeps nothing of it.
	absorb(port int, in *zset.Batch) error
	// flush emits what is due at the end of a step, about fuel rows at a time.
	flush(fuel int) (done bool, err error)
	// commit makes the step's delta a part of the state.
	commit() error
	// memBytes is what it holds.
	memBytes() int
}

// a stateful op has state to store.
type stateful interface {
	attach(store zset.Store, prefix []byte)
	spill(b *disk.Batch, most int) (bool, error)
	applied()
	checkpoint(b *disk.Batch) error
	restore() error
	warm(most int) (rows int, err error)
}

type edge struct{ to, port int }

// core is what every operator has: its place, where its output goes, scratch.
type core struct {
	c     *Circuit
	types []row.Type // of the output
	outs  []edge
	out   *zset.Batch
	errs  row.Errors
}

func (k *core) absorb(int, *zset.Batch) error { return nil }
func (k *core) flush(int) (bool, error)       { return true, nil }
func (k *core) commit() error                 { return nil }
func (k *core) memBytes() int                 { return 0 }

// emit hands a batch to whoever reads the operator.
func (k *core) emit(b *zset.Batch) error {
	if b.N == 0 {
		return nil
	}
	for _, e := range k.outs {
		if err := k.c.ops[e.to].absorb(e.port, b); err != nil {
			return err
		}
	}
	return nil
}

// emitOut emits k.out and empties it.
func (k *core) emitOut() error {
	err := k.emit(k.out)
	k.out.Clear()
	return err
}

// emitFull emits k.out if it is a chunk.
func (k *core) emitFull() error {
	if k.out.N < chunkRows {
		return nil
	}
	return k.emitOut()
}

// A Circuit runs a plan.
type Circuit struct {
	config  Config
	plan    uint64 // which plan this is: its operators, their types and inputs
	ops     []op
	sources map[Node]*core
	outputs []*output
	errors  *errorSink
	late    int64   // rows excluded because their time was over
	bounds  []int64 // of this step, by clock: what has an older time is late
	steps   uint64

	unchecked int // rows pushed since memory was looked at

	flushing int // the op that Finish is at
	begun    bool
	failed   error
}

// Push gives a batch of changes to a source. The circuit keeps nothing of it.
func (c *Circuit) Push(source Node, in *zset.Batch) error {
	if c.failed != nil {
		return c.failed
	}
	s := c.sources[source]
	switch {
	case s == nil:
		return fmt.Errorf("flow: node %d is no source", source)
	case c.begun:
		return fmt.Errorf("flow: a push while a step is being finished; finish it first")
	case in.N != len(in.W) || in.N > row.BatchRowsMax:
		return fmt.Errorf("flow: a batch of %d rows and %d weights; at most %d", in.N, len(in.W), row.BatchRowsMax)
	case !slices.Equal(in.Types(), s.types):
		return fmt.Errorf("flow: a batch of %v for a source of %v", in.Types(), s.types)
	}
	if err := s.emit(in); err != nil {
		return c.fail(err)
	}
	if c.unchecked += in.N; c.unchecked < chunkRows {
		return nil
	}
	return c.checkMemory()
}

// Finish works on the end of the step, through about fuel rows. When it is
// done, the outputs hold the step's changes.
func (c *Circuit) Finish(fuel int) (done bool, err error) {
	if c.failed != nil {
		return false, c.failed
	}
	if !c.begun {
		c.begun, c.flushing = true, 0
	}
	for c.flushing < len(c.ops) {
		if fuel <= 0 {
			return false, c.checkMemory()
		}
		part := min(fuel, fuelPart)
		done, err := c.ops[c.flushing].flush(part)
		if err != nil {
			return false, c.fail(err)
		}
		if done {
			c.flushing++
			continue
		}
		if err := c.checkMemory(); err != nil {
			return false, err
		}
		fuel -= part
	}
	if err := c.checkMemory(); err != nil {
		return false, err
	}
	for _, o := range c.ops {
		if err := o.commit(); err != nil {
			return false, c.fail(err)
		}
	}
	c.begun = false
	c.steps++
	return true, nil
}

// Step pushes one batch for each source that has one, and finishes the step.
func (c *Circuit) Step(in map[Node]*zset.Batch) error {
	for n := range Node(len(c.ops)) {
		if b := in[n]; b != nil {
			if err := c.Push(n, b); err != nil {
				return err
			}
		}
	}
	for {
		if done, err := c.Finish(1 << 20); done || err != nil {
			return err
		}
	}
}

// fail keeps the first error: a circuit that failed in the middle of a step has
// taken in a part of it.
func (c *Circuit) fail(err error) error {
	if c.failed == nil {
		c.failed = err
	}
	return c.failed
}

func (c *Circuit) checkMemory() error {
	c.unchecked = 0
	if used := c.MemBytes(); used > c.config.MemoryBytes {
		return c.fail(&MemoryError{used, c.config.MemoryBytes})
	}
	return nil
}

// MemBytes is the memory that the circuit's state and outputs hold.
func (c *Circuit) MemBytes() (n int) {
	for _, o := range c.ops {
		n += o.memBytes()
	}
	return n
}

// Steps is how many steps were finished.
func (c *Circuit) Steps() uint64 { return c.steps }

// Late is how many rows (weights, without their sign) were excluded because
// their time was over. The rows themselves come out of the late node.
func (c *Circuit) Late() int64 { return c.late }

// Output returns the change of output i in the step that ended last:
// consolidated, in an order that depends on the rows alone. It is good until
// the next Push.
func (c *Circuit) Output(i int) *zset.Batch { return c.outputs[i].result }

// Error is the error that the results so far must be refused with, if any: of
// several, one that depends on the data alone.
func (c *Circuit) Error() (*row.Error, error) { return c.errors.first() }

// Spill adds writes of about most bytes of state to b, so that Applied can free
// their memory. It reports whether there was something to write. Call it between
// steps.
func (c *Circuit) Spill(b *disk.Batch, most int) (bool, error) {
	if c.begun {
		return false, nil
	}
	any := false
	from := b.Bytes
	for _, o := range c.ops {
		if s, ok := o.(stateful); ok && b.Bytes-from < most {
			wrote, err := s.spill(b, most-(b.Bytes-from))
			if err != nil {
				return false, c.fail(err)
			}
			any = any || wrote
		}
	}
	return any, nil
}

// Applied says that the batches that Spill has filled are applied.
func (c *Circuit) Applied() {
	for _, o := range c.ops {
		if s, ok := o.(stateful); ok {
			s.applied()
		}
	}
}

// metaVersion is the version of the circuit's own record, and of the states of
// its operators.
const metaVersion = 2

func (c *Circuit) metaKey() []byte { return append(slices.Clone(c.config.Prefix), 'c') }

func (c *Circuit) opPrefix(i int) []byte {
	return binary.BigEndian.AppendUint32(append(slices.Clone(c.config.Prefix), 'o'), uint32(i))
}

// Checkpoint adds to b what Restore needs to begin where the last step ended,
// and cut, the caller's name of that place. All of b is to be applied at once,
// before what the next Checkpoint or Spill writes.
func (c *Circuit) Checkpoint(b *disk.Batch, cut []byte) error {
	if c.failed != nil {
		return c.failed
	}
	if c.begun {
		return fmt.Errorf("flow: a checkpoint within a step")
	}
	for _, o := range c.ops {
		if s, ok := o.(stateful); ok {
			if err := s.checkpoint(b); err != nil {
				return c.fail(err)
			}
		}
	}
	m := []byte{metaVersion}
	m = binary.LittleEndian.AppendUint64(m, c.plan)
	m = binary.AppendVarint(m, int64(c.steps))
	m = binary.AppendVarint(m, c.late)
	for _, bound := range c.bounds { // how many, the plan says
		m = binary.AppendVarint(m, bound)
	}
	m = append(m, cut...)
	b.Put(c.metaKey(), m)
	return nil
}

// Restore makes a circuit that was just built what it was at the checkpoint
// that the store holds, and returns its cut. found is false if there is none.
func (c *Circuit) Restore() (cut []byte, found bool, err error) {
	if c.config.Store == nil || c.steps > 0 || c.begun {
		return nil, false, fmt.Errorf("flow: only a new circuit with a store can be restored")
	}
	m, found, err := c.config.Store.Get(c.metaKey())
	if err != nil || !found {
		return nil, false, err
	}
	r := reader{b: m}
	version := r.bytes(1)[0]
	plan := binary.LittleEndian.Uint64(r.bytes(8))
	steps, late := r.varint(), r.varint()
	bounds := make([]int64, len(c.bounds))
	for i := range bounds {
		bounds[i] = r.varint()
	}
	if r.bad || version != metaVersion || plan != c.plan || steps < 0 || late < 0 {
		return nil, true, &zset.DamageError{Key: c.metaKey(), What: "is of another plan or version"}
	}
	for _, o := range c.ops {
		if s, ok := o.(stateful); ok {
			if err := s.restore(); err != nil {
				return nil, true, c.fail(err)
			}
		}
	}
	c.steps, c.late, c.bounds = uint64(steps), late, bounds
	return slices.Clone(r.b), true, nil
}

// Warm reads about most rows of what Restore has found into memory, and reports whether
// all is there: then the store is not read any more.
func (c *Circuit) Warm(most int) (done bool, err error) {
	for _, o := range c.ops {
		if s, ok := o.(stateful); ok {
			n, err := s.warm(most)
			if err != nil {
				return false, c.fail(err)
			}
			if most -= n; most <= 0 {
				return false, nil
			}
		}
	}
	return true, c.checkMemory()
}
