package tlsnet

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"actordb/core"
	"actordb/core/proc"
)

// protocol is what TLS negotiates (ALPN): it keeps a client of another
// protocol from being taken for one of ours.
const protocol = "actordb"

// A Source gives the own certificate and the authorities to check others by.
// It is asked anew for each handshake and may be renewed at any time.
type Source interface {
	x509svid.Source
	x509bundle.Source
}

// An Identity is who a certificate speaks for: a node or a client.
type Identity struct {
	ID     string      // the SPIFFE id
	Node   proc.NodeID // not 0: a node
	Client string      // not empty: a client
}

func (i Identity) String() string { return i.ID }

// NodeID is the SPIFFE id of a node.
func NodeID(trustDomain string, n proc.NodeID) string {
	return "spiffe://" + trustDomain + "/node/" + strconv.FormatUint(uint64(n), 10)
}

// ClientID is the SPIFFE id of a client.
func ClientID(trustDomain, name string) string {
	return "spiffe://" + trustDomain + "/client/" + name
}

// identityOf reads a SPIFFE id by the rules of this package.
func identityOf(id spiffeid.ID) (Identity, error) {
	text := id.String()
	if len(text) > core.PrincipalBytesMax {
		return Identity{}, errorf(BadIdentity, "%d bytes, the limit is %d", len(text), core.PrincipalBytesMax)
	}
	kind, name, _ := strings.Cut(strings.TrimPrefix(id.Path(), "/"), "/")
	switch {
	case name == "" || strings.Contains(name, "/"):
	case kind == "client":
		return Identity{ID: text, Client: name}, nil
	case kind == "node":
		n, err := strconv.ParseUint(name, 10, 32)
		if err == nil && n > 0 && n < uint64(ClientNodes) && strconv.FormatUint(n, 10) == name {
			return Identity{ID: text, Node: proc.NodeID(n)}, nil
		}
	}
	return Identity{}, errorf(BadIdentity, "path %q", clip(id.Path()))
}

// policy says whose certificates are accepted.
type policy struct {
	domain    spiffeid.TrustDomain
	source    Source
	authorize func(Identity) error // or nil
	now       func() time.Time
	program   core.Versions
	lowest    atomic.Uint32 // core.Version that other nodes have to speak at least; 0: the first
}

// speaks are the versions that are said to a peer, and wanted of it. Clients write
// nothing that nodes share: they speak as they always did.
func (p *policy) speaks(with Identity) core.Versions {
	v := p.program
	if with.Node != 0 {
		v.Low = max(v.Low, core.Version(p.lowest.Load()))
	}
	return v
}

// check judges a chain of certificates that is to be used as usage. Its errors
// are of type *Error.
func (p *policy) check(chain []*x509.Certificate, usage x509.ExtKeyUsage) (Identity, error) {
	if len(chain) == 0 {
		return Identity{}, &Error{Reason: NoCertificate}
	}
	id, err := x509svid.IDFromCert(chain[0])
	if err != nil {
		return Identity{}, &Error{Reason: NoIdentity, Err: err}
	}
	who, e := p.checkLeaf(chain[0], id, usage)
	if e == nil {
		e = p.checkChain(chain)
	}
	if e == nil && p.authorize != nil {
		if err := p.authorize(who); err != nil {
			e = &Error{Reason: Denied, Err: err}
		}
	}
	if e != nil {
		e.Peer = clip(id.String())
		return Identity{}, e
	}
	return who, nil
}

// checkLeaf checks what the certificate itself says. It does so before the
// signatures are checked, to give the error that helps.
func (p *policy) checkLeaf(leaf *x509.Certificate, id spiffeid.ID, usage x509.ExtKeyUsage) (Identity, *Error) {
	now := p.now()
	switch {
	case id.TrustDomain() != p.domain:
		return Identity{}, errorf(ForeignDomain, "ours is %s", p.domain.Name())
	case now.Before(leaf.NotBefore):
		return Identity{}, errorf(NotYetValid, "valid from %s, now is %s", stamp(leaf.NotBefore), stamp(now))
	case now.After(leaf.NotAfter):
		return Identity{}, errorf(Expired, "valid to %s, now is %s", stamp(leaf.NotAfter), stamp(now))
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return Identity{}, errorf(WrongUsage, "the certificate is not for digital signatures")
	case leaf.IsCA || leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return Identity{}, errorf(WrongUsage, "the certificate is one of an authority")
	case !slices.Contains(leaf.ExtKeyUsage, usage):
		role := "client"
		if usage == x509.ExtKeyUsageServerAuth {
			role = "server"
		}
		return Identity{}, errorf(WrongUsage, "the certificate is not for a %s", role)
	}
	who, err := identityOf(id)
	if err != nil {
		return Identity{}, asError(err, BadIdentity)
	}
	return who, nil
}

// again judges a peer that was accepted before. Without whole, what cannot
// have changed is not checked: the signatures.
func (p *policy) again(chain []*x509.Certificate, usage x509.ExtKeyUsage, whole bool) error {
	if whole {
		_, err := p.check(chain, usage)
		return err
	}
	id, err := x509svid.IDFromCert(chain[0])
	if err != nil {
		return &Error{Reason: NoIdentity, Err: err}
	}
	who, e := p.checkLeaf(chain[0], id, usage)
	if e != nil {
		return e
	}
	if p.authorize != nil {
		if err := p.authorize(who); err != nil {
			return &Error{Reason: Denied, Err: err}
		}
	}
	return nil
}

func (p *policy) checkChain(chain []*x509.Certificate) *Error {
	_, _, err := x509svid.Verify(chain, p.source, x509svid.WithTime(p.now()))
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &Error{Reason: Expired, Detail: "a certificate of its authority", Err: err}
	}
	return &Error{Reason: Untrusted, Err: err}
}

// clip bounds what a stranger can have written to a log.
func clip(s string) string { return s[:min(len(s), core.PrincipalBytesMax)] }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// asError finds the *Error in err, or makes one.
func asError(err error, otherwise Reason) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Reason: otherwise, Err: err}
}

// config is what both ends of every connection share (T1). The name of the
// server is not checked but its SPIFFE id, in VerifyConnection, which unlike
// VerifyPeerCertificate is called on every handshake.
func (p *policy) config(peer x509.ExtKeyUsage, protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		MaxVersion:                  tls.VersionTLS13,
		NextProtos:                  slices.Clone(protocols),
		SessionTicketsDisabled:      true,
		ClientSessionCache:          nil,
		DynamicRecordSizingDisabled: true, // frames are handed over whole: small records would not help
		Time:                        p.now,
		VerifyConnection: func(cs tls.ConnectionState) error {
			switch {
			case cs.DidResume:
				return errorf(HandshakeFailed, "a session was resumed")
			case cs.Version != tls.VersionTLS13:
				return errorf(HandshakeFailed, "%s", tls.VersionName(cs.Version))
			case !slices.Contains(protocols, cs.NegotiatedProtocol):
				return errorf(WrongProtocol, "the peer does not offer %q (ALPN)", protocols[0])
			}
			_, err := p.check(cs.PeerCertificates, peer)
			return err
		},
	}
}

func (p *policy) serverConfig(protocols ...string) *tls.Config {
	c := p.config(x509.ExtKeyUsageClientAuth, protocols...)
	c.ClientAuth = tls.RequestClientCert // judged in VerifyConnection, which has the better error for none
	c.GetCertificate = tlsconfig.GetCertificate(p.source)
	return c
}

func (p *policy) clientConfig() *tls.Config {
	c := p.config(x509.ExtKeyUsageServerAuth, protocol)
	c.InsecureSkipVerify = true // of names; the certificate is judged in VerifyConnection
	c.GetClientCertificate = tlsconfig.GetClientCertificate(p.source)
	return c
}

// newPolicy reads the own identity from source. A certificate that is of no
// use says so here, where it can be cured, and not at the peer.
func newPolicy(source Source, now func() time.Time, authorize func(Identity) error) (*policy, Identity, error) {
	if source == nil {
		return nil, Identity{}, errorf(OwnCertificate, "there is none: tlsnet has no plaintext mode")
	}
	if now == nil {
		now = time.Now
	}
	p := &policy{program: core.Spoken(), source: source, now: now, authorize: authorize}
	svid, err := source.GetX509SVID()
	if err != nil {
		return nil, Identity{}, &Error{Reason: OwnCertificate, Err: err}
	}
	p.domain = svid.ID.TrustDomain()
	who, err := p.own()
	return p, who, err
}

// own judges the own certificate as it is now.
func (p *policy) own() (Identity, error) {
	svid, err := p.source.GetX509SVID()
	if err != nil {
		return Identity{}, &Error{Reason: OwnCertificate, Err: err}
	}
	if len(svid.Certificates) == 0 {
		return Identity{}, errorf(OwnCertificate, "the source has none")
	}
	id, err := x509svid.IDFromCert(svid.Certificates[0])
	if err != nil {
		return Identity{}, &Error{Reason: OwnCertificate, Err: err}
	}
	who, e := p.checkLeaf(svid.Certificates[0], id, x509.ExtKeyUsageClientAuth)
	if e == nil && who.Node != 0 {
		who, e = p.checkLeaf(svid.Certificates[0], id, x509.ExtKeyUsageServerAuth)
	}
	if e != nil {
		return Identity{}, &Error{Reason: OwnCertificate, Err: e}
	}
	return who, nil
}

// met is who is at the other end of a connection whose handshake is over.
func met(conn *tls.Conn) (Identity, error) {
	chain := conn.ConnectionState().PeerCertificates
	if len(chain) == 0 {
		return Identity{}, &Error{Reason: NoCertificate}
	}
	id, err := x509svid.IDFromCert(chain[0])
	if err != nil {
		return Identity{}, &Error{Reason: NoIdentity, Err: err}
	}
	return identityOf(id)
}
