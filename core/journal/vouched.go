package journal

// Vouched returns up to where a segment's durable bytes are vouched for by a
// frame that stands in them: damage below is told from a torn tail, whatever a
// crash takes (J3). It reads headers only and stops at the first invalid one.
func Vouched(image []byte) int64 {
	first, ok := parseFrameHeader(image, 0, 0)
	if !ok || first.kind != frameSegment || len(image) < frameBytes(first.length) {
		return 0
	}
	header, err := parseSegmentHeader(image[frameHeaderBytes : frameHeaderBytes+first.length])
	if err != nil {
		return 0
	}
	salt := header.identity.salt(header.number)
	vouched := int64(0)
	for at := frameBytes(first.length); at+frameHeaderBytes <= len(image); {
		h, ok := parseFrameHeader(image[at:], salt, int64(at))
		if !ok || at+frameBytes(h.length) > len(image) {
			break
		}
		vouched = max(vouched, h.durable)
		at += frameBytes(h.length)
		if h.kind == frameSeal {
			break
		}
	}
	return vouched
}
