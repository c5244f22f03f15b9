package unsafety

import "unsafe" // want `unsafe: import of unsafe`

func wrong(b []byte) string { return unsafe.String(&b[0], len(b)) }
