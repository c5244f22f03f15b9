package node

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"actordb/internal/datadir"
	"actordb/net/tlsnet"
)

// Credentials are who a node is.
type Credentials struct {
	Source tlsnet.Source
	// Renew looks after the certificates, now and then, and reports whether it
	// has changed any; nil: they look after themselves.
	Renew func() (bool, error)
	// Client is the directory of the identity that OpenDev makes for clients.
	Client string
}

// OpenIdentity takes what tlsnet.SaveIdentity wrote to dir, and takes it again
// whenever somebody renews it.
func OpenIdentity(dir string) (Credentials, error) {
	c, err := tlsnet.LoadIdentity(dir)
	if err != nil {
		return Credentials{}, err
	}
	return Credentials{Source: c, Renew: func() (bool, error) { return c.Reload(dir) }}, nil
}

const (
	// DevDomain is the trust domain of a node that is its own authority.
	DevDomain = "dev.actordb"
	// DevNode is its number, DevClient the name of its one client.
	DevNode   = 1
	DevClient = "dev"
	// AdminClient is the first client of a cluster. Both are operators: they move slots
	// and replicas.
	AdminClient = "admin"

	devNodeTTL      = 24 * time.Hour
	devClientTTL    = tlsnet.CertificateLifetimeMax
	devAuthorityEnd = 90 * 24 * time.Hour
)

// OpenDev makes a directory its own authority: DIR/ca holds the authority's key,
// DIR/ca/dev the identity of a client. All of it is renewed in time. It is for
// one machine: whoever can read the directory can be anybody.
func OpenDev(dir string, shards int) (Credentials, error) {
	// A directory is a node's before anything else is in it. Start claims it again.
	_, lock, err := datadir.Claim(dir, DevNode, shards)
	if err == nil {
		err = lock.Close()
	}
	if err != nil {
		return Credentials{}, err
	}
	d := &dev{dir: filepath.Join(dir, datadir.AuthorityDir), margin: devAuthorityEnd}
	d.client = filepath.Join(d.dir, DevClient)
	d.ca, err = tlsnet.LoadCA(d.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if d.ca, err = tlsnet.NewCA(DevDomain); err == nil {
			err = tlsnet.SaveCA(d.dir, d.ca)
		}
	}
	if err != nil {
		return Credentials{}, err
	}
	if _, err := d.renew(); err != nil {
		return Credentials{}, err
	}
	source, err := d.ca.Source(tlsnet.NodeID(d.ca.TrustDomain(), DevNode), devNodeTTL, "localhost", "127.0.0.1", "::1")
	return Credentials{Source: source, Renew: d.renew, Client: d.client}, err
}

// dev is an authority and what it has issued to files.
type dev struct {
	dir     string
	ca      *tlsnet.CA
	margin  time.Duration // an authority with less to live is replaced
	rotated bool          // and not saved yet
	client  string
	issued  time.Time // the client's certificate
}

// renew replaces what has lived for too long. Time that goes back makes it do
// so too early, which does no harm.
func (d *dev) renew() (changed bool, err error) {
	now := time.Now()
	if !d.rotated && now.Add(d.margin).After(d.expires()) {
		if err := d.ca.Rotate(); err != nil {
			return false, err
		}
		d.rotated = true
	}
	if d.rotated {
		if err := tlsnet.SaveCA(d.dir, d.ca); err != nil {
			return false, err
		}
		d.rotated, d.issued = false, time.Time{}
	}
	if age := now.Sub(d.issued); age >= 0 && age < devClientTTL/2 {
		return false, nil
	}
	svid, err := d.ca.Issue(tlsnet.ClientID(d.ca.TrustDomain(), DevClient), devClientTTL)
	if err == nil {
		err = tlsnet.SaveIdentity(d.client, svid, d.ca.Bundle())
	}
	if err == nil {
		d.issued = now
	}
	return err == nil, err
}

// expires is when the authority that signs does.
func (d *dev) expires() (end time.Time) {
	for _, c := range d.ca.Bundle().X509Authorities() {
		if c.NotAfter.After(end) {
			end = c.NotAfter
		}
	}
	return end
}

// trustDomain is that of the certificate.
func trustDomain(s tlsnet.Source) (string, error) {
	svid, err := s.GetX509SVID()
	if err != nil {
		return "", fmt.Errorf("node: own certificate: %w", err)
	}
	return svid.ID.TrustDomain().Name(), nil
}
