package pkgvars

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

type counter struct{ n int }

func (c *counter) add()    { c.n++ }
func (c counter) get() int { return c.n }

type setter interface{ set() }

var (
	total   int
	table   = map[string]int{"a": 1}
	array   [4]int
	object  counter
	pointer = &counter{}
	iface   setter
	ErrGone = errors.New("gone")
	pattern = regexp.MustCompile("x")
	names   = [...]string{"a", "b"}
)

func wrong(other map[string]int) {
	total = 1               // want `pkgvar: assignment to package variable total`
	total++                 // want `pkgvar: assignment to package variable total`
	table["b"] = 2          // want `pkgvar: assignment to package variable table`
	delete(table, "a")      // want `pkgvar: delete on package variable table`
	clear(table)            // want `pkgvar: clear on package variable table`
	copy(array[:], []int{}) // want `pkgvar: copy on package variable array` `pkgvar: address of package variable array`
	p := &object            // want `pkgvar: address of package variable object`
	p.add()
	object.add()          // want `pkgvar: method add may change package variable object`
	object.n = 3          // want `pkgvar: assignment to package variable object`
	pointer.add()         // want `pkgvar: method add may change package variable pointer`
	pointer.n = 4         // want `pkgvar: assignment to package variable pointer`
	iface.set()           // want `pkgvar: method set may change package variable iface`
	for total = range 3 { // want `pkgvar: assignment to package variable total`
	}
}

func init() {
	total = 7 // want `pkgvar: assignment to package variable total`
}

func right(s string) (int, error) {
	local := table[s] + array[1] + object.get() + len(names)
	local++
	b := strings.Builder{}
	b.WriteString(s)
	if pattern.MatchString(s) {
		return 0, ErrGone
	}
	_ = ErrGone.Error()
	local += slices.Index(array[:], 3) + len(strings.Join(names[:], ""))
	table := map[string]int{}
	table["shadow"] = 1
	return local, nil
}
