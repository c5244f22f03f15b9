package pgwire

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgtype"

	"actordb/core/row"
	"actordb/core/sql/pgcat"
	"actordb/net/wire"
)

const textOID = 25

// oidOf is the OID of a type by its name, as row.Type says it.
func oidOf(name string) uint32 {
	t, err := row.ParseType(name)
	if err != nil {
		return textOID // what is not known is shown as text
	}
	return uint32(pgcat.OID(t))
}

func sizeOf(oid uint32) int16 { return pgcat.Size(int64(oid)) }

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
