package tlsnet

import "sync/atomic"

// stats count since the start.
type stats struct {
	framesIn, framesOut atomic.Uint64
	bytesIn, bytesOut   atomic.Uint64
	dropped             atomic.Uint64
	reasons             [reasonsEnd]atomic.Uint64
}

func (s *stats) sent(frames int, bytes int64) {
	s.framesOut.Add(uint64(frames))
	s.bytesOut.Add(uint64(bytes))
}

func (s *stats) received(bytes int) {
	s.framesIn.Add(1)
	s.bytesIn.Add(uint64(headerBytes + bytes))
}

func (s *stats) count(r Reason) {
	if r.known() {
		s.reasons[r].Add(1)
	}
}

// Stats are the figures of a Net since it was made; Connections is as of now.
type Stats struct {
	FramesIn, FramesOut uint64
	BytesIn, BytesOut   uint64 // with headers, before TLS
	FramesDropped       uint64 // that Send did not take, or that had waited for a peer who could not be reached
	Connections         int
	Errors              []ReasonCount // those that occurred, in the order of their numbers
}

// A ReasonCount is how often something was refused or lost for a reason.
type ReasonCount struct {
	Reason Reason
	Count  uint64
}

// Count is how often r occurred.
func (s *Stats) Count(r Reason) uint64 {
	for _, c := range s.Errors {
		if c.Reason == r {
			return c.Count
		}
	}
	return 0
}

// Stats returns the figures.
func (n *Net) Stats() Stats {
	s := Stats{
		FramesIn: n.stats.framesIn.Load(), FramesOut: n.stats.framesOut.Load(),
		BytesIn: n.stats.bytesIn.Load(), BytesOut: n.stats.bytesOut.Load(),
		FramesDropped: n.stats.dropped.Load(),
	}
	for r := range n.stats.reasons {
		if c := n.stats.reasons[r].Load(); c > 0 {
			s.Errors = append(s.Errors, ReasonCount{Reason(r), c})
		}
	}
	n.mu.Lock()
	s.Connections = len(n.links)
	n.mu.Unlock()
	return s
}
