package tlsnet

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"actordb/core/proc"
)

// forge has ca sign what it would not issue.
func forge(ca *CA, id string, change func(*x509.Certificate)) *x509svid.SVID {
	who := must(spiffeid.FromString(id))
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: serial(), NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		URIs:        []*url.URL{who.URL()},
	}
	if change != nil {
		change(c)
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return &x509svid.SVID{ID: who, Certificates: []*x509.Certificate{must(ca.sign(id, public, c))}, PrivateKey: key}
}

type badCertificate struct {
	name   string
	svid   *x509svid.SVID
	client Reason // as a client's
	server Reason // as a node's
}

func badCertificates(t *testing.T, ca *CA) []badCertificate {
	node := NodeID(domain, 2)
	foreign, impostor := must(NewCA("other.example")), must(NewCA(domain))
	uri := func(s string) *url.URL { return must(url.Parse(s)) }
	leaf := forge(ca, node, nil)
	chained := forge(&CA{domain: ca.domain, now: time.Now, key: leaf.PrivateKey.(ed25519.PrivateKey), authorities: leaf.Certificates}, node, func(c *x509.Certificate) { c.NotAfter = leaf.Certificates[0].NotAfter })
	chained.Certificates = append(chained.Certificates, leaf.Certificates[0])
	return []badCertificate{
		{"expired", forge(ca, node, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }), Expired, Expired},
		{"not yet valid", forge(ca, node, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), NotYetValid, NotYetValid},
		{"foreign domain", forge(foreign, NodeID("other.example", 2), nil), ForeignDomain, ForeignDomain},
		{"foreign authority, our domain", forge(impostor, node, nil), Untrusted, Untrusted},
		{"signed by a leaf", chained, Untrusted, Untrusted},
		{"server only", forge(ca, node, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }), WrongUsage, 0},
		{"client only", forge(ca, node, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }), 0, WrongUsage},
		{"no usage", forge(ca, node, func(c *x509.Certificate) { c.ExtKeyUsage = nil }), WrongUsage, WrongUsage},
		{"an authority", forge(ca, node, func(c *x509.Certificate) { c.IsCA = true; c.KeyUsage |= x509.KeyUsageCertSign }), WrongUsage, WrongUsage},
		{"no URI", forge(ca, node, func(c *x509.Certificate) { c.URIs = nil; c.DNSNames = []string{"localhost"} }), NoIdentity, NoIdentity},
		{"two URIs", forge(ca, node, func(c *x509.Certificate) { c.URIs = append(c.URIs, uri("spiffe://test.example/client/x")) }), NoIdentity, NoIdentity},
		{"no SPIFFE URI", forge(ca, node, func(c *x509.Certificate) { c.URIs = []*url.URL{uri("https://test.example/node/2")} }), NoIdentity, NoIdentity},
		{"strange path", forge(ca, "spiffe://test.example/admin", nil), BadIdentity, BadIdentity},
		{"node zero", forge(ca, "spiffe://test.example/node/0", nil), BadIdentity, BadIdentity},
		{"node of a client's number", forge(ca, "spiffe://test.example/node/2147483648", nil), BadIdentity, BadIdentity},
		{"a deeper path", forge(ca, "spiffe://test.example/client/a/b", nil), BadIdentity, BadIdentity},
		{"long", forge(ca, ClientID(domain, strings.Repeat("x", 256)), nil), BadIdentity, BadIdentity},
		{"denied", forge(ca, ClientID(domain, "mallory"), nil), Denied, Denied},
	}
}

func notMallory(i Identity) error {
	if i.Client == "mallory" {
		return errors.New("mallory was dismissed")
	}
	return nil
}

// T1: each kind of bad certificate is refused by a node, with its reason, and
// the peer learns that it was; others go on.
func TestBadClientCertificates(t *testing.T) {
	c := newCluster(t)
	n, r := c.node(2, func(cfg *Config) { cfg.Authorize = notMallory })
	good := dial(t, n, c.client("good"))
	for _, bad := range badCertificates(t, c.ca) {
		if bad.client == 0 {
			continue
		}
		t.Run(bad.name, func(t *testing.T) {
			p := &policy{domain: c.ca.domain, source: NewCredential(bad.svid, c.ca.Bundle()), now: time.Now}
			raw := must(net.Dial("tcp", n.Addr().String()))
			defer raw.Close()
			raw.SetDeadline(time.Now().Add(patience))
			_, err := introduce(t.Context(), tls.Client(raw, p.clientConfig()), p, 2, 0)
			wants(t, err, Refused)
			raw.Close()
			e := c.hears(bad.client)
			t.Log(e)
		})
	}
	t.Run("none", func(t *testing.T) {
		raw := must(net.Dial("tcp", n.Addr().String()))
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(patience))
		conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
		conn.Handshake()
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a peer without a certificate was answered")
		}
		raw.Close()
		t.Log(c.hears(NoCertificate))
	})
	for i := range 10 {
		good.Send(background, 1, numbered(i))
		if g := r.next(t); string(g.frame) != string(numbered(i)) {
			t.Fatalf("%+v", g)
		}
	}
}

// T1: a client refuses each kind of bad certificate of a server, before it
// says anything.
func TestBadServerCertificates(t *testing.T) {
	c := newCluster(t)
	ours, _, err := newPolicy(c.client("a"), nil, notMallory)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range badCertificates(t, c.ca) {
		if bad.server == 0 {
			continue
		}
		t.Run(bad.name, func(t *testing.T) {
			listener := must(net.Listen("tcp", "127.0.0.1:0"))
			defer listener.Close()
			p := &policy{domain: c.ca.domain, source: NewCredential(bad.svid, c.ca.Bundle()), now: time.Now}
			heard := make(chan int, 1)
			go func() {
				raw, err := listener.Accept()
				if err != nil {
					return
				}
				defer raw.Close()
				n, _ := tls.Server(raw, p.serverConfig(protocol)).Read(make([]byte, 100))
				heard <- n
			}()
			limits := Limits{}.withDefaults()
			_, _, err := connect(t.Context(), listener.Addr().String(), ours, 0, 0, &limits)
			wants(t, err, bad.server)
			t.Log(err)
			if n := <-heard; n > 0 {
				t.Errorf("it was told %d bytes", n)
			}
		})
	}
}

// What a program's own certificate lacks is said before anything is dialed.
func TestOwnCertificate(t *testing.T) {
	c := newCluster(t)
	for _, bad := range badCertificates(t, c.ca) {
		if bad.server == 0 || bad.name == "denied" || bad.name == "foreign domain" || bad.server == Untrusted {
			continue
		}
		_, err := New(Config{Source: NewCredential(bad.svid, c.ca.Bundle())})
		wants(t, err, OwnCertificate)
	}
	_, err := Dial(t.Context(), "127.0.0.1:1", c.source(NodeID(domain, 3)))
	wants(t, err, OwnCertificate)
	_, err = New(Config{Source: c.client("a")})
	wants(t, err, OwnCertificate)
	_, err = New(Config{})
	wants(t, err, OwnCertificate)
	_, err = Dial(t.Context(), "127.0.0.1:1", c.client("a"))
	wants(t, err, Unreachable)
}

// T1: a node answers for its own number only.
func TestWrongNode(t *testing.T) {
	c := newCluster(t)
	n2, _ := c.node(2, nil)
	n1, r1 := c.node(1, func(cfg *Config) { cfg.Peers = map[proc.NodeID]string{3: n2.Addr().String()} })
	n1.Send(here, proc.Addr{Node: 3, Proc: 1}, nil)
	r1.reset(t)
	c.hears(WrongNode)
	_, err := (&Dialer{Source: c.client("a"), Node: 3}).Dial(t.Context(), n2.Addr().String())
	wants(t, err, WrongNode)
}

// T1: a client that keeps session tickets is given none, so that a
// second connection shows its certificate again, and is judged.
func TestNoResumption(t *testing.T) {
	c := newCluster(t)
	var dismissed atomic.Bool
	n, _ := c.node(2, func(cfg *Config) {
		cfg.Authorize = func(i Identity) error {
			if dismissed.Load() {
				return errors.New("dismissed")
			}
			return nil
		}
	})
	cache := &countingCache{}
	p, _, err := newPolicy(c.client("a"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	open := func() (*tls.Conn, error) {
		raw := must(net.Dial("tcp", n.Addr().String()))
		t.Cleanup(func() { raw.Close() })
		raw.SetDeadline(time.Now().Add(patience))
		cfg := p.clientConfig()
		cfg.SessionTicketsDisabled, cfg.ClientSessionCache = false, cache
		conn := tls.Client(raw, cfg)
		_, err := introduce(t.Context(), conn, p, 0, 0)
		return conn, err
	}
	for range 2 {
		conn, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if conn.ConnectionState().DidResume {
			t.Fatal("a session was resumed")
		}
	}
	if cache.puts.Load() != 0 || cache.gets.Load() == 0 {
		t.Errorf("%d tickets, %d look-ups", cache.puts.Load(), cache.gets.Load())
	}
	dismissed.Store(true)
	last, err := open()
	wants(t, err, Refused)
	last.Close()
	c.hears(Denied)
}

type countingCache struct{ gets, puts atomic.Int32 }

func (c *countingCache) Get(string) (*tls.ClientSessionState, bool) { c.gets.Add(1); return nil, false }
func (c *countingCache) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		c.puts.Add(1)
	}
}

// TLS 1.2 and other protocols are refused.
func TestOldAndOther(t *testing.T) {
	c := newCluster(t)
	n, _ := c.node(2, nil)
	p, _, _ := newPolicy(c.client("a"), nil, nil)
	open := func(change func(*tls.Config)) {
		raw := must(net.Dial("tcp", n.Addr().String()))
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(patience))
		cfg := p.clientConfig()
		cfg.VerifyConnection = nil
		change(cfg)
		conn := tls.Client(raw, cfg)
		err := conn.Handshake()
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		if err == nil {
			t.Error("it was answered")
		}
	}
	open(func(cfg *tls.Config) { cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 })
	t.Log(c.hears(HandshakeFailed))
	open(func(cfg *tls.Config) { cfg.NextProtos = nil })
	t.Log(c.hears(WrongProtocol))
	open(func(cfg *tls.Config) { cfg.NextProtos = []string{"h2"} })
	t.Log(c.hears(HandshakeFailed))
}

// T6: connections that live see a new certificate and authority come without a
// break, and end when their authority goes.
func TestRotation(t *testing.T) {
	c := newCluster(t)
	make := func(id string) *Credential { return NewCredential(must(c.ca.Issue(id, time.Hour)), c.ca.Bundle()) }
	s1, s2, sc := make(NodeID(domain, 1)), make(NodeID(domain, 2)), make(ClientID(domain, "a"))
	n2, r2 := c.node(2, func(cfg *Config) { cfg.Source = s2 })
	n1, r1 := c.node(1, func(cfg *Config) {
		cfg.Source, cfg.Peers = s1, map[proc.NodeID]string{2: n2.Addr().String()}
	})
	client := dial(t, n2, sc)
	exchange := func(i int) {
		t.Helper()
		n1.Send(here, there, numbered(i))
		if g := r2.next(t); string(g.frame) != string(numbered(i)) {
			t.Fatalf("%+v", g)
		}
		if err := client.Send(background, 9, numbered(i)); err != nil {
			t.Fatal(err)
		}
		if g := r2.next(t); string(g.frame) != string(numbered(i)) {
			t.Fatalf("%+v", g)
		}
	}
	exchange(0)
	old := c.ca.Bundle()
	if err := c.ca.Rotate(); err != nil {
		t.Fatal(err)
	}
	if len(c.ca.Bundle().X509Authorities()) != 2 {
		t.Fatal("the old authority is not in the bundle")
	}
	for _, s := range []struct {
		*Credential
		id string
	}{{s1, NodeID(domain, 1)}, {s2, NodeID(domain, 2)}, {sc, ClientID(domain, "a")}} {
		s.Set(must(c.ca.Issue(s.id, time.Hour)), c.ca.Bundle())
		n1.Recheck()
		n2.Recheck()
		exchange(1)
	}
	second := dial(t, n2, sc)
	if err := second.link.chain[0].CheckSignatureFrom(c.ca.Bundle().X509Authorities()[0]); err != nil {
		t.Errorf("the new connection does not use the new certificate: %v", err)
	}
	fresh := c.ca.Bundle()
	fresh.RemoveX509Authority(old.X509Authorities()[0])
	svid, _ := s2.GetX509SVID()
	s2.Set(svid, fresh)
	n2.Recheck()
	for range 2 { // node 1's connection and the first client's
		c.hears(Untrusted)
	}
	r1.reset(t)
	n1.Send(here, there, numbered(2))
	if g := r2.frame(t); string(g.frame) != string(numbered(2)) {
		t.Fatalf("%+v", g)
	}
	second.Send(background, 9, numbered(3))
	if g := r2.frame(t); string(g.frame) != string(numbered(3)) {
		t.Fatalf("%+v", g)
	}
}

// T6: a connection does not outlive the client's certificate, nor the node's.
func TestExpiryWhileConnected(t *testing.T) {
	c := newCluster(t)
	var ahead atomic.Int64
	n, r := c.node(2, func(cfg *Config) {
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		cfg.Limits.PingEvery, cfg.Limits.IdleTimeout = 20*time.Millisecond, time.Minute
	})
	client := dial(t, n, NewCredential(must(c.ca.Issue(ClientID(domain, "a"), time.Minute)), c.ca.Bundle()))
	client.Send(background, 9, nil)
	r.frame(t)
	ahead.Store(int64(2 * time.Minute))
	t.Log(c.hears(Expired))
	r.reset(t)
	_, err := client.Recv()
	wants(t, err, Lost)

	short := NewCredential(must(c.ca.Issue(NodeID(domain, 3), 4*time.Second)), c.ca.Bundle())
	n3, _ := c.node(3, func(cfg *Config) { cfg.Source = short })
	_, err = dial(t, n3, c.client("a")).Recv()
	wants(t, err, Expired)
}

// A CA issues for its own domain and within its own time, and its files are
// read only when they are whole and private.
func TestCA(t *testing.T) {
	if _, err := NewCA("Not a Domain"); err == nil {
		t.Error("a bad trust domain was accepted")
	}
	ca := must(NewCA(domain))
	_, err := ca.Issue("spiffe://other.example/node/1", time.Hour)
	wants(t, err, ForeignDomain)
	_, err = ca.Issue("spiffe://test.example/root", time.Hour)
	wants(t, err, BadIdentity)
	for _, ttl := range []time.Duration{0, -1, CertificateLifetimeMax + 1} {
		if _, err := ca.Issue(NodeID(domain, 1), ttl); err == nil {
			t.Errorf("lifetime %v", ttl)
		}
	}
	late := must(newCA(domain, func() time.Time { return time.Now().Add(-authorityLifetime + time.Hour) }))
	late.now = time.Now
	if _, err := late.Issue(NodeID(domain, 1), 2*time.Hour); err == nil {
		t.Error("a certificate outlives its authority")
	}
	dir := filepath.Join(t.TempDir(), "ca")
	if _, err := LoadCA(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	ca.Rotate()
	if err := SaveCA(dir, ca); err != nil {
		t.Fatal(err)
	}
	again := must(LoadCA(dir))
	if !again.Bundle().Equal(ca.Bundle()) || again.TrustDomain() != domain {
		t.Error("another CA was loaded")
	}
	if _, _, err := x509svid.Verify(must(again.Issue(NodeID(domain, 1), time.Hour)).Certificates, ca); err != nil {
		t.Error(err)
	}
	path := filepath.Join(dir, authorityFile)
	whole := must(os.ReadFile(path))
	for i := 0; i < len(whole); i += 3 {
		b := append([]byte(nil), whole...)
		b[i] ^= 4
		os.WriteFile(path, b, 0o600)
		if _, err := LoadCA(dir); err == nil {
			t.Errorf("a flipped bit in byte %d was accepted", i)
		}
		os.WriteFile(path, whole[:i], 0o600)
		if _, err := LoadCA(dir); err == nil {
			t.Errorf("%d of %d bytes were accepted", i, len(whole))
		}
	}
	os.WriteFile(path, whole, 0o600)
	os.Chmod(path, 0o644)
	if _, err := LoadCA(dir); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("a key that others can read: %v", err)
	}
	if info := must(os.Stat(dir)); info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v", info.Mode())
	}
}

// A client's identity goes to a file and back.
func TestIdentityFile(t *testing.T) {
	c := newCluster(t)
	n, r := c.node(2, nil)
	dir := t.TempDir()
	if err := SaveIdentity(dir, must(c.ca.Issue(ClientID(domain, "a"), time.Hour)), c.ca.Bundle()); err != nil {
		t.Fatal(err)
	}
	dial(t, n, must(LoadIdentity(dir))).Send(background, 1, nil)
	if g := r.frame(t); g.peer != ClientID(domain, "a") {
		t.Errorf("%+v", g)
	}
	if info := must(os.Stat(filepath.Join(dir, identityFile))); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

// A source renews itself at half of its time.
func TestSourceRenews(t *testing.T) {
	now := time.Now()
	ca := must(newCA(domain, func() time.Time { return now }))
	s := must(ca.Source(NodeID(domain, 1), time.Hour))
	first := must(s.GetX509SVID())
	now = now.Add(29 * time.Minute)
	if must(s.GetX509SVID()) != first {
		t.Error("too early")
	}
	now = now.Add(2 * time.Minute)
	if must(s.GetX509SVID()) == first {
		t.Error("too late")
	}
}

// A renewed file is taken over while it is in use; a bad one, or somebody
// else's, leaves everything as it was.
func TestReload(t *testing.T) {
	ca, dir := must(NewCA(domain)), t.TempDir()
	save := func(id string) {
		t.Helper()
		if err := SaveIdentity(dir, must(ca.Issue(id, time.Hour)), ca.Bundle()); err != nil {
			t.Fatal(err)
		}
	}
	save(NodeID(domain, 1))
	c := must(LoadIdentity(dir))
	first := must(c.GetX509SVID())
	if changed, err := c.Reload(dir); changed || err != nil {
		t.Errorf("nothing changed: %v %v", changed, err)
	}
	save(NodeID(domain, 2))
	if _, err := c.Reload(dir); err == nil || must(c.GetX509SVID()) != first {
		t.Errorf("another node's identity: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, identityFile), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Reload(dir); err == nil || must(c.GetX509SVID()) != first {
		t.Errorf("garbage: %v", err)
	}
	save(NodeID(domain, 1))
	if changed, err := c.Reload(dir); !changed || err != nil || must(c.GetX509SVID()) == first {
		t.Errorf("a renewed certificate: %v %v", changed, err)
	}
	if err := ca.Rotate(); err != nil {
		t.Fatal(err)
	}
	renewed := must(c.GetX509SVID())
	if err := SaveIdentity(dir, renewed, ca.Bundle()); err != nil {
		t.Fatal(err)
	}
	if changed, err := c.Reload(dir); !changed || err != nil || len(must(c.GetX509BundleForTrustDomain(ca.domain)).X509Authorities()) != 2 {
		t.Errorf("a new authority: %v %v", changed, err)
	}
}
