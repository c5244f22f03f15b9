package experiments

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"sync"
	"time"

	"actordb/disk"
	"actordb/disk/osfile"
	"actordb/internal/load"
)

// bare is a file to which records are appended and synced, many at a time: the
// bound for a commit log. One goroutine takes all records that wait, writes them
// with length and CRC in one call, syncs, and answers. Space is reserved, and zeros
// are written ahead of small writes, as the journal does.
type bare struct {
	file    disk.File
	record  []byte
	wake    chan struct{}
	quit    chan struct{}
	ended   sync.WaitGroup
	syncs   int64
	off     int64
	zeroed  int64
	reached int64 // space is reserved up to here

	mu      sync.Mutex
	waiting []*load.Slot
}

const (
	bareReserve  = 256 << 20
	bareZeros    = 256 << 10
	bareSmall    = 16 << 10 // writes up to this size go over zeros
	recordHeader = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// measureBare is a load on it, from within the process: without any protocol.
func measureBare(ctx context.Context, dir string, cfg load.Config, c cell) (m *load.Measurement, err error) {
	d, err := osfile.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	f, err := d.Create("bare")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), d.Remove("bare")) }()
	b := &bare{file: f, record: make([]byte, c.size), wake: make(chan struct{}, 1), quit: make(chan struct{})}
	b.ended.Go(b.commit)
	begun := time.Now()
	m, err = load.Measure(ctx, cfg, load.Server{PIDs: []int{os.Getpid()}, Dir: dir}, func(s *load.Slot) func() { return func() { b.append(s) } })
	took := time.Since(begun)
	close(b.quit)
	b.ended.Wait()
	if err == nil {
		m.Syncs = float64(b.syncs) / took.Seconds()
	}
	return m, err
}

func (b *bare) append(s *load.Slot) {
	b.mu.Lock()
	b.waiting = append(b.waiting, s)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *bare) commit() {
	var group []*load.Slot
	var buf []byte
	for {
		b.mu.Lock()
		group, b.waiting = b.waiting, group[:0]
		b.mu.Unlock()
		if len(group) == 0 {
			select {
			case <-b.wake:
				continue
			case <-b.quit:
				return
			}
		}
		buf = buf[:0]
		for range group {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(len(b.record)))
			buf = binary.LittleEndian.AppendUint32(buf, crc32.Checksum(b.record, castagnoli))
			buf = append(buf, b.record...)
		}
		if err := b.write(buf); err != nil {
			group[0].Fail(err)
			return
		}
		for _, s := range group {
			s.End(load.Accepted, len(b.record))
		}
	}
}

func (b *bare) write(buf []byte) error {
	if end := b.off + int64(len(buf)) + bareZeros; end > b.reached {
		b.reached = end + bareReserve
		if err := b.file.Reserve(b.reached); err != nil {
			return err
		}
	}
	if b.zeroed = max(b.zeroed, b.off); len(buf) <= bareSmall && b.zeroed < b.off+int64(len(buf)) {
		n, err := b.file.WriteAt(make([]byte, bareZeros), b.zeroed)
		if err != nil {
			return err
		}
		b.zeroed += int64(n)
	}
	for len(buf) > 0 { // a write may be short
		n, err := b.file.WriteAt(buf, b.off)
		if err != nil {
			return err
		}
		b.off, buf = b.off+int64(n), buf[n:]
	}
	b.syncs++
	return b.file.Sync()
}
