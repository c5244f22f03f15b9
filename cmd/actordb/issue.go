package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"actordb/core/proc"
	"actordb/net/tlsnet"
)

type issueCommand struct {
	CA     string        `name:"ca" required:"" placeholder:"DIR" help:"The authority's directory, such as DIR/ca of a node that runs with --dev."`
	Domain string        `placeholder:"NAME" help:"Make a new authority, of this trust domain, if there is none."`
	Node   uint32        `xor:"who" placeholder:"N" help:"For the node of this number."`
	Client string        `xor:"who" placeholder:"NAME" help:"For the client of this name."`
	Host   []string      `placeholder:"NAME" help:"A name or address under which HTTP clients reach the node; again for more."`
	TTL    time.Duration `name:"ttl" default:"${ttl}" help:"How long it is good for, at most ${ttl}."`
	Out    string        `required:"" placeholder:"DIR" help:"Where identity.pem goes. It is replaced as a whole: a node that uses it goes on with the new one."`
}

func (issueCommand) Help() string {
	return `Examples:

    actordb issue --ca data/ca --client alice --out alice
    actordb issue --ca authority --domain prod.example.org --node 1 --host db1.example.org --out /etc/actordb/node

identity.pem holds the key, the certificate (an X.509-SVID) and the authorities to trust; its owner alone can read it.`
}

// Run implements the command.
func (c *issueCommand) Run() error {
	if (c.Node == 0) == (c.Client == "") {
		return usage("want --node N or --client NAME")
	}
	ca, err := c.authority()
	if err != nil {
		return err
	}
	id := tlsnet.ClientID(ca.TrustDomain(), c.Client)
	if c.Node != 0 {
		id = tlsnet.NodeID(ca.TrustDomain(), proc.NodeID(c.Node))
	}
	svid, err := ca.Issue(id, c.TTL, c.Host...)
	if err != nil {
		return usage("%w", err)
	}
	if err := tlsnet.SaveIdentity(c.Out, svid, ca.Bundle()); err != nil {
		return environment("%w", err)
	}
	fmt.Printf("%s, good to %s, is in %s\n", id, svid.Certificates[0].NotAfter.UTC().Format(time.RFC3339), c.Out)
	return nil
}

// authority opens the authority, or makes it if it is wanted.
func (c *issueCommand) authority() (*tlsnet.CA, error) {
	ca, err := tlsnet.LoadCA(c.CA)
	switch {
	case err == nil && c.Domain != "" && c.Domain != ca.TrustDomain():
		return nil, usage("--domain %s: the authority in %s is of %s", c.Domain, c.CA, ca.TrustDomain())
	case err == nil:
		return ca, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, environment("%w", err)
	case c.Domain == "":
		return nil, usage("--ca: %w; give --domain NAME to make a new authority", err)
	}
	if ca, err = tlsnet.NewCA(c.Domain); err != nil {
		return nil, usage("%w", err)
	}
	if err := tlsnet.SaveCA(c.CA, ca); err != nil {
		return nil, environment("%w", err)
	}
	return ca, nil
}
