package core

import (
	"encoding/binary"
	"fmt"
)

// A Level says how new the state must be that a Read or a History tells of.
type Level uint8

const (
	// Linearizable: all that anybody was told before the read was asked for. The
	// replica that leads answers, when a majority has confirmed that it does.
	Linearizable Level = iota
	// FromLeader: all that the replica knows which believes that it leads. It answers
	// at once; one that was replaced and has not heard of it tells what was true.
	FromLeader
	// Stale: all that anybody was told before the read was asked for, less MaxAge. Any
	// replica answers that knows its state to be as young, by its monotonic clock.
	Stale
	// AtToken: all that was committed at or before Token. Any replica answers that has it.
	AtToken
)

// names are those in Command.Type.
var levelNames = [...]string{"", "leader", "stale", "at"}

func (l Level) String() string {
	if l == Linearizable {
		return "linearizable"
	}
	return levelNames[l]
}

// MaxAgeMax bounds a Freshness's MaxAge: a day.
const MaxAgeMax = Timestamp(24 * 3600 * 1e9)

// A Freshness is what a read asks for. The zero value is linearizable.
type Freshness struct {
	Level  Level
	MaxAge Timestamp // Stale: nanoseconds, 0 to MaxAgeMax
	Token  Timestamp // AtToken: of answers (Answer.Timestamp), greater than 0
}

func (f Freshness) String() string {
	switch f.Level {
	case Stale:
		return fmt.Sprintf("stale(%d ms)", f.MaxAge/1e6)
	case AtToken:
		return fmt.Sprintf("at(%d)", f.Token)
	}
	return f.Level.String()
}

// Ask makes a Read or a History one of this freshness: its Type names the level, its
// Payload is the age or the token, 8 bytes. A program that knows of no levels ignores
// both and reads linearizably.
func (f Freshness) Ask(c *Command) {
	c.Type, c.Payload = levelNames[f.Level], nil
	switch f.Level {
	case Stale:
		c.Payload = binary.LittleEndian.AppendUint64(nil, uint64(f.MaxAge))
	case AtToken:
		c.Payload = binary.LittleEndian.AppendUint64(nil, uint64(f.Token))
	}
}

// FreshnessOf reads what a Read or a History asks for.
func FreshnessOf(c *Command) (f Freshness, err error) {
	bound := Timestamp(0)
	if len(c.Payload) == 8 {
		bound = Timestamp(binary.LittleEndian.Uint64(c.Payload))
	}
	switch c.Type {
	case levelNames[Linearizable]:
	case levelNames[FromLeader]:
		f.Level = FromLeader
	case levelNames[Stale]:
		f = Freshness{Level: Stale, MaxAge: bound}
		if len(c.Payload) != 8 || bound < 0 || bound > MaxAgeMax {
			return f, fmt.Errorf("a stale read's payload is its greatest age, 8 bytes: want 0 to %d ns", MaxAgeMax)
		}
	case levelNames[AtToken]:
		f = Freshness{Level: AtToken, Token: bound}
		if len(c.Payload) != 8 || bound <= 0 {
			return f, fmt.Errorf("the payload of a read at a token is the token, 8 bytes: want the timestamp of an answer")
		}
	default:
		return f, fmt.Errorf("no level of reads %q: want leader, stale, at, or nothing", c.Type)
	}
	return f, nil
}

// Anywhere tells of a read that replicas which do not lead may answer, too.
func (c *Command) Anywhere() bool {
	return (c.Kind == Read || c.Kind == History) && (c.Type == levelNames[Stale] || c.Type == levelNames[AtToken])
}
