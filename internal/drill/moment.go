package drill

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"actordb/core"
	"actordb/internal/datadir"
)

// Moments at which a node is killed.
const (
	atStart      = "start"      // some time after the process began: in recovery, or just after
	underLoad    = "load"       // after so many operations, or bytes
	atRotation   = "rotation"   // the journal has just begun a segment
	atCheckpoint = "checkpoint" // the derived store has just made a file
	atCompaction = "compaction" // a segment has just gone
	atRest       = "rest"       // every client has its answers
)

// Moments lists them.
func Moments() []string {
	return []string{atStart, underLoad, atRotation, atCheckpoint, atCompaction, atRest}
}

// A moment comes when due says so; it is asked often. Nothing tells a drill what
// goes on in a node but its directory.
type moment struct {
	name string
	due  func() bool
}

const (
	watchEvery   = 300 * time.Microsecond
	watchedMax   = 3           // changes that are awaited
	afterMax     = time.Second // of what is awaited without an answer to it, the load is enough
	startWithin  = 1.3         // of the last start's time to the first command
	opsPerLife   = 1500
	bytesPerLife = 24 << 20
)

// draw draws the moment of the life that begins.
func (s *stage) draw() moment {
	names := []string{atStart, underLoad, underLoad, atRotation, atCheckpoint}
	if s.plan.compacts() {
		names = append(names, atCompaction)
	}
	switch name := names[s.rnd.IntN(len(names))]; name {
	case atStart:
		after := time.Duration(float64(s.rnd.Int64N(int64(s.lastStart))) * startWithin)
		return moment{name, func() bool { return time.Since(s.begun) >= after }}
	case underLoad:
		return s.load()
	case atRotation:
		return s.watched(name, datadir.LogDir, func(before, now string) bool { return last(now) > last(before) })
	case atCheckpoint:
		return s.watched(name, datadir.KVDir, func(before, now string) bool { return now != before })
	default:
		return s.watched(name, datadir.LogDir, func(before, now string) bool { return first(now) > first(before) })
	}
}

// load is due after some of what a life is to do, counted from its first command.
func (s *stage) load() moment {
	ops, bytes := int(s.rnd.Int64N(opsPerLife)), int64(0)
	if s.plan.bulk {
		ops, bytes = 0, s.rnd.Int64N(bytesPerLife)
	}
	armed, fromOps, fromBytes := false, 0, int64(0)
	return moment{underLoad, func() bool {
		if !armed {
			if !s.served() {
				return false
			}
			armed, fromOps, fromBytes = true, s.issued(), s.appender.acknowledged.Load()
		}
		return s.issued()-fromOps >= ops && s.appender.acknowledged.Load()-fromBytes >= bytes
	}}
}

// watched is due when the names in one of a shard's directories have changed a
// few times since the first command, or for too long have not.
func (s *stage) watched(name string, dir func(string, core.ShardID) string, changed func(before, now string) bool) moment {
	at := dir(s.dir, core.ShardID(s.rnd.IntN(s.cfg.Shards)))
	left, before, armed, since := 1+s.rnd.IntN(watchedMax), "", false, time.Time{}
	return moment{name, func() bool {
		if !armed {
			if !s.served() {
				return false
			}
			armed, before, since = true, names(at), time.Now()
		}
		if time.Since(since) > afterMax {
			s.killedAs = underLoad
			return true
		}
		now := names(at)
		if changed(before, now) {
			left--
		}
		before = now
		return left == 0
	}}
}

// names lists a directory's files in order, a line each.
func names(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "" // it is being made
	}
	var list []string
	for _, e := range entries {
		if strings.HasSuffix(dir, "kv") || filepath.Ext(e.Name()) == journalExt {
			list = append(list, e.Name())
		}
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

func first(names string) string {
	name, _, _ := strings.Cut(names, "\n")
	return name
}

func last(names string) string { return names[strings.LastIndexByte(names, '\n')+1:] }

// journalExt is that of segments.
const journalExt = ".journal"

// journalBytes is what the shards' journals hold.
func journalBytes(dir string, shards int) (n int64) {
	for i := range shards {
		entries, err := os.ReadDir(datadir.LogDir(dir, core.ShardID(i)))
		if err != nil {
			continue // not made yet
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil && filepath.Ext(e.Name()) == journalExt {
				n += info.Size()
			}
		}
	}
	return n
}

func stream(seed uint64, stage int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(stage))) }
