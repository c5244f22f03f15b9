// Package sim runs processes (package core/proc) on one thread, in virtual
// time, from one seed. It knows nothing of the system that the processes make
// up: give it yours.
//
// A World holds nodes; a node holds processes and a clock. Whatever will happen
// to a process is a pending input in one ordered queue: a frame in flight, a
// timer, the completion of a file or KV operation. A step takes one of them,
// calls the process, and turns its effects into new pending inputs. A Strategy
// decides which one is taken; a Network decides what becomes of frames; a
// Storage does the file and KV work; the user of the World crashes, pauses and
// restarts nodes and bends their clocks, from callbacks scheduled with At.
//
// # Invariants
//
// S1. One seed gives one execution: equal configuration and equal calls give
// an equal TraceHash, on every run of one binary, whatever GOMAXPROCS is.
//
// S2. Virtual time never goes back. An input is never delivered before it is
// due, and, unless its node is paused, at most Strategy.Slack after that. So no
// strategy starves a process.
//
// S3. Inputs of one channel are delivered in the order in which they were
// queued, under every strategy. Channels are: the operations of one process on
// one file name, those on its directory, its KV operations, the frames between two processes of one
// node, and the frames between two processes that the Network marked Ordered.
//
// S4. Streams are independent: a draw more in one place shifts no other.
//
// S5. A crash voids: after it nothing that was pending for the crashed
// incarnation is delivered, and no operation of it is completed. Frames on
// their way to it are lost, and so are frames sent while it is down.
//
// S6. Nothing is shared. A frame is hashed when it is sent, before it is
// delivered and after the Step that received it; the data of a write is hashed
// at submission and at completion. A difference stops the world with a
// SharingError.
//
// S7. Everything has a limit (Limits); reaching one stops the world with a
// LimitError, a process that overfills one of its queues with a QueueError.
//
// S8. A run can be repeated from its Log alone, whatever strategy made it.
//
// S9. A callback runs at exactly its time, before the inputs due at that time.
//
// S10. The first input of an incarnation is Start (H1), timers are never early
// on their node's monotonic clock (H4), and that clock never goes back within
// an incarnation (H7).
//
// # What it does not do
//
// It does not look inside processes: two effects of one Step are never
// interleaved with another process, since no host does that. It does not model
// processor time: a Step takes no virtual time. It does not share memory
// between nodes, and cannot catch processes that do; keep their state their own.
//
// # Example
//
//	w := sim.New(sim.Config{Seed: 42, Strategy: sim.Strategy{Kind: sim.Random}})
//	a := w.Spawn(w.AddNode(sim.ClockConfig{}), "ping", "", sim.Storage{}, newPing)
//	w.At(time.Second, "power cut", func() { w.Crash(a.Node, true) })
//	w.At(2*time.Second, "power back", func() { w.Restart(a.Node) })
//	err := w.Run(time.Minute)
//	fmt.Println(w.Steps(), w.TraceHash(), err)
//
// The tutorial is package examples/primarybackup.
package sim
