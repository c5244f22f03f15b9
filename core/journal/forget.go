package journal

import (
	"errors"

	"actordb/core/proc"
	"actordb/disk"
)

// ForgottenName: a replica whose files are gone does not know what it has promised: whom it voted
// for, which entries it said it had. A file of this name says so, from before the
// first segment of its new log until it has been shown to be safe, through any
// number of lives. It is empty.
const ForgottenName = "forgotten"

// begins makes the first segment, after noting that there was a log before, if that
// may be.
func (l *Log) begins(out *proc.Effects) {
	if l.cfg.Peers && !l.cfg.Fresh && !l.forgotten {
		l.ask(recoverForget, disk.Op{Kind: disk.OpCreate, Name: ForgottenName}, out)
		return
	}
	l.rotate(0, out)
}

// Forgotten tells that promises of this replica are forgotten.
func (l *Log) Forgotten() bool { return l.forgotten }

// Remember is told that what was forgotten cannot do harm any more.
func (l *Log) Remember(out *proc.Effects) {
	if l.forgotten && l.state == logOpen {
		out.Mark(markRemembered)
		l.forgotten = false
		out.File(l.cfg.Tokens+tokenForget, disk.Op{Kind: disk.OpRemove, Name: ForgottenName})
		out.File(l.cfg.Tokens+tokenForget, disk.Op{Kind: disk.OpSyncDir})
	}
}

// remembered takes a completion. A name that comes back is no harm: the next life
// asks once more.
func (l *Log) remembered(res *disk.Result, out *proc.Effects) {
	if res.Err != nil && !errors.Is(res.Err, disk.ErrNotExist) {
		l.fail(res.Err, out)
	}
}
