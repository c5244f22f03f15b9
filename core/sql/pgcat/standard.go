package pgcat

import "actordb/core/row"

func schemata(c *Contents, add func(kv ...any)) {
	for _, n := range c.namespaces() {
		add("schema_name", n.Name)
	}
}

func standardTables(c *Contents, add func(kv ...any)) {
	for _, r := range c.relations() {
		kind := "VIEW"
		if r.Kind == 'r' {
			kind = "BASE TABLE"
		}
		add("table_schema", r.Schema, "table_name", r.Name, "table_type", kind)
	}
}

func standardViews(c *Contents, add func(kv ...any)) {
	for _, r := range c.relations() {
		if r.Kind != 'r' {
			add("table_schema", r.Schema, "table_name", r.Name, "view_definition", r.Definition)
		}
	}
}

// precision is of numbers in bits (ISO 9075-11, COLUMNS); 0 of other types.
var precision = map[row.Kind]int{row.Int2: 16, row.Int4: 32, row.Int8: 64, row.Float4: 24, row.Float8: 53}

func standardColumns(c *Contents, add func(kv ...any)) {
	for _, r := range c.relations() {
		for i, col := range r.Columns {
			t := col.Type
			kv := []any{"table_schema", r.Schema, "table_name", r.Name, "column_name", col.Name, "ordinal_position", i + 1, "is_nullable", yes(!col.NotNull),
				"data_type", t.String(), "udt_name", TypeName(t), "dtd_identifier", itoa(int64(i + 1))}
			switch t.Kind {
			case row.Array:
				kv = append(kv, "data_type", "ARRAY")
			case row.Int2, row.Int4, row.Int8:
				kv = append(kv, "numeric_precision", precision[t.Kind], "numeric_precision_radix", 2, "numeric_scale", 0)
			case row.Float4, row.Float8:
				kv = append(kv, "numeric_precision", precision[t.Kind], "numeric_precision_radix", 2)
			case row.Numeric:
				kv = append(kv, "numeric_precision_radix", 10)
			case row.Text:
				kv = append(kv, "character_octet_length", 1<<30)
			case row.Date:
				kv = append(kv, "datetime_precision", 0)
			case row.Time, row.Timestamp, row.Timestamptz, row.Interval:
				kv = append(kv, "datetime_precision", 6)
			}
			add(kv...)
		}
	}
}

func yes(b bool) string {
	if b {
		return "YES"
	}
	return "NO"
}

func itoa(n int64) string { return row.Value{Type: row.Of(row.Int8), I: n}.String() }
