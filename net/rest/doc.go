// Package rest is the face for programs that speak HTTP and JSON and nothing else: SQL,
// subscriptions as server-sent events, and commands to actors. What it serves is described
// by openapi.json, which it serves, too; the tests hold one to the other.
//
//	server.go     who asks, and by which client of the node
//	sql.go        POST /v1/sql
//	subscribe.go  GET /v1/subscribe
//	commands.go   POST /v1/commands
//	json.go       values, requests and errors as JSON
//
//	H1  A request is of the principal of its connection's certificate, which is judged
//	    again for each. Requests of a principal go by one client of the node's gateway, so
//	    that one that begins after another's answer sees what that one did.
//	H2  An event stream goes on after the id of the last event that had one: what came
//	    after it is void, and comes again.
//	H3  Clients, bodies, rows of an answer that is not a stream, and times are bounded;
//	    beyond a bound there is an error with a code and a cure.
package rest
