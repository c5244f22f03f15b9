package workloads

import (
	"actordb/core"
	"actordb/core/actor"
)

// SensorCommand is what a sensor understands: Report.
type SensorCommand interface{ sensorCommand() }

// Report says what was measured, and when by the clock of who did it.
type Report struct {
	Value int64
	At    core.Timestamp
}

func (Report) sensorCommand() {}

// SensorState is the sum of all readings.
type SensorState struct{ Sum int64 }

// Reading is a sensor's one event. Its time is the event's.
type Reading Report

// SensorRef refers to a sensor.
type SensorRef = actor.Ref[SensorCommand]

const sensorReading = "reading"

func newSensor() (*actor.Type[SensorState, SensorCommand, Reading], error) {
	return actor.Define(actor.Behavior[SensorState, SensorCommand, Reading]{
		Type: "sensor",
		New:  func(core.ActorID) SensorState { return SensorState{} },
		Decide: func(_ *SensorState, c SensorCommand, out []Reading) ([]Reading, *core.Refusal) {
			return append(out, Reading(c.(Report))), nil
		},
		Evolve: func(s *SensorState, e Reading) { s.Sum += e.Value },
		EncodeCommand: func(dst []byte, c SensorCommand) (string, []byte) {
			r := c.(Report)
			return "report", appendInt(appendInt(dst, 1, r.Value), 2, int64(r.At))
		},
		DecodeCommand: func(name string, payload []byte) (SensorCommand, error) {
			m, err := parse(payload)
			if err != nil {
				return nil, err
			}
			if name != "report" {
				return nil, actor.ErrNoSuchCommand
			}
			return Report{m.ints[1], core.Timestamp(m.ints[2])}, nil
		},
		EncodeEvent: func(dst []byte, e Reading) ([]byte, actor.EventMeta) {
			return appendInt(dst, 1, e.Value), actor.EventMeta{Name: sensorReading, Version: 1, Time: e.At}
		},
		DecodeEvent: func(name string, payload, _ []byte) (Reading, error) {
			m, err := parse(payload)
			return Reading{Value: m.ints[1]}, eventError(name, sensorReading, err)
		},
		EncodeState: func(dst []byte, s *SensorState) []byte { return appendInt(dst, 1, s.Sum) },
		DecodeState: func(b []byte) (SensorState, error) {
			m, err := parse(b)
			return SensorState{m.ints[1]}, err
		},
		StateVersion: 1,
		Policy:       actor.Policy{Light: true},
	})
}
