package workloads

import (
	"strconv"
	"time"

	"actordb/checkers"
	"actordb/core"
)

// A client of the sensors has one of its own and a clock that is off by up to
// sensorSkew; it reports to shared ones and to ones that are used once, too. Its own
// falls silent for a while, and then tells what it measured meanwhile.
const (
	ownShare     = 60
	onceShare    = 3
	sensorSkew   = 400 * time.Millisecond
	silentEvery  = 600 // operations of a client
	silentOps    = 200 // of them without its own sensor
	resumedOps   = 25  // of them, after that, tell what is old
	sensorsOff   = 11  // so many different clocks
	sensorSpread = 200 * time.Millisecond
)

// sensorOp reports a measurement: mostly of now, some late by seconds, some by much
// more, some of a far future, some twice.
func (g *Generator) sensorOp(n int) Planned {
	off := core.Timestamp(sensorSkew) * core.Timestamp(2*(g.client*37%sensorsOff)-sensorsOff+1) / (sensorsOff - 1)
	now := g.now + off
	at := now - core.Timestamp(g.rand.Int64N(int64(sensorSpread)))
	once, own := false, false
	var id core.ActorID
	switch draw := g.rand.IntN(100); {
	case draw < ownShare && n%silentEvery < silentEvery-silentOps:
		id, own = core.ActorID("sensor/own-"+strconv.Itoa(g.client)), true
	case draw < ownShare+onceShare && draw >= ownShare:
		id, once = core.ActorID("sensor/once-"+strconv.Itoa(g.client)+"-"+strconv.Itoa(n)), true
	default:
		id = g.actor(kindSensor, n)
		once = g.recall(id) == nil // a source that begins with what is old would hold back all others
	}
	if g.chance(readShare) {
		return read(id, checkers.Value{})
	}
	value := g.rand.Int64N(100) - 20
	if m := &g.reported; m.id == id && g.chance(6) {
		value, at = m.value, m.at
	} else if own && n%silentEvery < resumedOps && n >= silentEvery {
		at = now - core.Timestamp(g.rand.Int64N(int64(8*time.Second)))
	} else if !once {
		at = g.misdated(now, at)
	}
	if g.client%2 == 0 { // a clock of tenths of seconds: its times fall on the bounds of windows
		at -= at % core.Timestamp(100*time.Millisecond)
	}
	g.reported = reported{id, value, at}
	ref := g.sensor
	ref.ID = id
	p := Planned{Name: "inc", In: checkers.Value{Ints: g.intArgs(value)}, Command: ref.Command(Report{value, at})}
	g.expect(&p.Command, 10)
	return p
}

// misdated draws what is wrong with a time, if anything.
func (g *Generator) misdated(now, at core.Timestamp) core.Timestamp {
	switch draw := g.rand.IntN(100); {
	case draw < 12:
		return now - core.Timestamp(g.rand.Int64N(int64(4*time.Second)))
	case draw < 18:
		return now - core.Timestamp(4*time.Second) - core.Timestamp(g.rand.Int64N(int64(20*time.Second)))
	case draw < 21:
		return now + core.Timestamp(g.rand.Int64N(int64([]time.Duration{time.Second, time.Minute, 24 * 365 * 100 * time.Hour}[g.rand.IntN(3)])))
	}
	return at
}

// reported is a client's last measurement.
type reported struct {
	id    core.ActorID
	value int64
	at    core.Timestamp
}
