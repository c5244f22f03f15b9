package checkers

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"actordb/core"
)

// LinearizableOptions bounds the search and says where to draw a violation.
type LinearizableOptions struct {
	Timeout time.Duration // of the search in one actor's history; 0: ten seconds
	HTML    string        // file for porcupine's drawing of the first violation; "": none
}

const (
	// searchOpsMax bounds what is searched in one piece: the search keeps a bit
	// set of all operations per step, which is quadratic.
	searchOpsMax = 10_000
	// pieceOps is how long a piece is made where the history can be cut.
	pieceOps = 256
	// drawnOps bounds a drawing to what a person can read.
	drawnOps = 200
)

// Linearizable checks, per actor with a model, that there is one order of the
// operations in which each takes effect between its invocation and its return
// and each answer is the model's (Herlihy and Wing, 1990).
//
// The actor's dense sequence makes that cheap. An accepted command with answer
// (seq s, count c) takes the actor from s−c to s; a read or a refusal with
// answer seq s happens while the actor is at s. So the order of all operations
// whose seq is known is given, but for those without effect at the same seq,
// which commute. It remains to see that this order agrees with real time and
// that the model, run in it, gives the answers: both in O(n log n).
//
// An operation of unknown outcome may take effect at any time after its
// invocation, or never. If the history read back at the end holds its events,
// their seq is its seq; if that history is complete and does not, it never took
// effect. What is left undecided matters only if the known operations leave a
// hole in the sequence below the highest seq that anybody saw: then porcupine
// searches which of them filled it. Without a hole they took effect after
// everything that was seen, or never, and can be left out.
//
// Where the order is known porcupine judges as well, piece by piece: a history
// may be cut at any seq, since the state there is known, no operation spans two
// pieces, and agreement with real time between pieces was checked on the whole.
// Two judges that share no code make a bug in one visible.
//
// A read that asked for less takes its place in the same order, as if it had been
// invoked earlier: a stale one by its age, one from the leader or at a token at any time.
// (What a token covers, Tokens judges.) So it returns a state that was, with everything
// in it, and nothing that was to come.
//
// Examined counts operations judged. Unknown: the search ran out of time, or a
// history with a hole is longer than searchOpsMax.
func Linearizable(ops []Op, finals []Final, options LinearizableOptions) Result {
	if options.Timeout == 0 {
		options.Timeout = 10 * time.Second
	}
	r := Result{Name: "linearizable", Verdict: Pass}
	for _, h := range actorHistories(ops, finals) {
		r.Examined += len(h.ops) + len(h.open)
		h.judge(&r, &options)
		if r.Verdict == Fail {
			return r
		}
	}
	return r
}

// placed is an operation for which the checker has decided where it belongs.
type placed struct {
	*Op
	invoke   int64
	returned int64
	seq      core.Seq
	count    uint32
	resolved bool // no answer, but its events were read back: Out means nothing
	open     bool // no answer and no place
}

// effect reports whether the operation moves the actor's sequence.
func (p *placed) effect() bool { return p.count > 0 }

func (p *placed) String() string {
	if p.resolved {
		return fmt.Sprintf("%s, read back at seq %d+%d", p.Op, p.seq, p.count)
	}
	return p.Op.String()
}

// actorHistory is what clients did to one actor.
type actorHistory struct {
	actor core.ActorID
	model model
	ops   []placed // with a known seq
	open  []placed // without
}

// actorHistories sorts operations by actor and decides what became of them.
func actorHistories(ops []Op, finals []Final) []actorHistory {
	type dump struct {
		seq   core.Seq
		count uint32
	}
	list := commands(ops)
	found := make([]dump, len(list))
	complete := make(map[core.ActorID]bool, len(finals))
	for i := range finals {
		f := &finals[i]
		complete[f.Actor] = f.Floor == 0
		for j := range f.Events {
			e := &f.Events[j]
			k := findCommand(list, e.Session, e.Number)
			if k < 0 {
				continue
			}
			if c := &list[k]; c.sent && !c.decided && c.op.Actor == f.Actor {
				found[k] = dump{e.Seq, found[k].count + 1}
			}
		}
	}
	index := make(map[core.ActorID]int32)
	var histories []actorHistory
	of := func(a core.ActorID) *actorHistory {
		i, ok := index[a]
		if !ok {
			i = -1
			if m := modelOf(a); m != nil {
				i = int32(len(histories))
				histories = append(histories, actorHistory{actor: a, model: m})
			}
			index[a] = i
		}
		if i < 0 {
			return nil
		}
		return &histories[i]
	}
	for i := range list {
		c := &list[i]
		h := of(c.op.Actor)
		switch {
		case h == nil || !c.sent:
		case c.decided:
			h.ops = append(h.ops, placed{Op: c.op, invoke: c.invoke, returned: c.returned, seq: c.op.Seq, count: c.op.Count})
		case found[i].count > 0:
			h.ops = append(h.ops, placed{Op: c.op, invoke: c.invoke, returned: Pending, seq: found[i].seq, count: found[i].count, resolved: true})
		case !complete[c.op.Actor]:
			h.open = append(h.open, placed{Op: c.op, invoke: c.invoke, returned: Pending, open: true})
		}
	}
	for i := range ops {
		o := &ops[i]
		if o.Kind != core.Read || !definitive(o) {
			continue
		}
		if h := of(o.Actor); h != nil {
			h.ops = append(h.ops, placed{Op: o, invoke: reflects(o), returned: o.Return, seq: o.Seq})
		}
	}
	return histories
}

// reflects is when a read may have taken effect at the earliest: what it need not
// reflect is as if it were still to come.
func reflects(o *Op) int64 {
	switch o.Fresh.Level {
	case core.Linearizable:
		return o.Invoke
	case core.Stale:
		age := int64(o.Fresh.MaxAge)
		return o.Invoke - age - age/slowestClock
	}
	return longAgo
}

const (
	// slowestClock is by which part of its rate a monotonic clock may be slow: ages are
	// measured by it.
	slowestClock = 8
	longAgo      = -1 << 62
)

// judge finds the order and has it judged.
func (h *actorHistory) judge(r *Result, options *LinearizableOptions) {
	slices.SortFunc(h.ops, func(x, y placed) int {
		if c := cmp.Compare(x.seq, y.seq); c != 0 {
			return c
		}
		if x.effect() != y.effect() {
			if x.effect() {
				return -1
			}
			return 1
		}
		return cmp.Compare(x.invoke, y.invoke)
	})
	known, wrong := h.known()
	if wrong != "" {
		h.violation(r, options, 0, len(h.ops), wrong)
		return
	}
	if i, j := h.realTime(); i >= 0 {
		h.violation(r, options, i, j+1, fmt.Sprintf("%s had returned before %s was invoked, but its seq puts it after", &h.ops[j], &h.ops[i]))
		return
	}
	state := position{state: h.model.initial()}
	for from := 0; from < known; {
		to := h.pieceEnd(from, known)
		next := state
		for i := from; i < to; i++ {
			var why string
			if next, why = h.apply(next, &h.ops[i], nil); why != "" {
				h.violation(r, options, from, i+1, fmt.Sprintf("%s: %s", &h.ops[i], why))
				return
			}
		}
		if !h.search(r, options, state, h.ops[from:to], nil) {
			return
		}
		state, from = next, to
	}
	if known < len(h.ops) {
		if n := len(h.ops) - known + len(h.open); n > searchOpsMax {
			r.unknown("%s: %d operations after a hole in the sequence, at most %d are searched", h.actor, n, searchOpsMax)
			return
		}
		h.search(r, options, state, h.ops[known:], h.open)
	}
}

// known returns how many operations, in order, come before the first hole in
// the sequence, or what is wrong with the sequence itself.
func (h *actorHistory) known() (n int, wrong string) {
	var at core.Seq
	hole := -1
	for i := range h.ops {
		p := &h.ops[i]
		if p.effect() {
			start := p.seq - core.Seq(p.count)
			if core.Seq(p.count) > p.seq || start < at {
				return 0, fmt.Sprintf("%s: its events overlap those of an earlier command, which end at seq %d", p, at)
			}
			if start > at && hole < 0 {
				hole = i
			}
			at = p.seq
			// Nobody may see the actor in the middle of a command.
			for j := i - 1; j >= 0 && h.ops[j].seq > start; j-- {
				return 0, fmt.Sprintf("%s: it saw the middle of %s", &h.ops[j], p)
			}
		} else if p.seq > at && hole < 0 {
			hole = i
		}
	}
	if hole < 0 {
		return len(h.ops), ""
	}
	if len(h.open) == 0 {
		return 0, fmt.Sprintf("%s: no command of any client led there", &h.ops[hole])
	}
	return hole, ""
}

// realTime returns two operations i < j in the order such that j had returned
// before i was invoked, or -1. Operations without effect at one seq commute, so
// their order among themselves is no evidence.
func (h *actorHistory) realTime() (i, j int) {
	earliest := -1 // the operation with the least return of all later groups
	for end := len(h.ops); end > 0; {
		start := end - 1
		for start > 0 && !h.ops[start].effect() && !h.ops[start-1].effect() && h.ops[start-1].seq == h.ops[start].seq {
			start--
		}
		for k := start; k < end; k++ {
			if earliest >= 0 && h.ops[earliest].returned < h.ops[k].invoke {
				return k, earliest
			}
		}
		for k := start; k < end; k++ {
			if earliest < 0 || h.ops[k].returned < h.ops[earliest].returned {
				earliest = k
			}
		}
		end = start
	}
	return -1, -1
}

// pieceEnd cuts the known part before an operation with effect.
func (h *actorHistory) pieceEnd(from, known int) int {
	to := from + pieceOps
	for to < known && !h.ops[to].effect() {
		to++
	}
	return min(to, known)
}

// position is a model's state with the actor's sequence.
type position struct {
	seq   core.Seq
	state any
}

// holes tells where operations without a place may go.
type holes struct {
	taken map[core.Seq]bool // seqs of known commands
	last  core.Seq          // the highest seq that anybody saw
}

// apply runs one operation at a position, or says why it cannot happen there.
func (h *actorHistory) apply(at position, p *placed, free *holes) (position, string) {
	if p.open {
		return h.applyOpen(at, p, free)
	}
	if at.seq+core.Seq(p.count) != p.seq {
		return at, fmt.Sprintf("the actor was at seq %d", at.seq)
	}
	expected := p.Expected == core.AnySeq || p.Expected == at.seq || p.Kind == core.Read
	next, refused := h.model.step(at.state, p.Op)
	if p.Status == core.Refused && !p.resolved {
		switch {
		case p.count > 0:
			return at, "a refusal with events"
		case p.Code == core.CodeWrongSeq && expected:
			return at, "refused for its expected seq, which was right"
		case p.Code == core.CodeRule && !(refused && expected):
			return at, fmt.Sprintf("refused, but at (%s) it is allowed", h.model.describe(at.state))
		}
		return at, ""
	}
	switch {
	case !expected:
		return at, "accepted in spite of its expected seq"
	case refused:
		return at, fmt.Sprintf("accepted, but at (%s) it must be refused", h.model.describe(at.state))
	case !p.resolved && !h.model.answers(at.state, next, p.Op):
		return at, fmt.Sprintf("wrong answer at state (%s)", h.model.describe(next))
	case p.count == 0:
		return at, ""
	}
	return position{p.seq, next}, ""
}

// applyOpen lets an operation of unknown outcome fill a hole, or pass without
// effect once everything that was seen has happened.
func (h *actorHistory) applyOpen(at position, p *placed, free *holes) (position, string) {
	if at.seq >= free.last {
		return at, ""
	}
	if free.taken[at.seq+1] || p.Expected != core.AnySeq && p.Expected != at.seq {
		return at, "no place"
	}
	next, refused := h.model.step(at.state, p.Op)
	if refused {
		return at, "refused"
	}
	return position{at.seq + 1, next}, ""
}

// search has porcupine judge operations from a position on, and reports
// whether they are linearizable.
func (h *actorHistory) search(r *Result, options *LinearizableOptions, from position, ops, open []placed) bool {
	m, history := h.porcupine(from, ops, open)
	switch porcupine.CheckOperationsTimeout(m, history, options.Timeout) {
	case porcupine.Ok:
		return true
	case porcupine.Illegal:
		r.fail("%s: no order of %d operations explains the answers, beginning with %s", h.actor, len(history), &ops[0])
		draw(r, options, m, history)
	default:
		r.unknown("%s: no verdict on %d operations in %s", h.actor, len(history), options.Timeout)
	}
	return false
}

// porcupine translates operations, those of known seq first.
func (h *actorHistory) porcupine(from position, ops, open []placed) (porcupine.Model, []porcupine.Operation) {
	free := &holes{}
	if len(open) > 0 {
		free.taken = map[core.Seq]bool{}
	}
	history := make([]porcupine.Operation, 0, len(ops)+len(open))
	for _, list := range [][]placed{ops, open} {
		for i := range list {
			p := &list[i]
			history = append(history, porcupine.Operation{ClientId: p.Client, Input: p, Call: p.invoke, Return: p.returned})
			if p.open {
				continue
			}
			free.last = max(free.last, p.seq)
			for s := p.seq - core.Seq(p.count) + 1; s <= p.seq && len(open) > 0; s++ {
				free.taken[s] = true
			}
		}
	}
	return porcupine.Model{
		Init: func() any { return from },
		Step: func(state, input, _ any) (bool, any) {
			next, why := h.apply(state.(position), input.(*placed), free)
			return why == "", next
		},
		Equal: func(a, b any) bool {
			x, y := a.(position), b.(position)
			return x.seq == y.seq && h.model.equal(x.state, y.state)
		},
		DescribeOperation: func(input, _ any) string { return input.(*placed).String() },
		DescribeState: func(s any) string {
			return fmt.Sprintf("seq %d: (%s)", s.(position).seq, h.model.describe(s.(position).state))
		},
	}, history
}

// violation reports what is wrong and draws the operations around it.
func (h *actorHistory) violation(r *Result, options *LinearizableOptions, from, to int, note string) {
	r.fail("%s", note)
	if options.HTML == "" {
		return
	}
	from = max(from, to-drawnOps)
	state := position{state: h.model.initial()}
	for i := range from {
		next, why := h.apply(state, &h.ops[i], nil)
		if why != "" { // an earlier oddity: begin the drawing there
			from = i
			break
		}
		state = next
	}
	to = min(max(to, from+1), from+drawnOps, len(h.ops))
	m, history := h.porcupine(state, h.ops[from:to], nil)
	draw(r, options, m, history)
}

func draw(r *Result, options *LinearizableOptions, m porcupine.Model, history []porcupine.Operation) {
	if options.HTML == "" {
		return
	}
	_, info := porcupine.CheckOperationsVerbose(m, history, options.Timeout)
	if err := porcupine.VisualizePath(m, info, options.HTML); err != nil {
		r.Evidence = append(r.Evidence, fmt.Sprintf("no drawing: %v", err))
		return
	}
	r.Evidence = append(r.Evidence, options.HTML)
}
