package concurrency

import (
	"iter"
	"sync"        // want `sync: import of sync`
	"sync/atomic" // want `sync: import of sync/atomic`
)

type queue chan int // want `chan: channel type`

var _ sync.Mutex
var _ atomic.Int64

func wrong(q queue, seq iter.Seq[int]) {
	go func() {}()         // want `go: go statement`
	q <- 1                 // want `chan: send on a channel`
	<-q                    // want `chan: receive from a channel`
	_ = make(chan bool, 1) // want `chan: channel type`
	select {}              // want `select: select statement`
	iter.Pull(seq)         // want `pull: use of iter.Pull`
}

func right(seq iter.Seq[int]) (n int) {
	for x := range seq {
		n += x
	}
	return n
}
