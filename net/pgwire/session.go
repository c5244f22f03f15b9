package pgwire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"

	"actordb/core"
	"actordb/core/sql/sqlerr"
	"actordb/net/client"
	"actordb/net/tlsnet"
)

// session is one connection.
type session struct {
	server  *Server
	conn    *tls.Conn
	back    *pgproto3.Backend
	who     tlsnet.Identity
	startup map[string]string
	client  *client.Client
	pid     uint32
	secret  []byte

	settings   map[string]string
	values     values
	prepared   map[string]*prepared
	portals    map[string]*portal
	status     byte           // 'I' idle, 'T' in a transaction, 'E' in one that failed
	cut        core.Timestamp // at which a transaction reads; 0: it has not chosen one yet
	savepoints []string
	skipping   bool // after an error: until Sync

	mu   sync.Mutex
	stop context.CancelCauseFunc // of the statement that runs, or nil
}

var errCancelled = &client.SQLError{State: "57014", Message: "canceling statement due to user request", Position: -1}

// interrupt cancels the statement that runs.
func (x *session) interrupt() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stop != nil {
		x.stop(errCancelled)
	}
}

var errTimeout = &client.SQLError{State: "57014", Message: "canceling statement due to statement timeout", Position: -1}

// begin makes the context of a statement; end is to be called after it.
func (x *session) begin() (ctx context.Context, end func()) {
	ctx, stop := x.context()
	x.mu.Lock()
	x.stop = stop
	x.mu.Unlock()
	return ctx, func() {
		x.mu.Lock()
		x.stop = nil
		x.mu.Unlock()
		stop(nil)
	}
}

// context makes one that ends with statement_timeout.
func (x *session) context() (context.Context, context.CancelCauseFunc) {
	ctx, stop := context.WithCancelCause(x.server.ctx)
	if d, err := timeout(x.settings["statement_timeout"]); err == nil && d > 0 {
		t := time.AfterFunc(d, func() { stop(errTimeout) })
		context.AfterFunc(ctx, func() { t.Stop() })
	}
	return ctx, stop
}

// protocol3 is version 3.0; minor versions above are negotiated down.
const protocol3 = 196608

// run serves the session to its end.
func (x *session) run(version uint32) error {
	if version>>16 != protocol3>>16 {
		return x.fatal("0A000", fmt.Sprintf("protocol version %d.%d is not spoken", version>>16, version&0xffff))
	}
	if !x.server.enter(x) {
		return x.fatal("53300", fmt.Sprintf("%d sessions are open: try again later", SessionsMax))
	}
	defer x.server.leave(x)
	var err error
	if x.client, err = x.server.cfg.Dial(x.server.ctx, x.who); err != nil {
		return x.fatal("57P03", err.Error())
	}
	defer x.client.Close()
	x.values.types = pgtype.NewMap()
	x.prepared, x.portals, x.status = map[string]*prepared{}, map[string]*portal{}, 'I'
	defer x.closePortals()
	x.greet(version)
	if err := x.flush(); err != nil {
		return err
	}
	if err := x.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	for {
		m, err := x.back.Receive()
		if err != nil {
			if long := (*pgproto3.ExceededMaxBodyLenErr)(nil); errors.As(err, &long) {
				return x.fatal("54000", fmt.Sprintf("a message of %d bytes, at most %d are taken", long.ActualBodyLen, messageBytesMax))
			}
			return err
		}
		if _, err := x.server.judge(x.conn); err != nil { // a connection outlives a certificate
			return x.fatal("28000", err.Error())
		}
		if _, ok := m.(*pgproto3.Terminate); ok {
			return nil
		}
		if err := x.message(m); err != nil {
			return err
		}
	}
}

// greet says what clients want to know first.
func (x *session) greet(version uint32) {
	if version != protocol3 {
		x.back.Send(&pgproto3.NegotiateProtocolVersion{NewestMinorProtocol: 0})
	}
	x.back.Send(&pgproto3.AuthenticationOk{})
	x.settings = newSettings(x.startup)
	for _, name := range reported {
		x.back.Send(&pgproto3.ParameterStatus{Name: name, Value: x.settings[settingKey(name)]})
	}
	x.back.Send(&pgproto3.BackendKeyData{ProcessID: x.pid, SecretKey: x.secret})
	x.ready()
}

func (x *session) ready() { x.back.Send(&pgproto3.ReadyForQuery{TxStatus: x.status}) }

func (x *session) flush() error {
	if err := x.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	return x.back.Flush()
}

// message does what a message wants. An error ends the session.
func (x *session) message(m pgproto3.FrontendMessage) error {
	switch m := m.(type) {
	case *pgproto3.Query:
		x.simple(m.String)
		x.ready()
		return x.flush()
	case *pgproto3.Sync:
		x.skipping = false
		if x.status == 'I' {
			x.closePortals()
		}
		x.ready()
		return x.flush()
	case *pgproto3.Flush:
		return x.flush()
	case *pgproto3.CopyData, *pgproto3.CopyDone, *pgproto3.CopyFail:
		return nil // of a COPY that was refused
	}
	if x.skipping {
		return nil
	}
	var err error
	switch m := m.(type) {
	case *pgproto3.Parse:
		err = x.parse(m)
	case *pgproto3.Describe:
		err = x.describe(m)
	case *pgproto3.Bind:
		err = x.bind(m)
	case *pgproto3.Execute:
		err = x.execute(m)
	case *pgproto3.Close:
		x.close(m)
	default:
		return x.fatal("08P01", fmt.Sprintf("a message %T is not expected", m))
	}
	if err != nil {
		x.fail(err, 0)
		x.skipping = true
	}
	return nil
}

// fail tells of an error. The statement begins at this byte of the text that the client
// sent.
func (x *session) fail(err error, at int) {
	if x.status == 'T' {
		x.status = 'E'
	}
	x.back.Send(errorOf(err, at))
}

// fatal tells why the session ends.
func (x *session) fatal(code, says string) error {
	x.back.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: says})
	return errors.Join(errors.New(says), x.flush())
}

// errorOf is an error as PostgreSQL's clients read it. Positions are characters from 1.
func errorOf(err error, at int) *pgproto3.ErrorResponse {
	r := &pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "XX000", Message: err.Error()}
	var declined *client.SQLError
	var parsed *sqlerr.Error
	switch {
	case errors.As(err, &declined):
		r.Code, r.Message, r.Hint = declined.State, declined.Message, declined.Cure
		if p := declined.Position; p >= 0 && p <= len(declined.Text) {
			r.Position = int32(at + utf8.RuneCountInString(declined.Text[:p]) + 1)
		}
	case errors.As(err, &parsed):
		r.Code, r.Message, r.Hint = string(parsed.State), parsed.Message, parsed.Cure
	case errors.Is(err, context.Canceled):
		r.Code, r.Message = "57014", "the session ends"
	}
	return r
}
