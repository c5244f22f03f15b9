// Package control is the control plane's view of a deployment. Today it holds the
// process network: which processes a node runs, what each needs to run, how many
// there are, and within which limits.
//
// A Network is a directed acyclic graph, written as dag.jsonnet (see Load). Its
// processes start in topological order, a process after all that it needs, and
// stop in the reverse one. Each process has a Merkle hash over what it is and over
// the hashes of what it needs, so that two networks differ from where their hashes
// differ on up: what a change would restart, and what a fault reaches, are read
// off the graph (paper, section 5.4).
//
//	N1  The graph has no cycle, and every need names a process of the network.
//	N2  Needs are minimal: none follows from the others. So there is one way to
//	    write a network, and one hash.
//	N3  The hash covers effective values: to write a default out changes nothing.
package control

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"actordb/core/proc"
)

// Kind says what a process does.
type Kind string

const (
	Files    Kind = "files"    // the journal's files
	KV       Kind = "kv"       // derived state
	Shard    Kind = "shard"    // actors and their journal
	Gateway  Kind = "gateway"  // clients' commands
	Query    Kind = "query"    // SQL: queries, views, subscriptions
	Worker   Kind = "worker"   // parts of queries
	Listener Kind = "listener" // connections
)

// A Process of the network. Count of them run, numbered from 0.
type Process struct {
	Name    string
	Kind    Kind
	Backend string // of Files and KV
	URL     string // of the backend postgres
	Count   int
	Needs   []string         // sorted
	Limits  map[string]int64 // all of the kind's, defaults included
	Hash    Hash
}

// A Network is valid: only Load and Parse make one.
type Network struct {
	Processes []*Process // each after all that it needs; otherwise by name
	Hash      Hash       // over all processes
}

// The one process of a kind.
func (n *Network) The(kind Kind) *Process {
	for _, p := range n.Processes {
		if p.Kind == kind {
			return p
		}
	}
	panic(fmt.Sprintf("control: a network without a %s is not valid", kind))
}

// Start calls start for each process in topological order, and within one for
// each ordinal. It ends with the first error.
func (n *Network) Start(start func(p *Process, ordinal int) error) error {
	for _, p := range n.Processes {
		for i := range p.Count {
			if err := start(p, i); err != nil {
				return fmt.Errorf("%s: %w", p.Instance(i), err)
			}
		}
	}
	return nil
}

// GatewayAt and ShardAt are the addresses on a node. The gateway has the first
// number, for clients from outside know no other.
func GatewayAt(node proc.NodeID) proc.Addr { return proc.Addr{Node: node, Proc: 1} }

// ShardAt is the address of a node's i-th shard.
func ShardAt(node proc.NodeID, i int) proc.Addr { return proc.Addr{Node: node, Proc: uint32(i + 2)} }

// QueryAt is the address of a node's query process, behind its shards.
func QueryAt(node proc.NodeID) proc.Addr { return proc.Addr{Node: node, Proc: ShardsMax + 2} }

// WorkerAt is the address of a node's i-th worker.
func WorkerAt(node proc.NodeID, i int) proc.Addr {
	return proc.Addr{Node: node, Proc: uint32(ShardsMax + 3 + i)}
}

// Workers are the addresses of a node's workers, none if there is one only: it would
// have no more shards to read than the query process has.
func (n *Network) Workers(node proc.NodeID) (list []proc.Addr) {
	if !n.Has(Worker) || n.The(Worker).Count < 2 {
		return nil
	}
	for i := range n.The(Worker).Count {
		list = append(list, WorkerAt(node, i))
	}
	return list
}

// Has tells whether the network has a process of a kind that it may do without.
func (n *Network) Has(kind Kind) bool {
	return slices.ContainsFunc(n.Processes, func(p *Process) bool { return p.Kind == kind })
}

// Instance names one of a process's instances.
func (p *Process) Instance(ordinal int) string {
	if p.Count == 1 {
		return p.Name
	}
	return fmt.Sprintf("%s-%d", p.Name, ordinal)
}

// With returns the network with another count and other limits of one process, as
// valid as this one, or says why it would not be.
func (n *Network) With(name string, count int, limits map[string]int64) (*Network, error) {
	list := make(map[string]*Process, len(n.Processes))
	for _, p := range n.Processes {
		q := *p
		if p.Name == name {
			q.Count, q.Limits = count, maps.Clone(p.Limits)
			maps.Copy(q.Limits, limits)
		}
		list[p.Name] = &q
	}
	if list[name] == nil {
		return nil, fmt.Errorf("the network has no process %q", name)
	}
	return build(list)
}

// build validates processes and makes a network of them.
func build(list map[string]*Process) (*Network, error) {
	names := slices.Sorted(maps.Keys(list))
	var wrong problems
	for _, name := range names {
		checkProcess(list[name], list, &wrong)
	}
	checkKinds(names, list, &wrong)
	if err := wrong.err(); err != nil {
		return nil, err // what follows needs sound edges
	}
	n := &Network{}
	if cycle := n.sort(names, list); cycle != nil {
		wrong.add("processes", "%s: each needs the next: break the cycle", strings.Join(cycle, " -> "))
		return nil, wrong.err()
	}
	checkMinimal(n, list, &wrong)
	n.checkSizes(&wrong)
	if err := wrong.err(); err != nil {
		return nil, err
	}
	n.seal(list)
	return n, nil
}

// sort puts the processes into topological order, or returns a cycle. Among those
// that could come next the first by name does: the order depends on the graph
// alone.
func (n *Network) sort(names []string, list map[string]*Process) (cycle []string) {
	const (
		fresh = iota
		open
		done
	)
	state := make(map[string]int, len(list))
	var path []string
	var visit func(name string) bool
	visit = func(name string) bool {
		switch state[name] {
		case done:
			return true
		case open:
			at := slices.Index(path, name)
			cycle = append(slices.Clone(path[at:]), name)
			return false
		}
		state[name] = open
		path = append(path, name)
		for _, need := range list[name].Needs {
			if !visit(need) {
				return false
			}
		}
		path = path[:len(path)-1]
		state[name] = done
		n.Processes = append(n.Processes, list[name])
		return true
	}
	for _, name := range names {
		if !visit(name) {
			return cycle
		}
	}
	return nil
}

// checkMinimal refuses a need that follows from another one (N2).
func checkMinimal(n *Network, list map[string]*Process, wrong *problems) {
	reach := make(map[string]map[string]bool, len(list)) // everything that a process needs, near and far
	for _, p := range n.Processes {
		all := make(map[string]bool)
		for _, need := range p.Needs {
			all[need] = true
			maps.Copy(all, reach[need])
		}
		reach[p.Name] = all
		for _, need := range p.Needs {
			for _, other := range p.Needs {
				if other != need && reach[other][need] {
					wrong.add("processes."+p.Name+".needs", "%s needs %s already: drop %s", other, need, need)
					break
				}
			}
		}
	}
}

// Depth is how many processes stand in the longest chain below one.
func (n *Network) Depth(p *Process) int {
	depth := make(map[string]int, len(n.Processes))
	for _, q := range n.Processes {
		for _, need := range q.Needs {
			depth[q.Name] = max(depth[q.Name], depth[need]+1)
		}
	}
	return depth[p.Name]
}

// problems collects what is wrong, each with its place, so that one look mends all.
type problems struct {
	list []string
}

func (w *problems) add(place, format string, args ...any) {
	w.list = append(w.list, place+": "+fmt.Sprintf(format, args...))
}

func (w *problems) err() error {
	if len(w.list) == 0 {
		return nil
	}
	slices.Sort(w.list)
	return &Error{Problems: w.list}
}

// An Error says everything that is wrong with a network: for each problem a line
// with its place in the file's data and what to do.
type Error struct {
	Problems []string
}

func (e *Error) Error() string { return strings.Join(e.Problems, "\n") }

// nearest is the name most like a wrong one, if any is much like it.
func nearest(wrong string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	best := slices.MinFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(distance(wrong, a), distance(wrong, b)), cmp.Compare(a, b))
	})
	if distance(wrong, best) > max(1, len(best)/3) {
		return ""
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = min(diagonal, row[j], row[j+1]) + 1
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
