package sim

import "time"

const (
	pendingMaxDefault       = 1 << 20 // a world that needs more has lost its flow control
	stepsPerInstantDefault  = 1 << 20 // more steps without time passing are a livelock
	decisionBytesMaxDefault = 64 << 20
	eventsMaxDefault        = 1 << 20

	// candidatesMax bounds the inputs that a strategy chooses from in one step,
	// so that a step costs the same however many are due at once. The earliest
	// is always among them, which is all that S2 needs.
	candidatesMax = 128

	slackDefault      = 200 * time.Microsecond // about the jitter of one network hop
	localDelayDefault = time.Microsecond
	linkDelayDefault  = 100 * time.Microsecond
	pctDepthDefault   = 3
	pctStepsDefault   = 100_000

	// Rates of monotonic clocks, in parts per million from true. A clock at a
	// tenth or ten times the true rate is further off than any that runs.
	ratePPMMin = -900_000
	ratePPMMax = 9_000_000

	// epochDefault is the true wall time at virtual time zero: 2026-01-01 UTC.
	epochDefault = 1_767_225_600_000_000_000

	// timeMax is "never". Virtual time stays far below, so sums do not overflow.
	timeMax = time.Duration(1 << 62)
	tickMax = 1 << 59 // timers beyond it (18 years) never fire
)

// Limits bounds a World. Zero fields take defaults.
type Limits struct {
	Steps           uint64 // inputs delivered in all; 0: no limit
	Pending         int    // inputs waiting at once
	StepsPerInstant int    // inputs delivered without virtual time passing
	DecisionBytes   int    // size of the recorded decisions
	Events          int    // number of recorded world events
}

func (l *Limits) defaults() {
	orDefault(&l.Pending, pendingMaxDefault)
	orDefault(&l.StepsPerInstant, stepsPerInstantDefault)
	orDefault(&l.DecisionBytes, decisionBytesMaxDefault)
	orDefault(&l.Events, eventsMaxDefault)
}

func orDefault[T ~int | ~int64 | ~uint64](field *T, def T) {
	if *field == 0 {
		*field = def
	}
}
