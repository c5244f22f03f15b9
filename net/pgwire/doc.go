// Package pgwire is the face for PostgreSQL's clients: its protocol, version 3.0
// (PostgreSQL's documentation, part VII, chapter "Frontend/Backend Protocol"), spoken
// by github.com/jackc/pgx/v5/pgproto3.
//
//	server.go    the listener: TLS, who the peer is, cancel requests
//	session.go   a connection: startup, messages, errors
//	simple.go    queries as text, several at once
//	extended.go  prepared statements and portals
//	transaction.go  transactions, which read at one cut
//	command.go   INSERT and CALL, as commands to actors
//	settings.go  what clients set and ask before anything else
//	types.go     types by their OIDs, values in PostgreSQL's formats
//	subscribe.go SUBSCRIBE, as rows and as COPY
//
//	W1  There is no plaintext: before anything else a client asks for TLS (1.3), and
//	    shows a certificate of the trust domain. Its principal is the certificate's
//	    SPIFFE id, whatever user name it gives. Cancel requests come through TLS, too.
//	W2  A session is a client of the node's gateway like any other (net/client): its
//	    answers are at or after the cut of those before.
//	W3  Types and texts of values are PostgreSQL's; binary values are made by pgx's
//	    pgtype from them.
//	W4  A statement takes effect by itself, and not within BEGIN and COMMIT: between them
//	    there are queries alone, which are answered at one cut. An INSERT or a CALL is one
//	    command to one actor, of the client's own session and principal: it is repeated
//	    until it is answered, and takes effect once, or the error says that this is not
//	    known (40003).
//	W5  Messages, prepared statements and portals of a session, and sessions, are
//	    bounded; beyond the bound there is an error with a SQLSTATE.
package pgwire
