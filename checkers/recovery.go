package checkers

// Recovery checks what the engine said about damaged disks.
//
// Law, with "found" for a report of repaired or declined at or after the damage
// whose place overlaps it:
//
//   - damage to the truth that recovery or a reader went over is found
//   - damage is never served, and never cut off as if it were a torn tail
//   - what is found is damage: a report of a place where there is none is a
//     false alarm, a torn tail that is reported as damage is one too
//   - what is cut off was torn
//   - a report names its place
//
// Examined counts exposed damages and reports.
func Recovery(damages []Damage, reports []Report) Result {
	r := Result{Name: "recovery", Verdict: Pass}
	for i := range reports {
		r.Examined++
		judgeReport(&r, damages, &reports[i])
	}
	for i := range damages {
		d := &damages[i]
		if d.Kind == Torn || !d.Truth || !d.Exposed {
			continue
		}
		r.Examined++
		found := false
		for j := range reports {
			p := &reports[j]
			if p.At >= d.At && p.overlaps(d.Place) && (p.Outcome == Repaired || p.Outcome == Declined) {
				found = true
				break
			}
		}
		if !found {
			r.fail("missed: %s (%s) at %d was neither repaired nor declined", d.Place, d.Kind, d.At)
		}
	}
	return r
}

func judgeReport(r *Result, damages []Damage, p *Report) {
	if p.File == "" {
		r.fail("%s without a place on node %d: %s", p.Outcome, p.Node, p.Detail)
		return
	}
	torn, durable := false, false
	for i := range damages {
		d := &damages[i]
		if d.At > p.At || !p.overlaps(d.Place) {
			continue
		}
		torn = torn || d.Kind == Torn
		durable = durable || d.Kind != Torn
	}
	switch p.Outcome {
	case Served:
		r.fail("served: %s at %d: %s", p.Place, p.At, p.Detail)
	case Cut:
		if durable && !torn {
			r.fail("damage cut off as a torn tail: %s at %d: %s", p.Place, p.At, p.Detail)
		} else if !torn {
			r.fail("cut off though nothing was torn: %s at %d: %s", p.Place, p.At, p.Detail)
		}
	case Repaired, Declined:
		if torn && !durable {
			r.fail("torn tail %s as damage: %s at %d: %s", p.Outcome, p.Place, p.At, p.Detail)
		} else if !durable {
			r.fail("false alarm: %s %s at %d: %s", p.Outcome, p.Place, p.At, p.Detail)
		}
	default:
		r.fail("no outcome %q: %s", p.Outcome, p.Place)
	}
}
