package client

// fifo is a queue of calls that uses its memory again.
type fifo struct {
	ring []*Call // its length is a power of two, or 0
	head int
	n    int
}

func (q *fifo) len() int { return q.n }

func (q *fifo) push(call *Call) {
	if q.n == len(q.ring) {
		grown := make([]*Call, max(64, 2*len(q.ring)))
		k := copy(grown, q.ring[q.head:])
		copy(grown[k:], q.ring[:q.head])
		q.ring, q.head = grown, 0
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = call
	q.n++
}

func (q *fifo) first() *Call { return q.ring[q.head] }

func (q *fifo) pop() *Call {
	call := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return call
}

// remove takes one call out of the middle.
func (q *fifo) remove(call *Call) {
	for range q.n {
		if x := q.pop(); x != call {
			q.push(x)
		}
	}
}
