package admission

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"actordb/core/proc"
	"actordb/internal/datadir"
	"actordb/internal/node"
	"actordb/net/tlsnet"
)

const (
	path         = "/v1/admit"
	bodyMax      = 64 << 10
	exchangeTime = 30 * time.Second // for all of it, each way
)

// asked is what a machine sends.
type asked struct {
	Secret  []byte `json:"secret"`
	Request []byte `json:"request"` // PKCS #10
}

// told is what it gets: one of the two.
type told struct {
	Refused *refusal  `json:"refused,omitempty"`
	Place   *admitted `json:"place,omitempty"`
}

type refusal struct {
	Reason Reason `json:"reason"`
	Detail string `json:"detail"`
}

type admitted struct {
	Certificate []byte           `json:"certificate"` // DER
	Authorities [][]byte         `json:"authorities"`
	Node        proc.NodeID      `json:"node"`
	Shards      int              `json:"shards"`
	Members     []proc.NodeID    `json:"members"` // that the cluster was made of
	Cluster     *datadir.Cluster `json:"cluster"`
}

// A Reception admits those who come with tokens of a cluster that was made here.
type Reception struct {
	Made *node.NewCluster
	// Admitted is told of each; nil: nobody is.
	Admitted func(datadir.Member)
	// Now is the date; nil: time.Now.
	Now func() time.Time

	mu sync.Mutex // a token is looked at and taken by one at a time
}

func (r *Reception) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// Serve admits at a listener until ctx ends.
func (r *Reception) Serve(ctx context.Context, l net.Listener) error {
	ca, err := tlsnet.LoadCA(filepath.Join(r.Made.Dir, datadir.AuthorityDir))
	if err != nil {
		return errors.Join(err, l.Close())
	}
	conf, err := ca.Reception(tlsnet.CertificateLifetimeMax)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+path, r.admit)
	s := &http.Server{Handler: mux, TLSConfig: conf, ReadTimeout: exchangeTime, WriteTimeout: exchangeTime, IdleTimeout: time.Second, MaxHeaderBytes: 8 << 10,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	down := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(down)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTime)
		defer cancel()
		s.Shutdown(last) // what it fails at, ends with the process
	})
	err = s.ServeTLS(l, "", "")
	if !stop() {
		<-down // answers under way have left
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (r *Reception) admit(w http.ResponseWriter, q *http.Request) {
	var a asked
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, bodyMax))
	if err == nil {
		err = json.Unmarshal(body, &a)
	}
	if err != nil {
		answer(w, http.StatusBadRequest, told{Refused: &refusal{Malformed, "what was sent is no request"}})
		return
	}
	place, err := r.place(&a)
	var refused *Error
	switch {
	case errors.As(err, &refused):
		answer(w, http.StatusForbidden, told{Refused: &refusal{refused.Reason, refused.Detail}})
	case err != nil:
		answer(w, http.StatusInternalServerError, told{Refused: &refusal{Full, err.Error()}})
	default:
		answer(w, http.StatusOK, told{Place: place})
	}
}

func answer(w http.ResponseWriter, code int, t told) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(t) // who does not hear it has lost the token (A1)
}

func (r *Reception) place(a *asked) (*admitted, error) {
	if err := tlsnet.CheckRequest(a.Request); err != nil { // before the token is used for it
		return nil, &Error{Reason: Malformed, Detail: err.Error()}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	place, err := redeem(r.Made, a.Secret, r.now())
	if err != nil {
		return nil, err
	}
	id := tlsnet.NodeID(place.CA.TrustDomain(), place.Member.Node) // A4
	cert, err := place.CA.Certify(a.Request, id, tlsnet.CertificateLifetimeMax, place.Host)
	if err != nil {
		return nil, err
	}
	p := &admitted{Certificate: cert.Raw, Node: place.Member.Node, Shards: place.First.Shards, Members: place.First.Members, Cluster: place.Cluster}
	for _, c := range place.CA.Bundle().X509Authorities() {
		p.Authorities = append(p.Authorities, c.Raw)
	}
	if r.Admitted != nil {
		r.Admitted(place.Member)
	}
	return p, nil
}

// Join comes with a token, and makes the directory of the node that this machine becomes.
// The directory must be new or empty. now is the date; nil: time.Now.
func Join(ctx context.Context, t Token, dir string, now func() time.Time) (datadir.Member, error) {
	var none datadir.Member
	if now == nil {
		now = time.Now
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return none, err
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		return none, errors.Join(err, fmt.Errorf("%s: it has files: choose an empty directory", dir))
	}
	request, err := tlsnet.NewRequest()
	if err != nil {
		return none, err
	}
	place, err := ask(ctx, t, request.DER, now)
	if err != nil {
		return none, err
	}
	m := datadir.Member{Node: place.Node, Addr: place.Cluster.Addr(place.Node)}
	id, err := datadir.Fresh(place.Node, place.Shards)
	if err == nil {
		id.Cluster, id.Members = place.Cluster.Cluster, place.Members
		err = request.Save(filepath.Join(dir, datadir.OwnIdentityDir), place.Certificate, place.Authorities)
	}
	if err == nil {
		err = id.Write(dir)
	}
	if err == nil {
		err = place.Cluster.Write(dir)
	}
	return m, err
}

// ask sends the token to its reception, once that has shown whose it is (A2).
func ask(ctx context.Context, t Token, request []byte, now func() time.Time) (*admitted, error) {
	transport := &http.Transport{TLSClientConfig: tlsnet.Pinned(t.Authority, now), DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	body, err := json.Marshal(asked{t.Secret[:], request})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+t.Reception+path, bytes.NewReader(body))
	if err != nil {
		return nil, &Error{Reason: Malformed, Detail: "the reception's address", Err: err}
	}
	a, err := (&http.Client{Transport: transport}).Do(q)
	var bad *tlsnet.Error
	switch {
	case errors.As(err, &bad):
		return nil, &Error{Reason: WrongCluster, Detail: t.Reception, Err: bad}
	case err != nil:
		return nil, fmt.Errorf("admission: %w; check that the reception listens, with actordb cluster invite", err)
	}
	defer a.Body.Close()
	var answer told
	b, err := io.ReadAll(io.LimitReader(a.Body, bodyMax))
	if err == nil {
		err = json.Unmarshal(b, &answer)
	}
	switch p := answer.Place; {
	case err != nil:
		return nil, &Error{Reason: Malformed, Detail: "the reception's answer", Err: err}
	case answer.Refused != nil:
		return nil, &Error{Reason: answer.Refused.Reason, Detail: answer.Refused.Detail}
	case p == nil || p.Cluster == nil || p.Cluster.Addr(p.Node) == "":
		return nil, &Error{Reason: Malformed, Detail: "the reception's answer has no place"}
	default:
		return p, nil
	}
}
