package core

import (
	"strings"
	"testing"
)

// What a read asks for comes back from the command, and nothing else passes the door.
func TestFreshness(t *testing.T) {
	for _, f := range []Freshness{{}, {Level: FromLeader}, {Level: Stale}, {Level: Stale, MaxAge: MaxAgeMax}, {Level: AtToken, Token: 1}} {
		for _, kind := range []CommandKind{Read, History} {
			c := Command{Actor: "cart/1", Kind: kind}
			f.Ask(&c)
			got, err := FreshnessOf(&c)
			code, detail := CheckCommand(&c)
			if got != f || err != nil || code != CodeNone || c.Anywhere() != (f.Level >= Stale) {
				t.Errorf("%s: %s, %v, %s %s, anywhere %t", f, got, err, code, detail, c.Anywhere())
			}
		}
	}
	for _, bad := range []struct{ level, payload, want string }{
		{"fresh", "", "no level"}, {"stale", "", "want 0 to"}, {"stale", strings.Repeat("\xff", 8), "want 0 to"},
		{"stale", "\x01\x00\x00\x00\x00\x00\x00\x7f", "want 0 to"}, {"at", "1234567", "8 bytes"}, {"at", strings.Repeat("\x00", 8), "want the timestamp"},
	} {
		c := Command{Actor: "cart/1", Kind: Read, Type: bad.level, Payload: []byte(bad.payload)}
		if code, detail := CheckCommand(&c); code != CodeMalformed || !strings.Contains(detail, bad.want) {
			t.Errorf("%q %x: %s %q", bad.level, bad.payload, code, detail)
		}
	}
	if c := (Command{Kind: Decide, Type: "stale"}); c.Anywhere() {
		t.Error("a command of the name of a level is taken for a read")
	}
}
