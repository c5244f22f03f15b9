package pgwire

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"actordb/core/sql/parse"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
)

// half is a connection of which one side was recorded.
type half struct {
	net.Conn
	in io.Reader
}

func (h half) Read(b []byte) (int, error)       { return h.in.Read(b) }
func (h half) Write(b []byte) (int, error)      { return len(b), nil }
func (h half) Close() error                     { return nil }
func (h half) SetDeadline(time.Time) error      { return nil }
func (h half) SetWriteDeadline(time.Time) error { return nil }

// Whatever comes first: it is a handshake of TLS, or the connection ends.
func FuzzFirstBytes(f *testing.F) {
	for _, seed := range []string{"\x00\x00\x00\x08\x04\xd2\x16\x2f", "\x00\x00\x00\x08\x04\xd2\x16\x30\x00\x00\x00\x08\x04\xd2\x16\x2f", "\x16\x03\x01\x00\x05hello", "\x00\x00\x00\x10\x04\xd2\x16\x2e", "GET / HTTP/1.1\r\n\r\n"} {
		f.Add([]byte(seed))
	}
	s := &Server{}
	f.Fuzz(func(t *testing.T, b []byte) {
		if conn, err := s.encrypt(half{in: bytes.NewReader(b)}, func(net.Conn) error { return io.EOF }); err == nil {
			t.Fatalf("%v without a handshake", conn)
		}
	})
}

// Statements of the session are taken or refused, whatever they are; what is fixed
// stays as it is.
func FuzzSettings(f *testing.F) {
	for _, seed := range []string{"SET TimeZone TO 'UTC'", "set statement_timeout = '5 s'", "SHOW time zone", "begin", "DEALLOCATE ALL", `set "application_name" = 'x'`, "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "discard all", "set client_encoding = latin1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parts, err := parse.Split(text)
		if err != nil {
			return
		}
		x := &session{settings: newSettings(nil), prepared: map[string]*prepared{}, portals: map[string]*portal{}, status: 'I',
			back: pgproto3.NewBackend(bytes.NewReader(nil), io.Discard)}
		for i := range parts {
			if !isLocal(&parts[i]) {
				continue
			}
			_, _, tag, err := x.local(&parts[i])
			if tag == "" && err == nil {
				t.Errorf("%q: %q, %v", parts[i].Text, tag, err)
			}
		}
		for name, value := range fixed {
			if x.settings[name] != value {
				t.Errorf("%s is %q", name, x.settings[name])
			}
		}
	})
}

// Values keep their meaning from binary to text and back.
func TestFormats(t *testing.T) {
	v := values{pgtype.NewMap()}
	for oid, text := range map[uint32]string{16: "t", 17: `\x00ff`, 20: "-9223372036854775808", 21: "-7", 23: "2147483647", 25: "täxt", 700: "1.5", 701: "-0.1",
		1082: "2026-11-21", 1114: "2026-11-21 20:00:00.123456", 1700: "123456789012345678901234567890.5", 2950: "11111111-2222-3333-4444-555555555555",
		3802: `{"a": [1, null]}`, 1016: "{1,NULL,3}", 1009: `{"a,b",c}`} {
		b, err := v.binary(oid, []byte(text))
		if err != nil {
			t.Errorf("%d: %v", oid, err)
			continue
		}
		back, err := v.text(oid, b)
		if err != nil {
			t.Errorf("%d: %v", oid, err)
			continue
		}
		again, err := v.binary(oid, back)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%d: %q became %q, %x %x %v", oid, text, back, b, again, err)
		}
	}
	if _, err := v.text(20, []byte{1, 2, 3}); err == nil {
		t.Error("an int8 of three bytes")
	}
}
