package row

const (
	// ColumnsMax is PostgreSQL's limit of columns of a table.
	ColumnsMax = 1600
	// BatchRowsMax bounds a batch: what is done without a pause stays short.
	BatchRowsMax = 1 << 16
	// ChunkRows is the length that batches are cut to where one has the choice:
	// a few columns of that many values fit a processor's second cache.
	ChunkRows = 1024
	// ValueBytesMax bounds one value. An event's payload has at most a MiB.
	ValueBytesMax = 1 << 20
	// VectorBytesMax keeps offsets within 32 bits.
	VectorBytesMax = 1 << 30
	// NumericDigitsMax bounds the digits of a numeric, so that arithmetic on
	// one value stays short.
	NumericDigitsMax = 1000
	// NumericExponentMax bounds the place of the decimal point.
	NumericExponentMax = 16000
	// ArrayElementsMax bounds one array.
	ArrayElementsMax = 1 << 16
	// JSONDepthMax bounds nesting.
	JSONDepthMax = 64
	// FieldNumberMax is Protobuf's.
	FieldNumberMax = 1<<29 - 1
	// NameBytesMax bounds names of columns, as PostgreSQL does.
	NameBytesMax = 63
)
