// Package client sends commands to a node and matches the answers.
//
//	c, err := client.Dial(ctx, client.Config{Addrs: []string{"127.0.0.1:7400"}, Source: identity})
//	answer, err := c.Append(ctx, "stream/orders", core.AnySeq, core.NewEvent{Type: "placed", Version: 1, Payload: b})
//
// A Client is for any number of goroutines. It keeps one connection, with many
// commands in flight: a frame leaves when the connection is free, with everything
// that was asked for meanwhile, so that load makes batches and there is no timer
// to wait for. Do waits for one command; Go does not, and allocates nothing.
//
//	C1  A command takes effect at most once, however often it is sent: each has a
//	    number in a session, and is sent again under the same one. Sessions are
//	    the client's own matter: it opens as many as it needs and replaces them
//	    before they expire.
//	C2  A call ends with an answer (Accepted), with a *Refused, which is final, or
//	    with an *Unanswered: it may have taken effect, or may yet. What time can
//	    cure (a lost connection, an overload, an unknown outcome) ends no call; it
//	    is sent again, with backoff, until the caller gives up.
//	C3  The calls in flight are bounded (Config.InFlight, InFlightBytes); at the bound Go waits
//	    and TryGo says ErrFull.
//	C4  Calls leave in the order in which they were made. What had to be sent again
//	    may be overtaken: who needs an order between commands to one actor says so
//	    with Command.Expected.
//
// Answers are handed over as they came: Answer.State and Answer.Detail lie in the
// frame that brought them.
package client
