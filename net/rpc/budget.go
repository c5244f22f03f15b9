package rpc

import (
	"fmt"
	"io"
	"sync/atomic"

	"actordb/core"
)

// A budget bounds the bytes that requests hold in memory.
type budget struct {
	taken atomic.Int64
	max   int64
}

// take reserves n bytes, or says that there is no room.
func (b *budget) take(n int64) error {
	if b.taken.Add(n) <= b.max {
		return nil
	}
	b.give(n)
	return refused("request", &core.Answer{Status: core.RefusedAtDoor, Code: core.CodeOverloaded,
		Detail: fmt.Sprintf("requests hold the %d bytes that they may", b.max)}, nil)
}

func (b *budget) give(n int64) { b.taken.Add(-n) }

// meteredBody takes what is read of a request from a budget until its end.
type meteredBody struct {
	io.ReadCloser
	held  *budget
	taken int64
}

// Read implements io.Reader. Its error is a *connect.Error, which connect passes on.
func (m *meteredBody) Read(b []byte) (int, error) {
	n, err := m.ReadCloser.Read(b)
	if n > 0 {
		if full := m.held.take(int64(n)); full != nil {
			return 0, full
		}
		m.taken += int64(n)
	}
	return n, err
}

func (m *meteredBody) release() { m.held.give(m.taken) }
