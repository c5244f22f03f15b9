package columnar

import (
	"math"

	"github.com/parquet-go/parquet-go"

	"actordb/core/row"
)

// physical is how values of a type stand in Parquet.
type physical uint8

const (
	asBool  physical = iota
	asInt32          // BOOLEAN, INT32, INT64, FLOAT, DOUBLE
	asInt64
	asFloat
	asDouble
	asBytes  // BYTE_ARRAY, the canonical bytes
	asText   // BYTE_ARRAY, the value's text: types that Parquet does not have in full
	asUUID   // FIXED_LEN_BYTE_ARRAY
	asMoment // INT64, microseconds
	asDay    // INT32, days
)

// Infinite times stand where DuckDB has them; PostgreSQL's own numbers of days do not
// fit 32 bits.
const (
	dayInfinity    = math.MaxInt32
	dayNegInfinity = -math.MaxInt32
	negInfinity    = -math.MaxInt64 // of moments; row.Infinity stays
)

func physicalOf(t row.Type) physical {
	switch t.Kind {
	case row.Bool:
		return asBool
	case row.Int2, row.Int4:
		return asInt32
	case row.Int8, row.Time:
		return asInt64
	case row.Float4:
		return asFloat
	case row.Float8:
		return asDouble
	case row.Timestamp, row.Timestamptz:
		return asMoment
	case row.Date:
		return asDay
	case row.UUID:
		return asUUID
	case row.Text, row.Bytea, row.JSONB:
		return asBytes
	}
	return asText // numeric, interval, arrays
}

// nodeOf is the Parquet type with the meaning that other tools see.
func nodeOf(t row.Type) parquet.Node {
	switch t.Kind {
	case row.Bool:
		return parquet.Leaf(parquet.BooleanType)
	case row.Int2:
		return parquet.Int(16)
	case row.Int4:
		return parquet.Int(32)
	case row.Int8:
		return parquet.Int(64)
	case row.Float4:
		return parquet.Leaf(parquet.FloatType)
	case row.Float8:
		return parquet.Leaf(parquet.DoubleType)
	case row.Date:
		return parquet.Date()
	case row.Time:
		return parquet.TimeAdjusted(parquet.Microsecond, false)
	case row.Timestamp:
		return parquet.TimestampAdjusted(parquet.Microsecond, false)
	case row.Timestamptz:
		return parquet.Timestamp(parquet.Microsecond)
	case row.UUID:
		return parquet.UUID()
	case row.Bytea:
		return parquet.Leaf(parquet.ByteArrayType)
	case row.JSONB:
		return parquet.JSON()
	}
	return parquet.String()
}

// value is row i of a vector, which is not null. Text is written to scratch.
func (p physical) value(v *row.Vector, i int, scratch []byte) (parquet.Value, []byte) {
	switch p {
	case asBool:
		return parquet.BooleanValue(v.I[i] != 0), scratch
	case asInt32:
		return parquet.Int32Value(int32(v.I[i])), scratch
	case asInt64:
		return parquet.Int64Value(v.I[i]), scratch
	case asMoment:
		return parquet.Int64Value(max(v.I[i], negInfinity)), scratch
	case asDay:
		return parquet.Int32Value(int32(min(max(v.I[i], dayNegInfinity), dayInfinity))), scratch
	case asFloat:
		return parquet.FloatValue(float32(row.ToFloat(v.I[i]))), scratch //arch:allow float: the bits alone are moved
	case asDouble:
		return parquet.DoubleValue(row.ToFloat(v.I[i])), scratch //arch:allow float: the bits alone are moved
	case asUUID:
		return parquet.FixedLenByteArrayValue(v.Bytes(i)), scratch
	case asBytes:
		return parquet.ByteArrayValue(v.Bytes(i)), scratch
	}
	at := len(scratch)
	scratch = v.AppendText(scratch, i)
	return parquet.ByteArrayValue(scratch[at:len(scratch):len(scratch)]), scratch
}

// moment and day are the inverse of what value does to times.
func moment(x int64) int64 {
	if x == negInfinity {
		return row.NegInfinity
	}
	return x
}

func day(x int32) int64 {
	switch x {
	case dayInfinity:
		return row.Infinity
	case dayNegInfinity:
		return row.NegInfinity
	}
	return int64(x)
}
