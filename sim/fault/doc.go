// Package fault holds fault schedules as data: what goes wrong in a run, when,
// and how hard.
//
// A Plan is drawn from a seed and a profile, or read from JSON. It has rates,
// for what can happen to each frame or disk operation, and events, for what
// happens at a time and lasts. A Nemesis carries a Plan out on a sim.World.
// Faults are named by sites; reports use the same names.
//
// # Invariants
//
// P1. A Plan is determined by seed, profile, topology and duration, and
// survives JSON unchanged. It has only integers.
//
// P2. Each site draws from its own stream: adding a site to a profile does not
// change what the others draw.
//
// P3. Every event ends at or before Plan.Heal, which is four fifths into the
// run; every crash has its restart. At Plan.Heal all faults stop, so that the
// rest of the run must make progress.
//
// P4. Events that would undo each other do not overlap on a node.
//
// P5. A fault is counted only when it took effect.
//
// # Profiles
//
//	none        nothing
//	light       the commonest faults, mild, the same for every seed
//	swarm       each fault is on or off by its own coin, and mild or hard by
//	            another (Groce et al.: Swarm Testing, ISSTA 2012)
//	NAME,…      just these sites, mild or hard. What only a power loss can show
//	            (torn_write, lost_unsynced, lost_dirent) brings power_loss along
package fault
