package tlsnet

import (
	"fmt"
	"strings"
)

// Reason says why a connection was refused or lost. Its numbers stand in
// hellos and are never changed.
type Reason uint32

const (
	// Of the peer's certificate.

	NoCertificate Reason = 1 + iota
	NoIdentity
	BadIdentity
	ForeignDomain
	Expired
	NotYetValid
	Untrusted
	WrongUsage
	Denied
	WrongNode

	// Of the handshake.

	HandshakeFailed
	HandshakeSlow
	WrongProtocol
	BadHello
	OtherVersion
	ConnectionsFull
	HandshakesFull
	Refused
	OwnCertificate
	Unreachable

	// Of what came later.

	BadMessage
	Oversize
	Truncated
	FrameSlow
	Silent
	WriteSlow
	RoutesFull
	Replaced
	Lost
	Closed

	// Of one frame that was to be sent.

	QueueFull
	UnknownPeer

	// Of one frame that came.

	BadFrame

	reasonsEnd
)

// reasonTexts are a stable name and what to do.
var reasonTexts = [reasonsEnd]struct{ name, cure string }{
	NoCertificate:   {"no-certificate", "give the peer a certificate of this trust domain"},
	NoIdentity:      {"no-identity", "issue a certificate with exactly one SPIFFE id as its URI SAN"},
	BadIdentity:     {"bad-identity", "issue an id of the form spiffe://<domain>/node/<number> or spiffe://<domain>/client/<name>"},
	ForeignDomain:   {"foreign-domain", "the peer belongs to another cluster: check the address, or issue it a certificate of this trust domain"},
	Expired:         {"expired", "renew the peer's certificate, or set the clock that is wrong"},
	NotYetValid:     {"not-yet-valid", "set the clock that is wrong, here or where the certificate was issued"},
	Untrusted:       {"untrusted", "have the certificate issued by an authority in this cluster's bundle, or add its authority to the bundle"},
	WrongUsage:      {"wrong-usage", "issue a certificate for TLS client authentication, for a node also for server authentication, and for no signing of others"},
	Denied:          {"denied", "this identity was revoked or is not permitted: ask the operator"},
	WrongNode:       {"wrong-node", "correct the table of peers' addresses, or the node's own number"},
	HandshakeFailed: {"handshake-failed", "the peer must speak TLS 1.3 with a client certificate; there is no plaintext mode"},
	HandshakeSlow:   {"handshake-slow", "check the network to the peer; a peer that says nothing is disconnected"},
	WrongProtocol:   {"wrong-protocol", "connect with an ActorDB client or node; other protocols have other ports"},
	BadHello:        {"bad-hello", "connect with an ActorDB client or node of the same release"},
	OtherVersion:    {"other-version", "upgrade the older of the two programs"},
	ConnectionsFull: {"connections-full", "close connections that are not needed, or raise the limit"},
	HandshakesFull:  {"handshakes-full", "connect again a little later"},
	Refused:         {"refused", "the peer did not accept our certificate: its log tells why"},
	OwnCertificate:  {"own-certificate", "renew this program's own certificate"},
	Unreachable:     {"unreachable", "check that the peer runs and that its address is right"},
	BadMessage:      {"bad-message", "the peer does not keep the protocol: use the same release"},
	Oversize:        {"oversize", "send less in one frame"},
	Truncated:       {"truncated", "the connection ended in the middle of a frame: send again"},
	FrameSlow:       {"frame-slow", "a frame took too long to arrive: check the network to the peer"},
	Silent:          {"silent", "the peer is gone or cut off; it will be dialed again"},
	WriteSlow:       {"write-slow", "the peer reads nothing: check whether it hangs"},
	RoutesFull:      {"routes-full", "use fewer processes on one connection"},
	Replaced:        {"replaced", "the node has newer connections; two machines with one node's certificate do this to each other"},
	Lost:            {"lost", "the connection broke; it will be made again"},
	Closed:          {"closed", "open it again"},
	QueueFull:       {"queue-full", "send less, or wait for answers"},
	UnknownPeer:     {"unknown-peer", "add the node to the table of peers; a client may have gone"},
	BadFrame:        {"bad-frame", "a frame holds what this node does not take: use a client of the same release"},
}

func (r Reason) known() bool { return r > 0 && r < reasonsEnd }

func (r Reason) String() string {
	if r.known() {
		return reasonTexts[r].name
	}
	return fmt.Sprintf("reason-%d", uint32(r))
}

// An Error is a connection that was refused or lost: why, where, whose.
type Error struct {
	Reason Reason
	Place  string // address of the peer
	Peer   string // its SPIFFE id, as far as it is known; not proven when the certificate is refused
	Detail string
	Err    error // cause, or nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("tlsnet: ")
	if e.Place != "" {
		b.WriteString(e.Place + ": ")
	}
	if e.Peer != "" {
		b.WriteString(e.Peer + ": ")
	}
	b.WriteString(e.Reason.String())
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Reason.known() {
		b.WriteString("; " + reasonTexts[e.Reason].cure)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Is lets errors.Is compare by reason: errors.Is(err, &Error{Reason: Expired}).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Reason == e.Reason
}

func errorf(r Reason, format string, args ...any) *Error {
	return &Error{Reason: r, Detail: fmt.Sprintf(format, args...)}
}
