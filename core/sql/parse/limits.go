package parse

// What a statement may be. Each limit has a test in limits_test.go.
const (
	// StatementBytesMax bounds the text of a statement, or of several in one text.
	StatementBytesMax = 1 << 20

	// tokensMax bounds the tree's memory: a token becomes at most some hundred bytes.
	tokensMax = 200_000

	// paramMax is the wire protocol's: a Bind message counts them in 16 bits.
	paramMax = 65_535

	// nameBytesMax is PostgreSQL's, which cuts longer names silently.
	nameBytesMax = 63

	// columnsMax and argsMax are PostgreSQL's (MaxTupleAttributeNumber, FUNC_MAX_ARGS).
	columnsMax = 1_600
	argsMax    = 100
)
