package rpc

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"actordb/core"
	pb "actordb/net/rpc/actordbv1"
	"actordb/net/rpc/actordbv1/actordbv1connect"
	"actordb/net/tlsnet"
	"actordb/net/wire"
)

// served is a handler whose gateway and whose judge are the test's.
type served struct {
	*gate
	url    string
	judged atomic.Int32
	judge  func(n int32) (tlsnet.Identity, error)
}

func newServed(t *testing.T, cfg Config) *served {
	s := &served{gate: newGate(t, cfg)}
	s.judge = func(int32) (tlsnet.Identity, error) { return tlsnet.Identity{ID: string(alice), Client: "alice"}, nil }
	path, handler := NewHandler(s.d, func(*http.Request) (tlsnet.Identity, error) { return s.judge(s.judged.Add(1)) })
	mux := http.NewServeMux()
	mux.Handle(path, handler)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// post sends JSON and returns the answer once there is one.
func (s *served) post(t *testing.T, body string, headers ...string) chan string {
	r, err := http.NewRequest("POST", s.url+"/actordb.v1.Commands/Execute", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	done := make(chan string, 1)
	go func() {
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			done <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		done <- res.Status + " " + string(b)
	}()
	return done
}

const oneSaid = `{"command": {"actor": "stream/a", "append": {"events": [{"type": "said", "version": 1}]}}}`

// R5: a caller's own deadline ends its request, which then knows that it does not
// know; and so does the end of the node.
func TestRequestsEnd(t *testing.T) {
	s := newServed(t, Config{})
	late := <-s.post(t, oneSaid, "Connect-Timeout-Ms", "30")
	f := s.next()
	for _, want := range []string{"504 ", `"deadline_exceeded"`, `"code":200`, "STATUS_UNKNOWN", `"transient":true`} {
		if !strings.Contains(strings.ReplaceAll(late, " ", ""), strings.TrimSpace(want)) {
			t.Errorf("%s: want %s", late, want)
		}
	}
	s.answer(f.from, f.commands...)
	s.idle()
	waiting := s.post(t, oneSaid)
	s.next()
	s.d.Close()
	if got := <-waiting; !strings.HasPrefix(got, "503 ") || !strings.Contains(got, "the node is stopping") || !strings.Contains(got, "STATUS_UNKNOWN") {
		t.Error(got)
	}
	if got := <-s.post(t, oneSaid); !strings.HasPrefix(got, "503 ") || !strings.Contains(got, "STATUS_REFUSED_AT_DOOR") {
		t.Error(got)
	}
}

// R3: requests hold no more memory than they may; those that end make room.
func TestHeldBytes(t *testing.T) {
	s := newServed(t, Config{Held: 1000})
	large := strings.Replace(oneSaid, `"version": 1`, `"version": 1, "payload": "`+strings.Repeat("A", 600)+`"`, 1)
	first := s.post(t, large)
	f := s.next()
	refused := <-s.post(t, large)
	if !strings.HasPrefix(refused, "429 ") || !strings.Contains(refused, `"overloaded"`) || !strings.Contains(refused, "1000 bytes") {
		t.Error(refused)
	}
	s.none()
	s.answer(f.from, f.commands...)
	if got := <-first; !strings.HasPrefix(got, "200 ") {
		t.Error(got)
	}
	again := s.post(t, large)
	f = s.next()
	s.answer(f.from, f.commands...)
	if got := <-again; !strings.HasPrefix(got, "200 ") {
		t.Error(got)
	}
	c := actordbv1connect.NewCommandsClient(http.DefaultClient, s.url)
	_, err := c.ReadEvents(t.Context(), connect.NewRequest(&pb.ReadEventsRequest{Actor: "stream/a"}))
	if connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("a page: %v", err)
	}
	stream, err := c.History(t.Context(), connect.NewRequest(&pb.HistoryRequest{Actor: "stream/a"}))
	if err != nil || stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeResourceExhausted {
		t.Errorf("a stream: %v %v", err, stream.Err())
	}
	s.none()
}

// R1: a stream whose client is dismissed ends at its next page.
func TestStreamIsJudgedByPage(t *testing.T) {
	s := newServed(t, Config{})
	s.judge = func(n int32) (tlsnet.Identity, error) {
		if n > 3 { // the request, and two pages
			return tlsnet.Identity{}, &tlsnet.Error{Reason: tlsnet.Expired}
		}
		return tlsnet.Identity{ID: string(alice), Client: "alice"}, nil
	}
	go func() {
		for f := range s.frames {
			var w wire.Writer
			for _, c := range f.commands {
				e := core.Event{Actor: c.Actor, Seq: c.Expected, Type: "said", Version: 1}
				w.Answer(&core.Answer{Session: c.Session, Number: c.Number, Kind: c.Kind, Status: core.Accepted, Seq: 10, State: wire.AppendEvent(nil, &e)})
			}
			s.d.Receive(f.from.Proc, w.Finish(wire.Answers))
		}
	}()
	defer close(s.frames)
	c := actordbv1connect.NewCommandsClient(http.DefaultClient, s.url)
	stream, err := c.History(t.Context(), connect.NewRequest(&pb.HistoryRequest{Actor: "stream/a"}))
	if err != nil {
		t.Fatal(err)
	}
	pages := 0
	for stream.Receive() {
		pages++
	}
	if pages != 2 || connect.CodeOf(stream.Err()) != connect.CodeUnauthenticated || !strings.Contains(stream.Err().Error(), "renew") {
		t.Errorf("%d pages: %v", pages, stream.Err())
	}
}

// R1: who is refused is told in the protocol that it speaks.
func TestRefusedRequests(t *testing.T) {
	s := newServed(t, Config{})
	for _, test := range []struct {
		who  tlsnet.Identity
		err  error
		code connect.Code
		http string
	}{
		{err: &tlsnet.Error{Reason: tlsnet.Expired}, code: connect.CodeUnauthenticated, http: "401 "},
		{err: errors.New("other"), code: connect.CodeUnauthenticated, http: "401 "},
		{who: tlsnet.Identity{ID: "spiffe://test.example/node/1", Node: 1}, code: connect.CodePermissionDenied, http: "403 "},
	} {
		s.judge = func(int32) (tlsnet.Identity, error) { return test.who, test.err }
		for _, options := range [][]connect.ClientOption{nil, {connect.WithGRPCWeb()}} {
			c := actordbv1connect.NewCommandsClient(http.DefaultClient, s.url, options...)
			_, err := c.Execute(t.Context(), connect.NewRequest(&pb.ExecuteRequest{}))
			if connect.CodeOf(err) != test.code {
				t.Errorf("%v, want %s", err, test.code)
			}
		}
		if got := <-s.post(t, "", "Content-Type", "text/html"); !strings.HasPrefix(got, test.http) {
			t.Errorf("%s", got)
		}
	}
	s.none()
}

// How new a read must be arrives as it was asked for, or is refused with its place.
func TestFreshness(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "linearizable", `{"fromLeader": true}`: "leader", `{"fromLeader": false}`: "linearizable",
		`{"maxAge": "1.5s"}`: "stale(1500 ms)", `{"maxAge": "0s"}`: "stale(0 ms)", `{"token": "1970-01-01T00:00:01Z"}`: "at(1000000000)",
		`{"maxAge": "-1s"}`: "read.max_age", `{"maxAge": "86401s"}`: "read.max_age", `{"token": "1969-01-01T00:00:01Z"}`: "read.token",
	} {
		m := &pb.Command{Actor: "stream/a"}
		if err := protojson.Unmarshal([]byte(`{"actor": "stream/a", "read": `+text+`}`), m); err != nil {
			t.Fatal(text, err)
		}
		c, refusal := commandOf(m)
		got, err := core.FreshnessOf(&c)
		switch {
		case refusal != nil:
			if !strings.HasPrefix(refusal.Detail, want) {
				t.Errorf("%s: %s", text, refusal)
			}
		case err != nil || got.String() != want:
			t.Errorf("%s: %s %v, want %s", text, got, err, want)
		}
	}
}

// FuzzRequest: whatever a message holds, it becomes a refusal or a command that
// the wire carries unchanged.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(oneSaid), true)
	f.Add([]byte(`{"command": {"actor": "stream/a", "session": "00ffffffffffffff0000000000000001", "number": "3", "ackedBelow": "2", "expectedSeq": "9", "decide": {"type": "add", "payload": "AA=="}}}`), true)
	f.Add([]byte(`{"command": {"actor": "a/b", "append": {"events": [{"type": "t", "version": 65536, "eventTime": "2300-01-01T00:00:00Z"}, null]}}}`), true)
	f.Add([]byte{0x0a, 0x04, 0x0a, 0x02, 'a', '/'}, false)
	f.Fuzz(func(t *testing.T, b []byte, json bool) {
		var m pb.ExecuteRequest
		var err error
		if json {
			err = protojson.Unmarshal(b, &m)
		} else {
			err = proto.Unmarshal(b, &m)
		}
		if err != nil {
			return
		}
		c, wrong := commandOf(m.Command)
		if wrong != nil {
			if wrong.Code == core.CodeNone || wrong.Detail == "" {
				t.Fatalf("a refusal that says nothing: %v", wrong)
			}
			return
		}
		if c.Session == (core.SessionID{}) {
			c.Number = 1
		}
		if code, _ := core.CheckCommand(&c); code != core.CodeNone {
			return
		}
		var w wire.Writer
		w.Command(&c)
		r, err := wire.Open(w.Finish(wire.Commands))
		var back core.Command
		if err != nil || !r.Command(&back) || !back.Same(&c) || back.AckedBelow != c.AckedBelow {
			t.Fatalf("%+v came back as %+v: %v", c, back, err)
		}
		for i := range c.Events {
			if !bytes.Equal(c.Events[i].Payload, m.Command.GetAppend().Events[i].GetPayload()) {
				t.Fatalf("event %d: another payload", i)
			}
		}
	})
}
