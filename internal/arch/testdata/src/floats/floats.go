package floats

import "time"

type wrong struct {
	ratio float64 // want `float: floating point \(float64\)`
}

func wrongs(w wrong, d time.Duration) int {
	x := 1.5          // want `float: floating point`
	_ = d.Seconds()   // want `float: floating point`
	_ = complex(x, 1) // want `float: floating point`
	var y float32     // want `float: floating point`
	_ = y             // want `float: floating point`
	return 0
}

// Untyped constants are exact.
const limit = int64(24 * 3600 * 1e9)

func right(d time.Duration) int64 { return int64(d/time.Second) * 1e3 }
