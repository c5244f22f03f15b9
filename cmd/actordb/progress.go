package main

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

const (
	plainEvery = 10 * time.Second // between two lines of progress
	barWidth   = 24
)

// progress shows how far long work is, on standard error: a bar on a terminal,
// else a line now and then.
type progress struct {
	what  string
	total uint64 // 0: not known
	bar   *progressbar.ProgressBar
	done  uint64
	begun time.Time
	said  time.Time
}

func newProgress(what string, total uint64) *progress {
	p := &progress{what: what, total: total, begun: time.Now(), said: time.Now()}
	if isTerminal(os.Stderr) {
		most := int64(-1)
		if total > 0 {
			most = int64(total)
		}
		p.bar = progressbar.NewOptions64(most,
			progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription(what),
			progressbar.OptionSetWidth(barWidth), progressbar.OptionShowCount(),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	return p
}

// step counts one more; note stands in plain lines.
func (p *progress) step(note string) {
	p.done++
	if p.bar != nil {
		_ = p.bar.Add(1) // a bar that cannot be drawn is no reason to stop
		return
	}
	if time.Since(p.said) < plainEvery {
		return
	}
	p.said = time.Now()
	of := ""
	if p.total > 0 {
		of = fmt.Sprintf(" of %d", p.total)
	}
	fmt.Fprintf(os.Stderr, "%s: %d%s in %s%s\n", p.what, p.done, of, time.Since(p.begun).Round(time.Second), note)
}

// describe changes what it says is going on.
func (p *progress) describe(what string) {
	p.what = what
	if p.bar != nil {
		p.bar.Describe(what)
	}
}

// say prints a line that stays.
func (p *progress) say(line string) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	fmt.Fprintln(os.Stderr, line)
}

func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

// to says how far it is of a total that may become known late.
func (p *progress) to(done, total int64) {
	if p.bar != nil && total > 0 && p.total != uint64(total) {
		p.bar.ChangeMax64(total)
	}
	p.done, p.total = uint64(done), uint64(total)
	if p.bar != nil {
		_ = p.bar.Set64(done)
		return
	}
	if time.Since(p.said) >= plainEvery {
		p.said = time.Now()
		of := ""
		if total > 0 {
			of = fmt.Sprintf(" of %d", total)
		}
		fmt.Fprintf(os.Stderr, "%s: %d%s in %s\n", p.what, done, of, time.Since(p.begun).Round(time.Second))
	}
}

// more says that so much more is done, of a total that is not known.
func (p *progress) more(n int64) { p.to(int64(p.done)+n, 0) }
