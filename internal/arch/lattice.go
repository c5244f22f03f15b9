package arch

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// latticeText says what each folder may import: first the folder, then after
// the colon packages of this module and of others. Arrows point down: a line
// names only folders of lines above it. The standard library is free but for
// cryptography under core, which only core/seal may touch. "x/..." stands for
// x and everything below it. A new folder needs a line here before it builds.
const latticeText = `
# contracts and vocabulary
disk:
core/proc:              disk
internal/proctest:      core/proc disk
core:                   core/proc github.com/cespare/xxhash/v2

# the engine
core/seal:              core crypto/...
core/row:               github.com/cockroachdb/apd/v3 google.golang.org/protobuf/encoding/protowire
core/zset:              core/row disk
core/columnar:          core core/row core/seal github.com/parquet-go/parquet-go github.com/parquet-go/parquet-go/...
core/flow:              core/row core/zset disk github.com/cockroachdb/apd/v3
core/journal:           core core/seal core/proc disk go.etcd.io/raft/v3 go.etcd.io/raft/v3/confchange go.etcd.io/raft/v3/tracker go.etcd.io/raft/v3/raftpb google.golang.org/protobuf/proto
core/actor:             core google.golang.org/protobuf/encoding/protowire
net/wire:               core
core/feed:              core core/proc core/journal net/wire
core/shard:             github.com/cespare/xxhash/v2 google.golang.org/protobuf/proto core core/proc core/seal core/journal core/actor core/feed net/wire disk go.etcd.io/raft/v3/...
core/gateway:           core core/proc core/shard net/wire

# SQL
core/sql/tree:
core/sql/sqlerr:        core/sql/tree
core/sql/parse:         core/sql/tree core/sql/sqlerr github.com/pganalyze/pg_query_go/v6 github.com/pganalyze/pg_query_go/v6/parser github.com/wasilibs/go-pgquery github.com/wasilibs/go-pgquery/parser
core/expr:              core/row core/sql/tree core/sql/sqlerr github.com/cockroachdb/apd/v3
core/sql/plan:          core/expr core/row core/sql/tree core/sql/sqlerr
core/sql/pgcat:         core/expr core/row core/zset core/sql/plan core/sql/sqlerr core/sql/tree
core/sql/lower:         core/expr core/flow core/row core/sql/plan core/sql/sqlerr core/sql/tree core/zset disk
core/view:              core core/columnar core/seal core/expr core/sql/pgcat core/journal core/row core/zset disk core/sql/tree core/sql/sqlerr core/sql/plan core/sql/lower
core/query:             core core/actor core/seal core/feed core/journal core/proc core/row core/zset disk core/sql/tree core/sql/sqlerr core/sql/parse core/sql/plan core/sql/lower core/view net/wire google.golang.org/protobuf/encoding/protowire

# the control plane
core/control:           core core/proc core/seal core/journal core/shard core/gateway core/query github.com/google/go-jsonnet

# the default process network
.:                      core/control

# the simulator: knows nothing of the engine
sim:                    core/proc disk github.com/cespare/xxhash/v2
sim/fault:              sim core/proc disk
net/simnet:             sim core/proc
disk/simfile:           disk github.com/tidwall/btree
disk/memkv:             disk github.com/tidwall/btree
disk/disktest:          disk

# real machines: files, stores, what a power loss takes of them, and the network
disk/osfile:            disk golang.org/x/sys/unix
disk/losefs:            disk
disk/pebblekv:          disk github.com/cockroachdb/pebble/v2 github.com/cockroachdb/pebble/v2/...
disk/checked:
disk/sqlitekv:          disk disk/checked modernc.org/sqlite modernc.org/sqlite/lib
disk/pgkv:              disk disk/checked github.com/jackc/pgx/v5 github.com/jackc/pgx/v5/pgconn github.com/jackc/pgx/v5/pgxpool
disk/pgkv/pgtest:
disk/kvfile:            disk
net/tlsnet:             core core/proc github.com/spiffe/go-spiffe/v2/... golang.org/x/sync/semaphore
net/rpc/actordbv1:      connectrpc.com/connect google.golang.org/protobuf/...
net/rpc/actordbv1/actordbv1connect: net/rpc/actordbv1 connectrpc.com/connect
net/rpc:                core core/proc net/wire net/tlsnet net/rpc/actordbv1 net/rpc/actordbv1/actordbv1connect connectrpc.com/connect google.golang.org/protobuf/...

# what clients do, and what must hold: never the engine's logic
checkers:               core github.com/anishathalye/porcupine
checkers/relational:    core/sql/tree core/sql/sqlerr github.com/cockroachdb/apd/v3
workloads/nexmark:      core google.golang.org/protobuf/encoding/protowire
workloads:              core core/proc core/actor net/wire checkers google.golang.org/protobuf/encoding/protowire

# where it all meets
internal/viewtest:      core core/sql/plan core/journal core/row core/seal core/sql/parse core/sql/sqlerr core/sql/tree core/view checkers/relational google.golang.org/protobuf/encoding/protowire
internal/viewcheck:     internal/viewtest core core/journal core/row core/sql/lower core/sql/parse core/sql/tree core/view disk disk/memkv checkers google.golang.org/protobuf/encoding/protowire
internal/testbed:       internal/viewcheck core/query core/feed core/row core/view core/sql/lower core/sql/parse core/sql/tree checkers/relational google.golang.org/protobuf/encoding/protowire github.com/cespare/xxhash/v2 go.etcd.io/raft/v3/raftpb google.golang.org/protobuf/proto . core/control disk core/proc core core/seal core/journal core/actor net/wire core/shard core/gateway sim sim/fault net/simnet disk/simfile disk/memkv checkers workloads
experiments/mutants:    golang.org/x/tools/txtar
internal/host:          core/proc disk golang.org/x/sys/unix
internal/observe:       core/proc disk internal/host net/tlsnet github.com/prometheus/client_golang/...
net/client:             core core/row core/proc core/actor net/wire net/tlsnet
net/pgwire:             core core/row core/sql/pgcat core/sql/parse core/sql/sqlerr core/sql/tree net/client net/tlsnet net/wire github.com/jackc/pgx/v5/pgproto3 github.com/jackc/pgx/v5/pgtype
net/rest:               core core/row core/sql/parse core/sql/sqlerr net/client net/tlsnet net/wire
internal/datadir:       core core/proc disk/osfile
internal/history:       core core/seal core/journal core/actor core/shard disk disk/pebblekv
internal/inspect:       core core/actor core/journal core/shard internal/datadir internal/history
internal/verify:        core core/actor core/journal core/shard disk disk/osfile internal/datadir internal/history
internal/node:          net/pgwire net/rest core/feed core/query core/journal disk/kvfile disk/pgkv disk/sqlitekv internal/observe . core/control disk/memkv internal/datadir disk core/proc core core/actor core/shard core/gateway net/wire net/tlsnet net/client net/rpc net/rpc/actordbv1 net/rpc/actordbv1/actordbv1connect connectrpc.com/connect golang.org/x/net/netutil internal/host disk/osfile disk/pebblekv disk/losefs checkers workloads
internal/nodetest:      internal/node disk core/proc core core/shard core/gateway disk/osfile disk/pebblekv checkers workloads
internal/admission:     core/proc internal/datadir internal/node net/tlsnet
internal/operator:      core core/proc core/shard net/client
internal/drill:         . internal/admission internal/operator core core/actor core/control core/journal core/proc core/shard net/client net/tlsnet disk disk/losefs disk/osfile internal/datadir internal/history internal/host internal/node internal/verify checkers workloads
internal/backup:        net/client net/tlsnet core core/proc core/actor core/journal core/shard disk disk/osfile internal/datadir internal/history internal/verify internal/inspect internal/node github.com/cespare/xxhash/v2
internal/olddata:       core core/journal core/proc core/shard internal/node internal/inspect internal/verify disk/pebblekv net/wire
internal/slt:           checkers/relational core/row core/sql/lower core/sql/parse core/sql/plan core/sql/sqlerr core/sql/tree core/zset github.com/jackc/pgx/v5/pgconn modernc.org/sqlite
internal/load:          github.com/HdrHistogram/hdrhistogram-go golang.org/x/sys/unix
internal/bench:         core core/actor net/client net/tlsnet checkers workloads internal/load
experiments:            core/columnar core/seal core/row core/zset github.com/jackc/pgx/v5 github.com/jackc/pgx/v5/pgconn google.golang.org/protobuf/encoding/protowire checkers internal/testbed internal/viewcheck sim/fault gonum.org/v1/gonum/stat/distuv internal/datadir core/sql/parse core/sql/tree core/view internal/viewtest workloads/nexmark . internal/load internal/bench core core/proc core/actor core/shard net/wire net/client net/tlsnet disk disk/memkv disk/simfile disk/osfile internal/host internal/node gonum.org/v1/gonum/stat
cmd/actordb:            github.com/google/go-jsonnet k8s.io/api/apps/v1 k8s.io/api/core/v1 k8s.io/api/policy/v1 internal/admission core/shard internal/operator core/row net/wire github.com/peterh/liner . internal/load internal/bench experiments internal/host core/control core/proc core/actor net/client net/tlsnet internal/node disk/osfile disk disk/pebblekv internal/backup internal/datadir internal/drill internal/history internal/inspect internal/verify internal/testbed experiments/mutants workloads checkers sim sim/fault core github.com/alecthomas/kong github.com/schollz/progressbar/v3 github.com/jedib0t/go-pretty/v6/... golang.org/x/term
internal/tools/unsimulated:
examples/primarybackup: disk core/proc sim sim/fault net/simnet

internal/arch:          golang.org/x/tools/go/analysis/... golang.org/x/tools/go/packages
`

// testImportsText is what tests of any folder may import besides their own
// package and what its line allows.
const testImportsText = `
pgregory.net/rapid
github.com/rogpeppe/go-internal/testscript
golang.org/x/tools/go/analysis/analysistest
disk/disktest disk/simfile disk/memkv disk/osfile disk/losefs sim internal/proctest internal/nodetest workloads workloads/nexmark
disk/pgkv disk/pgkv/pgtest disk/sqlitekv disk/kvfile
github.com/jackc/pgx/v5 github.com/jackc/pgx/v5/pgconn
core/sql/parse core/columnar core/zset
github.com/bufbuild/protocompile google.golang.org/protobuf/...
`

// lattice maps a folder to the imports that it is allowed.
type lattice struct {
	lines map[string]importSet
	test  importSet
}

type importSet []string

func (s importSet) allows(imported string) bool {
	for _, p := range s {
		if prefix, ok := strings.CutSuffix(p, "/..."); ok {
			if imported == prefix || strings.HasPrefix(imported, prefix+"/") {
				return true
			}
		} else if imported == p {
			return true
		}
	}
	return false
}

// parseLattice reads the table and refuses a folder that stands twice or
// names a folder of the module that is not above it.
func parseLattice(text, testText string) (*lattice, error) {
	l := &lattice{lines: map[string]importSet{}, test: strings.Fields(testText)}
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		folder, imports, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("lattice: %q: want folder: imports", line)
		}
		if _, twice := l.lines[folder]; twice {
			return nil, fmt.Errorf("lattice: %s stands twice", folder)
		}
		set := importSet(strings.Fields(imports))
		for _, imported := range set {
			if !foreign(imported) && !standard(imported) {
				if _, above := l.lines[imported]; !above {
					return nil, fmt.Errorf("lattice: %s imports %s, which is not above it", folder, imported)
				}
			}
		}
		l.lines[folder] = set
	}
	return l, nil
}

// foreign reports whether a path of the table belongs to another module.
func foreign(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return strings.Contains(first, ".")
}

// standard reports whether a path of the table names the standard library,
// which stands there only for what is not free.
func standard(p string) bool { return p == "crypto" || strings.HasPrefix(p, "crypto/") }

// check returns what is wrong with one file's imports.
func (l *lattice) check(f sourceFile) (wrong []string) {
	set, ok := l.lines[f.folder]
	if !ok {
		return []string{fmt.Sprintf("%s: folder %s has no line in the lattice (internal/arch/lattice.go)", f.path, f.folder)}
	}
	for _, spec := range f.syntax.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: import %s: %v", f.path, spec.Path.Value, err))
			continue
		}
		if l.allowed(f, set, imported) {
			continue
		}
		wrong = append(wrong, fmt.Sprintf("%s: %s may not import %s", f.path, f.folder, imported))
	}
	return wrong
}

func (l *lattice) allowed(f sourceFile, set importSet, imported string) bool {
	own, isOwn := strings.CutPrefix(imported, modulePath+"/")
	switch {
	case imported == "C":
		return false
	case isOwn:
		return set.allows(own) || f.test && (own == f.folder || l.test.allows(own))
	case foreign(imported):
		return set.allows(imported) || f.test && l.test.allows(imported)
	case standard(imported) && !f.test && inFolder(f.folder, "core"):
		return set.allows(imported)
	}
	return true
}

// inFolder reports whether folder is root or below it.
func inFolder(folder, root string) bool {
	return folder == root || strings.HasPrefix(folder, path.Clean(root)+"/")
}
