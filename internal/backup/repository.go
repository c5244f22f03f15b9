// Package backup copies a node's directory into a repository while the node runs
// and writes, and makes directories from it again, as they were at a backup or
// at a point in time between.
//
//	REPO/repository.json        format
//	REPO/chunks/ab/abcd…        bytes under their SHA-256
//	REPO/backups/ID.json        what one backup consists of, under a hash of its own
//
// # What is promised
//
//	B1  A backup holds everything that was acknowledged before it began.
//	B2  A backup is reported, and seen by others, only when all of it is durable.
//	B3  Bytes that are in the repository already are not stored again.
//	B4  A damaged file of the repository is located and refused, never restored from.
//	B5  What is restored up to a point has nothing that came later: neither events
//	    nor answers of sessions nor states.
//	B6  A restored directory is a cluster of its own: nothing of it passes for the
//	    original's, nor the other way round (docs/decisions).
package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"actordb/core"
	"actordb/disk/osfile"
	"actordb/internal/datadir"
)

const (
	repositoryFile   = "repository.json"
	repositoryFormat = 1
	chunksDir        = "chunks"
	backupsDir       = "backups"
	manifestSuffix   = ".json"

	chunkBytes       = 1 << 20 // of a segment in one chunk
	chunkBytesMax    = 16 << 20
	manifestBytesMax = 256 << 20
)

// ErrNotRepository is wrapped when a directory is no repository.
var ErrNotRepository = errors.New("not a backup repository")

// ErrNone is wrapped when a repository has no such backup, or none at all.
var ErrNone = errors.New("no such backup")

// A Damage is a file of a repository that is not what was written.
type Damage struct {
	File   string
	Reason string
}

func (d *Damage) Error() string {
	return fmt.Sprintf("backup repository: %s: %s; restore another backup, or the file from a copy of the repository", d.File, d.Reason)
}

// A Manifest is one backup.
type Manifest struct {
	Format   int             `json:"format"`
	ID       string          `json:"id"`
	Begun    time.Time       `json:"begun"`
	Ended    time.Time       `json:"ended"`
	Cluster  string          `json:"cluster"`
	Node     uint32          `json:"node"`
	Identity json.RawMessage `json:"identity"` // node.json
	Shards   []Shard         `json:"shards"`
	Sum      string          `json:"sum"` // SHA-256 of the manifest with an empty Sum
}

// A Shard is one shard of a backup.
type Shard struct {
	Shard    core.ShardID   `json:"shard"`
	Floor    core.Index     `json:"floor"`
	Last     core.Index     `json:"last"`
	Until    core.Timestamp `json:"until"`    // of the last block
	Position core.Index     `json:"position"` // that the derived store reflects; 0: it is not in the backup
	Clock    core.Timestamp `json:"clock"`    // at that position
	Segments []Segment      `json:"segments"`
	Derived  []string       `json:"derived"` // chunks of pairs
}

// A Segment is one segment's valid frames.
type Segment struct {
	Number uint64     `json:"number"`
	Bytes  int64      `json:"bytes"`
	After  core.Index `json:"after"` // the last entry before it
	End    core.Index `json:"end"`   // the last entry in the files up to its end
	Chunks []string   `json:"chunks"`
}

// A Repository is an open one.
type Repository struct {
	path  string
	lock  io.Closer
	dirs  map[string]bool // whose names are to be made durable
	Added int64           // bytes of chunks that were new
}

// Create opens a repository to add to it, and makes it if there is none. One
// process adds at a time: the error may be an *osfile.OwnedError.
func Create(path string) (*Repository, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	there := slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == repositoryFile })
	foreign := slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return !slices.Contains([]string{osfile.LockName, chunksDir, backupsDir}, e.Name()) && !strings.HasPrefix(e.Name(), repositoryFile)
	})
	if !there && foreign {
		return nil, fmt.Errorf("%s: %w: it has other files; name an empty directory", path, ErrNotRepository)
	}
	lock, err := osfile.Open(path)
	if err != nil {
		return nil, err
	}
	r := &Repository{path: path, lock: lock, dirs: map[string]bool{}}
	if !there {
		for _, d := range []string{chunksDir, backupsDir} {
			err = errors.Join(err, os.MkdirAll(filepath.Join(path, d), 0o700))
		}
		if err == nil {
			err = datadir.WriteDurably(filepath.Join(path, repositoryFile), []byte(fmt.Sprintf("{\"format\": %d}\n", repositoryFormat)))
		}
	}
	if err = errors.Join(err, r.check()); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Open opens a repository for reading.
func Open(path string) (*Repository, error) {
	r := &Repository{path: path}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Repository) check() error {
	path := filepath.Join(r.path, repositoryFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w: it has no %s", r.path, ErrNotRepository, repositoryFile)
	}
	if err != nil {
		return err
	}
	var head struct{ Format int }
	if err := json.Unmarshal(b, &head); err != nil {
		return &Damage{repositoryFile, err.Error()}
	}
	if head.Format != repositoryFormat {
		return &core.VersionError{Place: path, Found: uint64(head.Format), Reads: repositoryFormat}
	}
	return nil
}

// Close gives the repository up.
func (r *Repository) Close() error {
	if r.lock == nil {
		return nil
	}
	return r.lock.Close()
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func (r *Repository) chunkPath(name string) string {
	return filepath.Join(chunksDir, name[:2], name)
}

// put stores bytes under their hash, unless they are there.
func (r *Repository) put(b []byte) (name string, err error) {
	name = sum(b)
	path := filepath.Join(r.path, r.chunkPath(name))
	if there, err := os.ReadFile(path); err == nil && sum(there) == name {
		return name, nil // whole, not merely present: a later backup heals what was damaged
	}
	dir := filepath.Dir(path)
	if !r.dirs[dir] {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
		r.dirs[dir], r.dirs[filepath.Dir(dir)] = true, true
	}
	f, err := os.CreateTemp(dir, "new-")
	if err != nil {
		return "", err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	r.Added += int64(len(b))
	return name, nil
}

// get reads a chunk, which must be what was written.
func (r *Repository) get(name string) ([]byte, error) {
	if raw, err := hex.DecodeString(name); err != nil || len(raw) != sha256.Size {
		return nil, &Damage{backupsDir, fmt.Sprintf("%.80q is no chunk's name", name)}
	}
	file := r.chunkPath(name)
	f, err := os.Open(filepath.Join(r.path, file))
	if errors.Is(err, os.ErrNotExist) {
		return nil, &Damage{file, "the file is missing"}
	}
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, chunkBytesMax+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if sum(b) != name {
		return nil, &Damage{file, "its content has another hash"}
	}
	return b, nil
}

func (m *Manifest) seal() error {
	m.Sum = ""
	b, err := json.Marshal(m)
	if err == nil {
		m.Sum = sum(b)
	}
	return err
}

// commit makes all chunks durable, and then the backup.
func (r *Repository) commit(m *Manifest) error {
	for dir := range r.dirs {
		if err := datadir.SyncDir(dir); err != nil {
			return err
		}
	}
	if err := m.seal(); err != nil {
		return err
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return datadir.WriteDurably(filepath.Join(r.path, backupsDir, m.ID+manifestSuffix), append(b, '\n'))
}

// Manifest reads one backup.
func (r *Repository) Manifest(id string) (*Manifest, error) {
	file := filepath.Join(backupsDir, id+manifestSuffix)
	if id == "" || id != filepath.Base(id) {
		return nil, fmt.Errorf("backup %.80q: %w", id, ErrNone)
	}
	f, err := os.Open(filepath.Join(r.path, file))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("backup %s: %w", id, ErrNone)
	}
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, manifestBytesMax+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	var head struct{ Format int }
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, &Damage{file, err.Error()}
	}
	if head.Format != repositoryFormat {
		return nil, &core.VersionError{Place: file, Found: uint64(head.Format), Reads: repositoryFormat}
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, &Damage{file, err.Error()}
	}
	want := m.Sum
	if err := m.seal(); err != nil || m.Sum != want || m.ID != id {
		return nil, &Damage{file, "its content has another hash"}
	}
	// Every byte counts, also those that JSON does not care for.
	if again, err := json.Marshal(&m); err != nil || !bytes.Equal(append(again, '\n'), b) {
		return nil, &Damage{file, "its content has another hash"}
	}
	return &m, nil
}

// IDs lists the backups, oldest first: an id begins with its time.
func (r *Repository) IDs() (list []string, err error) {
	entries, err := os.ReadDir(filepath.Join(r.path, backupsDir))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), manifestSuffix); ok {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list, nil
}

// Check reads all of a backup.
func (r *Repository) Check(m *Manifest, moved func(bytes int64)) error {
	for i := range m.Shards {
		names := slices.Clone(m.Shards[i].Derived)
		for _, s := range m.Shards[i].Segments {
			names = append(names, s.Chunks...)
		}
		for _, name := range names {
			b, err := r.get(name)
			if err != nil {
				return err
			}
			if moved != nil {
				moved(int64(len(b)))
			}
		}
	}
	return nil
}
