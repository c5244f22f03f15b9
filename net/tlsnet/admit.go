package tlsnet

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// A machine that has no certificate yet cannot be known by one, and knows nobody. What
// it can have is the fingerprint of the authority: by that it knows the reception, which
// speaks for the authority, and from it the machine gets a certificate for a key that
// never leaves it. How the reception knows the machine is not this package's matter.

// Fingerprint is the SHA-256 of the certificate that the authority signs with.
func (ca *CA) Fingerprint() [sha256.Size]byte {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return sha256.Sum256(ca.authorities[0].Raw)
}

// receptionPath is that of the reception's SPIFFE id: no node and no client can have it.
const receptionPath = "/reception"

// Reception is the TLS of a reception, with a certificate that is good for ttl.
func (ca *CA) Reception(ttl time.Duration) (*tls.Config, error) {
	id, err := spiffeid.FromPath(ca.domain, receptionPath)
	if err != nil {
		return nil, fmt.Errorf("tlsnet: reception: %w", err)
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("tlsnet: reception: %w", err)
	}
	now := ca.now()
	leaf, err := ca.sign(id.String(), public, &x509.Certificate{
		SerialNumber: serial(), NotBefore: now.Add(-notBeforeSlack), NotAfter: now.Add(ttl), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, URIs: []*url.URL{id.URL()},
	})
	if err != nil {
		return nil, err
	}
	chain := [][]byte{leaf.Raw}
	for _, c := range ca.Bundle().X509Authorities() {
		chain = append(chain, c.Raw)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
		Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: key, Leaf: leaf}}}, nil
}

// Pinned is the TLS of a machine that knows nothing but an authority's fingerprint: it
// speaks to that one's reception, and to nobody else.
func Pinned(authority [sha256.Size]byte, now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // of names; the chain is judged in VerifyConnection
		VerifyConnection:   func(cs tls.ConnectionState) error { return pinned(cs.PeerCertificates, authority, now()) },
	}
}

func pinned(chain []*x509.Certificate, authority [sha256.Size]byte, now time.Time) error {
	i := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return sha256.Sum256(c.Raw) == authority })
	if i < 1 {
		return errorf(ForeignDomain, "the reception does not show the authority that is wanted")
	}
	roots := x509.NewCertPool()
	roots.AddCert(chain[i])
	leaf := chain[0]
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
		return &Error{Reason: Untrusted, Detail: "the reception's certificate", Err: err}
	}
	id, err := x509svid.IDFromCert(leaf)
	if err != nil || id.Path() != receptionPath {
		return errorf(WrongUsage, "the peer is not the authority's reception")
	}
	return nil
}

// A Request is a new key, and what proves that one has it.
type Request struct {
	DER []byte // PKCS #10, RFC 2986
	key ed25519.PrivateKey
}

// NewRequest makes a key.
func NewRequest() (*Request, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("tlsnet: request: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("tlsnet: request: %w", err)
	}
	return &Request{der, key}, nil
}

// CheckRequest says what is wrong with a request, or nil.
func CheckRequest(request []byte) error {
	_, err := keyOf(request)
	return err
}

func keyOf(request []byte) (ed25519.PublicKey, error) {
	r, err := x509.ParseCertificateRequest(request)
	if err == nil {
		err = r.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("tlsnet: request: %w", err)
	}
	public, ok := r.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("tlsnet: request: a key of type %T, want Ed25519", r.PublicKey)
	}
	return public, nil
}

// Certify is Issue for the key of a request, of which it takes nothing else.
func (ca *CA) Certify(request []byte, id string, ttl time.Duration, hosts ...string) (*x509.Certificate, error) {
	public, err := keyOf(request)
	if err != nil {
		return nil, err
	}
	svid, err := ca.issue(id, public, ttl, hosts)
	if err != nil {
		return nil, err
	}
	return svid.Certificates[0], nil
}

// Save writes the identity that the request became, as SaveIdentity does.
func (r *Request) Save(dir string, certificate []byte, authorities [][]byte) error {
	cert, err := x509.ParseCertificate(certificate)
	if err != nil {
		return fmt.Errorf("tlsnet: certificate: %w", err)
	}
	if public, ok := r.key.Public().(ed25519.PublicKey); !ok || !public.Equal(cert.PublicKey) {
		return fmt.Errorf("tlsnet: the certificate is for another key than was asked for")
	}
	id, err := x509svid.IDFromCert(cert)
	if err != nil {
		return fmt.Errorf("tlsnet: certificate: %w", err)
	}
	var trusted []*x509.Certificate
	for _, der := range authorities {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("tlsnet: authority: %w", err)
		}
		trusted = append(trusted, c)
	}
	return SaveIdentity(dir, &x509svid.SVID{ID: id, Certificates: []*x509.Certificate{cert}, PrivateKey: r.key},
		x509bundle.FromX509Authorities(id.TrustDomain(), trusted))
}
