// Package admission lets a machine become a node of a cluster by a token that an
// operator gave it, so that the authority's key stays where it is, and the node's own key
// never leaves the machine.
//
// The operator invites (Invite): that makes a token and notes in the authority's
// directory what it is good for. Beside that directory a reception listens. The machine
// dials it (Join), sees by the fingerprint in the token that it is the authority's own,
// and sends the token's secret with a request for a certificate. It gets that, and what
// else a node's directory holds.
//
//	A1  A token is good once, and for a short time. That it is used is durable before
//	    anything is answered: who repeats it, after a restart of the reception too, is
//	    refused. So a token whose answer was lost is lost.
//	A2  The secret is told only to who has the key of the authority that the token names.
//	A3  What is kept of a token is a hash of its secret: who reads that cannot use it.
//	A4  The certificate is for the node that the token was made for, whatever is asked.
package admission

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"actordb/core/proc"
	"actordb/internal/datadir"
	"actordb/internal/node"
)

const (
	// TTLMax bounds a token's life: an hour is enough to carry it.
	TTLMax = time.Hour
	// ledgerMax bounds the tokens that are remembered: those that have expired go first.
	ledgerMax   = 256
	ledgerFile  = "admissions.json"
	ledgerBytes = 1 << 18
	tokenPrefix = "actordb1."
	addrMax     = 256
)

// A Reason is why a machine is not admitted. Reasons are stable.
type Reason string

const (
	Expired      Reason = "expired"       // the token was good until a time that is over
	Used         Reason = "used"          // somebody has come with it before
	Unknown      Reason = "unknown"       // this authority did not make it
	WrongCluster Reason = "wrong-cluster" // who listens there is not of the token's authority
	Malformed    Reason = "malformed"     // it is no token, or what was sent with it is no request
	Full         Reason = "full"          // there are too many tokens, or nodes
)

var cures = map[Reason]string{
	Expired: "ask for a new token", Used: "ask for a new token, and find out who has used this one if it was not you",
	Unknown: "ask for a token of this cluster", WrongCluster: "ask for a token with the address of its own reception",
	Malformed: "give the token whole, as it was printed", Full: "wait until tokens expire",
}

// An Error says why.
type Error struct {
	Reason Reason
	Detail string
	Err    error // cause, or nil
}

func (e *Error) Error() string {
	s := "admission: " + string(e.Reason) + ": " + e.Detail
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s + "; " + cures[e.Reason]
}

func (e *Error) Unwrap() error { return e.Err }

// A Token is what a machine is given.
type Token struct {
	Authority [sha256.Size]byte // fingerprint of its certificate
	Secret    [32]byte
	Reception string // host:port
}

// String is the token as it is carried: a prefix with its version, and base64url.
func (t Token) String() string {
	b := append(append(append([]byte(nil), t.Authority[:]...), t.Secret[:]...), t.Reception...)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken reads one.
func ParseToken(text string) (Token, error) {
	var t Token
	body, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	b, err := base64.RawURLEncoding.DecodeString(body)
	n := len(t.Authority) + len(t.Secret)
	if !ok || err != nil || len(b) <= n || len(b) > n+addrMax {
		return t, &Error{Reason: Malformed, Detail: fmt.Sprintf("a token of %d characters", len(text)), Err: err}
	}
	copy(t.Authority[:], b)
	copy(t.Secret[:], b[len(t.Authority):])
	t.Reception = string(b[n:])
	if _, _, err := net.SplitHostPort(t.Reception); err != nil {
		return t, &Error{Reason: Malformed, Detail: "the reception's address", Err: err}
	}
	return t, nil
}

// An invitation is what is kept of a token.
type invitation struct {
	Hash    string      `json:"hash"` // SHA-256 of the secret, base64url
	Addr    string      `json:"addr"` // where the node will listen
	Expires time.Time   `json:"expires"`
	Used    *time.Time  `json:"used,omitempty"`
	Node    proc.NodeID `json:"node,omitempty"` // that it became
}

func hashOf(secret []byte) string {
	h := sha256.Sum256(secret)
	return base64.RawURLEncoding.EncodeToString(h[:])
}

func ledgerPath(dir string) string { return filepath.Join(dir, datadir.AuthorityDir, ledgerFile) }

func readLedger(dir string) (list []invitation, err error) {
	path := ledgerPath(dir)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err == nil && len(b) > ledgerBytes:
		err = fmt.Errorf("%d bytes, the limit is %d", len(b), ledgerBytes)
	case err == nil:
		err = json.Unmarshal(b, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; restore it, or remove it: then no token is good any more", path, err)
	}
	return list, nil
}

func writeLedger(dir string, list []invitation) error {
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return datadir.WriteDurably(ledgerPath(dir), append(b, '\n'))
}

// Invite makes a token for a node that will listen at addr.
func Invite(made *node.NewCluster, addr, reception string, ttl time.Duration, now time.Time) (Token, error) {
	var t Token
	if ttl <= 0 || ttl > TTLMax {
		return t, fmt.Errorf("admission: a token for %v: want more than 0 and at most %v", ttl, TTLMax)
	}
	if _, _, err := net.SplitHostPort(reception); err != nil || len(reception) > addrMax {
		return t, fmt.Errorf("admission: the reception's address %.80q: want host:port", reception)
	}
	place, err := made.Next(addr) // whether there is one
	if err != nil {
		return t, err
	}
	list, err := readLedger(made.Dir)
	if err != nil {
		return t, err
	}
	if len(list) >= ledgerMax {
		list = slices.DeleteFunc(list, func(i invitation) bool { return now.After(i.Expires) })
	}
	if len(list) >= ledgerMax {
		return t, &Error{Reason: Full, Detail: fmt.Sprintf("%d tokens are good still", len(list))}
	}
	t.Authority, t.Reception = place.CA.Fingerprint(), reception
	rand.Read(t.Secret[:]) // documented never to fail
	list = append(list, invitation{Hash: hashOf(t.Secret[:]), Addr: addr, Expires: now.Add(ttl).UTC()})
	return t, writeLedger(made.Dir, list)
}

// redeem takes a token that somebody came with, and the place in the cluster that it is
// good for (A1).
func redeem(made *node.NewCluster, secret []byte, now time.Time) (*node.Place, error) {
	list, err := readLedger(made.Dir)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(i invitation) bool { return i.Hash == hashOf(secret) })
	switch {
	case i < 0:
		return nil, &Error{Reason: Unknown, Detail: "no such token was made here"}
	case list[i].Used != nil:
		return nil, &Error{Reason: Used, Detail: fmt.Sprintf("node %d came with it at %s", list[i].Node, list[i].Used.Format(time.RFC3339))}
	case now.After(list[i].Expires):
		return nil, &Error{Reason: Expired, Detail: "it was good until " + list[i].Expires.Format(time.RFC3339)}
	}
	place, err := made.Next(list[i].Addr)
	if err != nil {
		return nil, err
	}
	at := now.UTC()
	list[i].Used, list[i].Node = &at, place.Member.Node
	if err := writeLedger(made.Dir, list); err != nil {
		return nil, err
	}
	return place, made.Take(place)
}
