package pgcat

import "actordb/core/row"

// typeInfo is PostgreSQL's pg_type.dat about a type of ours.
type typeInfo struct {
	kind       row.Kind
	oid, array int64
	name       string
	size       int16 // -1: it varies
	category   string
	preferred  bool
}

var types = []typeInfo{
	{row.Bool, 16, 1000, "bool", 1, "B", true}, {row.Bytea, 17, 1001, "bytea", -1, "U", false},
	{row.Int8, 20, 1016, "int8", 8, "N", false}, {row.Int2, 21, 1005, "int2", 2, "N", false}, {row.Int4, 23, 1007, "int4", 4, "N", false},
	{row.Text, 25, 1009, "text", -1, "S", true}, {row.Float4, 700, 1021, "float4", 4, "N", false}, {row.Float8, 701, 1022, "float8", 8, "N", true},
	{row.Date, 1082, 1182, "date", 4, "D", false}, {row.Time, 1083, 1183, "time", 8, "D", false}, {row.Timestamp, 1114, 1115, "timestamp", 8, "D", false},
	{row.Timestamptz, 1184, 1185, "timestamptz", 8, "D", true}, {row.Interval, 1186, 1187, "interval", 16, "T", true},
	{row.Numeric, 1700, 1231, "numeric", -1, "N", false}, {row.UUID, 2950, 2951, "uuid", 16, "U", false}, {row.JSONB, 3802, 3807, "jsonb", -1, "U", false},
}

// OIDs are at least this for what was created.
const FirstOID = 16384

// OID is a type's. What is no type is text.
func OID(t row.Type) int64 {
	for _, x := range types {
		switch {
		case t.Kind == row.Array && x.kind == t.Elem:
			return x.array
		case x.kind == t.Kind:
			return x.oid
		}
	}
	return OID(row.Of(row.Text))
}

// Size is how many bytes a type's values have in PostgreSQL's binary format; -1 if that varies.
func Size(oid int64) int16 {
	for i := range types {
		if types[i].oid == oid {
			return types[i].size
		}
	}
	return -1
}

// typeOf is the type of an OID.
func typeOf(oid int64) (row.Type, bool) {
	for i := range types {
		switch oid {
		case types[i].oid:
			return row.Of(types[i].kind), true
		case types[i].array:
			return row.ArrayOf(types[i].kind), true
		}
	}
	return row.Type{}, false
}

// infoOf is what there is to know of a type, or of an array's elements.
func infoOf(t row.Type) typeInfo {
	kind := t.Kind
	if kind == row.Array {
		kind = t.Elem
	}
	for _, x := range types {
		if x.kind == kind {
			return x
		}
	}
	return typeInfo{}
}

// TypeName is pg_type's of a type.
func TypeName(t row.Type) string {
	name := infoOf(t).name
	if t.Kind == row.Array {
		return "_" + name
	}
	return name
}
