package pgcat

import (
	"slices"
	"strings"

	"actordb/core/expr"
	"actordb/core/row"
	"actordb/core/sql/sqlerr"
	"actordb/core/sql/tree"
)

// Version is what version() says; the number of a server of PostgreSQL that behaves so
// comes first, as clients read it.
const Version = "PostgreSQL 17.0 (ActorDB)"

// A Setting is a parameter that has one value.
type Setting struct{ Name, Value string }

// Settings are what holds for every session.
var Settings = []Setting{
	{"bytea_output", "hex"}, {"client_encoding", "UTF8"}, {"DateStyle", "ISO, MDY"}, {"default_transaction_read_only", "on"}, {"in_hot_standby", "off"},
	{"integer_datetimes", "on"}, {"IntervalStyle", "postgres"}, {"is_superuser", "off"}, {"max_identifier_length", "63"}, {"max_index_keys", "32"},
	{"search_path", Path[0]}, {"server_encoding", "UTF8"}, {"server_version", "17.0 (ActorDB)"}, {"server_version_num", "170000"},
	{"standard_conforming_strings", "on"}, {"TimeZone", "UTC"}, {"transaction_read_only", "on"},
}

// Value is that of a setting.
func Value(name string) (string, bool) {
	for _, s := range Settings {
		if strings.EqualFold(s.Name, name) {
			return s.Value, true
		}
	}
	return "", false
}

// definition is a function of the catalog. do gets what its arguments are, none of them
// null, and returns nil for null.
type definition struct {
	name, args, ret string
	do              func(c *Contents, args []row.Value) (any, *row.Error)
}

// nothing is a function about what the database does not have.
func nothing(*Contents, []row.Value) (any, *row.Error) { return nil, nil }

// fixed is a function with one answer.
func fixed(x any) func(*Contents, []row.Value) (any, *row.Error) {
	return func(*Contents, []row.Value) (any, *row.Error) { return x, nil }
}

// privilege is true of what everybody may do, and of nothing else.
func privilege(only string) func(*Contents, []row.Value) (any, *row.Error) {
	return func(_ *Contents, args []row.Value) (any, *row.Error) {
		return strings.EqualFold(string(args[1].B), only), nil
	}
}

// found is true of what there is.
func found[T any](find func(c *Contents, oid int64) (T, bool)) func(*Contents, []row.Value) (any, *row.Error) {
	return func(c *Contents, args []row.Value) (any, *row.Error) {
		if _, ok := find(c, args[0].I); ok {
			return true, nil
		}
		return nil, nil
	}
}

// definitions are the functions, without those of regs. bigint stands for oid.
func definitions() []definition {
	return []definition{
		{"version", "", "text", fixed(Version)},
		{"current_database", "", "text", fixed(Database)},
		{"current_catalog", "", "text", fixed(Database)},
		{"current_schema", "", "text", fixed(Path[0])},
		{"current_schemas", "bool", "text[]", func(_ *Contents, args []row.Value) (any, *row.Error) {
			if args[0].I == 1 {
				return "{" + Path[1] + "," + Path[0] + "}", nil
			}
			return "{" + Path[0] + "}", nil
		}},
		{"current_setting", "text", "text", func(_ *Contents, args []row.Value) (any, *row.Error) {
			v, ok := Value(string(args[0].B))
			if !ok {
				return nil, row.Errorf("42704", "unrecognized configuration parameter %q; SHOW tells of those of the session", args[0].B)
			}
			return v, nil
		}},
		{"current_setting", "text,bool", "text", func(_ *Contents, args []row.Value) (any, *row.Error) {
			v, ok := Value(string(args[0].B))
			switch {
			case ok:
				return v, nil
			case args[1].I == 1:
				return nil, nil
			}
			return nil, row.Errorf("42704", "unrecognized configuration parameter %q; SHOW tells of those of the session", args[0].B)
		}},
		{"pg_encoding_to_char", "int4", "text", func(_ *Contents, args []row.Value) (any, *row.Error) {
			if args[0].I == 6 {
				return "UTF8", nil
			}
			return "", nil
		}},
		{"pg_is_in_recovery", "", "bool", fixed(false)},
		{"pg_get_userbyid", "bigint", "text", func(c *Contents, args []row.Value) (any, *row.Error) {
			if name, ok := showRole(c, args[0].I); ok {
				return name, nil
			}
			return "unknown (OID=" + itoa(args[0].I) + ")", nil
		}},
		{"format_type", "bigint,int4", "text", func(c *Contents, args []row.Value) (any, *row.Error) {
			if name, ok := showType(c, args[0].I); ok {
				return name, nil
			}
			return "???", nil
		}},
		// A relation is visible that was created here: psql lists those.
		{"pg_table_is_visible", "bigint", "bool", func(c *Contents, args []row.Value) (any, *row.Error) {
			r, ok := c.relation(args[0].I)
			if !ok {
				return nil, nil
			}
			return r.OID >= FirstOID || r.Schema == Schema, nil
		}},
		{"pg_type_is_visible", "bigint", "bool", found(showType)},
		{"pg_function_is_visible", "bigint", "bool", found((*Contents).showProc)},
		{"pg_get_viewdef", "bigint", "text", viewDefinition},
		{"pg_get_viewdef", "bigint,bool", "text", viewDefinition},
		{"pg_get_function_result", "bigint", "text", func(c *Contents, args []row.Value) (any, *row.Error) {
			if p, ok := c.procOf(args[0].I); ok {
				return p.Ret.String(), nil
			}
			return nil, nil
		}},
		{"pg_get_function_arguments", "bigint", "text", functionArguments},
		{"pg_get_function_identity_arguments", "bigint", "text", functionArguments},
		{"pg_relation_is_publishable", "bigint", "bool", fixed(false)},
		{"pg_get_expr", "text,bigint", "text", nothing},
		{"pg_get_expr", "text,bigint,bool", "text", nothing},
		{"pg_get_indexdef", "bigint", "text", nothing},
		{"pg_get_indexdef", "bigint,int4,bool", "text", nothing},
		{"pg_get_constraintdef", "bigint", "text", nothing},
		{"pg_get_constraintdef", "bigint,bool", "text", nothing},
		{"pg_get_ruledef", "bigint", "text", nothing},
		{"pg_get_ruledef", "bigint,bool", "text", nothing},
		{"pg_get_triggerdef", "bigint,bool", "text", nothing},
		{"pg_get_statisticsobjdef_columns", "bigint", "text", nothing},
		{"pg_get_partkeydef", "bigint", "text", nothing},
		{"pg_get_function_sqlbody", "bigint", "text", nothing},
		{"pg_tablespace_location", "bigint", "text", nothing},
		{"pg_table_size", "bigint", "bigint", nothing},
		{"pg_total_relation_size", "bigint", "bigint", nothing},
		{"pg_size_pretty", "bigint", "text", func(_ *Contents, args []row.Value) (any, *row.Error) { return pretty(args[0].I), nil }},
		{"obj_description", "bigint,text", "text", nothing},
		{"shobj_description", "bigint,text", "text", nothing},
		{"col_description", "bigint,int4", "text", nothing},
		{"has_schema_privilege", "bigint,text", "bool", privilege("USAGE")},
		{"has_schema_privilege", "text,text", "bool", privilege("USAGE")},
		{"has_table_privilege", "bigint,text", "bool", privilege("SELECT")},
		{"has_table_privilege", "text,text", "bool", privilege("SELECT")},
		{"has_database_privilege", "text,text", "bool", privilege("CONNECT")},
	}
}

func viewDefinition(c *Contents, args []row.Value) (any, *row.Error) {
	if r, ok := c.relation(args[0].I); ok && r.Definition != "" {
		return r.Definition, nil
	}
	return nil, nil
}

func functionArguments(c *Contents, args []row.Value) (any, *row.Error) {
	p, ok := c.procOf(args[0].I)
	if !ok {
		return nil, nil
	}
	var types []string
	for _, t := range p.Args {
		types = append(types, t.String())
	}
	return strings.Join(types, ", "), nil
}

// pretty is a number of bytes in the largest unit in which it is at least ten, rounded.
func pretty(n int64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB", "PB"}
	sign := ""
	size := uint64(n)
	if n < 0 {
		sign, size = "-", -size
	}
	unit := 0
	for size >= 10<<10 && unit < len(units)-1 {
		size = (size>>9 + 1) >> 1
		unit++
	}
	return sign + itoa(int64(size)) + " " + units[unit]
}

// Function reports whether a function of the catalog has this name.
func Function(name string) bool {
	return Reg(name) || Reg(strings.TrimPrefix(name, "to_")) || slices.ContainsFunc(definitions(), func(d definition) bool { return d.name == name })
}

// Call makes a call of one of the catalog's functions; it is nil if there is none of that name.
func (c *Contents) Call(name string, args []*expr.Node, pos tree.Pos) (*expr.Node, *sqlerr.Error) {
	var list []*expr.Func
	for _, d := range definitions() {
		if d.name == name {
			list = append(list, d.of(c))
		}
	}
	switch {
	case Reg(name):
		list = c.regFuncs(name)
	case strings.HasPrefix(name, "to_reg") && Reg(name[len("to_"):]):
		list = []*expr.Func{c.orNull(name)}
	case len(list) == 0:
		return nil, nil
	case name == "format_type" && len(args) == 2: // without a modifier it is the type by itself
		none := expr.Constant(row.Value{Type: row.Of(row.Int4), I: -1}, pos)
		mod, err := expr.Resolve("coalesce", []*expr.Node{args[1], none}, pos)
		if err != nil {
			return nil, err
		}
		args = []*expr.Node{args[0], mod}
	}
	return expr.Pick(list, name, args, pos)
}

func (d definition) of(c *Contents) *expr.Func {
	t := mustType(d.ret)
	return expr.NewFunc(d.name, d.args, d.ret, func(args []row.Value) (row.Value, *row.Error) {
		x, err := d.do(c, args)
		if x == nil || err != nil {
			return row.NullOf(t), err
		}
		return valueOf(t, x), nil
	})
}

// regFuncs are both directions of a cast.
func (c *Contents) regFuncs(name string) []*expr.Func {
	return []*expr.Func{
		expr.NewFunc(name, "text", "bigint", func(args []row.Value) (row.Value, *row.Error) {
			oid, err := c.find(name, string(args[0].B))
			return valueOf(row.Of(row.Int8), oid), err
		}),
		expr.NewFunc(name, "bigint", "text", func(args []row.Value) (row.Value, *row.Error) {
			return valueOf(row.Of(row.Text), c.show(name, args[0].I)), nil
		}),
	}
}

// orNull is to_regclass and its like: null where there is no such name.
func (c *Contents) orNull(name string) *expr.Func {
	t := row.Of(row.Int8)
	return expr.NewFunc(name, "text", "bigint", func(args []row.Value) (row.Value, *row.Error) {
		oid, err := c.find(name[len("to_"):], string(args[0].B))
		if err != nil {
			return row.NullOf(t), nil
		}
		return valueOf(t, oid), nil
	})
}

// signature is what the function takes and returns.
func (d definition) signature() expr.Signature {
	s := expr.Signature{Name: d.name, Ret: mustType(d.ret)}
	for _, a := range strings.Split(d.args, ",") {
		if a != "" {
			s.Args = append(s.Args, mustType(a))
		}
	}
	return s
}
