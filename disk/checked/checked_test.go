package checked_test

import (
	"bytes"
	"testing"

	"actordb/disk/checked"
)

// Protects K4: any flipped bit, another key and a value cut short are noticed.
func TestValue(t *testing.T) {
	key, value := []byte("key"), []byte("some value")
	stored := checked.Seal(key, value)
	if got, ok := checked.Value(key, stored); !ok || !bytes.Equal(got, value) {
		t.Fatalf("%q, %v", got, ok)
	}
	for bit := range 8 * len(stored) {
		stored[bit/8] ^= 1 << (bit % 8)
		if _, ok := checked.Value(key, stored); ok {
			t.Errorf("bit %d was not noticed", bit)
		}
		stored[bit/8] ^= 1 << (bit % 8)
	}
	for n := range len(stored) {
		if _, ok := checked.Value(key, stored[:n]); ok {
			t.Errorf("%d bytes of %d pass", n, len(stored))
		}
	}
	if _, ok := checked.Value([]byte("kez"), stored); ok {
		t.Error("the value of another key passes")
	}
	if got, ok := checked.Value(nil, checked.Seal(nil, nil)); !ok || len(got) != 0 {
		t.Errorf("nothing under the empty key: %q, %v", got, ok)
	}
}
