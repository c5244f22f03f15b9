// Package datadir is what a node's directory looks like, for the node and for
// the tools that read one.
//
//	DIR/.lock              held by the running node
//	DIR/node.json          who the node is; written once, and when its logs get a newer version
//	DIR/cluster.json       where the nodes of its cluster are, if it has one
//	DIR/shard-N/log/       the journal of shard N
//	DIR/shard-N/kv/        its derived store
//	DIR/shard-N/begun      the journal has existed: if it is gone, it was lost
//
// A node owns its directory: Lock gives it to one process at a time, whatever
// that process then opens in it.
package datadir

import (
	"cmp"
	crand "crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"actordb/core"
	"actordb/core/proc"
	"actordb/disk/osfile"
)

const (
	// IdentityFile says whose directory it is.
	IdentityFile = "node.json"
	// AuthorityDir has the keys of a node that is its own authority. It is no part
	// of the data: it can be made again.
	AuthorityDir = "ca"
	// ShardsMax bounds the shards of one node.
	ShardsMax = 64

	identityBytesMax = 1 << 16
)

// An Identity is what node.json says.
type Identity struct {
	Version  int           `json:"version"` // a core.Version: that of the newest of its logs, for programs that do not speak it
	Cluster  string        `json:"cluster"` // 16 bytes, hexadecimal
	Node     proc.NodeID   `json:"node"`
	Shards   int           `json:"shards"`
	Members  []proc.NodeID `json:"members,omitempty"`  // the nodes that the cluster was made of, ascending; a later one has a greater number; none: it is alone
	Secret   string        `json:"secret"`             // 32 bytes, hexadecimal: feeds the salts of personal columns
	Restored *Restored     `json:"restored,omitempty"` // a backup it was made from
	Sum      string        `json:"sum,omitempty"`      // CRC-32C of the fields before, hexadecimal
}

// sum is what Sum should be.
func (id *Identity) sum() string {
	text := fmt.Sprintf("%d %s %d %d %s", id.Version, id.Cluster, id.Node, id.Shards, id.Secret)
	if len(id.Members) > 0 {
		text += fmt.Sprintf(" %d", id.Members)
	}
	if r := id.Restored; r != nil {
		text += fmt.Sprintf(" %q %q %q %q", r.Cluster, r.Backup, r.Until, r.At)
	}
	return fmt.Sprintf("%08x", crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)))
}

// Restored says which backup a directory was made from.
type Restored struct {
	Cluster string `json:"cluster"` // that was backed up
	Backup  string `json:"backup"`
	Until   string `json:"until,omitempty"` // how far, if not all of it
	At      string `json:"at"`              // when, RFC 3339
}

// ErrNotData is wrapped when a directory is not a node's.
var ErrNotData = errors.New("not a node's directory")

// An IdentityError says what is wrong with a directory's identity, and the cure.
type IdentityError struct {
	Path   string
	Reason string
	// Mismatch says that the directory is whole, and not the one asked for.
	Mismatch bool
}

func (e *IdentityError) Error() string { return e.Path + ": " + e.Reason }

// ClusterID is the cluster's number.
func (id *Identity) ClusterID() (c [16]byte) {
	n, err := hex.Decode(c[:], []byte(id.Cluster))
	core.Assert(err == nil && n == len(c), "a cluster %q that Read let pass", id.Cluster)
	return c
}

// SecretBytes is the secret.
func (id *Identity) SecretBytes() (s [32]byte) {
	n, err := hex.Decode(s[:], []byte(id.Secret))
	core.Assert(err == nil && n == len(s), "a secret that Read let pass")
	return s
}

// Fresh makes the identity of a new directory.
func Fresh(node proc.NodeID, shards int) (*Identity, error) {
	var random [48]byte
	if _, err := crand.Read(random[:]); err != nil {
		return nil, err
	}
	return &Identity{Version: int(core.VersionMin), Node: node, Shards: shards,
		Cluster: hex.EncodeToString(random[:16]), Secret: hex.EncodeToString(random[16:])}, nil
}

// Write puts an identity into a directory, whole or not at all.
func (id *Identity) Write(dir string) error {
	id.Sum = id.sum()
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	return WriteDurably(filepath.Join(dir, IdentityFile), append(b, '\n'))
}

// Read returns whose directory it is. The error wraps ErrNotData if nobody's, is
// a *core.VersionError, or an *IdentityError.
func Read(dir string) (*Identity, error) {
	path := filepath.Join(dir, IdentityFile)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: it has no %s; check the path, or restore it from a backup", dir, ErrNotData, IdentityFile)
	}
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, identityBytesMax+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return ParseIdentity(path, b)
}

// ParseIdentity reads the bytes of an identity file; path is for the errors.
func ParseIdentity(path string, b []byte) (*Identity, error) {
	wrong := func(format string, args ...any) error {
		return &IdentityError{Path: path, Reason: fmt.Sprintf(format, args...) + "; restore it from a backup"}
	}
	if len(b) > identityBytesMax {
		return nil, wrong("over %d bytes", identityBytesMax)
	}
	var id Identity
	if err := json.Unmarshal(b, &id); err != nil {
		return nil, wrong("%v", err)
	}
	if id.Version < int(core.VersionMin) || id.Version > int(core.VersionMax) {
		return nil, &core.VersionError{Place: path, Found: uint64(id.Version), Reads: uint64(core.VersionMax)}
	}
	if raw, err := hex.DecodeString(id.Cluster); err != nil || len(raw) != 16 {
		return nil, wrong("the cluster is not 16 bytes in hexadecimal")
	}
	if raw, err := hex.DecodeString(id.Secret); err != nil || len(raw) != 32 {
		return nil, wrong("the secret is not 32 bytes in hexadecimal")
	}
	if id.Sum != "" && id.Sum != id.sum() {
		return nil, wrong("its checksum says %s, its content %s", id.Sum, id.sum())
	}
	if len(id.Members) > NodesMax || len(id.Members) > 0 && !slices.Contains(id.Members, id.Node) && id.Node < id.Members[len(id.Members)-1] {
		return nil, wrong("node %d of the nodes %v", id.Node, id.Members)
	}
	if id.Shards < 1 || id.Shards > ShardsMax {
		return nil, wrong("%d shards, want 1 to %d", id.Shards, ShardsMax)
	}
	return &id, nil
}

// DefaultShards is how many shards a new directory gets: one for two processors, up
// to 16. A shard's commands take about as much of the gateway and of TLS beside it,
// and each shard has syncs of its own: on two processors and one disk, one shard
// did 177,000 to 188,000 commands a second where two did 111,000 to 130,000
// (actordb bench, 256 in flight).
func DefaultShards() int { return max(1, min(runtime.GOMAXPROCS(0)/2, 16)) }

// Claim locks a directory and reads whose it is, or takes a new or empty one.
// With 0 shards it has as many as it has, a new one DefaultShards. If another
// process has it, the error is an *osfile.OwnedError.
func Claim(dir string, node proc.NodeID, shards int) (*Identity, io.Closer, error) {
	if shards < 0 || shards > ShardsMax {
		return nil, nil, &IdentityError{Path: dir, Reason: fmt.Sprintf("%d shards asked for, want 1 to %d", shards, ShardsMax), Mismatch: true}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("data directory: %w", err)
	}
	if err := ours(dir); err != nil { // before anything is written to it
		return nil, nil, err
	}
	lock, err := osfile.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	id, err := claimed(dir, node, shards)
	if err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	return id, lock, nil
}

// ours refuses a directory of something else.
func ours(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	strange := false
	for _, e := range entries {
		switch e.Name() {
		case IdentityFile:
			return nil
		case osfile.LockName, IdentityFile + newSuffix:
		default:
			strange = true
		}
	}
	if strange {
		return fmt.Errorf("%s: %w, or it lost its %s: it has other files; use an empty directory, or restore it from a backup", dir, ErrNotData, IdentityFile)
	}
	return nil
}

func claimed(dir string, node proc.NodeID, shards int) (*Identity, error) {
	id, err := Read(dir)
	if errors.Is(err, ErrNotData) {
		if id, err = Fresh(node, cmp.Or(shards, DefaultShards())); err == nil {
			err = id.Write(dir)
		}
		return id, err
	}
	switch {
	case err != nil:
		return nil, err
	case id.Node != node:
		return nil, &IdentityError{dir, fmt.Sprintf("belongs to node %d, this is node %d: check the data directory", id.Node, node), true}
	case shards != 0 && id.Shards != shards:
		return nil, &IdentityError{dir, fmt.Sprintf("has %d shards, asked for are %d: the number is fixed when a directory is made", id.Shards, shards), true}
	}
	return id, nil
}

// LockShared keeps nodes out of a directory while a tool reads it. If a node
// runs in it, the error is an *osfile.OwnedError.
func LockShared(dir string) (io.Closer, error) { return osfile.LockShared(dir) }

// ShardDir, LogDir and KVDir are where a shard keeps its things.
func ShardDir(dir string, id core.ShardID) string {
	return filepath.Join(dir, fmt.Sprintf("shard-%d", id))
}
func LogDir(dir string, id core.ShardID) string { return filepath.Join(ShardDir(dir, id), "log") }
func KVDir(dir string, id core.ShardID) string  { return filepath.Join(ShardDir(dir, id), "kv") }

// ViewsDir has the checkpoints of a node's views. It can always be removed.
func ViewsDir(dir string) string { return filepath.Join(dir, "views") }

// ViewsDamaged is there when they were found to be damaged: the next start removes them.
func ViewsDamaged(dir string) string { return filepath.Join(dir, "views.damaged") }

// BegunFile is there when a shard's journal has existed. A replica whose journal is
// gone has forgotten what it promised to others, and one that is new has not.
func BegunFile(dir string, id core.ShardID) string { return filepath.Join(ShardDir(dir, id), "begun") }

const newSuffix = ".new"

// WriteDurably makes a file with these bytes: after a crash it is there as a
// whole, or not at all, or as it was before.
func WriteDurably(path string, b []byte) error {
	temp := path + newSuffix
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
