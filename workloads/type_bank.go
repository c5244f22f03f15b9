package workloads

import (
	"fmt"

	"actordb/core"
	"actordb/core/actor"
)

// BankCommand is what a bank understands: Deposit, Withdraw or Transfer. An
// amount that is not positive, or more than there is, is refused.
type BankCommand interface{ bankCommand() }

// Deposit adds Amount to Account.
type Deposit struct {
	Account string
	Amount  int64
}

// Withdraw takes Amount from Account.
type Withdraw struct {
	Account string
	Amount  int64
}

// Transfer moves Amount between two accounts of the bank.
type Transfer struct {
	From, To string
	Amount   int64
}

func (Deposit) bankCommand()  {}
func (Withdraw) bankCommand() {}
func (Transfer) bankCommand() {}

// BankState is the accounts that are not empty.
type BankState struct{ accounts holdings }

// BankEvent is Deposited, Withdrawn or Transferred.
type BankEvent interface{ bankEvent() }

// Deposited, Withdrawn and Transferred are what became of the commands.
type (
	Deposited   Deposit
	Withdrawn   Withdraw
	Transferred Transfer
)

func (Deposited) bankEvent()   {}
func (Withdrawn) bankEvent()   {}
func (Transferred) bankEvent() {}

// BankRef refers to a bank.
type BankRef = actor.Ref[BankCommand]

func newBank() (*actor.Type[BankState, BankCommand, BankEvent], error) {
	return actor.Define(actor.Behavior[BankState, BankCommand, BankEvent]{
		Type:          "bank",
		New:           func(core.ActorID) BankState { return BankState{} },
		Decide:        decideBank,
		Evolve:        evolveBank,
		EncodeCommand: encodeBankCommand,
		DecodeCommand: decodeBankCommand,
		EncodeEvent:   encodeBankEvent,
		DecodeEvent:   decodeBankEvent,
		EncodeState:   func(dst []byte, s *BankState) []byte { return s.accounts.encode(dst) },
		DecodeState: func(b []byte) (BankState, error) {
			h, err := decodeHoldings(b)
			return BankState{h}, err
		},
		StateVersion: 1,
	})
}

func decideBank(s *BankState, c BankCommand, out []BankEvent) ([]BankEvent, *core.Refusal) {
	var amount int64
	var from string
	var event BankEvent
	takes := true
	switch c := c.(type) {
	case Deposit:
		amount, event, takes = c.Amount, Deposited(c), false
	case Withdraw:
		amount, from, event = c.Amount, c.Account, Withdrawn(c)
	case Transfer:
		amount, from, event = c.Amount, c.From, Transferred(c)
	}
	switch {
	case amount <= 0:
		return nil, core.Refuse("amounts are positive")
	case takes && s.accounts.amount(from) < amount:
		return nil, core.Refuse("funds are short")
	}
	return append(out, event), nil
}

func evolveBank(s *BankState, e BankEvent) {
	switch e := e.(type) {
	case Deposited:
		s.accounts.change(e.Account, e.Amount)
	case Withdrawn:
		s.accounts.change(e.Account, -e.Amount)
	case Transferred:
		s.accounts.change(e.From, -e.Amount)
		s.accounts.change(e.To, e.Amount)
	}
}

// One account: {1: account, 3: amount}. Two: {1: from, 2: to, 3: amount}.

func encodeBankCommand(dst []byte, c BankCommand) (string, []byte) {
	switch c := c.(type) {
	case Deposit:
		return "deposit", appendInt(appendText(dst, 1, c.Account), 3, c.Amount)
	case Withdraw:
		return "withdraw", appendInt(appendText(dst, 1, c.Account), 3, c.Amount)
	case Transfer:
		return "transfer", appendInt(appendText(appendText(dst, 1, c.From), 2, c.To), 3, c.Amount)
	}
	panic(core.Bug(fmt.Sprintf("bank command %T", c)))
}

func decodeBankCommand(name string, payload []byte) (BankCommand, error) {
	m, err := parse(payload)
	switch {
	case err != nil:
		return nil, err
	case name == "deposit":
		return Deposit{string(m.texts[1]), m.ints[3]}, nil
	case name == "withdraw":
		return Withdraw{string(m.texts[1]), m.ints[3]}, nil
	case name == "transfer":
		return Transfer{string(m.texts[1]), string(m.texts[2]), m.ints[3]}, nil
	}
	return nil, actor.ErrNoSuchCommand
}

func encodeBankEvent(dst []byte, e BankEvent) ([]byte, actor.EventMeta) {
	switch e := e.(type) {
	case Deposited:
		return appendInt(appendText(dst, 1, e.Account), 3, e.Amount), actor.EventMeta{Name: "deposited", Version: 1}
	case Withdrawn:
		return appendInt(appendText(dst, 1, e.Account), 3, e.Amount), actor.EventMeta{Name: "withdrawn", Version: 1}
	case Transferred:
		return appendInt(appendText(appendText(dst, 1, e.From), 2, e.To), 3, e.Amount), actor.EventMeta{Name: "transferred", Version: 1}
	}
	panic(core.Bug(fmt.Sprintf("bank event %T", e)))
}

func decodeBankEvent(name string, payload, _ []byte) (BankEvent, error) {
	m, err := parse(payload)
	switch {
	case err != nil:
		return nil, err
	case name == "deposited":
		return Deposited{string(m.texts[1]), m.ints[3]}, nil
	case name == "withdrawn":
		return Withdrawn{string(m.texts[1]), m.ints[3]}, nil
	case name == "transferred":
		return Transferred{string(m.texts[1]), string(m.texts[2]), m.ints[3]}, nil
	}
	return nil, fmt.Errorf("a bank has no event %q", name)
}
