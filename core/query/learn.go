package query

import (
	"errors"

	"actordb/core"
	"actordb/core/feed"
	"actordb/core/proc"
	"actordb/core/sql/sqlerr"
	"actordb/net/wire"
)

// learn is for journals whose beginnings were compacted away. The live feed then begins
// where they begin, and the catalog's statements before that are asked of its actor. What
// was built on the live feed is given up, but for checkpoints of views that are newer than
// what is lost; what needs the lost events is refused. The times of the lost statements are
// lost, too: they hold from the last cut on that was reached.
type learn struct {
	from    []core.Index // of each source, where the live feed begins
	asking  bool         // the catalog's actor; nothing goes on meanwhile
	command core.Command
	due     proc.Tick
}

// beginAnew is called when the live feed lacks what it wants.
func (p *Process) beginAnew(gone *feed.CompactedError) {
	p.out.Mark(markAnew)
	p.learn.from = p.live.Position().Next // what was handed out comes no second time
	for i := range p.cfg.Sources {
		if p.cfg.Sources[i].Shard == gone.Shard {
			p.learn.from[i] = gone.Floor + 1
		}
	}
	for _, a := range p.order {
		if a.runner.follows {
			p.refuse(a, gone)
		}
	}
	for _, k := range p.kept {
		p.release(&k.runner)
		if k.reads != nil { // nobody else knows what it was
			p.policy.Demoted(k.name)
		}
	}
	p.kept, p.recent, p.define.ready = nil, nil, false
	p.live.Stop(p.now, p.out)
	p.live = feed.New(p.feedConfig(0), feed.Position{Next: p.learn.from}, p.env.Rand)
	p.live.Want(core.Timestamp(p.now.Wall))
	p.live.Start(p.now, p.out)
	p.learn.asking = true
	p.learn.command = core.Command{Session: core.NewSessionID(core.Timestamp(p.now.Wall)+defineLifetime, p.env.Rand.Uint64()), Number: 1,
		Actor: CatalogActor, Kind: core.Read, Expected: core.AnySeq}
	p.askCatalog()
}

func (p *Process) askCatalog() {
	p.learn.due = p.now.Mono + defineAgain
	var w wire.Writer
	w.Command(&p.learn.command)
	p.out.Send(p.cfg.Gateway, w.Finish(wire.Commands))
}

// learned takes the actor's answer. Any other than its state is no answer: it is asked
// again.
func (p *Process) learned(a *core.Answer) {
	if !p.learn.asking || a.Session != p.learn.command.Session || a.Status != core.Accepted || len(a.State) < 2 {
		return
	}
	s, err := parseStatements(a.State[2:]) // behind the version
	if err != nil || core.Seq(len(s.texts)) != a.Seq {
		p.fail(sqlerr.New(sqlerr.InternalError, "the catalog's state has %d statements after %d events: %v", len(s.texts), a.Seq, err))
		return
	}
	known := p.catalogs.list
	p.catalogs.list = nil
	at := core.Timestamp(0)
	for i, text := range s.texts {
		if i < len(known) {
			at = known[i].at
		} else {
			at = max(at, p.cut)
		}
		p.catalogs.add(core.Seq(i+1), at, text)
	}
	p.learn.asking = false
}

// fail notes that the live feed has ended. If what it wants was compacted, it begins
// where the journals do; anything else is the end of the process's work.
func (p *Process) fail(err error) {
	var gone *feed.CompactedError
	switch {
	case err == nil || p.failed != nil:
	case errors.As(err, &gone):
		p.beginAnew(gone)
	default:
		p.failed = err
	}
}
