package workloads

import (
	"bytes"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"actordb/checkers"
	"actordb/core"
	"actordb/core/actor"
)

// script is one actor driven by hand, without sessions.
type script struct {
	id     core.ActorID
	kind   actor.Kind
	state  actor.State
	events []core.Event
}

func newScript(id core.ActorID, d Definition) *script {
	s := &script{id: id, kind: d.Kind()}
	s.state = s.kind.New(id)
	return s
}

func (s *script) run(t interface{ Fatalf(string, ...any) }, c *core.Command) *core.Refusal {
	var decision actor.Decision
	refusal, err := s.kind.Decide(s.state, c, &decision)
	if err != nil {
		t.Fatalf("%s %s: %v", s.id, c.Type, err)
	}
	if refusal != nil {
		return refusal
	}
	for _, e := range decision.Events {
		s.events = append(s.events, core.Event{Actor: s.id, Seq: core.Seq(len(s.events) + 1), Type: e.Type, Version: e.Version,
			Payload: bytes.Clone(e.Payload), Personal: bytes.Clone(e.Personal)})
	}
	return nil
}

func drawCommand(t *rapid.T, typ string) core.Command {
	n := rapid.OneOf(rapid.Int64Range(-3, 9), rapid.Int64()).Draw(t, "n")
	names := rapid.SampledFrom([]string{"a", "b", "c", ""})
	a, b := names.Draw(t, "a"), names.Draw(t, "b")
	which := rapid.IntRange(0, 3).Draw(t, "which")
	switch typ {
	case "register":
		if which < 2 {
			return must(Register("x")).Command(Write{n})
		}
		return must(Register("x")).Command(CompareAndSet{rapid.Int64Range(-3, 9).Draw(t, "old"), n})
	case "list":
		if which < 2 {
			return must(List("x")).Command(Push{n})
		}
		return genericAppend("list/x", core.NewEvent{Type: "appended", Version: 1, Payload: appendInt(nil, 1, n)})
	case "sensor":
		return must(Sensor("x")).Command(Report{n, core.Timestamp(which)})
	case "counter":
		return must(Counter("x")).Command(Increment{n})
	case "bank":
		switch which {
		case 0, 1:
			return must(Bank("x")).Command(Deposit{a, n % 1000})
		case 2:
			return must(Bank("x")).Command(Withdraw{a, n % 1000})
		}
		return must(Bank("x")).Command(Transfer{a, b, n % 1000})
	}
	switch which {
	case 0:
		return must(Cart("x")).Command(AddItem{a, n % 1000})
	case 1:
		return genericAppend("cart/x", core.NewEvent{Type: itemAdded, Version: 1, Payload: appendText(nil, 1, a)})
	case 2:
		return must(Cart("x")).Command(RemoveItem{a})
	}
	return must(Cart("x")).Command(Checkout{b})
}

// The state of each type is the independent fold of its events, byte for byte;
// and so is what its own Evolve and its own snapshots come to.
func TestFoldAgrees(t *testing.T) {
	for _, d := range Types() {
		t.Run(d.Name, rapid.MakeCheck(func(t *rapid.T) {
			s := newScript(core.ActorID(d.Name+"/x"), d)
			for range rapid.IntRange(0, 40).Draw(t, "length") {
				c := drawCommand(t, d.Name)
				before := s.kind.AppendState(nil, s.state)
				if s.run(t, &c) != nil && !bytes.Equal(before, s.kind.AppendState(nil, s.state)) {
					t.Fatal("a refusal changed the state")
				}
			}
			state := s.kind.AppendState(nil, s.state)
			folded, err := Fold(s.id, s.events)
			if err != nil || !bytes.Equal(state, folded) {
				t.Fatalf("state %x, fold %x, %v", state, folded, err)
			}
			half := len(s.events) / 2
			again := s.kind.New(s.id)
			for i, e := range s.events {
				if i == half {
					if again, err = s.kind.DecodeState(s.kind.AppendState(nil, again)); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.kind.Evolve(again, e.Type, e.Version, e.Payload, e.Personal); err != nil {
					t.Fatal(err)
				}
			}
			if got := s.kind.AppendState(nil, again); !bytes.Equal(state, got) {
				t.Fatalf("state %x, from a snapshot and a tail %x", state, got)
			}
		}))
	}
}

// Old item-added events count one piece each, new ones their quantity, and an
// address stays out of the state.
func TestCartOfTwoGenerations(t *testing.T) {
	s := newScript("cart/x", Types()[3])
	ref := must(Cart("x"))
	old := genericAppend("cart/x", core.NewEvent{Type: itemAdded, Version: 1, Payload: appendText(nil, 1, "fig")})
	add := ref.Command(AddItem{"fig", 4})
	for _, c := range []*core.Command{&old, &add, &old} {
		if r := s.run(t, c); r != nil {
			t.Fatal(r)
		}
	}
	got, err := Answer(s.id, s.kind.AppendState(nil, s.state), checkers.Value{})
	if err != nil || len(got.Ints) != 1 || got.Ints[0] != 6 || got.Strs[0] != "fig" {
		t.Fatalf("the cart holds %v, want 6 figs (%v)", got, err)
	}
	checkout := ref.Command(Checkout{"1 Main Street"})
	if r := s.run(t, &checkout); r != nil {
		t.Fatal(r)
	}
	last := s.events[len(s.events)-1]
	if string(last.Personal) != "1 Main Street" || bytes.Contains(last.Payload, []byte("Main")) {
		t.Fatalf("personal columns %q, plain ones %q", last.Personal, last.Payload)
	}
	last.Personal = nil // erased
	if folded, err := Fold(s.id, append(s.events[:3:3], last)); err != nil || !bytes.Equal(folded, s.kind.AppendState(nil, s.state)) {
		t.Fatalf("an erased address changes the state: %x, %v", folded, err)
	}
	if r := s.run(t, &checkout); r == nil {
		t.Fatal("an empty cart was checked out")
	}
}

// Bytes that are no state or event of ours are an error to the second opinion.
func FuzzFold(f *testing.F) {
	f.Add("item-added", []byte{10, 1, 'a', 16, 2})
	f.Add("written", []byte{8, 2})
	f.Add("transferred", []byte{10, 255})
	f.Fuzz(func(t *testing.T, event string, payload []byte) {
		for _, d := range Types() {
			state, err := d.Fold([]core.Event{{Type: event, Version: 2, Payload: payload}})
			if err == nil {
				_, err = d.Answer(state, checkers.Value{})
			}
			if err == nil && len(state) < 2 {
				t.Fatalf("state %x", state)
			}
			_, _ = d.Answer(payload, checkers.Value{})
		}
	})
}

// A command of another actor type does not compile.
func TestWrongCommandDoesNotCompile(t *testing.T) {
	const body = `package p
import "actordb/workloads"
func f() {
	r, _ := workloads.Bank("b")
	r.Command(COMMAND)
}`
	load := exports(t)
	check := func(command string) error {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "p.go", strings.Replace(body, "COMMAND", command, 1), 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&types.Config{Importer: importer.ForCompiler(fset, "gc", load)}).Check("p", fset, []*ast.File{file}, nil)
		return err
	}
	if err := check(`workloads.Deposit{Account: "a", Amount: 1}`); err != nil {
		t.Fatalf("the right command does not compile: %v", err)
	}
	for _, wrong := range []string{`workloads.Push{Value: 1}`, `workloads.Deposited{}`, `"deposit"`, `struct{}{}`} {
		if err := check(wrong); err == nil || !strings.Contains(err.Error(), "BankCommand") {
			t.Errorf("a bank takes %s: %v", wrong, err)
		}
	}
}

// exports returns the compiler's export data of this package and all below.
func exports(t *testing.T) importer.Lookup {
	list, err := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "actordb/workloads").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	where := map[string]string{}
	for _, line := range strings.Split(string(list), "\n") {
		name, file, _ := strings.Cut(line, " ")
		where[name] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(where[path]) }
}
