package rest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"actordb/net/client"
	"actordb/net/tlsnet"
)

// Limits of a Server.
const (
	ClientsMax     = 256              // principals at once
	bodyBytesMax   = 2 << 20          // of a request
	rowsMax        = 10_000           // of an answer as one JSON document
	answerBytesMax = 16 << 20         // likewise
	writeTime      = 30 * time.Second // of a piece of an answer: who does not read is disconnected
)

// Config of a Server. All fields are required.
type Config struct {
	// Judge tells who sent a request, by the certificate of its connection.
	Judge func(*http.Request) (tlsnet.Identity, error)
	// Dial makes a client of the node for a peer.
	Dial func(ctx context.Context, who tlsnet.Identity) (*client.Client, error)
}

// A Server answers requests.
type Server struct {
	cfg    Config
	routes *http.ServeMux
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	clients map[string]*shared // by principal
}

// shared is a client of all requests of a principal.
type shared struct {
	client *client.Client
	users  int
	used   time.Time
}

//go:embed openapi.json
var description []byte

// Prefix is where all paths begin.
const Prefix = "/v1/"

// New makes a Server.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, routes: http.NewServeMux(), clients: map[string]*shared{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.routes.HandleFunc("POST /v1/sql", s.with(s.sql))
	s.routes.HandleFunc("GET /v1/subscribe", s.with(s.subscribe))
	s.routes.HandleFunc("POST /v1/commands", s.with(s.commands))
	s.routes.HandleFunc("GET /v1/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.cfg.Judge(r); err != nil {
			fail(w, unauthorized(err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(description)
	})
	return s
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.routes.ServeHTTP(w, r) }

// Close ends what is under way.
func (s *Server) Close() {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clients {
		c.client.Close()
	}
	s.clients = nil
}

// with gives a request the client of its principal.
func (s *Server) with(serve func(w http.ResponseWriter, r *http.Request, c *client.Client) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, stop := context.WithCancel(r.Context())
		defer stop()
		defer context.AfterFunc(s.ctx, stop)()
		who, err := s.cfg.Judge(r)
		if err != nil {
			fail(w, unauthorized(err))
			return
		}
		c, err := s.take(ctx, who)
		if err != nil {
			fail(w, err)
			return
		}
		defer s.give(c)
		r.Body = http.MaxBytesReader(w, r.Body, bodyBytesMax)
		if err := serve(w, r.WithContext(ctx), c.client); err != nil {
			fail(w, err)
		}
	}
}

func unauthorized(err error) error {
	return &apiError{status: http.StatusUnauthorized, Code: "28000", Message: err.Error()}
}

// take finds the client of a principal, or makes one.
func (s *Server) take(ctx context.Context, who tlsnet.Identity) (*shared, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients == nil {
		return nil, &apiError{status: http.StatusServiceUnavailable, Code: "57P03", Message: "the node is stopping", Cure: "try again later"}
	}
	c := s.clients[who.ID]
	if c == nil {
		if len(s.clients) >= ClientsMax && !s.forget() {
			return nil, &apiError{status: http.StatusTooManyRequests, Code: "53300", Message: fmt.Sprintf("%d principals have requests under way", ClientsMax), Cure: "try again later"}
		}
		made, err := s.cfg.Dial(ctx, who)
		if err != nil {
			return nil, &apiError{status: http.StatusServiceUnavailable, Code: "57P03", Message: err.Error(), Cure: "try again later"}
		}
		c = &shared{client: made}
		s.clients[who.ID] = c
	}
	c.users++
	return c, nil
}

func (s *Server) give(c *shared) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.users--
	c.used = time.Now()
}

// forget closes the client that has been of no use for longest.
func (s *Server) forget() bool {
	oldest := ""
	for id, c := range s.clients {
		if c.users == 0 && (oldest == "" || c.used.Before(s.clients[oldest].used)) {
			oldest = id
		}
	}
	if oldest == "" {
		return false
	}
	s.clients[oldest].client.Close()
	delete(s.clients, oldest)
	return true
}

// stream is an answer that is sent piece by piece.
type stream struct {
	w     http.ResponseWriter
	flush *http.ResponseController
}

func newStream(w http.ResponseWriter, contentType string) (*stream, error) {
	s := &stream{w, http.NewResponseController(w)}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	// It goes on for longer than a request may take.
	if err := s.flush.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	return s, nil
}

// send sends a piece off.
func (s *stream) send(b []byte) error {
	if err := s.flush.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.flush.Flush()
}
