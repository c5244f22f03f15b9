package pgwire

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgtype"

	"actordb/core/row"
	"actordb/net/wire"
)

// oids are those of PostgreSQL's catalog (pg_type.dat): of a type, and of its array.
var oids = map[row.Kind][2]uint32{
	row.Bool: {16, 1000}, row.Bytea: {17, 1001}, row.Int8: {20, 1016}, row.Int2: {21, 1005}, row.Int4: {23, 1007}, row.Text: {25, 1009},
	row.Float4: {700, 1021}, row.Float8: {701, 1022}, row.Date: {1082, 1182}, row.Time: {1083, 1183}, row.Timestamp: {1114, 1115},
	row.Timestamptz: {1184, 1185}, row.Interval: {1186, 1187}, row.Numeric: {1700, 1231}, row.UUID: {2950, 2951}, row.JSONB: {3802, 3807},
}

// sizes are those of types of a fixed size; the others have -1.
var sizes = map[uint32]int16{16: 1, 20: 8, 21: 2, 23: 4, 700: 4, 701: 8, 1082: 4, 1083: 8, 1114: 8, 1184: 8, 1186: 16, 2950: 16}

const textOID = 25

// oidOf is the OID of a type by its name, as row.Type says it.
func oidOf(name string) uint32 {
	t, err := row.ParseType(name)
	if err != nil {
		return textOID // what is not known is shown as text
	}
	if t.Kind == row.Array {
		return oids[t.Elem][1]
	}
	return oids[t.Kind][0]
}

func sizeOf(oid uint32) int16 {
	if n, ok := sizes[oid]; ok {
		return n
	}
	return -1
}

func oidsOf(cols []wire.AnswerColumn) []uint32 {
	list := make([]uint32, len(cols))
	for i, c := range cols {
		list[i] = oidOf(c.Type)
	}
	return list
}

// values converts between the formats of PostgreSQL's protocol.
type values struct{ types *pgtype.Map }

// binary makes the binary form of a value from its text.
func (v values) binary(oid uint32, text []byte) ([]byte, error) {
	return v.convert(oid, pgtype.TextFormatCode, text, pgtype.BinaryFormatCode)
}

// text makes the text of a value from its binary form.
func (v values) text(oid uint32, b []byte) ([]byte, error) {
	if oid == 0 || oid == textOID {
		return b, nil // the same in both
	}
	return v.convert(oid, pgtype.BinaryFormatCode, b, pgtype.TextFormatCode)
}

func (v values) convert(oid uint32, from int16, b []byte, to int16) ([]byte, error) {
	t, ok := v.types.TypeForOID(oid)
	if !ok {
		return nil, fmt.Errorf("no type has the OID %d", oid)
	}
	x, err := t.Codec.DecodeValue(v.types, oid, from, b)
	if err != nil {
		return nil, err
	}
	return v.types.Encode(oid, to, x, nil)
}
