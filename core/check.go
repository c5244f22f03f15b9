package core

import (
	"fmt"
	"unicode/utf8"
)

// CheckCommand checks a command against the format and the limits. It looks at
// nothing else, so gateways, shards and clients agree on it.
func CheckCommand(c *Command) (Code, string) {
	if err := c.Actor.Validate(); err != nil {
		return CodeMalformed, clip(err.Error())
	}
	switch {
	case c.Kind < Decide || c.Kind > Regroup:
		return CodeMalformed, fmt.Sprintf("command kind %d", c.Kind)
	case c.Kind.Changes() && c.Number == 0:
		return CodeMalformed, "commands are numbered from 1"
	case c.AckedBelow > c.Number:
		return CodeMalformed, fmt.Sprintf("command %d declares those below %d answered", c.Number, c.AckedBelow)
	case len(c.Principal) > PrincipalBytesMax:
		return CodeTooLarge, fmt.Sprintf("principal of %d bytes, the limit is %d", len(c.Principal), PrincipalBytesMax)
	case len(c.Payload) > PayloadBytesMax:
		return CodeTooLarge, fmt.Sprintf("payload of %d bytes, the limit is %d", len(c.Payload), PayloadBytesMax)
	case c.Kind == Decide && !ValidTypeName(c.Type):
		return CodeMalformed, clip(fmt.Sprintf("command type %q", c.Type))
	case c.Kind == Append && len(c.Events) == 0:
		return CodeMalformed, "an append without events"
	case c.Kind != Append && len(c.Events) > 0:
		return CodeMalformed, "only an append carries events"
	case len(c.Events) > CommandEventsMax:
		return CodeTooLarge, fmt.Sprintf("%d events, the limit is %d", len(c.Events), CommandEventsMax)
	}
	if c.Kind == Read || c.Kind == History {
		if _, err := FreshnessOf(c); err != nil {
			return CodeMalformed, clip(err.Error())
		}
	}
	size := len(c.Payload)
	for i := range c.Events {
		e := &c.Events[i]
		switch {
		case !ValidTypeName(e.Type):
			return CodeMalformed, clip(fmt.Sprintf("event %d: type %q", i, e.Type))
		case e.Version == 0:
			return CodeMalformed, fmt.Sprintf("event %d: versions are counted from 1", i)
		case len(e.Payload) > PayloadBytesMax || len(e.Personal) > PayloadBytesMax:
			return CodeTooLarge, fmt.Sprintf("event %d: payload over %d bytes", i, PayloadBytesMax)
		}
		size += len(e.Payload) + len(e.Personal)
	}
	if size > CommandBytesMax {
		return CodeTooLarge, fmt.Sprintf("command of %d bytes, the limit is %d", size, CommandBytesMax)
	}
	return CodeNone, ""
}

// clip cuts a detail to its limit, between characters.
func clip(s string) string {
	n := min(len(s), DetailBytesMax)
	for n > 0 && n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
