// Package tlsnet carries frames between nodes, and between clients and nodes,
// over TCP with mutual TLS 1.3. There is no other mode.
//
// Who is at the other end is told by its certificate alone, an X.509-SVID:
//
//	spiffe://<trust domain>/node/<number>    a node, 1 to 2,147,483,647
//	spiffe://<trust domain>/client/<name>    a client
//
// A Net is a node's end. Each node sends on connections that it dialed itself
// and receives on those that others dialed, so that no two ends need to agree
// which connection to keep. A client has one connection for both ways; while it
// lasts the client has an address of its own on that node (proc 1 of a node
// number from ClientNodes up), to which processes of the node answer.
//
// # Invariants
//
//	T1  No frame is taken from or given to a peer before both have checked the
//	    other's certificate against the bundle of the trust domain, its times and
//	    its usage. Nothing is ever resumed: each handshake is a full one.
//	T2  The node in a frame's From is that of the certificate, never of its bytes.
//	T3  Send never waits. What a queue has no room for is dropped, and both ends
//	    are told by Broken. Memory for each peer and for all clients is bounded.
//	T4  When a connection is lost, Broken goes to each process that sent to the
//	    peer or received from it. A connection that is replaced in order (its
//	    certificate is about to expire) loses nothing and tells nobody.
//	T5  Frames of one connection arrive whole, once and in the order sent.
//	T6  A connection does not outlive the certificate that opened it, nor the
//	    authority that signed it, nor the permission of Config.Authorize, by more
//	    than Limits.PingEvery, or at all after Recheck.
//	T7  Whatever one peer sends, other connections go on. A bad peer costs one
//	    connection, one typed error and one count.
//
// # Bytes
//
// All integers are little-endian. Each end first sends a hello:
//
//	0   u32  magic "ADBN"
//	4   u16  lowest version spoken, u16 highest (core.Version); who shares none with the other refuses
//	8   u32  own node number; a client sends 0
//	12  u32  dialer: the node that it wants, 0 any; acceptor: the dialer's node number
//	16  u32  acceptor: 0 welcome, else the Reason for closing
//	20  u32  zero
//
// then messages:
//
//	0   u32  bytes of the frame
//	4   u8   kind (1 frame, 2 reset, 3 ping, 4 bye), [3] zero
//	8   u32  from proc; of a bye: the Reason for closing, 0 in order
//	12  u32  to proc
//	16       frame
//
// A reset tells process to that frames from process from, or to it, were lost. A
// ping says that the sender lives. A bye announces an end in order, and is
// answered by one when all before it has been delivered (T4). One with a reason
// is the last that its sender says to a peer that did not keep the protocol. TLS detects damage,
// so there is no checksum.
//
// # What it does not do
//
// It repeats no frame and keeps none across a restart. It does not know what a
// frame holds. It does not decide what a client may ask (package gateway does).
package tlsnet
