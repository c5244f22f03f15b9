package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"testing"
)

// sum hashes the parts one after the other, as the package comment writes it.
func sum(parts ...[]byte) Hash { return sha256.Sum256(bytes.Join(parts, nil)) }

// The hashes are what the package comment defines, computed here from the
// definitions alone.
func TestDefinitions(t *testing.T) {
	row := []byte{0x00, 1, 2, 3}
	header := bytes.Repeat([]byte{7}, 136)
	a, b := Section([]byte("outcomes")), Section([]byte("leaves"))
	salt := [SaltBytes]byte{9, 8, 7}
	secret := [32]byte{1, 2}
	for what, pair := range map[string][2]Hash{
		"leaf":       {Leaf(row), sum(row)},
		"section":    {a, sum([]byte("outcomes"))},
		"block":      {Block(header, a, b), sum([]byte{1}, header, a[:], b[:])},
		"chain":      {Chain(a, b), sum([]byte{3}, a[:], b[:])},
		"commitment": {Commit(salt, []byte("name")), sum([]byte{2}, salt[:], []byte("name"))},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s, want %s", what, pair[0], pair[1])
		}
	}
	salter := Salter{Secret: secret}
	got := salter.Salt(a, 77)
	want := sum([]byte{4}, secret[:], a[:], binary.BigEndian.AppendUint32(nil, 77))
	if !bytes.Equal(got[:], want[:SaltBytes]) {
		t.Errorf("salt %x, want %x", got, want[:SaltBytes])
	}
}

// Fixed answers, so that no change of the code moves the stored format.
func TestKnownAnswers(t *testing.T) {
	var zero Hash
	for _, k := range []struct {
		got  Hash
		want string
	}{
		{Leaf(nil), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},              // SHA-256 of nothing
		{Leaf([]byte{0}), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},        // RFC 6962's empty leaf
		{Section([]byte("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}, // FIPS 180-2
		{Chain(zero, zero), "dc48a742ae32cfd66352372d6120ed14d6629fc166246b05ff8b03e23804701f"},
	} {
		if hex.EncodeToString(k.got[:]) != k.want {
			t.Errorf("%x, want %s", k.got, k.want)
		}
	}
	if zero.String() != "0000000000000000" {
		t.Error(zero.String())
	}
}

// What differs in kind, order or length never hashes alike.
func TestSeparation(t *testing.T) {
	a, b := Section([]byte("a")), Section([]byte("b"))
	seen := map[Hash]string{}
	for what, h := range map[string]Hash{
		"chain ab": Chain(a, b), "chain ba": Chain(b, a), "block of ab": Block(a[:], b), "block of ba": Block(b[:], a),
		"commitment": Commit([SaltBytes]byte{}, b[:]), "leaf": Leaf(append([]byte{TagRow}, a[:]...)),
		"another salt": Commit([SaltBytes]byte{1}, b[:]),
	} {
		if other, ok := seen[h]; ok {
			t.Errorf("%s hashes like %s", what, other)
		}
		seen[h] = what
	}
	s, other := Salter{}, Salter{Secret: [32]byte{1}}
	if s.Salt(a, 1) == s.Salt(a, 2) || s.Salt(a, 1) == s.Salt(b, 1) || s.Salt(a, 1) == other.Salt(a, 1) {
		t.Error("a salt repeats")
	}
}

func BenchmarkLeaf(b *testing.B) {
	row := make([]byte, 120)
	b.ReportAllocs()
	for b.Loop() {
		Leaf(row)
	}
}
