// Package drill kills a real node again and again, under load, as badly as a
// power loss would, and judges what it kept.
//
// The node is a process of its own with the engine, the files, Pebble and the
// TLS that `actordb serve` has; only its files go through disk/losefs, which
// remembers what is not synced. The clients are those of the simulator
// (package workloads), each with a connection and a certificate of its own, and
// so are the checkers. One life of the node:
//
//	start it · let clients send · SIGKILL at a moment that is drawn ·
//	take away what was not synced (losefs.Cut) · start it again
//
// Clients live on and send again what has no answer, so that a command may meet
// several lives. Beside them an appender uses net/client: it finds out when each
// shard accepts commands, writes large events where journals are to grow, and
// forgets with each life what has no answer; its outcome stays unknown.
//
// A drill has stages. Each has a directory, a configuration and a share of the
// kills: small segments, so that kills meet rotations, checkpoints and
// compactions; and large journals, for recovery time. At the end of a stage the
// clients come to rest, the node is killed once more, and everything is read
// back through the wire and judged; then internal/verify reads the directory.
//
// # What is not lost
//
// What does not go through the FS: node.json, the directories themselves, a
// reservation of space. Other faults than power: those are the simulator's.
//
// The seed draws moments, sizes and what clients do. It does not repeat a run: a
// real machine has its own timing.
package drill
