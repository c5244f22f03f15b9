package tlsnet

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// webSite is an HTTP server behind a Web. It answers with the sender's identity, or
// with the reason for refusing.
type webSite struct {
	*cluster
	addr  string
	ahead atomic.Int64 // the server's clock
	heard chan string  // its error log
	last  atomic.Pointer[Error]
}

type said chan string

func (s said) Write(b []byte) (int, error) {
	s <- string(b)
	return len(b), nil
}

func newWebSite(t *testing.T, source Source, authorize func(Identity) error) *webSite {
	s := &webSite{cluster: newCluster(t), heard: make(said, 100)}
	if source == nil {
		source = must(s.ca.Source(NodeID(domain, 1), time.Hour, "localhost", "127.0.0.1"))
	}
	w := must(NewWeb(source, authorize, func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }))
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	s.addr = listener.Addr().String()
	server := &http.Server{TLSConfig: w.TLSConfig(), ConnContext: w.ConnContext, ErrorLog: log.New(said(s.heard), "", 0),
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			who, err := w.Judge(r)
			var e *Error
			if errors.As(err, &e) {
				s.last.Store(e)
				rw.WriteHeader(http.StatusUnauthorized)
			}
			fmt.Fprint(rw, who, " ", r.Proto)
		})}
	go server.ServeTLS(listener, "", "")
	t.Cleanup(func() { server.Close() })
	return s
}

// web checks the server by its name, as HTTP clients of other languages do.
func (s *webSite) web(svid *x509svid.SVID, protocols ...string) *http.Client {
	cfg := &tls.Config{RootCAs: x509Pool(s.ca), NextProtos: protocols}
	if svid != nil {
		cfg.Certificates = []tls.Certificate{{Certificate: [][]byte{svid.Certificates[0].Raw}, PrivateKey: svid.PrivateKey}}
	}
	tr := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: len(protocols) > 0 && protocols[0] == "h2"}
	s.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func (s *webSite) get(c *http.Client) (int, string, error) {
	res, err := c.Get("https://" + s.addr)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// T1: over HTTP too a peer is who its certificate says, and each kind of bad one
// is refused in the handshake, with its reason.
func TestWebHandshakes(t *testing.T) {
	s := newWebSite(t, nil, notMallory)
	good := must(s.ca.Issue(ClientID(domain, "a"), time.Hour))
	for _, protocols := range [][]string{{"h2", "http/1.1"}, {"http/1.1"}, nil} {
		want := ClientID(domain, "a") + " HTTP/1.1"
		if len(protocols) == 2 {
			want = ClientID(domain, "a") + " HTTP/2.0"
		}
		if code, body, err := s.get(s.web(good, protocols...)); code != 200 || body != want || err != nil {
			t.Errorf("%q: %d %q %v", protocols, code, body, err)
		}
	}
	refused := func(name string, svid *x509svid.SVID, reason Reason) {
		t.Helper()
		code, body, err := s.get(s.web(svid, "http/1.1"))
		if err == nil {
			t.Fatalf("%s: answered %d %q", name, code, body)
		}
		if told := <-s.heard; !strings.Contains(told, reason.String()+":") && !strings.Contains(told, reason.String()+";") || !strings.Contains(told, reasonTexts[reason].cure) {
			t.Errorf("%s: the log says %q, want %s", name, told, reason)
		}
	}
	for _, bad := range badCertificates(t, s.ca) {
		if bad.client != 0 {
			refused(bad.name, bad.svid, bad.client)
		}
	}
	refused("none", nil, NoCertificate)
	if _, _, err := s.get(s.web(good, protocol)); err == nil || !strings.Contains(<-s.heard, "protocol") {
		t.Errorf("another protocol: %v", err)
	}
	old := s.web(good)
	old.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS12
	if _, _, err := s.get(old); err == nil || !strings.Contains(<-s.heard, "version") {
		t.Errorf("TLS 1.2: %v", err)
	}
}

// Plaintext HTTP gets a clear answer and nothing else.
func TestWebPlaintext(t *testing.T) {
	s := newWebSite(t, nil, nil)
	conn := must(net.Dial("tcp", s.addr))
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusBadRequest || !strings.Contains(string(b), "HTTPS") {
		t.Errorf("%d %q", res.StatusCode, b)
	}
}

// T6: on a connection that stays, each request is judged by what holds then.
func TestWebJudgesEachRequest(t *testing.T) {
	ca := must(NewCA(domain))
	source := NewCredential(must(ca.Issue(NodeID(domain, 1), time.Hour, "127.0.0.1")), ca.Bundle())
	var dismissed atomic.Bool
	s := newWebSite(t, source, func(Identity) error {
		if dismissed.Load() {
			return errors.New("dismissed")
		}
		return nil
	})
	s.ca = ca
	var dials atomic.Int32
	c := s.web(must(ca.Issue(ClientID(domain, "a"), 10*time.Minute)), "h2")
	c.Transport.(*http.Transport).DialContext = (&counting{dials: &dials}).DialContext
	expect := func(what string, reason Reason) {
		t.Helper()
		code, _, err := s.get(c)
		switch {
		case err != nil:
			t.Fatalf("%s: %v", what, err)
		case reason == 0 && code != http.StatusOK:
			t.Errorf("%s: refused: %v", what, s.last.Load())
		case reason != 0 && (code != http.StatusUnauthorized || !errors.Is(s.last.Load(), &Error{Reason: reason})):
			t.Errorf("%s: %d %v, want %s", what, code, s.last.Load(), reason)
		}
	}
	expect("at first", 0)
	dismissed.Store(true)
	expect("dismissed", Denied)
	dismissed.Store(false)
	expect("taken back", 0)
	svid := must(source.GetX509SVID())
	source.Set(svid, must(NewCA(domain)).Bundle())
	expect("its authority is gone", Untrusted)
	source.Set(svid, ca.Bundle())
	expect("its authority is back", 0)
	s.ahead.Store(int64(20 * time.Minute))
	expect("expired", Expired)
	s.ahead.Store(-int64(20 * time.Minute))
	expect("not yet valid", NotYetValid)
	s.ahead.Store(0)
	expect("in its time", 0)
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections: the requests were judged by handshakes", n)
	}
}

// A door for HTTP needs a node's identity; names are for nodes alone.
func TestWebOwnCertificate(t *testing.T) {
	c := newCluster(t)
	_, err := NewWeb(c.client("a"), nil, nil)
	wants(t, err, OwnCertificate)
	_, err = NewWeb(nil, nil, nil)
	wants(t, err, OwnCertificate)
	for _, hosts := range [][]string{{"*.example.org"}, {"a b"}, {""}, {"-a"}, make([]string, hostsMax+1)} {
		if _, err := c.ca.Issue(NodeID(domain, 1), time.Hour, hosts...); err == nil {
			t.Errorf("%q was issued", hosts)
		}
	}
	if _, err := c.ca.Issue(ClientID(domain, "a"), time.Hour, "localhost"); err == nil {
		t.Error("a client was given a host name")
	}
	w := must(NewWeb(c.source(NodeID(domain, 1)), nil, nil))
	_, err = w.Judge(&http.Request{RemoteAddr: "192.0.2.1:1"})
	wants(t, err, HandshakeFailed)
	_, err = w.Judge(&http.Request{TLS: &tls.ConnectionState{}})
	wants(t, err, NoCertificate)
}

type counting struct {
	net.Dialer
	dials *atomic.Int32
}

func (c *counting) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c.dials.Add(1)
	return c.Dialer.DialContext(ctx, network, addr)
}

func x509Pool(ca *CA) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range ca.Bundle().X509Authorities() {
		pool.AddCert(c)
	}
	return pool
}
