package viewcheck

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"actordb/core"
	"actordb/core/journal"
	"actordb/core/row"
	"actordb/core/sql/lower"
	"actordb/core/sql/parse"
	"actordb/core/sql/tree"
	"actordb/core/view"
)

// Money has two legs: what an account gets another one gives, or the world outside
// of all banks. So what all accounts of all banks hold, and the world, is nothing at
// every cut; each bank's, too; and no account is overdrawn.
var bankSchema = []string{
	`CREATE EVENT TYPE bank.deposited (account text, another text, amount int8)`,
	`CREATE EVENT TYPE bank.withdrawn (account text, another text, amount int8)`,
	`CREATE EVENT TYPE bank.transferred (giver text, taker text, amount int8)`,
	`CREATE PROJECTION legs AS
	 SELECT key AS bank, account, amount FROM bank.deposited UNION ALL SELECT key, NULL, -amount FROM bank.deposited UNION ALL
	 SELECT key, account, -amount FROM bank.withdrawn UNION ALL SELECT key, NULL, amount FROM bank.withdrawn UNION ALL
	 SELECT key, giver, -amount FROM bank.transferred UNION ALL SELECT key, taker, amount FROM bank.transferred`,
	`CREATE PROJECTION balances AS SELECT bank, account, sum(amount) AS balance FROM legs GROUP BY bank, account HAVING sum(amount) <> 0`,
}

// What must be nothing, whatever happens: each has one row, of one cell that is 0 or null.
var bankInvariants = []string{
	`SELECT sum(amount) FROM legs`,
	`SELECT sum(balance) FROM balances`,
	`SELECT count(*) FROM balances WHERE account IS NOT NULL AND balance < 0`,
	`SELECT count(*) FROM (SELECT bank FROM balances GROUP BY bank HAVING sum(balance) <> 0) b`,
	`SELECT count(*) FROM (SELECT bank, sum(balance) AS world FROM balances WHERE account IS NULL GROUP BY bank) w
	 FULL JOIN (SELECT bank, sum(balance) AS held FROM balances WHERE account IS NOT NULL GROUP BY bank) h ON w.bank = h.bank
	 WHERE world + held IS DISTINCT FROM 0`,
}

const bankBalances = `SELECT bank, account, balance FROM balances`

// Bank keeps the views over the banks' events.
type Bank struct {
	views    []*view.View // of the invariants, then the balances
	balances map[bankAccount]int64
	cut      core.Timestamp
	seen     seen
	catalog  *view.Catalog
	queries  []*tree.Query
	places   []lower.Place // of the views
	again    *Restarts
	Events   int
}

type bankAccount struct{ bank, account string }

// NewBank begins with no events.
func NewBank() (*Bank, error) {
	catalog := view.NewCatalog()
	b := &Bank{balances: map[bankAccount]int64{}, seen: seen{}, catalog: catalog, again: NewRestarts()}
	for _, text := range bankSchema {
		s, err := parse.One(text)
		if err == nil {
			err = catalog.Execute(s)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
	}
	for _, text := range append(slices.Clone(bankInvariants), bankBalances) {
		s, err := parse.One(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		at, q := b.again.Place(), s.(*tree.Select).Query
		v, err := catalog.NewView(q, view.Options{Place: at})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		b.views, b.queries, b.places = append(b.views, v), append(b.queries, q), append(b.places, at)
	}
	return b, nil
}

// Take takes a block, in the order of a feed.
func (b *Bank) Take(shard core.ShardID, index core.Index, block *journal.Block) error {
	for _, v := range b.views {
		v.Take(shard, index, block)
	}
	for i := range block.Rows() {
		e := block.Event(i)
		if e.Actor.Type() != "bank" || !b.seen.news(&e) {
			continue
		}
		b.Events++
		first, second, amount, err := movement(e.Payload)
		if err != nil {
			return fmt.Errorf("%s: %w", &e, err)
		}
		move := func(account string, by int64) { b.balances[bankAccount{e.Actor.Key(), account}] += by }
		switch e.Type {
		case "deposited":
			move(first, amount)
		case "withdrawn":
			move(first, -amount)
		case "transferred":
			move(first, -amount)
			move(second, amount)
		}
	}
	return nil
}

// movement reads a bank's event without the engine.
func movement(payload []byte) (first, second string, amount int64, err error) {
	for len(payload) > 0 {
		number, kind, n := protowire.ConsumeTag(payload)
		if n < 0 {
			return first, second, amount, protowire.ParseError(n)
		}
		payload = payload[n:]
		switch {
		case number == 1 && kind == protowire.BytesType:
			first, n = protowire.ConsumeString(payload)
		case number == 2 && kind == protowire.BytesType:
			second, n = protowire.ConsumeString(payload)
		case number == 3 && kind == protowire.VarintType:
			x, k := protowire.ConsumeVarint(payload)
			amount, n = protowire.DecodeZigZag(x), k
		default:
			n = protowire.ConsumeFieldValue(number, kind, payload)
		}
		if n < 0 {
			return first, second, amount, protowire.ParseError(n)
		}
		payload = payload[n:]
	}
	return first, second, amount, nil
}

// Cut ends a step of the views, in slices that random draws, and holds them to what
// is true at every cut.
func (b *Bank) Cut(at core.Timestamp, random *rand.Rand) error {
	for i, v := range b.views {
		for done := false; !done; {
			var err error
			if done, err = v.Finish(at, 1+random.IntN(finishFuel)); err != nil {
				return fmt.Errorf("the bank's view %d at the cut %s: %w", i, at, err)
			}
		}
		var err error
		if b.views[i], err = b.again.Maybe(v, b.catalog, b.queries[i], b.places[i], random); err != nil {
			return fmt.Errorf("the bank's view %d goes on from its checkpoint at the cut %s: %w", i, at, err)
		}
	}
	b.cut = at
	for i, text := range bankInvariants {
		rows := 0
		err := b.views[i].Rows(func(out *row.Batch) error {
			for r := range out.N {
				rows++
				if c := out.Cols[0]; !c.Null(r) && string(c.AppendText(nil, r)) != "0" {
					return fmt.Errorf("it is %s", c.AppendText(nil, r))
				}
			}
			return nil
		})
		if err == nil && rows != 1 {
			err = fmt.Errorf("it has %d rows", rows)
		}
		if err != nil {
			return fmt.Errorf("%q must be nothing at the cut %s: %w", text, at, err)
		}
	}
	return nil
}

// Compare holds the balances to the fold of the events, without the world.
func (b *Bank) Compare() (examined int, err error) {
	var want []string
	world := map[string]int64{}
	for a, balance := range b.balances {
		world[a.bank] -= balance
		if balance != 0 {
			want = append(want, line(a.bank, a.account, balance))
		}
	}
	for _, bank := range slices.Sorted(maps.Keys(world)) {
		if world[bank] != 0 {
			want = append(want, line(bank, "NULL", world[bank]))
		}
	}
	if examined, err = compare(b.views[len(b.views)-1].Rows, want); err != nil {
		return 0, fmt.Errorf("balances at the cut %s: %w", b.cut, err)
	}
	return examined, nil
}
