package tlsnet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// webProtocols are what HTTP negotiates (ALPN). A client that negotiates nothing
// speaks HTTP/1.1 (RFC 7301, section 3.1, leaves it to the application).
var webProtocols = []string{"h2", "http/1.1", ""}

// A Web is the same door for HTTP: TLS 1.3 alone, nothing resumed, a certificate
// of the trust domain from every client (T1). Since a connection outlives what
// its handshake was judged by, each request is judged again (T6).
type Web struct {
	policy *policy
}

// NewWeb makes a door for HTTP. authorize and now may be nil.
func NewWeb(source Source, authorize func(Identity) error, now func() time.Time) (*Web, error) {
	p, self, err := newPolicy(source, now, authorize)
	if err != nil {
		return nil, err
	}
	if self.Node == 0 {
		return nil, errorf(OwnCertificate, "%s is no node", self.ID)
	}
	return &Web{p}, nil
}

// TLSConfig is for an http.Server. A handshake that is refused fails with an
// *Error; its text goes to the server's ErrorLog.
func (w *Web) TLSConfig() *tls.Config { return w.TLSConfigOf(webProtocols...) }

// TLSConfigOf is TLSConfig for who speaks these protocols; "" is a client that
// negotiates none.
func (w *Web) TLSConfigOf(protocols ...string) *tls.Config {
	c := w.policy.serverConfig(protocols...)
	c.NextProtos = slices.DeleteFunc(c.NextProtos, func(p string) bool { return p == "" })
	c.DynamicRecordSizingDisabled = false // many small answers
	return c
}

// webRecheck is how long the signatures of a connection's certificates are taken
// for good while the bundle is the same: checking them costs 0.1 ms of a core.
const webRecheck = 5 * time.Second

// judged is by what the peer of a connection was last judged as a whole.
type judged struct {
	mu     sync.Mutex
	bundle *x509bundle.Bundle
	at     time.Time
}

type judgedKey struct{}

// ConnContext is for an http.Server: what Judge remembers of a connection.
func (w *Web) ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, judgedKey{}, &judged{})
}

// Judge tells who sent a request, by the certificate of its connection and by
// the time, the bundle and the permissions as they are now. Its errors are of
// type *Error.
func (w *Web) Judge(r *http.Request) (Identity, error) {
	return w.JudgeState(r.Context(), r.TLS, r.RemoteAddr)
}

// JudgeState is Judge for who speaks another protocol within TLSConfig's connections;
// ctx may come from ConnContext.
func (w *Web) JudgeState(ctx context.Context, state *tls.ConnectionState, place string) (Identity, error) {
	fail := func(err error) (Identity, error) {
		e := *asError(err, HandshakeFailed)
		e.Place = place
		return Identity{}, &e
	}
	if state == nil {
		return fail(errorf(HandshakeFailed, "plaintext"))
	}
	chain := state.PeerCertificates
	if len(chain) == 0 {
		return fail(&Error{Reason: NoCertificate})
	}
	j, _ := ctx.Value(judgedKey{}).(*judged)
	if j == nil { // a server without ConnContext
		j = &judged{}
	}
	if err := w.judge(j, chain); err != nil {
		return fail(err)
	}
	id, err := spiffeid.FromURI(chain[0].URIs[0]) // there is one: it was judged
	if err != nil {
		return fail(&Error{Reason: NoIdentity, Err: err})
	}
	who, err := identityOf(id)
	if err != nil {
		return fail(err)
	}
	return who, nil
}

func (w *Web) judge(j *judged, chain []*x509.Certificate) error {
	bundle, err := w.policy.source.GetX509BundleForTrustDomain(w.policy.domain)
	if err != nil {
		return &Error{Reason: Untrusted, Err: err}
	}
	now := w.policy.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	age := now.Sub(j.at)
	whole := j.bundle == nil || age < 0 || age >= webRecheck || !j.bundle.Equal(bundle)
	if err := w.policy.again(chain, x509.ExtKeyUsageClientAuth, whole); err != nil {
		return err
	}
	if whole {
		j.bundle, j.at = bundle.Clone(), now
	}
	return nil
}
