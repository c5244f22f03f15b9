// Package rpc is a node's face for programs in any language: commands over
// connect, which is gRPC, gRPC-Web and plain HTTP with JSON at once. What the
// messages and the errors mean stands in proto/actordb/v1/commands.proto.
//
// A request becomes commands of the engine, and a Dispatcher carries them: it is
// a transport beside package tlsnet. To the gateway each client that has
// commands under way is an address of its own, and frames from it are delivered
// under the client's identity, so that the gateway's rules (G1, G4, G5) hold as they do
// for other clients.
//
// # Invariants
//
//	R1  A command's principal is the identity of the request's connection, judged
//	    anew for each request and each page of a stream.
//	R2  For each command that was delivered exactly one answer comes back, and it is
//	    kept a place for until then, also when nobody waits for it any more: so an
//	    answer can never be taken for that of another command under the same number.
//	R3  Commands under way, their bytes, and those of one client are bounded; at
//	    the bound new ones are refused (overloaded). So are requests when the bytes
//	    of those in memory reach their bound; there is no compression that could make
//	    much of few. Nothing remains of a client without commands under way.
//	R4  Requests that come while a frame is being delivered leave together in the
//	    next one, in the order in which they came; clients take turns.
//	R5  A request ends when its context does. What had not left by then never does.
package rpc
