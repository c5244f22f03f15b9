package tlsnet

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// A Credential is a Source that is set from outside, while it is in use.
type Credential struct {
	state atomic.Pointer[credential]
}

type credential struct {
	svid   *x509svid.SVID
	bundle *x509bundle.Bundle
}

// NewCredential makes a Source of a certificate and the authorities to trust.
func NewCredential(svid *x509svid.SVID, bundle *x509bundle.Bundle) *Credential {
	c := &Credential{}
	c.Set(svid, bundle)
	return c
}

// Set replaces both. Handshakes that follow use the new ones.
func (c *Credential) Set(svid *x509svid.SVID, bundle *x509bundle.Bundle) {
	c.state.Store(&credential{svid, bundle})
}

// Reload reads again what LoadIdentity read from dir, for whoever renews that
// file while it is in use. It reports whether the file has changed. On an error,
// which it is if the file speaks for somebody else now, c stays as it was.
func (c *Credential) Reload(dir string) (changed bool, err error) {
	fresh, err := LoadIdentity(dir)
	if err != nil {
		return false, err
	}
	was, is := c.state.Load(), fresh.state.Load()
	switch {
	case is.svid.ID != was.svid.ID:
		return false, fmt.Errorf("tlsnet: %s is of %s now, it was of %s: restart with the new identity", filepath.Join(dir, identityFile), is.svid.ID, was.svid.ID)
	case is.bundle.Equal(was.bundle) && is.svid.Certificates[0].Equal(was.svid.Certificates[0]):
		return false, nil
	}
	c.state.Store(is)
	return true, nil
}

// GetX509SVID makes c an SVID source.
func (c *Credential) GetX509SVID() (*x509svid.SVID, error) { return c.state.Load().svid, nil }

// GetX509BundleForTrustDomain makes c a bundle source.
func (c *Credential) GetX509BundleForTrustDomain(td spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	return c.state.Load().bundle.GetX509BundleForTrustDomain(td)
}

// issued is a Source that has its CA at hand and renews itself.
type issued struct {
	*CA
	id    string
	ttl   time.Duration
	hosts []string
	mu    sync.Mutex
	svid  *x509svid.SVID
}

// Source is a Source for id that issues itself a new certificate when half of
// ttl has passed. hosts are as in Issue.
func (ca *CA) Source(id string, ttl time.Duration, hosts ...string) (Source, error) {
	s := &issued{CA: ca, id: id, ttl: ttl, hosts: hosts}
	_, err := s.GetX509SVID()
	if err != nil {
		return nil, err
	}
	return s, nil
}

// GetX509SVID returns the certificate, a new one when it is time.
func (s *issued) GetX509SVID() (*x509svid.SVID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.svid != nil && s.now().Before(s.svid.Certificates[0].NotAfter.Add(-s.ttl/2)) {
		return s.svid, nil
	}
	svid, err := s.Issue(s.id, s.ttl, s.hosts...)
	switch {
	case err == nil:
		s.svid = svid
	case s.svid == nil || !s.now().Before(s.svid.Certificates[0].NotAfter):
		return nil, err
	}
	return s.svid, nil
}

const identityFile = "identity.pem"

// SaveIdentity writes a certificate with its key, and the authorities to trust,
// to one file in dir that its owner alone can read: what a client is given.
func SaveIdentity(dir string, svid *x509svid.SVID, bundle *x509bundle.Bundle) error {
	certs, key, err := svid.Marshal()
	if err != nil {
		return fmt.Errorf("tlsnet: save identity: %w", err)
	}
	b := append(key, certs...)
	for _, c := range bundle.X509Authorities() {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return writePrivate(dir, identityFile, b)
}

// LoadIdentity reads what SaveIdentity wrote.
func LoadIdentity(dir string) (*Credential, error) {
	path, b, err := readPrivate(dir, identityFile)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*Credential, error) {
		return nil, fmt.Errorf("tlsnet: %s: %w; have a new identity issued", path, err)
	}
	key, certs, err := parsePEM(b)
	if err != nil {
		return fail(err)
	}
	leaf := certs[0]
	id, err := x509svid.IDFromCert(leaf)
	if err != nil {
		return fail(err)
	}
	if public, _ := key.Public().(ed25519.PublicKey); !public.Equal(leaf.PublicKey) {
		return fail(errors.New("the key is not that of the first certificate"))
	}
	svid := &x509svid.SVID{ID: id, Certificates: certs[:1], PrivateKey: key}
	return NewCredential(svid, x509bundle.FromX509Authorities(id.TrustDomain(), certs[1:])), nil
}

// parsePEM reads a private key and then at least one certificate.
func parsePEM(b []byte) (ed25519.PrivateKey, []*x509.Certificate, error) {
	var key ed25519.PrivateKey
	var certs []*x509.Certificate
	for len(bytes.TrimSpace(b)) > 0 {
		block, rest := pem.Decode(b)
		if block == nil {
			return nil, nil, errors.New("it is not PEM")
		}
		b = rest
		switch block.Type {
		case "PRIVATE KEY":
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			ed, ok := k.(ed25519.PrivateKey)
			if !ok || key != nil {
				return nil, nil, errors.New("want one key, of Ed25519")
			}
			key = ed
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			certs = append(certs, c)
		default:
			return nil, nil, fmt.Errorf("unexpected block %q", block.Type)
		}
	}
	if key == nil || len(certs) == 0 {
		return nil, nil, errors.New("want a key and a certificate")
	}
	return key, certs, nil
}

// sumPrefix begins the first line of a private file: the SHA-256 of the rest.
// PEM skips what it cannot read, so without a sum damage could pass for less.
const sumPrefix = "# sha256 "

func summed(b []byte) []byte {
	return fmt.Appendf(nil, "%s%x\n%s", sumPrefix, sha256.Sum256(b), b)
}

// writePrivate replaces a file as a whole, readable by its owner alone.
func writePrivate(dir, name string, b []byte) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("tlsnet: %w", err)
	}
	f, err := os.CreateTemp(dir, name+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("tlsnet: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("tlsnet: write %s: %w", filepath.Join(dir, name), err)
		}
	}()
	_, err = f.Write(summed(b))
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// readPrivate reads a file with a key in it, if no one else could.
func readPrivate(dir, name string) (path string, b []byte, err error) {
	path = filepath.Join(dir, name)
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return path, nil, fmt.Errorf("tlsnet: %w", err)
	case info.Mode().Perm()&0o077 != 0:
		return path, nil, fmt.Errorf("tlsnet: %s: others may read this key (mode %#o); chmod 600 it, and issue anew if they did", path, info.Mode().Perm())
	case info.Size() > storedBytesMax:
		return path, nil, fmt.Errorf("tlsnet: %s: %d bytes, want at most %d", path, info.Size(), storedBytesMax)
	}
	b, err = os.ReadFile(path)
	if err != nil {
		return path, nil, fmt.Errorf("tlsnet: %w", err)
	}
	_, rest, _ := bytes.Cut(b, []byte("\n"))
	if !bytes.Equal(b, summed(rest)) {
		return path, nil, fmt.Errorf("tlsnet: %s: the file is damaged (checksum); restore it from a backup, or issue anew", path)
	}
	return path, rest, nil
}
