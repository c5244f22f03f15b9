package main

import (
	"context"
	"time"

	"actordb/net/client"
	"actordb/net/tlsnet"
)

// sampleSchema is what a new directory's node knows with --dev: the events of the
// sample types, and the cart of the paper (section 4.4) as a view of them.
var sampleSchema = []string{
	`CREATE EVENT TYPE IF NOT EXISTS cart."item-added" (item text NOT NULL, quantity int8 NOT NULL)`,
	`CREATE EVENT TYPE IF NOT EXISTS cart."item-removed" (item text NOT NULL)`,
	`CREATE EVENT TYPE IF NOT EXISTS cart."checked-out" (pieces int8 NOT NULL)`,
	`CREATE PROJECTION IF NOT EXISTS projections.cart_view AS
SELECT a.key AS cart_id, a.item, sum(a.quantity) AS quantity
FROM cart."item-added" a
WHERE NOT EXISTS (SELECT FROM cart."item-removed" r WHERE r.key = a.key AND r.item = a.item AND r.seq > a.seq)
  AND NOT EXISTS (SELECT FROM cart."checked-out" c WHERE c.key = a.key AND c.seq > a.seq)
GROUP BY a.key, a.item`,
}

const sampleTimeout = 30 * time.Second

// makeSample declares the sample schema, as the client that --dev makes.
func makeSample(addr, identity string) error {
	source, err := tlsnet.LoadIdentity(identity)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), sampleTimeout)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Addrs: []string{addr}, Source: source})
	if err != nil {
		return err
	}
	defer c.Close()
	for _, text := range sampleSchema {
		if _, err := c.Exec(ctx, text); err != nil {
			return err
		}
	}
	return nil
}
