package control

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"actordb/core/seal"
)

// Hash is a SHA-256 digest.
type Hash = seal.Hash

// seal hashes the processes, each over what it needs, and the whole. Every part
// has its length before it, so that no two networks are the same bytes.
func (n *Network) seal(list map[string]*Process) {
	var all strings.Builder
	for _, p := range n.Processes {
		var b strings.Builder
		part := func(s string) { fmt.Fprintf(&b, "%d:%s", len(s), s) }
		part("actordb process 1")
		part(p.Name)
		part(string(p.Kind))
		part(p.Backend)
		part(p.URL)
		part(fmt.Sprint(p.Count))
		for _, name := range slices.Sorted(maps.Keys(p.Limits)) {
			part(name)
			part(fmt.Sprint(p.Limits[name]))
		}
		part("needs")
		for _, need := range p.Needs {
			h := list[need].Hash
			part(string(h[:]))
		}
		p.Hash = seal.Section([]byte(b.String()))
		all.WriteString(string(p.Hash[:]))
	}
	n.Hash = seal.Section([]byte(all.String()))
}

// Changed names the processes that another network has and this one has not, or
// has otherwise, in the order in which that one starts them: what a change from
// this one to that one starts anew.
func (n *Network) Changed(to *Network) (names []string) {
	mine := make(map[string]Hash, len(n.Processes))
	for _, p := range n.Processes {
		mine[p.Name] = p.Hash
	}
	for _, p := range to.Processes {
		if mine[p.Name] != p.Hash {
			names = append(names, p.Name)
		}
	}
	return names
}
