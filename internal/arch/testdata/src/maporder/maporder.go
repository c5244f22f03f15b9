package maporder

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sort"
	"strings"
)

type entry struct {
	size  int
	dirty bool
	next  *entry
}

func (e *entry) big() bool  { return e.size > limit(3) }
func (e *entry) grow() bool { e.size++; return true }
func (e *entry) deep() int  { return e.next.deep() + 1 }
func limit(n int) int       { return n * 2 }
func emit(s string)         { panic(s) }
func show(e *entry) string  { emit("x"); return "" }

type box struct {
	names []string
	total int
	m     map[string]*entry
}

func right(m map[string]*entry, counts map[string]int, b *box) (bool, []string) {
	for k, e := range m {
		if e.big() && len(k) > 1 {
			delete(m, k)
		}
	}
	n, flags, largest, deepest := 0, 0, 0, 0
	for _, c := range counts {
		n += c
		flags |= 1 << c
		largest = max(largest, c)
		if c > deepest {
			deepest = c
		}
	}
	for range m {
		n++
	}
	var keys []string
	for k := range m {
		if !strings.HasPrefix(k, "_") {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return false, nil
	}
	slices.Sort(keys)
	for k := range m {
		b.names = append(b.names, k)
	}
	sort.Strings(b.names)
	var all []*entry
	for _, e := range m {
		all = append(all, e)
	}
	slices.SortFunc(all, func(x, y *entry) int { return x.size - y.size })
	copied := map[string]*entry{}
	sizes := map[int]int{}
	groups := map[string][]int{}
	for k, e := range m {
		copied[k] = e
		sizes[e.size]++
		groups[k] = append(groups[k], e.size)
	}
	for _, e := range m {
		e.dirty = false
	}
	for _, e := range m {
		if e.size < 0 {
			return true, nil
		}
	}
	found := false
	for k := range m {
		if k == "x" {
			found = true
			break
		}
	}
	for _, e := range m {
		sum := 0
		for i := range 3 {
			if i > e.size {
				break
			}
			sum += i
		}
		switch {
		case sum > 3:
			b.total += sum
		default:
			continue
		}
	}
	for _, ms := range []map[string]*entry{m, copied} {
		for k := range ms {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	maps.DeleteFunc(m, func(k string, e *entry) bool { return e.big() })
	_ = maps.Collect(maps.All(m))
	_ = slices.Sorted(maps.Values(counts))
	return found, slices.Sorted(maps.Keys(m))
}

func wrong(m map[string]*entry, counts map[string]int, b *box) (string, []string) {
	for k := range m { // want `maprange: .* emit, which may have effects`
		emit(k)
	}
	for _, e := range m { // want `maprange: .* e.grow, which may have effects`
		if e.grow() {
			b.total++
		}
	}
	for _, e := range m { // want `maprange: .* show, which may have effects`
		_ = show(e)
	}
	for k := range m { // want `maprange: .* deletes an entry other than the key's`
		delete(m, k+"x")
	}
	var keys []string
	for k := range m { // want `maprange: order of a map leaks: keys is not sorted before its next use`
		keys = append(keys, k)
	}
	fmt.Println(keys)
	slices.Sort(keys)
	for k := range m { // want `maprange: order of a map leaks: keys is not sorted`
		keys = append(keys, k)
	}
	if b.total > 0 {
		slices.Sort(keys)
	}
	for k := range m { // want `maprange: .* left early with more than one outcome`
		keys = append(keys, k)
		if len(k) > 3 {
			break
		}
	}
	slices.Sort(keys)
	last, sum, ratio, joined := "", 0, 0.0, ""
	for k := range m { // want `maprange: .* the last assignment to last wins`
		last = k
	}
	for _, c := range counts { // want `maprange: .* sum is read while the loop changes it`
		sum += c
		if sum > 10 {
			b.total = 1
		}
	}
	for _, c := range counts { // want `maprange: .* accumulation into ratio, which is no integer`
		ratio += float64(c)
	}
	for k := range counts { // want `maprange: .* accumulation into joined, which is no integer`
		joined += k
	}
	best := 0
	for k, c := range counts { // want `maprange: .* wins|read while`
		if c > best {
			best, last = c, k
		}
	}
	for k, c := range counts { // want `maprange: .* may depend on which entry came first`
		if c > 3 {
			return k, nil
		}
	}
	state := 0
	_ = state
	for _, c := range counts { // want `maprange: .* the last assignment to state wins`
		if c > 3 {
			state = 1
		} else {
			state = 2
		}
	}
	for _, e := range m { // want `maprange: .* left early with more than one outcome`
		e.dirty = true
		break
	}
	byCount := map[int]string{}
	for k, c := range counts { // want `maprange: .* the last assignment to byCount\[c\] wins`
		byCount[c] = k
	}
	for k := range m { // want `maprange: .* a statement that may act in order`
		defer emit(k)
	}
	for last = range m { // want `maprange: the loop variables outlive the loop`
	}
	for range maps.Keys(m) { // want `maprange: maps.Keys outside slices.Sorted`
	}
	_ = slices.Collect(maps.Values(m))                                                  // want `maprange: maps.Values outside slices.Sorted`
	maps.DeleteFunc(m, func(k string, e *entry) bool { b.total++; return b.total > 3 }) // want `maprange: .* predicate has effects`
	_ = reflect.ValueOf(m).MapKeys()                                                    // want `maprange: order of reflect's MapKeys`
	return last, keys
}
