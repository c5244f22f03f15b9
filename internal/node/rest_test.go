package node

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"actordb/core"
	"actordb/net/tlsnet"
)

// described is the description that a node serves, with what of it was seen to be so.
type described struct {
	t    *testing.T
	doc  map[string]any
	seen map[string]bool // operation, response and content type
}

func at(x any, path ...string) any {
	for _, p := range path {
		m, _ := x.(map[string]any)
		x = m[p]
	}
	return x
}

// check holds a value to a schema.
func (d *described) check(value, schema any, where string) error {
	s, ok := schema.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: no schema", where)
	}
	if ref, ok := s["$ref"].(string); ok {
		return d.check(value, at(d.doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...), where)
	}
	if list, ok := s["oneOf"].([]any); ok {
		n := 0
		for _, one := range list {
			if d.check(value, one, where) == nil {
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("%s: %v fits %d of %d schemas", where, value, n, len(list))
		}
		return nil
	}
	switch kind := s["type"]; kind {
	case nil:
	case "string", "integer", "boolean":
		_, str := value.(string)
		n, num := value.(json.Number)
		_, bit := value.(bool)
		if _, err := n.Int64(); !(kind == "string" && str || kind == "integer" && num && err == nil || kind == "boolean" && bit) {
			return fmt.Errorf("%s: %v is no %s", where, value, kind)
		}
	case "array":
		list, ok := value.([]any)
		if !ok {
			return fmt.Errorf("%s: %v is no array", where, value)
		}
		for i, x := range list {
			if err := d.check(x, s["items"], fmt.Sprintf("%s[%d]", where, i)); err != nil {
				return err
			}
		}
	case "object":
		m, ok := value.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: %v is no object", where, value)
		}
		required, _ := s["required"].([]any)
		for _, name := range required {
			if _, ok := m[name.(string)]; !ok {
				return fmt.Errorf("%s lacks %s", where, name)
			}
		}
		for name, x := range m {
			p := at(s, "properties", name)
			if p == nil && s["additionalProperties"] == false {
				return fmt.Errorf("%s has %s, which is not described", where, name)
			}
			if p != nil {
				if err := d.check(x, p, where+"."+name); err != nil {
					return err
				}
			}
		}
	default:
		return fmt.Errorf("%s: the test knows no type %v", where, kind)
	}
	return nil
}

// response finds what is described of a response, and notes that it was seen.
func (d *described) response(r *http.Response) any {
	d.t.Helper()
	place := []string{"paths", r.Request.URL.Path, strings.ToLower(r.Request.Method), "responses"}
	status := fmt.Sprint(r.StatusCode)
	if at(d.doc, append(place, status)...) == nil {
		status = "default"
	}
	kind := r.Header.Get("Content-Type")
	schema := at(d.doc, append(place, status, "content", kind, "schema")...)
	if schema == nil {
		d.t.Errorf("%s %s: %d with %q is not described", r.Request.Method, r.Request.URL.Path, r.StatusCode, kind)
	}
	d.seen[strings.Join(append(place, status, kind), " ")] = true
	return schema
}

func decode(t *testing.T, text []byte) (x any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&x); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return x
}

// TestRest holds every operation of the description to what the node does: each response
// has the shape that it says, and none is left out.
func TestRest(t *testing.T) {
	s := newWebSite(t)
	d := &described{t: t, seen: map[string]bool{}}
	alice, nobody := s.alice(), s.browser(tlsnet.ClientID(testDomain, "bob"), false)
	ask := func(c *http.Client, method, path, body string, header ...string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.url()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		if d.doc == nil {
			d.doc = decode(t, text).(map[string]any)
		}
		schema := d.response(answer)
		for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
			if answer.Header.Get("Content-Type") != "application/x-ndjson" {
				line = string(text)
			}
			if err := d.check(decode(t, []byte(line)), schema, path); err != nil {
				t.Error(err)
			}
		}
		return answer, string(text)
	}
	want := func(status int, code, method, path, body string, header ...string) map[string]any {
		t.Helper()
		r, text := ask(alice, method, path, body, header...)
		if got := fmt.Sprint(at(decode(t, []byte(strings.Split(text, "\n")[0])), "error", "code")); r.StatusCode != status || code != "" && got != code {
			t.Errorf("%s %s %.80s: %d %s, want %d %s", method, path, body, r.StatusCode, text, status, code)
		}
		m, _ := decode(t, []byte(strings.Split(text, "\n")[0])).(map[string]any)
		return m
	}
	sql := func(text string) string {
		b, _ := json.Marshal(map[string]string{"statement": text})
		return string(b)
	}
	ask(alice, "GET", "/v1/openapi.json", "")

	want(200, "", "POST", "/v1/sql", sql(`CREATE EVENT TYPE stream.sold (sku text NOT NULL, n int8 NOT NULL)`))
	want(200, "", "POST", "/v1/sql", sql(`CREATE PROJECTION totals AS SELECT sku, sum(n) AS n FROM stream.sold GROUP BY sku`))
	event := func(n int64) string {
		return fmt.Sprintf(`{"type": "sold", "payload": %q}`, base64.StdEncoding.EncodeToString(sold("pear", n).Payload))
	}
	first := want(200, "", "POST", "/v1/commands", `{"actor": "stream/a", "expected": 0, "events": [`+event(3)+`, `+event(4)+`]}`)
	if first["seq"] != "2" || first["count"] != json.Number("2") {
		t.Errorf("%v", first)
	}
	if e := want(409, "wrong-seq", "POST", "/v1/commands", `{"actor": "stream/a", "expected": 0, "events": [`+event(3)+`]}`); at(e, "error", "seq") != "2" {
		t.Errorf("%v", e)
	}
	want(200, "", "POST", "/v1/commands", `{"actor": "counter/a", "command": "inc"}`)
	want(422, "rule", "POST", "/v1/commands", `{"actor": "cart/a", "command": "remove"}`)
	want(404, "unknown-type", "POST", "/v1/commands", `{"actor": "nothing/a", "command": "inc"}`)
	want(422, "append-forbidden", "POST", "/v1/commands", `{"actor": "counter/a", "events": [`+event(1)+`]}`)
	want(400, "malformed", "POST", "/v1/commands", `{"actor": "no actor", "command": "inc"}`)
	want(400, "22023", "POST", "/v1/commands", `{"actor": "counter/a"}`)
	want(400, "22P02", "POST", "/v1/commands", `{"actor": "counter/a", "comand": "inc"}`)
	want(413, "54000", "POST", "/v1/commands", `{"actor": "`+strings.Repeat("x", 3<<20)+`"}`)

	answer := want(200, "", "POST", "/v1/sql", `{"statement": "SELECT sku, n, $1::int4 AS i, $2::jsonb AS j, $3::bool AS b, $4::float8 AS f, NULL::text AS x FROM totals", "params": [7, {"k": [1]}, true, "NaN"]}`)
	if got := fmt.Sprint(answer["rows"]); got != "[[pear 7 7 map[k:[1]] true NaN <nil>]]" {
		t.Error(got)
	}
	cut := answer["cut"].(string)
	want(200, "", "POST", "/v1/commands", `{"actor": "stream/a", "events": [`+event(10)+`]}`)
	again := want(200, "", "POST", "/v1/sql", fmt.Sprintf(`{"statement": "SELECT n FROM totals", "at": %q}`, cut))
	if now := want(200, "", "POST", "/v1/sql", sql(`SELECT n FROM totals`)); fmt.Sprint(again["rows"], now["rows"]) != "[[7]] [[17]]" {
		t.Errorf("at the cut %v, and now %v", again["rows"], now["rows"])
	}
	if e := want(400, "42703", "POST", "/v1/sql", sql(`SELECT 'é', nothing FROM totals`)); at(e, "error", "position") != json.Number("13") {
		t.Errorf("%v", e)
	}
	want(400, "42601", "POST", "/v1/sql", sql(`SELECT 1; SELECT 2`))
	want(400, "0A000", "POST", "/v1/sql", sql(`SUBSCRIBE TO totals`))
	want(400, "22023", "POST", "/v1/sql", `{"statement": "SELECT 1", "at": "yesterday"}`)
	want(413, "54000", "POST", "/v1/sql", sql(`SELECT g FROM generate_series(1, 10001) AS s(g)`))
	_, lines := ask(alice, "POST", "/v1/sql", sql(`SELECT g FROM generate_series(1, 20000) AS s(g) ORDER BY g`), "Accept", "application/x-ndjson")
	list := strings.Split(strings.TrimSuffix(lines, "\n"), "\n")
	if len(list) != 20002 || list[1] != "[1]" || list[20000] != "[20000]" || at(decode(t, []byte(list[20001])), "count") != json.Number("20000") {
		t.Errorf("%d lines, %s … %s", len(list), list[1], list[len(list)-1])
	}
	// The token of one principal is not another's, but what is durable is.
	if _, text := ask(nobody, "POST", "/v1/sql", sql(`SELECT current_user`)); !strings.Contains(text, tlsnet.ClientID(testDomain, "bob")) {
		t.Error(text)
	}
	d.subscriptions(s, alice, event)
	want(400, "42601", "GET", "/v1/subscribe?statement=SELECT+1", "")
	want(400, "42P01", "GET", "/v1/subscribe?statement="+url.QueryEscape("SUBSCRIBE TO nothing"), "")
	want(400, "22023", "GET", "/v1/subscribe?statement="+url.QueryEscape("SUBSCRIBE TO totals"), "", "Last-Event-ID", "x")

	for path, operations := range d.doc["paths"].(map[string]any) {
		for method, operation := range operations.(map[string]any) {
			for status, response := range at(operation, "responses").(map[string]any) {
				for kind := range at(response, "content").(map[string]any) {
					name := strings.Join([]string{"paths", path, method, "responses", status, kind}, " ")
					if !d.seen[name] && !(path == "/v1/openapi.json" && status == "default") { // strangers do not get so far
						t.Errorf("%s was not seen; these were: %v", name, slices.Sorted(maps.Keys(d.seen)))
					}
				}
			}
		}
	}
}

// subscriptions follows a projection until a step, and goes on after it with another
// connection: what changed meanwhile comes, and nothing else.
func (d *described) subscriptions(s *site, c *http.Client, event func(int64) string) {
	t := d.t
	t.Helper()
	follow := func(last string, until func(kind, data string) bool) (id string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.url()+"/v1/subscribe?statement="+url.QueryEscape("SUBSCRIBE TO totals WHERE n > 1"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if last != "" {
			r.Header.Set("Last-Event-ID", last)
		}
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		schema := d.response(answer)
		kind := ""
		for in := bufio.NewScanner(answer.Body); in.Scan(); {
			name, value, _ := strings.Cut(in.Text(), ": ")
			switch name {
			case "event":
				kind = value
			case "id":
				id = value
			case "data":
				if err := d.check(decode(t, []byte(value)), schema, "an event "+kind); err != nil {
					t.Error(err)
				}
				if until(kind, value) {
					return id
				}
			}
		}
		t.Fatal("the stream ended")
		return ""
	}
	var seen []string
	stepped := func(kind, data string) bool {
		if kind == "change" {
			seen = append(seen, data)
		}
		return kind == "step" && len(seen) > 0
	}
	id := follow("", stepped)
	if fmt.Sprint(seen) != `[{"weight":1,"row":["pear","17"]}]` {
		t.Errorf("%v", seen)
	}
	if _, err := s.dial(nil).Append(t.Context(), "stream/a", core.AnySeq, sold("pear", 3)); err != nil {
		t.Fatal(err)
	}
	seen = nil
	if next := follow(id, stepped); next <= id {
		t.Errorf("a step to %s after %s", next, id)
	}
	if slices.Sort(seen); fmt.Sprint(seen) != `[{"weight":-1,"row":["pear","17"]} {"weight":1,"row":["pear","20"]}]` {
		t.Errorf("%v", seen)
	}
}
