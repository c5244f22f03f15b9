package testbed

import (
	"math/rand/v2"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"actordb/core"
	"actordb/core/proc"
	"actordb/core/shard"
	"actordb/net/wire"
	"actordb/workloads"
)

// outsider is a client that breaks the rules, with all the knowledge that an
// insider could give it: it forges answers to commands that are under way, sends
// commands past the gateways to the shards, and garbage to both. Whatever of it
// had an effect, the other checkers would see as operations that nobody asked
// for or answers that are not true.
type outsider struct {
	rand     *rand.Rand
	gateways []proc.Addr
	shards   []proc.Addr
	groups   [][]shard.Replica // by shard
	cluster  [16]byte
	records  []*workloads.Recorder
	control  *workloads.Control
}

const outsiderEvery = proc.Tick(50e6)

// Step implements proc.Process.
func (x *outsider) Step(now proc.Now, in proc.Input, out *proc.Effects) {
	if in.Kind != proc.Start && in.Kind != proc.Timer || x.control.Stopped() {
		return
	}
	out.SetTimer(1, now.Mono+outsiderEvery)
	switch x.rand.IntN(4) {
	case 3:
		x.impersonate(out)
	case 0:
		x.forge(out)
	case 1:
		x.intrude(now, out)
	default:
		x.babble(out)
	}
}

// forge answers what a client has just asked, everywhere.
func (x *outsider) forge(out *proc.Effects) {
	ops := x.records[x.rand.IntN(len(x.records))].Ops()
	if len(ops) == 0 {
		return
	}
	o := &ops[len(ops)-1]
	for _, g := range x.gateways {
		var w wire.Writer
		w.Answer(&core.Answer{Session: o.Session, Number: o.Number, Kind: o.Kind, Status: core.Accepted,
			Seq: core.Seq(1 + x.rand.IntN(1000)), Count: 1})
		out.Send(g, w.Finish(wire.Answers))
	}
}

// intrude sends a command straight to a shard, as somebody else.
func (x *outsider) intrude(now proc.Now, out *proc.Effects) {
	c := core.Command{
		Session: core.NewSessionID(core.Timestamp(now.Wall)+60e9, x.rand.Uint64()), Number: 1,
		Actor: "register/contended-0.0", Kind: core.Append, Expected: core.AnySeq, Principal: operatorPeer,
		Events: []core.NewEvent{{Type: "written", Version: 1}},
	}
	if x.rand.IntN(2) == 0 {
		c = core.Command{Number: 1, Actor: "register/contended-0.0", Kind: core.Fence, Principal: operatorPeer,
			Payload: []byte{255, 255, 0, 0, 0, 0, 0, 0}}
	}
	for _, s := range x.shards {
		var w wire.Writer
		w.Command(&c)
		out.Send(s, w.Finish(wire.Commands))
	}
}

// impersonate tells replicas, in the name of one of their group, that another one
// leads in a far term and what they lack is committed.
func (x *outsider) impersonate(out *proc.Effects) {
	g := x.rand.IntN(len(x.groups))
	group := x.groups[g]
	from := group[x.rand.IntN(len(group))].ID
	for i := range group {
		to := group[i].ID
		m := &pb.Message{Type: pb.MsgHeartbeat.Enum(), From: &from, To: &to, Term: proto.Uint64(1 << 40), Commit: proto.Uint64(1 << 40)}
		b, err := proto.Marshal(m)
		if err != nil {
			panic(err)
		}
		var w wire.Writer
		w.Message(&wire.PeerHeader{Cluster: x.cluster, Shard: core.ShardID(g), From: from, To: to}, b)
		out.Send(group[i].Addr, w.Finish(wire.Peers))
	}
}

// babble sends bytes that are no frame, and frames that are cut or bent.
func (x *outsider) babble(out *proc.Effects) {
	to := x.gateways[x.rand.IntN(len(x.gateways))]
	if x.rand.IntN(2) == 0 {
		to = x.shards[x.rand.IntN(len(x.shards))]
	}
	var w wire.Writer
	w.Command(&core.Command{Number: 1, Actor: "register/a", Kind: core.Read, Expected: core.AnySeq})
	b := w.Finish(wire.Commands)
	switch x.rand.IntN(3) {
	case 0:
		for i := range b {
			b[i] = byte(x.rand.Uint32())
		}
	case 1:
		b = b[:x.rand.IntN(len(b))]
	default:
		b[x.rand.IntN(len(b))] ^= 1 << x.rand.IntN(8)
	}
	out.Send(to, b)
}
