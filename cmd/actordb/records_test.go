package main

import (
	"errors"
	"io"
	"strings"
	"testing"

	"actordb/core"
)

// Whatever is wrong with a line is told with its number, its field and a cure.
func TestBadRecords(t *testing.T) {
	for _, c := range []struct {
		name, in string
		csv      bool
		line     int
		field    string
		what     string
	}{
		{"not JSON", "\n\nhello", false, 3, "", "byte 1: "},
		{"an array", `[1]`, false, 1, "", "want a JSON object"},
		{"cut off", `{"actor": "stream/a"`, false, 1, "", "does not end"},
		{"two objects", `{"actor": "stream/a", "type": "t"} {}`, false, 1, "", "byte 35: something follows"},
		{"unknown field", `{"actor": "stream/a", "key": 1}`, false, 1, "key", "no such field"},
		{"wrong kind", `{"actor": 1}`, false, 1, "actor", "it is a number; want a string"},
		{"negative", `{"actor": "stream/a", "type": "t", "expected": -1}`, false, 1, "expected", "want a number from 0"},
		{"no actor", `{"type": "t"}`, false, 1, "actor", "it is missing"},
		{"bad actor", `{"actor": "stream", "type": "t"}`, false, 1, "actor", "want type/key"},
		{"no type", `{"actor": "stream/a"}`, false, 1, "type", "it is missing"},
		{"both", `{"actor": "stream/a", "type": "t", "command": "c"}`, false, 1, "command", "give one of them"},
		{"version of a command", `{"actor": "a/a", "command": "c", "version": 1}`, false, 1, "command", "leave them out"},
		{"two payloads", `{"actor": "stream/a", "type": "t", "payload": 1, "payload_base64": ""}`, false, 1, "payload_base64", "give one of them"},
		{"no base64", `{"actor": "stream/a", "type": "t", "payload_base64": "%"}`, false, 1, "payload_base64", "want base64"},
		{"no time", `{"actor": "stream/a", "type": "t", "event_time": "soon"}`, false, 1, "event_time", "want RFC 3339"},
		{"far away", `{"actor": "stream/a", "type": "t", "event_time": "9999-01-01T00:00:00Z"}`, false, 1, "event_time", "between 1678 and 2262"},
		{"version 0", `{"actor": "stream/a", "type": "t", "version": 0}`, false, 1, "", "versions are counted from 1"},
		{"version 65536", `{"actor": "stream/a", "type": "t", "version": 65536}`, false, 1, "version", "want a number from 1 to 65535"},
		{"payload too large", `{"actor": "stream/a", "type": "t", "payload": "` + strings.Repeat("x", core.PayloadBytesMax) + `"}`, false, 1, "", "too-large"},
		{"line too large", "{}\n" + strings.Repeat(" ", recordBytesMax+1), false, 1, "actor", "it is missing"},
		{"type is no name", `{"actor": "stream/a", "type": "T"}`, false, 1, "", "malformed"},
		{"sequence too large", `{"actor": "stream/a", "type": "t", "expected": 18446744073709551615}`, false, 1, "expected", "too large"},
		{"column twice", "actor,actor\n", true, 1, "actor", "stands twice"},
		{"no actor column", "type\n", true, 1, "actor", "is missing"},
		{"empty", "", true, 1, "", "is empty"},
		{"too many fields", "actor,type\nstream/a,t,1\n", true, 2, "", "wrong number of fields"},
		{"open quote", "actor,type\nstream/a,\"t\n", true, 2, "", "want CSV"},
		{"CSV number", "actor,type,expected\nstream/a,t,1.5\n", true, 2, "expected", "want a number from 0"},
		{"after two lines in one", "actor,type,payload\nstream/a,t,\"1\n2\"\nstream,t,\n", true, 4, "actor", "want type/key"},
	} {
		_, err := readAllRecords(c.in, c.csv)
		var bad *recordError
		if !errors.As(err, &bad) || bad.Line != c.line || bad.Field != c.field || !strings.Contains(bad.What, c.what) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := readAllRecords(strings.Repeat(" ", recordBytesMax+1), false); err == nil || !strings.Contains(err.Error(), "line 1: over 8388608 bytes") {
		t.Errorf("a line too large: %v", err)
	}
}

// The same events come out of both formats.
func TestRecords(t *testing.T) {
	a, err := readAllRecords(`{"actor":"stream/a","type":"t","version":3,"event_time":"1970-01-01T00:00:01Z","payload":{"x": 1},"expected":4}`+"\r\n"+
		`{"payload_base64":"AAE=","type":"u","actor":"stream/b"}`, false)
	if err != nil {
		t.Fatal(err)
	}
	b, err := readAllRecords("\ufefftype,actor,version,event_time,payload,payload_base64,expected\r\nt,stream/a,3,1000000000,\"{\"\"x\"\": 1}\",,4\r\nu,stream/b,,,,AAE=,\r\n", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]core.Command{a, b} {
		if len(list) != 2 {
			t.Fatalf("%+v", list)
		}
		first, second := &list[0], &list[1]
		if e := first.Events[0]; first.Actor != "stream/a" || first.Expected != 4 || e.Type != "t" || e.Version != 3 || e.EventTime != 1e9 || string(e.Payload) != `{"x": 1}` {
			t.Errorf("%+v", first)
		}
		if e := second.Events[0]; second.Actor != "stream/b" || second.Expected != core.AnySeq || e.Type != "u" || e.Version != 1 || e.EventTime != 0 || string(e.Payload) != "\x00\x01" {
			t.Errorf("%+v", second)
		}
	}
}

func readAllRecords(text string, isCSV bool) (list []core.Command, err error) {
	var in records = newNDJSON(strings.NewReader(text))
	if isCSV {
		if in, err = newCSV(strings.NewReader(text)); err != nil {
			return nil, err
		}
	}
	for {
		r, err := in.next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		c, err := r.command()
		if err != nil {
			return list, err
		}
		list = append(list, c)
	}
}

// FuzzRecords: no input breaks the readers, and what they let pass keeps the limits.
func FuzzRecords(f *testing.F) {
	f.Add(`{"actor":"stream/a","type":"t","payload":1}`, false)
	f.Add("actor,type\nstream/a,t\n", true)
	f.Fuzz(func(t *testing.T, text string, isCSV bool) {
		list, _ := readAllRecords(text, isCSV)
		for i := range list {
			if code, detail := core.CheckCommand(&list[i]); code != core.CodeNone {
				t.Errorf("%s %s", code, detail)
			}
		}
	})
}
