// Package primarybackup is a tutorial: how to put a protocol of your own under
// this simulator. Nothing here belongs to a database; the protocol is a register
// that a primary lets clients write, and of which a backup keeps the copy that
// counts when the primary is gone.
//
// Read it in four parts.
//
//  1. The protocol (register.go): Primary and Backup are state machines. All
//     that happens comes in through Step, all that they want goes out as
//     effects. There is one planted bug: with AckEarly the primary answers a
//     write before the backup has it.
//  2. The workload (workload.go): a Client, which is a process like the others.
//     It writes 1, 2, 3, …, asks again when no answer comes, changes over to the
//     backup when the primary is silent, and keeps a history of what it was told.
//  3. The checker (workload.go): Check looks at the history alone. A register
//     that answered "written" must never again show less.
//  4. The run (run.go): three nodes, a network, a plan of faults from the seed.
//     One seed is one execution: Run(seed, …) gives the same verdict and the
//     same trace hash each time, so the seed is the whole bug report.
//
// The test runs seeds until the bug shows, prints the seed, and repeats it.
// Try it:
//
//	go test -v ./examples/primarybackup
//
// To put your own protocol here: write it as a proc.Process, write a client and
// a checker that knows only histories, and take Run as it is.
package primarybackup

import (
	"encoding/binary"

	"actordb/core/proc"
)

// A frame is one letter for what it is and one number.
const (
	write   = 'w' // client → primary: make the register this
	written = 'W' // the answer
	read    = 'r' // client → backup: show the register; the number tells requests apart
	shown   = 'R' // the answer: request, value
	copied  = 'c' // primary → backup: make your copy this
	kept    = 'C' // the answer
)

func frame(kind byte, numbers ...uint64) []byte {
	f := []byte{kind}
	for _, n := range numbers {
		f = binary.LittleEndian.AppendUint64(f, n)
	}
	return f
}

// parse returns what a frame says; not ok if it was cut short (H5).
func parse(f []byte) (kind byte, n, m uint64, ok bool) {
	switch {
	case len(f) == 9 && f[0] != shown:
		return f[0], binary.LittleEndian.Uint64(f[1:]), 0, true
	case len(f) == 17 && f[0] == shown:
		return f[0], binary.LittleEndian.Uint64(f[1:]), binary.LittleEndian.Uint64(f[9:]), true
	}
	return 0, 0, 0, false
}

// A Primary takes the writes. One is answered when the backup has it; if the
// backup never says so, the client asks again.
type Primary struct {
	Backup   proc.Addr
	AckEarly bool // the planted bug

	waiting map[uint64]proc.Addr // writes that the backup has yet to keep
}

// Step implements proc.Process.
func (p *Primary) Step(_ proc.Now, in proc.Input, out *proc.Effects) {
	if in.Kind != proc.Message {
		return
	}
	switch kind, n, _, _ := parse(in.Frame); kind {
	case write:
		out.Send(p.Backup, frame(copied, n))
		if p.AckEarly {
			out.Send(in.From, frame(written, n))
			return
		}
		p.waiting[n] = in.From
	case kept:
		if client, ok := p.waiting[n]; ok {
			delete(p.waiting, n)
			out.Send(client, frame(written, n))
		}
	}
}

// A Backup keeps a copy and shows it to clients that have given the primary up.
type Backup struct{ value uint64 }

// Step implements proc.Process.
func (b *Backup) Step(_ proc.Now, in proc.Input, out *proc.Effects) {
	if in.Kind != proc.Message {
		return
	}
	switch kind, n, _, _ := parse(in.Frame); kind {
	case copied:
		b.value = max(b.value, n)
		out.Send(in.From, frame(kept, n))
	case read:
		out.Send(in.From, frame(shown, n, b.value))
	}
}
