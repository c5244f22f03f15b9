package main

import (
	"cmp"
	"fmt"
	"html"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A space–time diagram of the end of a trace: processes are columns, time runs
// down, one row for each line. An arrow ends at the process that a frame was
// delivered to; where the frame was sent the trace does not tell, so arrows are
// level.

// A delivery is one parsed line of a trace (see sim's TraceHash):
//
//	STEP NANOSECONDS ADDR#INCARNATION NAME KIND DETAIL…
//	STEP NANOSECONDS * WHAT…
type delivery struct {
	step   string
	at     time.Duration
	event  string // of the world; then the rest is empty
	addr   string
	life   string
	name   string
	kind   string
	from   string // of a message or a reset
	detail string
}

func parseDelivery(line string) (d delivery, ok bool) {
	f := strings.SplitN(line, " ", 4)
	if len(f) < 4 {
		return d, false
	}
	ns, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return d, false
	}
	d.step, d.at = f[0], time.Duration(ns)
	if f[2] == "*" {
		d.event = f[3]
		return d, true
	}
	d.addr, d.life, _ = strings.Cut(f[2], "#")
	rest := strings.SplitN(f[3], " ", 3)
	if len(rest) < 2 {
		return d, false
	}
	d.name, d.kind = rest[0], rest[1]
	if len(rest) == 3 {
		d.detail = rest[2]
		if from, found := strings.CutPrefix(d.detail, "from "); found {
			d.from, _, _ = strings.Cut(from, " ")
		}
	}
	return d, true
}

const (
	rowHeight   = 18
	columnWidth = 110
	viewLeft    = 190
	viewTop     = 70
)

// column is one process in the picture.
type column struct {
	addr, name, life string
	x                int
}

// drawView makes the picture as one HTML file that needs no other.
func drawView(title, repeat string, lines []string) []byte {
	var list []delivery
	columns := map[string]*column{}
	var order []*column
	see := func(addr, name string) {
		c := columns[addr]
		if c == nil {
			c = &column{addr: addr, x: viewLeft + columnWidth/2 + columnWidth*len(order)}
			columns[addr] = c
			order = append(order, c)
		}
		if name != "" {
			c.name = name
		}
	}
	for _, line := range lines {
		d, ok := parseDelivery(line)
		if !ok {
			continue
		}
		list = append(list, d)
		if d.event == "" {
			see(d.addr, d.name)
			if d.from != "" {
				see(d.from, "")
			}
		}
	}
	var b strings.Builder
	width, height := viewLeft+columnWidth*max(len(order), 1)+20, viewTop+rowHeight*(len(list)+2)
	fmt.Fprintf(&b, viewHead, html.EscapeString(title), html.EscapeString(title), html.EscapeString(repeat), width, height)
	for _, c := range order {
		fmt.Fprintf(&b, `<text class="name" x="%d" y="34">%s</text><text class="addr" x="%d" y="50">%s</text><line class="life" x1="%d" y1="%d" x2="%d" y2="%d"/>`+"\n",
			c.x, html.EscapeString(c.name), c.x, html.EscapeString(c.addr), c.x, viewTop-12, c.x, height-rowHeight)
	}
	for i := range list {
		drawRow(&b, &list[i], viewTop+rowHeight*i, width, columns)
	}
	b.WriteString("</svg>\n</body></html>\n")
	return []byte(b.String())
}

const viewHead = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>%s</title>
<style>
body{font:13px system-ui,sans-serif;margin:16px;background:#fff;color:#222}
code{background:#f2f2f2;padding:2px 5px}
text{font:11px ui-monospace,monospace}
.name{text-anchor:middle;font-weight:bold}.addr{text-anchor:middle;fill:#777}
.life{stroke:#ccc}.arrow{stroke:#2166ac;stroke-width:1.4;marker-end:url(#head)}.reset{stroke:#b2182b;stroke-dasharray:4 3}
.time{fill:#777}.dot{fill:#2166ac}.timer{fill:#999}.disk{fill:#7b3294}.start{fill:#1b7837}
.event{stroke:#f4a582}.fault{stroke:#b2182b;stroke-width:1.6}.what{fill:#b2182b}
</style></head><body>
<h3>%s</h3><p><code>%s</code></p>
<p>Time runs down, one row for each step. Blue arrows: a frame is delivered, at the arrow's head. Purple: a disk operation completes. Grey: a timer. Green: a start. Red lines: what was done to the world from outside.</p>
<svg width="%d" height="%d" xmlns="http://www.w3.org/2000/svg">
<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#2166ac"/></marker></defs>
`

func drawRow(b *strings.Builder, d *delivery, y, width int, columns map[string]*column) {
	fmt.Fprintf(b, `<text class="time" x="4" y="%d">%s  %s</text>`, y+4, html.EscapeString(d.step), d.at.Round(time.Microsecond))
	if d.event != "" {
		class := "event"
		if stops(d.event) {
			class = "fault"
		}
		fmt.Fprintf(b, `<line class="%s" x1="%d" y1="%d" x2="%d" y2="%d"/><text class="what" x="%d" y="%d">%s</text>`+"\n",
			class, viewLeft, y, width, y, viewLeft+4, y-3, html.EscapeString(d.event))
		if stops(d.event) {
			crosses(b, d.event, y, columns)
		}
		return
	}
	to := columns[d.addr]
	if c := columns[d.from]; c != nil && c != to {
		class := "arrow"
		if d.kind == "reset" {
			class = "arrow reset"
		}
		end := to.x - 4
		if c.x > to.x {
			end = to.x + 4
		}
		fmt.Fprintf(b, `<line class="%s" x1="%d" y1="%d" x2="%d" y2="%d"><title>%s</title></line>`, class, c.x, y, end, y,
			html.EscapeString(d.kind+" "+d.detail))
	}
	class := "dot"
	switch d.kind {
	case "timer":
		class = "timer"
	case "start":
		class = "start"
	case "file", "kv":
		class = "disk"
	}
	fmt.Fprintf(b, `<circle class="%s" cx="%d" cy="%d" r="4"><title>%s</title></circle>`, class, to.x, y,
		html.EscapeString(fmt.Sprintf("step %s %s#%s %s %s %s", d.step, d.addr, d.life, d.name, d.kind, d.detail)))
	if to.life != d.life {
		if to.life != "" || d.kind == "start" {
			fmt.Fprintf(b, `<text class="what" x="%d" y="%d">life %s</text>`, to.x+7, y+4, html.EscapeString(d.life))
		}
		to.life = d.life
	}
	b.WriteString("\n")
}

// stops tells whether an event of the world ends lives.
func stops(event string) bool {
	return strings.HasSuffix(event, " crashes") || strings.HasSuffix(event, " loses power") || strings.Contains(event, " halts: ")
}

// crosses marks the processes that an event stopped: those of a node, or one.
func crosses(b *strings.Builder, event string, y int, columns map[string]*column) {
	who, _, _ := strings.Cut(event, " ")
	node, _, _ := strings.Cut(who, ".")
	for _, c := range sortedColumns(columns) {
		one := strings.Contains(who, ".") && !strings.Contains(event, " halts: ") // a halt takes its node along
		if c.addr == who || !one && strings.HasPrefix(c.addr, node+".") {
			fmt.Fprintf(b, `<path class="fault" d="M%d %dl10 10m0 -10l-10 10"/>`+"\n", c.x-5, y-5)
		}
	}
}

func sortedColumns(columns map[string]*column) []*column {
	list := slices.Collect(maps.Values(columns))
	slices.SortFunc(list, func(a, b *column) int { return cmp.Compare(a.x, b.x) })
	return list
}
