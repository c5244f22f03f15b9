package tlsnet

import (
	"encoding/binary"

	"actordb/core"
	"actordb/core/proc"
)

const (
	helloMagic  = 0x4e424441 // "ADBN"
	helloBytes  = 24
	headerBytes = 16
)

// hello opens a connection, from either end.
type hello struct {
	speaks  core.Versions
	node    proc.NodeID
	other   proc.NodeID // dialer: the node wanted; acceptor: the dialer's
	refusal Reason      // acceptor
}

func (h hello) append(d []byte) []byte {
	le := binary.LittleEndian
	d = le.AppendUint32(d, helloMagic)
	d = le.AppendUint16(d, uint16(h.speaks.Low))
	d = le.AppendUint16(d, uint16(h.speaks.High))
	d = le.AppendUint32(d, uint32(h.node))
	d = le.AppendUint32(d, uint32(h.other))
	d = le.AppendUint32(d, uint32(h.refusal))
	return le.AppendUint32(d, 0)
}

// readHello reads a peer's hello, which must share a version with ours.
func readHello(b []byte, ours core.Versions) (hello, error) {
	le := binary.LittleEndian
	if len(b) != helloBytes {
		return hello{}, errorf(BadHello, "%d bytes, want %d", len(b), helloBytes)
	}
	h := hello{
		speaks:  core.Versions{Low: core.Version(le.Uint16(b[4:])), High: core.Version(le.Uint16(b[6:]))},
		node:    proc.NodeID(le.Uint32(b[8:])),
		other:   proc.NodeID(le.Uint32(b[12:])),
		refusal: Reason(le.Uint32(b[16:])),
	}
	switch {
	case le.Uint32(b) != helloMagic:
		return hello{}, errorf(BadHello, "it does not start with the magic number")
	case h.speaks.Low > h.speaks.High:
		return hello{}, errorf(BadHello, "versions %d to %d", h.speaks.Low, h.speaks.High)
	case h.speaks.Common(ours) == 0 && ours.Low > core.VersionMin:
		return hello{}, errorf(OtherVersion, "the peer speaks %s of the protocol, the cluster has been upgraded to version %d", h.speaks, ours.Low)
	case h.speaks.Common(ours) == 0:
		return hello{}, errorf(OtherVersion, "the peer speaks %s of the protocol, this program %s", h.speaks, ours)
	case le.Uint32(b[20:]) != 0:
		return hello{}, errorf(BadHello, "reserved bytes are not zero")
	}
	return h, nil
}

type messageKind uint8

const (
	kindFrame messageKind = 1 + iota
	kindReset
	kindPing
	kindBye
)

// route is a pair of processes, one at each end of a connection, by whoever
// sent last.
type route struct {
	local  proc.Addr
	remote uint32
}

type header struct {
	bytes    uint32
	kind     messageKind
	from, to uint32
}

func (h header) append(d []byte) []byte {
	le := binary.LittleEndian
	d = le.AppendUint32(d, h.bytes)
	d = le.AppendUint32(d, uint32(h.kind))
	d = le.AppendUint32(d, h.from)
	return le.AppendUint32(d, h.to)
}

func readHeader(b []byte) (header, error) {
	le := binary.LittleEndian
	if len(b) != headerBytes {
		return header{}, errorf(BadMessage, "header of %d bytes, want %d", len(b), headerBytes)
	}
	h := header{bytes: le.Uint32(b), kind: messageKind(b[4]), from: le.Uint32(b[8:]), to: le.Uint32(b[12:])}
	switch {
	case b[5]|b[6]|b[7] != 0:
		return header{}, errorf(BadMessage, "reserved bytes are not zero")
	case h.kind < kindFrame || h.kind > kindBye:
		return header{}, errorf(BadMessage, "kind %d", h.kind)
	case h.bytes > frameBytesMax:
		return header{}, errorf(Oversize, "a frame of %d bytes, the limit is %d", h.bytes, frameBytesMax)
	case h.kind != kindFrame && h.bytes != 0:
		return header{}, errorf(BadMessage, "kind %d with %d bytes", h.kind, h.bytes)
	case h.kind == kindPing && h.from|h.to != 0, h.kind == kindBye && h.to != 0:
		return header{}, errorf(BadMessage, "kind %d with processes", h.kind)
	}
	return h, nil
}
