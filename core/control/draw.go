package control

import (
	"fmt"
	"html"
	"strings"
)

// DOT draws the network in Graphviz's language. Arrows lead from a process to what
// it needs.
func (n *Network) DOT() string {
	var b strings.Builder
	fmt.Fprintf(&b, "// network %x\ndigraph network {\n\trankdir=TB; node [shape=box, fontname=\"monospace\"];\n", n.Hash[:8])
	for _, p := range n.Processes {
		fmt.Fprintf(&b, "\t%q [label=%q];\n", p.Name, p.title()+"\n"+p.Hash.String())
	}
	for _, p := range n.Processes {
		for _, need := range p.Needs {
			fmt.Fprintf(&b, "\t%q -> %q;\n", p.Name, need)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

func (p *Process) title() string {
	s := p.Name
	if p.Count > 1 {
		s += fmt.Sprintf(" × %d", p.Count)
	}
	switch {
	case p.Backend != "":
		s += fmt.Sprintf(" (%s, %s)", p.Kind, p.Backend)
	case p.Name != string(p.Kind):
		s += fmt.Sprintf(" (%s)", p.Kind)
	}
	return s
}

// Text draws the network for a terminal: a line for each process, in the order in
// which they start.
func (n *Network) Text() string {
	var b strings.Builder
	for i, p := range n.Processes {
		fmt.Fprintf(&b, "%2d  %-28s %s", i+1, p.title(), p.Hash)
		if len(p.Needs) > 0 {
			fmt.Fprintf(&b, "  needs %s", strings.Join(p.Needs, ", "))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Of a drawing, in pixels.
const (
	boxWidth  = 230
	boxHeight = 48
	gap       = 40
)

// SVG draws the network as a picture: what needs nothing at the bottom, and every
// process above all that it needs.
func (n *Network) SVG() string {
	var rows [][]*Process
	for _, p := range n.Processes {
		d := n.Depth(p)
		for len(rows) <= d {
			rows = append(rows, nil)
		}
		rows[d] = append(rows[d], p)
	}
	widest := 0
	for _, row := range rows {
		widest = max(widest, len(row))
	}
	width, height := widest*(boxWidth+gap)+gap, len(rows)*(boxHeight+gap)+gap
	at := make(map[string][2]int, len(n.Processes)) // the middle of each box's top edge
	for d, row := range rows {
		left := (width - len(row)*(boxWidth+gap) + gap) / 2
		for i, p := range row {
			at[p.Name] = [2]int{left + i*(boxWidth+gap) + boxWidth/2, height - (d+1)*(boxHeight+gap)}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="monospace" font-size="13">`+"\n", width, height)
	fmt.Fprintf(&b, "<title>process network %s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n", n.Hash)
	b.WriteString(`<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker>` + "\n")
	for _, p := range n.Processes {
		for _, need := range p.Needs {
			from, to := at[p.Name], at[need]
			fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#555" marker-end="url(#tip)"/>`+"\n", from[0], from[1]+boxHeight, to[0], to[1])
		}
	}
	for _, p := range n.Processes {
		m := at[p.Name]
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" rx="6" fill="#eef3fa" stroke="#345"/>`+"\n", m[0]-boxWidth/2, m[1], boxWidth, boxHeight)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", m[0], m[1]+20, html.EscapeString(p.title()))
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" fill="#777" font-size="11">%s</text>`+"\n", m[0], m[1]+37, p.Hash)
	}
	b.WriteString("</svg>\n")
	return b.String()
}
