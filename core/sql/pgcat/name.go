package pgcat

import (
	"slices"
	"strconv"
	"strings"

	"actordb/core/row"
	"actordb/core/sql/tree"
)

// regs are PostgreSQL's types of OIDs that are read and shown as names. The engine has
// bigint for all of them, and casts to and from these are calls of functions of their name:
// with a text it finds the OID, and with an OID it finds the text.
var regs = map[string]struct {
	find func(c *Contents, schema, name string) (int64, bool)
	show func(c *Contents, oid int64) (string, bool)
	what string // for errors
	code string
}{
	"regclass":     {(*Contents).findRelation, (*Contents).showRelation, "relation", "42P01"},
	"regtype":      {findType, showType, "type", "42704"},
	"regnamespace": {(*Contents).findSchema, (*Contents).showSchema, "schema", "3F000"},
	"regrole":      {findRole, showRole, "role", "42704"},
	"regproc":      {(*Contents).findProc, (*Contents).showProc, "function", "42883"},
}

// Reg reports whether a type's values are OIDs that are shown as names.
func Reg(name string) bool { _, ok := regs[name]; return ok }

// find reads the text of a reg type: a number, a hyphen for none, or a name, perhaps with
// its schema and in quotes.
func (c *Contents) find(reg, text string) (int64, *row.Error) {
	if text == "-" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return int64(n), nil
	}
	schema, name := splitName(text)
	r := regs[reg]
	if oid, ok := r.find(c, schema, name); ok {
		return oid, nil
	}
	return 0, row.Errorf(r.code, "%s %q does not exist", r.what, text)
}

// show writes an OID as its name, or as a number if nothing has it.
func (c *Contents) show(reg string, oid int64) string {
	if oid == 0 {
		return "-"
	}
	if name, ok := regs[reg].show(c, oid); ok {
		return name
	}
	return itoa(oid)
}

// splitName takes schema.name apart: what is not in quotes is in lower case.
func splitName(text string) (schema, name string) {
	var parts []string
	var part strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		switch ch := text[i]; {
		case ch == '"' && quoted && i+1 < len(text) && text[i+1] == '"':
			part.WriteByte(ch)
			i++
		case ch == '"':
			quoted = !quoted
		case ch == '.' && !quoted:
			parts = append(parts, part.String())
			part.Reset()
		case !quoted && ch >= 'A' && ch <= 'Z':
			part.WriteByte(ch + 'a' - 'A')
		default:
			part.WriteByte(ch)
		}
	}
	if n := len(parts); n > 0 {
		schema = parts[n-1] // before it is at most the database
	}
	return schema, strings.TrimSpace(part.String())
}

func (c *Contents) findRelation(schema, name string) (int64, bool) {
	path := []string{schema}
	if schema == "" {
		path = Path
	}
	for _, schema := range path {
		for _, r := range c.relations() {
			if r.Name == name && r.Schema == schema {
				return r.OID, true
			}
		}
	}
	return 0, false
}

func (c *Contents) relation(oid int64) (*Relation, bool) {
	all := c.relations()
	i := slices.IndexFunc(all, func(r Relation) bool { return r.OID == oid })
	if i < 0 {
		return nil, false
	}
	return &all[i], true
}

func (c *Contents) showRelation(oid int64) (string, bool) {
	r, ok := c.relation(oid)
	if !ok {
		return "", false
	}
	if slices.Contains(Path, r.Schema) {
		return tree.Quote(r.Name), true
	}
	return tree.Quote(r.Schema) + "." + tree.Quote(r.Name), true
}

func (c *Contents) findSchema(_, name string) (int64, bool) {
	oid := c.namespace(name)
	return oid, oid != 0
}

func (c *Contents) showSchema(oid int64) (string, bool) {
	for _, n := range c.namespaces() {
		if n.OID == oid {
			return tree.Quote(n.Name), true
		}
	}
	return "", false
}

func findType(_ *Contents, schema, name string) (int64, bool) {
	if element, ok := strings.CutPrefix(name, "_"); ok {
		name = element + "[]"
	}
	if kept, ok := Alias(name); ok {
		name = kept
	}
	t, err := row.ParseType(name)
	return OID(t), err == nil && (schema == "" || schema == Schema)
}

func showType(_ *Contents, oid int64) (string, bool) {
	t, ok := typeOf(oid)
	return t.String(), ok
}

func findRole(_ *Contents, _, name string) (int64, bool) { return ownerOID, name == Owner }

func showRole(_ *Contents, oid int64) (string, bool) { return Owner, oid == ownerOID }

func (c *Contents) findProc(_, name string) (int64, bool) {
	for _, p := range c.procs() {
		if p.Name == name {
			return p.oid, true
		}
	}
	return 0, false
}

func (c *Contents) showProc(oid int64) (string, bool) {
	p, ok := c.procOf(oid)
	if !ok {
		return "", false
	}
	return p.Name, true
}

func (c *Contents) procOf(oid int64) (*proc, bool) {
	all := c.procs()
	i := slices.IndexFunc(all, func(p proc) bool { return p.oid == oid })
	if i < 0 {
		return nil, false
	}
	return &all[i], true
}
