package admission

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"actordb/internal/datadir"
	"actordb/internal/node"
	"actordb/net/tlsnet"
)

const ttl = 10 * time.Minute

// host is where a cluster was made, with its reception.
type host struct {
	t      *testing.T
	made   *node.NewCluster
	addr   string // of the reception
	mu     sync.Mutex
	passed time.Duration // since the test began
	stop   func()
}

func (h *host) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.passed)
}

func (h *host) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.passed += d
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, made: &node.NewCluster{Dir: filepath.Join(t.TempDir(), "made"), Domain: "test.example", Shards: 2,
		Addrs: []string{"127.0.0.1:7400", "127.0.0.1:7410", "127.0.0.1:7420"}}}
	if err := h.made.Create(); err != nil {
		t.Fatal(err)
	}
	h.serve()
	t.Cleanup(func() { h.stop() })
	return h
}

// serve begins a reception, which knows nothing of one before.
func (h *host) serve() {
	h.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	h.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	ended := make(chan error)
	go func() { ended <- (&Reception{Made: h.made, Now: h.now}).Serve(ctx, l) }()
	h.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
	}
}

func (h *host) invite(addr string) Token {
	h.t.Helper()
	token, err := Invite(h.made, addr, h.addr, ttl, h.now())
	if err != nil {
		h.t.Fatal(err)
	}
	again, err := ParseToken(" " + token.String() + "\n")
	if err != nil || again != token {
		h.t.Fatalf("%v became %v, %v", token, again, err)
	}
	return again
}

func (h *host) join(token Token) (string, datadir.Member, error) {
	dir := filepath.Join(h.t.TempDir(), "node")
	m, err := Join(h.t.Context(), token, dir, h.now)
	return dir, m, err
}

func (h *host) refused(token Token, want Reason) {
	h.t.Helper()
	dir, _, err := h.join(token)
	var e *Error
	if !errors.As(err, &e) || e.Reason != want {
		h.t.Errorf("%v, want %s", err, want)
	}
	if list, _ := os.ReadDir(dir); len(list) > 0 {
		h.t.Errorf("%s left %v", want, list)
	}
}

// Who comes with a token gets a directory that a node can serve, with a key of its own
// and the next number; the directories that stand beside the authority know of it.
func TestJoin(t *testing.T) {
	h := newHost(t)
	dir, m, err := h.join(h.invite("127.0.0.1:7430"))
	if err != nil || m != (datadir.Member{Node: 4, Addr: "127.0.0.1:7430"}) {
		t.Fatalf("%+v %v", m, err)
	}
	id, err := datadir.Read(dir)
	first, err2 := datadir.Read(h.made.NodeDir(1))
	if err != nil || err2 != nil || id.Node != 4 || id.Shards != 2 || id.Cluster != first.Cluster || len(id.Members) != 3 || id.Secret == first.Secret {
		t.Errorf("%+v %v %v", id, err, err2)
	}
	source, err := tlsnet.LoadIdentity(filepath.Join(dir, datadir.OwnIdentityDir))
	if err != nil {
		t.Fatal(err)
	}
	if svid, err := source.GetX509SVID(); err != nil || svid.ID.String() != "spiffe://test.example/node/4" || svid.Certificates[0].IPAddresses[0].String() != "127.0.0.1" {
		t.Errorf("%+v %v", svid, err)
	}
	own, err := os.ReadFile(filepath.Join(dir, datadir.ClusterFile))
	theirs, err2 := os.ReadFile(filepath.Join(h.made.NodeDir(2), datadir.ClusterFile))
	if err != nil || err2 != nil || !bytes.Equal(own, theirs) {
		t.Errorf("%s\n%s\n%v %v", own, theirs, err, err2)
	}
	if _, m, err := h.join(h.invite("127.0.0.1:7440")); err != nil || m.Node != 5 {
		t.Errorf("the next one: %+v %v", m, err)
	}
}

// A token is good once (A1): after the reception began anew, too, and if two come with
// it at once.
func TestReplay(t *testing.T) {
	h := newHost(t)
	token := h.invite("127.0.0.1:7430")
	var wait sync.WaitGroup
	results := make([]error, 4)
	for i := range results {
		wait.Go(func() { _, _, results[i] = h.join(token) })
	}
	wait.Wait()
	won := 0
	for _, err := range results {
		var e *Error
		switch {
		case err == nil:
			won++
		case !errors.As(err, &e) || e.Reason != Used:
			t.Errorf("%v, want %s", err, Used)
		}
	}
	if won != 1 {
		t.Errorf("%d were admitted with one token", won)
	}
	h.stop()
	h.serve()
	token.Reception = h.addr
	h.refused(token, Used)
	if c, err := datadir.ReadCluster(h.made.NodeDir(1)); err != nil || len(c.Nodes) != 4 {
		t.Errorf("%+v %v", c, err)
	}
}

// What is too late, of another authority, or nothing at all, is told apart.
func TestRefused(t *testing.T) {
	h, other := newHost(t), newHost(t)
	token := h.invite("127.0.0.1:7430")
	elsewhere := token
	elsewhere.Reception = other.addr
	h.refused(elsewhere, WrongCluster)
	guessed := token
	guessed.Secret[5]++
	h.refused(guessed, Unknown)
	h.pass(ttl + time.Second)
	h.refused(token, Expired)
	h.pass(-time.Minute)
	if _, m, err := h.join(token); err != nil || m.Node != 4 {
		t.Errorf("after all that: %+v %v", m, err)
	}
	b, err := os.ReadFile(ledgerPath(h.made.Dir))
	if err != nil || bytes.Contains(b, token.Secret[:]) || bytes.Contains(b, []byte(token.String())) {
		t.Errorf("%s %v", b, err) // A3
	}
	if _, err := Invite(h.made, "127.0.0.1:7450", h.addr, TTLMax+1, h.now()); err == nil {
		t.Error("a token for too long")
	}
	full := filepath.Join(t.TempDir(), "full")
	if err := os.MkdirAll(filepath.Join(full, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Join(t.Context(), token, full, h.now); err == nil {
		t.Error("a directory with files was taken")
	}
}

// A node's certificate is none of a reception's: it could be stolen with the node.
func TestOnlyTheReception(t *testing.T) {
	h := newHost(t)
	ca, err := tlsnet.LoadCA(filepath.Join(h.made.Dir, datadir.AuthorityDir))
	if err != nil {
		t.Fatal(err)
	}
	svid, err := ca.Issue(tlsnet.NodeID(ca.TrustDomain(), 1), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{
		Certificate: [][]byte{svid.Certificates[0].Raw, ca.Bundle().X509Authorities()[0].Raw}, PrivateKey: svid.PrivateKey}}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan int, 1)
	go func() {
		n := 0
		if c, err := l.Accept(); err == nil {
			n, _ = c.Read(make([]byte, 1)) // the handshake, and what comes after it
			c.Close()
		}
		heard <- n
	}()
	token := h.invite("127.0.0.1:7430")
	token.Reception = l.Addr().String()
	h.refused(token, WrongCluster)
	if n := <-heard; n > 0 {
		t.Error("the secret was told to a node")
	}
}

// FuzzToken: any text is a token, which is written again as it was read, or an error.
func FuzzToken(f *testing.F) {
	f.Add(Token{Reception: "a:1"}.String())
	f.Add("actordb1.AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		var e *Error
		switch {
		case err != nil && (!errors.As(err, &e) || e.Reason != Malformed):
			t.Fatal(err)
		case err == nil:
			if again, err := ParseToken(token.String()); err != nil || again != token {
				t.Fatalf("%v became %v, %v", token, again, err)
			}
		}
	})
}
