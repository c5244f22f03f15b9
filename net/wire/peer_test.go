package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func peersFrame(h PeerHeader, messages ...[]byte) []byte {
	var w Writer
	for _, m := range messages {
		w.Message(&h, m)
	}
	return w.Finish(Peers)
}

func readPeers(frame []byte) (h PeerHeader, list [][]byte, err error) {
	r, h, err := OpenPeers(frame)
	if err != nil {
		return h, nil, err
	}
	for m, ok := r.Message(); ok; m, ok = r.Message() {
		list = append(list, m)
	}
	return h, list, r.Err()
}

// What one replica tells another arrives, and nothing else is taken for it: no
// other kind of frame, no frame that is cut off, and no frame of theirs as one of
// commands.
func TestPeers(t *testing.T) {
	h := PeerHeader{Cluster: [16]byte{1, 15: 2}, Shard: 7, From: 300, To: 1}
	frame := peersFrame(h, []byte("a"), nil, bytes.Repeat([]byte("b"), 1000))
	got, list, err := readPeers(frame)
	if err != nil || got != h || len(list) != 3 || string(list[0]) != "a" || len(list[1]) != 0 || len(list[2]) != 1000 {
		t.Fatalf("%+v %q %v", got, list, err)
	}
	if KindOf(frame) != Peers || KindOf(frame[:10]) != 0 {
		t.Error("the kind of a frame is not seen")
	}
	if _, err := Open(frame); !errors.Is(err, ErrFrame) {
		t.Errorf("taken for commands or answers: %v", err)
	}
	var w Writer
	if _, _, err := readPeers(w.Finish(Commands)); !errors.Is(err, ErrFrame) {
		t.Errorf("commands taken for messages: %v", err)
	}
	for n := range frame {
		if _, _, err := readPeers(frame[:n]); !errors.Is(err, ErrFrame) {
			t.Fatalf("%d of %d bytes: %v", n, len(frame), err)
		}
	}
}

// OpenPeers and its reader take any bytes; what they accept is written back the same.
func FuzzPeers(f *testing.F) {
	f.Add(peersFrame(PeerHeader{Shard: 3, From: 1, To: 2}, []byte("message"), []byte("another")), true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, frame []byte, mend bool) {
		if mend && len(frame) >= headerBytes {
			frame = sealed(Kind(frame[5]), uint32(frame[8]), frame[headerBytes:])
		}
		h, list, err := readPeers(frame)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Fatal(err)
			}
			return
		}
		if len(list) == 0 {
			return
		}
		h2, list2, err := readPeers(peersFrame(h, list...))
		if err != nil || h2 != h || !reflect.DeepEqual(list2, list) {
			t.Fatalf("written again: %+v %q %v", h2, list2, err)
		}
	})
}
