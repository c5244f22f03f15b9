package flow

import (
	"errors"
	"testing"

	"actordb/core/row"
	"actordb/core/zset"
	"actordb/disk"
	"actordb/disk/memkv"
)

func everyAcc() (accs []acc) {
	for _, a := range []struct {
		kind AggKind
		t    row.Kind
	}{{CountRows, row.Int4}, {SumOf, row.Int8}, {Avg, row.Numeric}, {SumOf, row.Float8}, {BoolAnd, row.Bool}} {
		t := row.Of(a.t)
		out, _ := aggType(a.kind, t)
		accs = append(accs, newAcc(Agg{Kind: a.kind}, t, out))
	}
	return accs
}

// A group's record is decoded to what encodes to an equal group, or refused.
func FuzzRecord(f *testing.F) {
	key := row.NewBatch(nil)
	key.N = 1
	t0 := newTable(nil, everyAcc())
	t0.insert(1, key, nil, 0)
	t0.total[0] = 2
	f.Add(t0.encode(nil, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, y := newTable(nil, everyAcc()), newTable(nil, everyAcc())
		x.insert(1, key, nil, 0)
		y.insert(1, key, nil, 0)
		if err := x.decode(b, 0); err != nil {
			var d *zset.DamageError
			if !errors.As(err, &d) {
				t.Fatal(err)
			}
			return
		}
		again := x.encode(nil, 0)
		if err := y.decode(again, 0); err != nil {
			t.Fatalf("%x encodes as %x, which is refused: %v", b, again, err)
		}
		var v row.Vector
		for k := range x.accs {
			v.Reset(x.accs[k].out)
			x.accs[k].result(&v, 0)
			y.accs[k].result(&v, 0)
			if !row.Same(&v, 0, &v, 1) {
				t.Fatalf("%s becomes %s", v.Value(0), v.Value(1))
			}
		}
	})
}

// A circuit is restored from its own record, or not at all.
func FuzzRestore(f *testing.F) {
	p := NewPlan()
	p.Output(p.Project(p.Source([]row.Type{tInt}), row.Col{Index: 0, Of: tInt}))
	kv := memkv.New()
	c, err := p.Build(Config{Store: kv})
	if err != nil {
		f.Fatal(err)
	}
	var b disk.Batch
	if err := c.Checkpoint(&b, []byte("cut")); err != nil {
		f.Fatal(err)
	}
	if err := kv.Apply(&b); err != nil {
		f.Fatal(err)
	}
	own, _, _ := kv.Get(c.metaKey())
	f.Add(own)
	f.Add([]byte{metaVersion})
	f.Fuzz(func(t *testing.T, m []byte) {
		var b disk.Batch
		b.Put(c.metaKey(), m)
		if err := kv.Apply(&b); err != nil {
			t.Fatal(err)
		}
		again, err := p.Build(Config{Store: kv})
		if err != nil {
			t.Fatal(err)
		}
		if _, found, err := again.Restore(); !found || err == nil && (len(m) < 9 || string(m[:9]) != string(own[:9])) {
			t.Fatalf("%x is taken: %v, %v", m, found, err)
		}
	})
}
