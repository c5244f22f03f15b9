package expr

import (
	"bytes"
	"regexp"
	"slices"
	"unicode/utf8"

	"actordb/core/row"
	"actordb/core/sql/tree"
)

func upperASCII(dst, s []byte) []byte { return flipCase(dst, s, 'a', 'z') }
func lowerASCII(dst, s []byte) []byte { return flipCase(dst, s, 'A', 'Z') }

// flipCase changes the letters from lo to hi: in the C locale letters are those
// of ASCII.
func flipCase(dst, s []byte, lo, hi byte) []byte {
	for _, b := range s {
		if b >= lo && b <= hi {
			b ^= 0x20
		}
		dst = append(dst, b)
	}
	return dst
}

// textOf makes a kernel of a function of one text.
func textOf(f func(dst, s []byte) []byte) kernel {
	return rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) { return f(dst, c.args[0].Bytes(i)), nil })
}

var concatText = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	dst = append(dst, c.args[0].Bytes(i)...)
	return append(dst, c.args[1].Bytes(i)...), nil
})

// toText casts to text: what the type prints, but for booleans.
var toText = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	v := c.args[0]
	if v.Type.Kind == row.Bool {
		if v.I[i] != 0 {
			return append(dst, "true"...), nil
		}
		return append(dst, "false"...), nil
	}
	return v.AppendText(dst, i), nil
})

// fromText casts from text.
func fromText(c *call) {
	v := c.args[0]
	t := c.out.Type
	scratch := c.scratch(0, t)
	for i := range c.n {
		if c.nulls.Get(i) {
			if !t.Fixed() {
				c.out.AppendNull()
			}
			continue
		}
		scratch.Reset(t)
		err := scratch.ParseAppend(v.Bytes(i))
		switch {
		case err != nil:
			c.fail(i, asError(err))
			if !t.Fixed() {
				c.out.AppendNull()
			}
		case t.Fixed():
			c.out.I[i] = scratch.I[0]
		default:
			c.out.AppendBytes(scratch.Bytes(0))
		}
	}
}

// scratch is a vector that the call keeps.
func (c *call) scratch(k int, t row.Type) *row.Vector {
	if c.tmp[k] == nil {
		c.tmp[k] = row.NewVector(t)
	}
	c.tmp[k].Reset(t)
	return c.tmp[k]
}

// cutText is varchar(n): an explicit cast cuts.
var cutText = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	s := c.args[0].Bytes(i)
	return append(dst, s[:prefixBytes(s, c.args[1].I[i])]...), nil
})

// prefixBytes is the length of the first n characters.
func prefixBytes(s []byte, n int64) int {
	at := 0
	for ; n > 0 && at < len(s); n-- {
		_, size := utf8.DecodeRune(s[at:])
		at += size
	}
	return at
}

func runes(s []byte) int64 { return int64(utf8.RuneCount(s)) }

var lengthText = ints(func(c *call, i int) (int64, *row.Error) { return runes(c.args[0].Bytes(i)), nil })
var lengthBytes = ints(func(c *call, i int) (int64, *row.Error) { return int64(len(c.args[0].Bytes(i))), nil })

func trimText(left, right bool) kernel {
	return rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
		s, set := c.args[0].Bytes(i), " "
		if len(c.args) > 1 {
			set = string(c.args[1].Bytes(i))
		}
		if left {
			s = bytes.TrimLeft(s, set)
		}
		if right {
			s = bytes.TrimRight(s, set)
		}
		return append(dst, s...), nil
	})
}

var substringText = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	s, from := c.args[0].Bytes(i), c.args[1].I[i]
	end := int64(1) << 40
	if len(c.args) > 2 {
		n := c.args[2].I[i]
		if n < 0 {
			return dst, row.Errorf("22011", "negative substring length not allowed")
		}
		end = from + n
	}
	from = max(from, 1)
	if from >= end {
		return dst, nil
	}
	s = s[prefixBytes(s, from-1):]
	return append(dst, s[:prefixBytes(s, end-from)]...), nil
})

var positionText = ints(func(c *call, i int) (int64, *row.Error) {
	s := c.args[0].Bytes(i)
	at := bytes.Index(s, c.args[1].Bytes(i))
	if at < 0 {
		return 0, nil
	}
	return runes(s[:at]) + 1, nil
})

var replaceText = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	s, old, to := c.args[0].Bytes(i), c.args[1].Bytes(i), c.args[2].Bytes(i)
	for len(old) > 0 {
		at := bytes.Index(s, old)
		if at < 0 {
			break
		}
		dst = append(append(dst, s[:at]...), to...)
		s = s[at+len(old):]
		if len(dst) > row.VectorBytesMax/2 {
			return dst, row.Errorf(row.CodeTooLong, "a value has at most %d bytes", row.ValueBytesMax)
		}
	}
	return append(dst, s...), nil
})

// leftText is left and right: n characters, or all but -n.
func leftText(right bool) kernel {
	return rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
		s, n := c.args[0].Bytes(i), c.args[1].I[i]
		all := runes(s)
		if n < 0 {
			n = max(0, all+n)
		}
		n = min(n, all)
		if right {
			return append(dst, s[prefixBytes(s, all-n):]...), nil
		}
		return append(dst, s[:prefixBytes(s, n)]...), nil
	})
}

// padText is lpad and rpad.
func padText(left bool) kernel {
	return rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
		s, n, fill := c.args[0].Bytes(i), max(0, c.args[1].I[i]), []byte(" ")
		if len(c.args) > 2 {
			fill = c.args[2].Bytes(i)
		}
		have := runes(s)
		if have >= n || len(fill) == 0 {
			return append(dst, s[:prefixBytes(s, n)]...), nil
		}
		if n > row.ValueBytesMax {
			return dst, row.Errorf(row.CodeTooLong, "a value has at most %d bytes", row.ValueBytesMax)
		}
		if !left {
			dst = append(dst, s...)
		}
		for need := n - have; need > 0; {
			take := min(need, runes(fill))
			dst = append(dst, fill[:prefixBytes(fill, take)]...)
			need -= take
		}
		if left {
			dst = append(dst, s...)
		}
		return dst, nil
	})
}

var repeatText = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	s, n := c.args[0].Bytes(i), max(0, c.args[1].I[i])
	if p, ok := product(int64(len(s)), n); !ok || p > row.ValueBytesMax {
		return dst, row.Errorf(row.CodeTooLong, "a value has at most %d bytes", row.ValueBytesMax)
	}
	for ; n > 0 && len(s) > 0; n-- {
		dst = append(dst, s...)
	}
	return dst, nil
})

func reverseText(dst, s []byte) []byte {
	for len(s) > 0 {
		_, size := utf8.DecodeLastRune(s)
		dst = append(dst, s[len(s)-size:]...)
		s = s[:len(s)-size]
	}
	return dst
}

var splitText = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	s, sep, n := c.args[0].Bytes(i), c.args[1].Bytes(i), c.args[2].I[i]
	if n == 0 {
		return dst, row.Errorf("22023", "field position must not be zero")
	}
	count := int64(1)
	if len(sep) > 0 {
		count += int64(bytes.Count(s, sep))
	}
	if n < 0 {
		n += count + 1
	}
	if n < 1 || n > count {
		return dst, nil
	}
	for ; n > 1; n-- {
		s = s[bytes.Index(s, sep)+len(sep):]
	}
	if at := bytes.Index(s, sep); len(sep) > 0 && at >= 0 {
		s = s[:at]
	}
	return append(dst, s...), nil
})

// quoteIdent quotes a name where it has to be.
func quoteIdent(dst, s []byte) []byte { return append(dst, tree.Quote(string(s))...) }

var startsWith = ints(func(c *call, i int) (int64, *row.Error) {
	return bit(bytes.HasPrefix(c.args[0].Bytes(i), c.args[1].Bytes(i))), nil
})

var asciiText = ints(func(c *call, i int) (int64, *row.Error) {
	s := c.args[0].Bytes(i)
	if len(s) == 0 {
		return 0, nil
	}
	r, _ := utf8.DecodeRune(s)
	return int64(r), nil
})

var chrText = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	n := c.args[0].I[i]
	if n <= 0 || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
		return dst, row.Errorf(row.CodeTooLong, "requested character not valid: %d", n)
	}
	return utf8.AppendRune(dst, rune(n)), nil
})

var translateText = rows(func(c *call, i int, dst []byte) ([]byte, *row.Error) {
	from, to := []rune(string(c.args[1].Bytes(i))), []rune(string(c.args[2].Bytes(i)))
	for _, r := range string(c.args[0].Bytes(i)) {
		switch at := slices.Index(from, r); {
		case at < 0:
			dst = utf8.AppendRune(dst, r)
		case at < len(to):
			dst = utf8.AppendRune(dst, to[at])
		}
	}
	return dst, nil
})

// likeText is LIKE: text, pattern, and an escape that is one character or none.
func likeText(insensitive bool) kernel {
	return ints(func(c *call, i int) (int64, *row.Error) {
		s, p := c.args[0].Bytes(i), c.args[1].Bytes(i)
		escape := []byte{'\\'}
		if len(c.args) > 2 {
			escape = c.args[2].Bytes(i)
			if runes(escape) > 1 {
				return 0, row.Errorf("22025", "invalid escape string: an escape is one character")
			}
		}
		if insensitive {
			t := c.scratch(0, row.Of(row.Text))
			t.Data = lowerASCII(t.Data, s)
			n := len(t.Data)
			t.Data = lowerASCII(t.Data, p)
			s, p = t.Data[:n], t.Data[n:]
		}
		if danglingEscape(p, escape) {
			return 0, row.Errorf("22025", "LIKE pattern must not end with escape character")
		}
		return bit(like(s, p, escape)), nil
	})
}

func danglingEscape(p, escape []byte) bool {
	for len(escape) > 0 {
		at := bytes.Index(p, escape)
		if at < 0 {
			return false
		}
		if p = p[at+len(escape):]; len(p) == 0 {
			return true
		}
		_, size := utf8.DecodeRune(p)
		p = p[size:]
	}
	return false
}

// like matches greedily with one point to come back to: the last %.
func like(s, p, escape []byte) bool {
	var backS, backP []byte
	back := false
	for {
		if len(p) > 0 && p[0] == '%' && !(len(escape) == 1 && escape[0] == '%') {
			backS, backP, back = s, p[1:], true
			p = p[1:]
			continue
		}
		if ok, size, psize := likeOne(s, p, escape); ok {
			s, p = s[size:], p[psize:]
			continue
		}
		if len(s) == 0 && len(p) == 0 {
			return true
		}
		if !back || len(backS) == 0 {
			return false
		}
		_, size := utf8.DecodeRune(backS)
		backS = backS[size:]
		s, p = backS, backP
	}
}

// likeOne matches one character.
func likeOne(s, p, escape []byte) (ok bool, size, psize int) {
	if len(s) == 0 || len(p) == 0 {
		return false, 0, 0
	}
	r, size := utf8.DecodeRune(s)
	skip := 0
	if len(escape) > 0 && bytes.HasPrefix(p, escape) {
		skip = len(escape)
	} else if p[0] == '_' {
		return true, size, 1
	}
	q, psize := utf8.DecodeRune(p[skip:])
	return q == r && bytes.Equal(s[:size], p[skip:skip+psize]), size, skip + psize
}

// pattern is the last regular expression of a call.
type pattern struct {
	text string
	re   *regexp.Regexp
}

// regexText is ~ and its kin. The expressions are RE2's, without backreferences:
// they take linear time whatever a client sends.
func regexText(insensitive, not bool) kernel {
	return ints(func(c *call, i int) (int64, *row.Error) {
		p, ok := c.memo.(*pattern)
		if !ok {
			p = &pattern{}
			c.memo = p
		}
		if b := c.args[1].Bytes(i); p.re == nil || p.text != string(b) {
			flags := "(?s)"
			if insensitive {
				flags = "(?si)"
			}
			re, err := regexp.Compile(flags + string(b))
			if err != nil {
				return 0, row.Errorf("2201B", "invalid regular expression: %v", err)
			}
			p.text, p.re = string(b), re
		}
		return bit(p.re.Match(c.args[0].Bytes(i)) != not), nil
	})
}
