// Package simnet is the network of a simulated world (sim.Network): links with
// delays, and what goes wrong on them.
//
// There is one link from each node to each other node. A frame takes the
// link's base delay, which is drawn once per link, plus jitter, plus, rarely, a
// long tail. While nothing is injected the frames between two processes arrive
// in order, as on a stream; the faults break every promise that H5 does not
// make.
//
// # Invariants
//
// N1. Equal seeds, configurations and calls give equal deliveries. Each kind of
// fault draws from a stream of its own, and one with rate zero draws nothing:
// switching one on does not shift the others.
//
// N2. A frame that goes over a cut link is lost, whole, without a notice.
//
// N3. A reset loses the frame and all frames in flight between the two
// processes, and tells both.
//
// N4. Of a half-delivered frame the receiver gets fewer bytes than were sent,
// and both sides are told of a reset.
//
// N5. A fault is counted when it took effect: a partition when it ate its first
// frame, a slow link when it first held one back, a reordered frame when a later
// one could overtake it.
//
// N6. After Heal, a frame sent arrives once, whole, and within BaseMax plus
// Jitter and the time that it waits for bandwidth, or right after an earlier one
// that is delayed still.
//
// N7. No frame waits longer than WaitMax for bandwidth: it is lost instead, as
// a full send buffer loses it.
//
// # What it does not do
//
// It damages no bytes: H5 leaves that to the transport. It does not touch frames
// in flight, other than by a reset: what left before a partition began arrives.
package simnet
