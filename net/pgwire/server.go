package pgwire

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"actordb/net/client"
	"actordb/net/tlsnet"
)

// Limits of a Server.
const (
	SessionsMax     = 256
	messageBytesMax = 16 << 20
	statementsMax   = 1024 // prepared, of a session
	portalsMax      = 256
	startupTime     = 10 * time.Second
	secretBytes     = 4
	protocolALPN    = "postgresql"
	writeTime       = time.Minute // of one flush: who does not read is disconnected
)

// Config of a Server. All fields are required.
type Config struct {
	Listener net.Listener
	Door     *tlsnet.Web
	// Dial makes a client of the node for a peer.
	Dial func(ctx context.Context, who tlsnet.Identity) (*client.Client, error)
	Log  *slog.Logger
}

// A Server serves PostgreSQL's clients.
type Server struct {
	cfg     Config
	tls     *tls.Config
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	sessions map[uint32]*session // by process id
	last     uint32
}

// Serve begins to serve.
func Serve(cfg Config) *Server {
	s := &Server{cfg: cfg, tls: cfg.Door.TLSConfigOf(protocolALPN, ""), sessions: map[uint32]*session{}}
	s.tls.NextProtos = []string{protocolALPN}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.running.Go(s.accept)
	return s
}

// Close ends all sessions.
func (s *Server) Close() error {
	s.cancel()
	err := s.cfg.Listener.Close()
	s.mu.Lock()
	for _, x := range s.sessions {
		x.conn.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	return err
}

func (s *Server) accept() {
	for {
		conn, err := s.cfg.Listener.Accept()
		if err != nil {
			if s.ctx.Err() == nil {
				s.cfg.Log.Error("PostgreSQL's clients are not served any more", "error", err)
			}
			return
		}
		s.running.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(s.ctx, func() { conn.Close() })
			defer stop()
			if err := s.serve(conn); err != nil && !errors.Is(err, io.EOF) && s.ctx.Err() == nil {
				s.cfg.Log.Info("a PostgreSQL client's connection ended", "place", conn.RemoteAddr().String(), "error", err)
			}
		})
	}
}

// Codes of the first message of a connection (chapter "Message Formats").
const (
	codeSSL    = 80877103
	codeGSS    = 80877104
	codeCancel = 80877102
)

// serve takes a connection from its first byte.
func (s *Server) serve(raw net.Conn) error {
	if err := raw.SetDeadline(time.Now().Add(startupTime)); err != nil {
		return err
	}
	var conn *tls.Conn
	_, err := s.encrypt(raw, func(plain net.Conn) error {
		conn = tls.Server(plain, s.tls)
		return conn.HandshakeContext(s.ctx)
	})
	if err != nil {
		return err
	}
	who, err := s.judge(conn)
	if err != nil {
		return err
	}
	back := pgproto3.NewBackend(conn, conn)
	back.SetMaxBodyLen(messageBytesMax)
	first, err := back.ReceiveStartupMessage()
	if err != nil {
		return err
	}
	switch m := first.(type) {
	case *pgproto3.CancelRequest:
		s.cancelOf(m)
		return nil
	case *pgproto3.StartupMessage:
		x := &session{server: s, conn: conn, back: back, who: who, startup: m.Parameters}
		return x.run(m.ProtocolVersion)
	}
	return fmt.Errorf("a connection begins with %T", first)
}

// encrypt answers the request for TLS, which comes first. Some clients begin TLS at
// once (sslnegotiation=direct). It returns what the handshake was made on.
func (s *Server) encrypt(raw net.Conn, handshake func(net.Conn) error) (net.Conn, error) {
	for range 2 { // GSS may be asked for before
		var head [8]byte
		if _, err := io.ReadFull(raw, head[:1]); err != nil {
			return nil, err
		}
		if head[0] == 0x16 { // a TLS handshake record
			plain := &rewound{Conn: raw, first: head[:1]}
			return plain, handshake(plain)
		}
		if _, err := io.ReadFull(raw, head[1:]); err != nil {
			return nil, err
		}
		switch code := binary.BigEndian.Uint32(head[4:]); {
		case code == codeSSL:
			if _, err := raw.Write([]byte{'S'}); err != nil {
				return nil, err
			}
			return raw, handshake(raw)
		case code == codeGSS:
			if _, err := raw.Write([]byte{'N'}); err != nil {
				return nil, err
			}
		case code == codeCancel:
			return nil, errors.New("a request to cancel in plaintext: there is none; psql 17 and pgx send it through TLS")
		default:
			refusal := &pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "28000",
				Message: "there is no plaintext mode", Hint: "connect with sslmode=require or more, sslcert and sslkey"}
			b, err := refusal.Encode(nil)
			if err == nil {
				_, err = raw.Write(b)
			}
			return nil, errors.Join(errors.New("plaintext"), err)
		}
	}
	return nil, errors.New("no request for TLS")
}

// rewound is a connection of which something was read.
type rewound struct {
	net.Conn
	first []byte
}

func (r *rewound) Read(b []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(b, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	return r.Conn.Read(b)
}

// judge tells who the peer is, as of now.
func (s *Server) judge(conn *tls.Conn) (tlsnet.Identity, error) {
	state := conn.ConnectionState()
	return s.cfg.Door.JudgeState(s.ctx, &state, conn.RemoteAddr().String())
}

// enter gives a session its number and secret, or refuses one too many.
func (s *Server) enter(x *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) >= SessionsMax {
		return false
	}
	x.secret = make([]byte, secretBytes)
	rand.Read(x.secret) // documented never to fail
	for x.pid = 0; x.pid == 0 || s.sessions[x.pid] != nil; x.pid = s.last {
		s.last++
	}
	s.sessions[x.pid] = x
	return true
}

func (s *Server) leave(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, x.pid)
}

// cancelOf ends what a session does, if its secret is known.
func (s *Server) cancelOf(m *pgproto3.CancelRequest) {
	s.mu.Lock()
	x := s.sessions[m.ProcessID]
	s.mu.Unlock()
	if x != nil && subtle.ConstantTimeCompare(x.secret, m.SecretKey) == 1 {
		x.interrupt()
	}
}
