package losefs

import "testing"

// A record of the undo journal may be any bytes: what is taken for one is in
// bounds, and what encode wrote is taken for what it was.
func FuzzDecode(f *testing.F) {
	whole := entry{kind: kindAdopt, id: 3, other: 4, off: 5, n: 6, size: 7, from: "a", to: "b", old: []byte("old")}
	f.Add(whole.encode(nil)[headerBytes:], int64(9))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, body []byte, at int64) {
		e, ok := decode(body, at)
		if !ok {
			return
		}
		if e.off < 0 || e.n < 0 || e.size < 0 || len(e.old) > len(body) {
			t.Fatalf("%+v of %d bytes", e, len(body))
		}
		again, ok := decode(e.encode(nil)[headerBytes:], at)
		if !ok || again.id != e.id || again.from != e.from || again.to != e.to || string(again.old) != string(e.old) || again.oldAt != e.oldAt {
			t.Fatalf("%+v, written again %+v", e, again)
		}
	})
}
