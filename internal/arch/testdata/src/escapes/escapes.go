package escapes

import "unsafe" //arch:allow unsafe: the bytes are never written again

func right(b []byte, m map[string]int) (s string) {
	//arch:allow maprange: the test wants any one key
	for k := range m {
		s = k
	}
	return s + unsafe.String(&b[0], len(b))
}

func wrong(m map[string]int) (s string) {
	//arch:allow maprange: // want `escape: rule maprange without a reason`
	for k := range m { // want `maprange: order of a map may leak`
		s = k
	}
	//arch:allow maporder: a rule that is not // want `escape: no rule "maporder"`
	//arch:allow float: nothing here floats // want `escape: it excuses nothing of rule float`
	for k := range m { // want `maprange: order of a map may leak`
		s = k
	}
	x := len(m) //arch:allow go: only for its own line // want `escape: it excuses nothing of rule go`
	go wrong(m) // want `go: go statement`
	_ = x
	return s
}
