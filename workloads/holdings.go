package workloads

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// A holding is a named quantity. Banks and carts are lists of them sorted by
// name, none of them zero, so that equal states have equal bytes.
type holding struct {
	name   string
	amount int64
}

type holdings []holding

func (h holdings) find(name string) (int, bool) {
	return slices.BinarySearchFunc(h, name, func(x holding, n string) int { return strings.Compare(x.name, n) })
}

func (h holdings) amount(name string) int64 {
	if i, found := h.find(name); found {
		return h[i].amount
	}
	return 0
}

// change adds by to name's amount.
func (h *holdings) change(name string, by int64) {
	i, found := h.find(name)
	switch {
	case by == 0:
	case !found:
		*h = slices.Insert(*h, i, holding{name, by})
	case (*h)[i].amount+by == 0:
		*h = slices.Delete(*h, i, i+1)
	default:
		(*h)[i].amount += by
	}
}

func (h holdings) total() (n int64) {
	for i := range h {
		n += h[i].amount
	}
	return n
}

// encode appends messages {1: name, 2: amount} as field 1 each.
func (h holdings) encode(dst []byte) []byte {
	for i := range h {
		size := protowire.SizeTag(1) + protowire.SizeBytes(len(h[i].name)) +
			protowire.SizeTag(2) + protowire.SizeVarint(protowire.EncodeZigZag(h[i].amount))
		dst = protowire.AppendTag(dst, 1, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(size))
		dst = appendInt(appendText(dst, 1, h[i].name), 2, h[i].amount)
	}
	return dst
}

func decodeHoldings(b []byte) (h holdings, err error) {
	err = messages(b, func(m *message) error {
		h = append(h, holding{string(m.texts[1]), m.ints[2]})
		return nil
	})
	return h, err
}
