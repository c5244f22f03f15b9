package tlsnet

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// A CA is an embedded certificate authority of one trust domain: Ed25519 keys,
// X.509-SVIDs of short lifetimes. It signs leaves of its own domain only, which
// its certificate says too (path length 0, permitted URI domain).
type CA struct {
	domain spiffeid.TrustDomain
	now    func() time.Time

	mu          sync.Mutex
	key         ed25519.PrivateKey
	authorities []*x509.Certificate // the first signs; the others are still trusted
}

// NewCA makes an authority for a trust domain, such as "prod.example.org".
func NewCA(trustDomain string) (*CA, error) { return newCA(trustDomain, time.Now) }

func newCA(trustDomain string, now func() time.Time) (*CA, error) {
	td, err := spiffeid.TrustDomainFromString(trustDomain)
	if err != nil {
		return nil, fmt.Errorf("tlsnet: trust domain %q: %w", trustDomain, err)
	}
	ca := &CA{domain: td, now: now}
	return ca, ca.Rotate()
}

// TrustDomain is the name of the CA's domain.
func (ca *CA) TrustDomain() string { return ca.domain.Name() }

// Rotate replaces the signing key. The certificates of earlier keys stay in the
// bundle until they expire, so that what they signed stays good.
func (ca *CA) Rotate() error {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("tlsnet: new authority: %w", err)
	}
	now := ca.now()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"ActorDB"}, CommonName: ca.domain.Name()},
		NotBefore:             now.Add(-notBeforeSlack),
		NotAfter:              now.Add(authorityLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		URIs:                  []*url.URL{ca.domain.ID().URL()},

		PermittedDNSDomainsCritical: true, // Go's name for "the name constraints are critical"
		PermittedURIDomains:         []string{ca.domain.Name()},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		return fmt.Errorf("tlsnet: new authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("tlsnet: new authority: %w", err)
	}
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.key = key
	ca.authorities = slices.DeleteFunc(append([]*x509.Certificate{cert}, ca.authorities...),
		func(c *x509.Certificate) bool { return now.After(c.NotAfter) })
	return nil
}

// serial is a random serial number of 127 bits, never zero or negative.
func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // documented never to fail
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}

// Bundle is what others need to check certificates of this CA.
func (ca *CA) Bundle() *x509bundle.Bundle {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return x509bundle.FromX509Authorities(ca.domain, ca.authorities)
}

// GetX509BundleForTrustDomain makes the CA a bundle source.
func (ca *CA) GetX509BundleForTrustDomain(td spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	return ca.Bundle().GetX509BundleForTrustDomain(td)
}

// Issue makes a certificate with a new key for a node or client of the domain.
// It is good at once, also where clocks are a little behind, and for ttl. hosts
// are names and addresses of a node for those who know servers by them, as HTTP
// does; ActorDB itself does not look at them.
func (ca *CA) Issue(id string, ttl time.Duration, hosts ...string) (*x509svid.SVID, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("tlsnet: issue %s: %w", id, err)
	}
	svid, err := ca.issue(id, public, ttl, hosts)
	if err != nil {
		return nil, err
	}
	svid.PrivateKey = key
	return svid, nil
}

// issue makes a certificate for a key.
func (ca *CA) issue(id string, public ed25519.PublicKey, ttl time.Duration, hosts []string) (*x509svid.SVID, error) {
	who, err := spiffeid.FromString(id)
	if err != nil {
		return nil, fmt.Errorf("tlsnet: issue %q: %w", id, err)
	}
	if !who.MemberOf(ca.domain) {
		return nil, &Error{Reason: ForeignDomain, Peer: id, Detail: "this authority issues for " + ca.domain.Name() + " only"}
	}
	identity, err := identityOf(who)
	if err != nil {
		e := asError(err, BadIdentity)
		e.Peer = id
		return nil, e
	}
	if ttl <= 0 || ttl > CertificateLifetimeMax {
		return nil, fmt.Errorf("tlsnet: issue %s: lifetime %v, want more than 0 and at most %v", id, ttl, CertificateLifetimeMax)
	}
	if len(hosts) > hostsMax || len(hosts) > 0 && identity.Node == 0 {
		return nil, fmt.Errorf("tlsnet: issue %s: %d host names; a node has up to %d, a client none", id, len(hosts), hostsMax)
	}
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if identity.Node != 0 {
		usage = append(usage, x509.ExtKeyUsageServerAuth)
	}
	now := ca.now()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		NotBefore:             now.Add(-notBeforeSlack),
		NotAfter:              now.Add(ttl),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           usage,
		URIs:                  []*url.URL{who.URL()},
	}
	for _, h := range hosts {
		switch ip := net.ParseIP(h); {
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		case hostName.MatchString(h):
			template.DNSNames = append(template.DNSNames, h)
		default:
			return nil, fmt.Errorf("tlsnet: issue %s: %.80q is neither a host name nor an address", id, h)
		}
	}
	cert, err := ca.sign(id, public, template)
	if err != nil {
		return nil, err
	}
	return &x509svid.SVID{ID: who, Certificates: []*x509.Certificate{cert}}, nil
}

// hostName is a DNS name without a wildcard (RFC 1123, section 2.1).
var hostName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

const hostsMax = 16

func (ca *CA) sign(id string, public ed25519.PublicKey, template *x509.Certificate) (*x509.Certificate, error) {
	ca.mu.Lock()
	parent, parentKey := ca.authorities[0], ca.key
	ca.mu.Unlock()
	if template.NotAfter.After(parent.NotAfter) {
		return nil, fmt.Errorf("tlsnet: issue %s: the certificate would outlive its authority, which expires at %s; rotate the authority",
			id, stamp(parent.NotAfter))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, parentKey)
	if err != nil {
		return nil, fmt.Errorf("tlsnet: issue %s: %w", id, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("tlsnet: issue %s: %w", id, err)
	}
	return cert, nil
}

const authorityFile = "authority.pem"

// SaveCA writes the CA, key included, to one file in dir that its owner alone
// can read.
func SaveCA(dir string, ca *CA) error {
	ca.mu.Lock()
	key, certs := ca.key, ca.authorities
	ca.mu.Unlock()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("tlsnet: save authority: %w", err)
	}
	var b bytes.Buffer
	pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: der}) // a Buffer takes all
	for _, c := range certs {
		pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return writePrivate(dir, authorityFile, b.Bytes())
}

// LoadCA reads what SaveCA wrote. The error wraps fs.ErrNotExist when there is
// nothing.
func LoadCA(dir string) (*CA, error) {
	path, b, err := readPrivate(dir, authorityFile)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*CA, error) {
		return nil, fmt.Errorf("tlsnet: %s: %w; restore it from a backup, or make a new authority and issue all certificates again", path, err)
	}
	key, certs, err := parsePEM(b)
	if err != nil {
		return fail(err)
	}
	public, _ := key.Public().(ed25519.PublicKey)
	if !public.Equal(certs[0].PublicKey) {
		return fail(errors.New("the key is not that of the first certificate"))
	}
	for i, c := range certs {
		if !c.IsCA || len(c.URIs) != 1 {
			return fail(fmt.Errorf("certificate %d is not one of an authority", i+1))
		}
	}
	td, err := spiffeid.TrustDomainFromURI(certs[0].URIs[0])
	if err != nil {
		return fail(err)
	}
	return &CA{domain: td, now: time.Now, key: key, authorities: certs}, nil
}
