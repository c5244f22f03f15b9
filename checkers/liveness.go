package checkers

import "actordb/core"

// Liveness checks that the system comes back by itself and bounds its queues.
//
// Law, with the run's own terms:
//
//   - an operation ends within Within of the heal, or of its invocation if that
//     is later; a client that gave up earlier ended it, one that was kept
//     waiting that long for an unknown did not get an answer
//   - no queue was ever longer than its limit
//   - a node that is down at the end says why
//   - attempts of one operation are apart by more than nothing and at most
//     BackoffMax + Slack
//
// Examined counts operations whose time was up, queues, nodes and intervals.
func Liveness(ops []Op, queues []Queue, nodes []Node, terms Terms) Result {
	r := Result{Name: "liveness", Verdict: Pass}
	for i := range ops {
		o := &ops[i]
		ends(&r, o, &terms)
		for j := 1; j < len(o.Attempts); j++ {
			r.Examined++
			gap := o.Attempts[j] - o.Attempts[j-1]
			if gap <= 0 || gap > terms.BackoffMax+terms.Slack {
				r.fail("backoff: attempt %d came %d ns after the one before, want 1 to %d: %s", j+1, gap, terms.BackoffMax+terms.Slack, o)
			}
		}
	}
	for _, q := range queues {
		r.Examined++
		limit, ok := terms.Queues[q.Name]
		switch {
		case !ok:
			r.unknown("queue %s of %s has no limit in the run's terms", q.Name, q.Process)
		case q.Max > limit:
			r.fail("queue %s of %s held %d, its limit is %d", q.Name, q.Process, q.Max, limit)
		}
	}
	for _, n := range nodes {
		r.Examined++
		if !n.Up && n.Reason == "" {
			r.fail("node %d is down at the end and does not say why", n.Node)
		}
	}
	return r
}

func ends(r *Result, o *Op, t *Terms) {
	deadline := max(o.Invoke, t.HealedAt) + t.Within
	if o.Return == Pending {
		if t.EndedAt >= deadline {
			r.Examined++
			r.fail("stuck: no end by %d, due by %d: %s", t.EndedAt, deadline, o)
		}
		return
	}
	if o.Return < t.HealedAt {
		return
	}
	r.Examined++
	if o.Return > deadline || o.Return == deadline && o.Status == core.Unknown {
		r.fail("late: due by %d: %s", deadline, o)
	}
}
