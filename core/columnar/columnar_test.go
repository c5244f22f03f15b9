package columnar

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"actordb/core"
	"actordb/core/row"
	"actordb/core/seal"
)

// texts are values of every type, those at its edges among them.
var texts = map[row.Type][]string{
	row.Of(row.Bool):        {"t", "f"},
	row.Of(row.Int2):        {"0", "-32768", "32767", "7"},
	row.Of(row.Int4):        {"0", "-2147483648", "2147483647", "42"},
	row.Of(row.Int8):        {"0", "-9223372036854775808", "9223372036854775807", "5"},
	row.Of(row.Float4):      {"0", "-1.5", "3.25e30", "NaN", "Infinity", "-Infinity"},
	row.Of(row.Float8):      {"0", "-1.5", "3.25e300", "NaN", "Infinity", "-Infinity", "0.1"},
	row.Of(row.Numeric):     {"0", "1.50", "-123456789012345678901234567890.125", "NaN"},
	row.Of(row.Text):        {"", "a", "ä", "a longer text than sixteen bytes", "zz"},
	row.Of(row.Bytea):       {`\x`, `\x00ff`, `\x6162`},
	row.Of(row.Date):        {"2026-11-22", "infinity", "-infinity", "4713-01-01 BC", "5874897-12-31"},
	row.Of(row.Time):        {"00:00:00", "23:59:59.999999"},
	row.Of(row.Timestamp):   {"2026-11-22 01:02:03.5", "infinity", "-infinity", "1000-01-01 00:00:00"},
	row.Of(row.Timestamptz): {"2026-11-22 01:02:03.5+00", "infinity", "-infinity"},
	row.Of(row.Interval):    {"1 day", "-3 mons 02:00:00"},
	row.Of(row.UUID):        {"00112233-4455-6677-8899-aabbccddeeff", "ffffffff-ffff-ffff-ffff-ffffffffffff"},
	row.Of(row.JSONB):       {"null", `{"a": [1, 2]}`},
	row.ArrayOf(row.Text):   {"{}", `{a,"b c",NULL}`},
	row.ArrayOf(row.Int4):   {"{1,-2,3}"},
}

func types() (list []row.Type) {
	for t := range texts {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b row.Type) int { return strings.Compare(a.String(), b.String()) })
	return list
}

func parsed(t testing.TB, typ row.Type, text string) row.Value {
	v, err := row.Parse(typ, []byte(text))
	if err != nil {
		t.Fatalf("%s: %v", typ, err)
	}
	return v
}

// sample makes rows of a table of all types, sorted by its first two columns, which tell rows
// apart.
func sample(t testing.TB, n int, seed uint64) (Description, *row.Batch) {
	r := rand.New(rand.NewPCG(seed, 1))
	schema := row.Schema{{Name: "key", Type: row.Of(row.Text), NotNull: true}, {Name: "seq", Type: row.Of(row.Int8), NotNull: true}}
	for i, typ := range types() {
		schema = append(schema, row.Column{Name: fmt.Sprintf("c%02d", i), Type: typ, NotNull: i%3 == 0})
	}
	b := row.NewBatch(schema.Types())
	for i := range n {
		values := []row.Value{parsed(t, schema[0].Type, fmt.Sprintf("actor-%d", i%7)), {Type: schema[1].Type, I: int64(i)}}
		for _, c := range schema[2:] {
			switch list := texts[c.Type]; {
			case !c.NotNull && r.IntN(4) == 0:
				values = append(values, row.NullOf(c.Type))
			default:
				values = append(values, parsed(t, c.Type, list[r.IntN(len(list))]))
			}
		}
		b.AppendValues(values...)
	}
	d := Description{Table: "shop.all", Columns: ColumnsOf(schema, 2), Ranges: []Range{{Shard: 1, First: 3, Last: 9, Chain: "00"}}}
	return d, b
}

func write(t testing.TB, d Description, b *row.Batch, group int) ([]byte, seal.Hash) {
	t.Helper()
	w, err := NewWriter(d)
	if err != nil {
		t.Fatal(err)
	}
	w.group = group
	for from := 0; from < b.N; from += 100 {
		some := row.NewBatch(b.Types())
		some.AppendRange(b, from, min(from+100, b.N))
		if err := w.Add(some); err != nil {
			t.Fatal(err)
		}
	}
	file, name, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return file, name
}

// read reads some columns of all row groups.
func read(file []byte, name seal.Hash, cols []int) (*row.Batch, error) {
	f, err := Open(bytes.NewReader(file), int64(len(file)), name)
	if err != nil {
		return nil, err
	}
	var all *row.Batch
	for g := range f.Groups() {
		b := row.NewBatch(nil)
		if err := f.Read(g, cols, b); err != nil {
			return nil, err
		}
		if all == nil {
			all = row.NewBatch(b.Types())
		}
		all.AppendRange(b, 0, b.N)
	}
	return all, nil
}

func everyColumn(d Description) (cols []int) {
	for i := range d.Columns {
		cols = append(cols, i)
	}
	return cols
}

// sortedBy is what a file of the rows must hold.
func sortedBy(b *row.Batch, sorts ...row.Sort) *row.Batch {
	order := make([]int32, b.N)
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(x, y int32) int { return row.CompareBy(sorts, b, int(x), b, int(y)) })
	out := row.NewBatch(b.Types())
	out.AppendGather(b, order)
	return out
}

// equal compares the values as a user sees them, and the vectors' own equality.
func equal(t interface{ Fatalf(string, ...any) }, got, want *row.Batch) {
	if got.N != want.N || len(got.Cols) != len(want.Cols) {
		t.Fatalf("%d rows of %d columns, want %d of %d", got.N, len(got.Cols), want.N, len(want.Cols))
	}
	for c, v := range got.Cols {
		for i := range got.N {
			if !row.Same(v, i, want.Cols[c], i) {
				t.Fatalf("row %d, column %d (%s): %s, want %s", i, c, v.Type, v.Value(i), want.Cols[c].Value(i))
			}
		}
	}
}

// TestRoundTrip protects G3: every type, nulls, any columns in any order, row groups
// of any size.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d, b := sample(t, rapid.IntRange(1, 400).Draw(r, "rows"), rapid.Uint64().Draw(r, "seed"))
		file, name := write(t, d, b, rapid.IntRange(1, 300).Draw(r, "group"))
		cols := rapid.Permutation(everyColumn(d)).Draw(r, "columns")
		cols = cols[:rapid.IntRange(1, len(cols)).Draw(r, "wanted")]
		got, err := read(file, name, cols)
		if err != nil {
			r.Fatalf("%v", err)
		}
		equal(r, got, sortedBy(b, row.Sort{Col: 0}, row.Sort{Col: 1}).Pick(cols))
	})
}

// TestDistinct protects that rows that come together are counted, whatever columns are asked
// for and however their values stand: expanded again they are the rows.
func TestDistinct(t *testing.T) {
	merged := 0
	rapid.Check(t, func(r *rapid.T) {
		d, b := sample(t, rapid.IntRange(1, 400).Draw(r, "rows"), rapid.Uint64().Draw(r, "seed"))
		file, name := write(t, d, b, 300)
		f, err := Open(bytes.NewReader(file), int64(len(file)), name)
		if err != nil {
			r.Fatalf("%v", err)
		}
		weights, rows, plain := []int64(nil), row.NewBatch(nil), row.NewBatch(nil)
		for range 5 {
			cols := rapid.Permutation(everyColumn(d)).Draw(r, "columns")[:rapid.IntRange(0, 3).Draw(r, "wanted")]
			var sorts []row.Sort
			for i := range cols {
				sorts = append(sorts, row.Sort{Col: i})
			}
			for g := range f.Groups() {
				if weights, err = f.ReadDistinct(g, cols, rows, weights); err != nil {
					r.Fatalf("%v", err)
				}
				if err := f.Read(g, cols, plain); err != nil {
					r.Fatalf("%v", err)
				}
				if len(weights) != rows.N {
					r.Fatalf("%d weights of %d rows", len(weights), rows.N)
				}
				if rows.N < plain.N {
					merged++
				}
				expanded := row.NewBatch(rows.Types())
				for i, w := range weights {
					for range w {
						expanded.AppendRow(rows, i)
					}
				}
				equal(r, sortedBy(expanded, sorts...), sortedBy(plain, sorts...))
			}
		}
	})
	if merged == 0 {
		t.Error("no row ever stood for two")
	}
}

// TestEncodings goes through what a column can be: of one value, of few, of none that come
// twice, of nulls alone.
func TestEncodings(t *testing.T) {
	for _, typ := range types() {
		for _, distinct := range []int{0, 1, 3, 5000} {
			schema := row.Schema{{Name: "n", Type: row.Of(row.Int8), NotNull: true}, {Name: "v", Type: typ}}
			b := row.NewBatch(schema.Types())
			for i := range 5000 {
				v := row.NullOf(typ)
				switch {
				case distinct == 5000 && typ.Kind == row.Text:
					v = parsed(t, typ, fmt.Sprintf("value %d", i*7919))
				case distinct == 5000 && (typ.Kind == row.Int8 || typ.Kind == row.Float8):
					v = parsed(t, typ, fmt.Sprint(i*7919-100))
				case distinct > 0 && i%11 > 0:
					list := texts[typ]
					v = parsed(t, typ, list[i%min(distinct, len(list))])
				}
				b.AppendValues(row.Value{Type: schema[0].Type, I: int64(i)}, v)
			}
			d := Description{Table: "x.y", Columns: ColumnsOf(schema, 1)}
			file, name := write(t, d, b, 2000)
			got, err := read(file, name, []int{0, 1})
			if err != nil {
				t.Fatalf("%s, %d values: %v", typ, distinct, err)
			}
			equal(t, got, b)
		}
	}
}

// TestSameBytes protects G1: in any order of adding, in other processes, with one
// processor or more.
func TestSameBytes(t *testing.T) {
	const child = "COLUMNAR_TEST_CHILD"
	d, b := sample(t, 1000, 5)
	file, name := write(t, d, b, 300)
	if os.Getenv(child) != "" {
		fmt.Printf("hash %s %s\n", name, seal.Section(file))
		return
	}
	order := make([]int32, b.N)
	for i, k := range rand.New(rand.NewPCG(3, 4)).Perm(b.N) {
		order[i] = int32(k)
	}
	shuffled := row.NewBatch(b.Types())
	shuffled.AppendGather(b, order)
	if again, _ := write(t, d, shuffled, 300); !bytes.Equal(file, again) {
		t.Error("the order of adding shows in the file")
	}
	want := fmt.Sprintf("hash %s %s\n", name, seal.Section(file))
	for _, procs := range []string{"1", "4"} {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestSameBytes$")
		cmd.Env = append(os.Environ(), child+"=1", "GOMAXPROCS="+procs)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("another process, GOMAXPROCS=%s: %v; %s, want %s", procs, err, out, want)
		}
	}
}

// TestStockReader reads a file as any program would, without this package's reader.
func TestStockReader(t *testing.T) {
	d, b := sample(t, 500, 9)
	file, _ := write(t, d, b, 200)
	want := sortedBy(b, row.Sort{Col: 0}, row.Sort{Col: 1})
	p, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range p.Schema().Columns() {
		if c[0] != d.Columns[i].Name {
			t.Errorf("column %d is %s, want %s", i, c[0], d.Columns[i].Name)
		}
	}
	if s := p.RowGroups()[0].SortingColumns(); len(s) != 2 || s[0].Path()[0] != "key" || s[1].Path()[0] != "seq" {
		t.Errorf("the file says that it is sorted by %v", s)
	}
	at := 0
	for _, g := range p.RowGroups() {
		rows := g.Rows()
		buf := make([]parquet.Row, 64)
		for {
			n, _ := rows.ReadRows(buf)
			if n == 0 {
				break
			}
			for _, r := range buf[:n] {
				for c, v := range r {
					switch w := want.Cols[c]; {
					case w.Null(at) != v.IsNull():
						t.Fatalf("row %d, column %d: null is %t", at, c, v.IsNull())
					case v.IsNull():
					case w.Type.Kind == row.Text && string(v.ByteArray()) != string(w.Bytes(at)), w.Type.Kind == row.Int8 && v.Int64() != w.I[at],
						physicalOf(w.Type) == asText && string(v.ByteArray()) != w.Value(at).String():
						t.Fatalf("row %d, column %d: %v, want %s", at, c, v, w.Value(at))
					}
				}
				at++
			}
		}
		rows.Close()
	}
	if at != want.N {
		t.Errorf("%d rows, want %d", at, want.N)
	}
}

// TestDamage protects G2: each byte of a file changed, and a file cut anywhere, is refused
// with its place or read as it was; the latter only where a scan does not look.
func TestDamage(t *testing.T) {
	d, b := sample(t, 30, 2)
	some := []int{0, 1, 3, 7, 9}
	b = b.Pick(some)
	for i, col := range some {
		d.Columns[i] = d.Columns[col]
	}
	d.Columns = d.Columns[:len(some)]
	file, name := write(t, d, b, 20)
	f, err := Open(bytes.NewReader(file), int64(len(file)), name)
	if err != nil {
		t.Fatal(err)
	}
	read1 := make([]bool, len(file)) // bytes that a scan of all columns depends on
	for g := range f.Groups() {
		for c := range d.Columns {
			at, size := extent(f.chunk(g, c))
			for i := range size {
				read1[at+i] = true
			}
		}
	}
	footer := len(file) - tailBytes
	for i := range tailBytes {
		footer -= int(uint(file[len(file)-tailBytes+i])<<(8*i)) * min(1, max(0, 4-i))
	}
	for i := footer; i < len(file); i++ {
		read1[i] = true
	}
	cols := everyColumn(d)
	want := sortedBy(b, row.Sort{Col: 0}, row.Sort{Col: 1})
	for at := range file {
		broken := slices.Clone(file)
		broken[at] ^= 1 << (at % 8)
		got, err := read(broken, name, cols)
		var damage *Damage
		switch {
		case err == nil && read1[at]:
			t.Fatalf("byte %d changed: nothing is said", at)
		case err == nil:
			equal(t, got, want)
		case !errors.As(err, &damage):
			t.Fatalf("byte %d changed: %v is no Damage", at, err)
		}
	}
	for n := range file {
		if _, err := read(file[:n], name, cols); err == nil {
			t.Fatalf("cut to %d bytes: nothing is said", n)
		}
	}
	place := &Damage{}
	at, _ := extent(f.chunk(1, 3))
	broken := slices.Clone(file)
	broken[at+1] ^= 1
	if _, err := read(broken, name, cols); !errors.As(err, &place) || place.Group != 1 || place.Column != d.Columns[3].Name || place.Name != name {
		t.Errorf("the place is %+v, want column %q of row group 1", place, d.Columns[3].Name)
	}
}

// TestZones protects that row groups are passed over only if no row in them is wanted.
func TestZones(t *testing.T) {
	d, b := sample(t, 700, 11)
	file, name := write(t, d, b, 100)
	f, err := Open(bytes.NewReader(file), int64(len(file)), name)
	if err != nil {
		t.Fatal(err)
	}
	met, all := 0, 0
	for col, c := range f.schema {
		for i := range 30 {
			v := b.Cols[col].Value(i * 23)
			if v.IsNull {
				continue
			}
			for g := range f.Groups() {
				rows := row.NewBatch(nil)
				if err := f.Read(g, []int{col}, rows); err != nil {
					t.Fatal(err)
				}
				one := row.NewVector(c.Type)
				one.AppendValue(v)
				has := [3]bool{} // less or equal, equal, greater or equal
				for k := range rows.N {
					if !rows.Cols[0].Null(k) {
						o := row.Compare(rows.Cols[0], k, one, 0)
						has[0], has[1], has[2] = has[0] || o <= 0, has[1] || o == 0, has[2] || o >= 0
					}
				}
				for k, bound := range []Bound{{col, row.Value{}, v}, {col, v, v}, {col, v, row.Value{}}} {
					meets := f.Meets(g, []Bound{bound})
					if has[k] && !meets {
						t.Fatalf("column %q, %s: row group %d is passed over", c.Name, v, g)
					}
					if all++; meets {
						met++
					}
				}
			}
		}
	}
	if met == all {
		t.Error("nothing was ever passed over")
	}
	for g, key := range []string{"actor-0", "actor-1"} { // sorted, so a key is in its own row group
		v := parsed(t, row.Of(row.Text), key)
		if got := []bool{f.Meets(0, []Bound{{0, v, v}}), f.Meets(1, []Bound{{0, v, v}})}; !got[g] || got[1-g] {
			t.Errorf("%s: row groups met: %v", key, got)
		}
	}
}

// TestRefused protects the limits and what a writer takes.
func TestRefused(t *testing.T) {
	d, b := sample(t, 10, 1)
	w, err := NewWriter(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(b.Pick([]int{0})); err == nil {
		t.Error("a batch of other columns is taken")
	}
	if err := w.Add(b.Pick(append([]int{1, 0}, everyColumn(d)[2:]...))); err == nil {
		t.Error("columns of other types are taken")
	}
	bad := row.NewBatch(b.Types())
	bad.AppendRow(b, 0)
	bad.Cols[1].SetNull(0)
	if err := w.Add(bad); err == nil {
		t.Error("a null is taken where there is none")
	}
	w.rows.N = RowsMax - 5
	if err := w.Add(b); err == nil || !w.Full() {
		t.Error("there is no limit")
	}
	for _, cols := range [][]Column{nil, {{Name: "x", Type: "nothing"}}, {{Name: "x", Type: "text"}, {Name: "x", Type: "text"}}} {
		if _, err := NewWriter(Description{Columns: cols}); err == nil {
			t.Errorf("%v are taken as columns", cols)
		}
	}
	if _, err := decodeDescription(`{"version": 2}`); !errors.As(err, new(*core.VersionError)) {
		t.Errorf("a later version: %v", err)
	}
}

// TestNothingStaysBehind protects who writes and reads inside an event loop.
func TestNothingStaysBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	d, b := sample(t, 2000, 3)
	file, name := write(t, d, b, 500)
	if _, err := read(file, name, everyColumn(d)); err != nil {
		t.Fatal(err)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, %d before", after, before)
	}
}

// TestEmpty protects a file of no rows.
func TestEmpty(t *testing.T) {
	d, b := sample(t, 0, 1)
	file, name := write(t, d, b, 10)
	f, err := Open(bytes.NewReader(file), int64(len(file)), name)
	if err != nil || f.Groups() != 0 || f.Ranges[0] != d.Ranges[0] || f.Table != d.Table {
		t.Errorf("%+v, %v", f, err)
	}
}
