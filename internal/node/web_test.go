package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"actordb/core"
	"actordb/core/proc"
	pb "actordb/net/rpc/actordbv1"
	"actordb/net/rpc/actordbv1/actordbv1connect"
	"actordb/net/tlsnet"
)

// newWebSite serves HTTP as well.
func newWebSite(t *testing.T) *site {
	s := newSite(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.web = "127.0.0.1:0"
	s.serve()
	s.leads()
	return s
}

// leads waits until all shards answer: a slow machine may take longer for it than
// a gateway waits.
func (s *site) leads() {
	s.t.Helper()
	c := s.dial(nil)
	defer c.Close()
	for i := range 16 {
		if _, err := c.Read(s.t.Context(), core.ActorID(fmt.Sprintf("stream/%d", i))); err != nil {
			s.t.Fatal(err)
		}
	}
}

// browser is an HTTP client with a certificate, that knows servers by their names.
func (s *site) browser(id string, http2 bool) *http.Client {
	s.t.Helper()
	source := s.source(id)
	svid, err := source.GetX509SVID()
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	for _, c := range s.ca.Bundle().X509Authorities() {
		roots.AddCert(c)
	}
	tr := &http.Transport{ForceAttemptHTTP2: http2, TLSClientConfig: &tls.Config{RootCAs: roots,
		Certificates: []tls.Certificate{{Certificate: [][]byte{svid.Certificates[0].Raw}, PrivateKey: svid.PrivateKey}}}}
	s.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

func (s *site) alice() *http.Client { return s.browser(tlsnet.ClientID(testDomain, "alice"), true) }

func (s *site) url() string { return "https://" + s.WebAddr().String() }

func (s *site) commands(c *http.Client, options ...connect.ClientOption) actordbv1connect.CommandsClient {
	return actordbv1connect.NewCommandsClient(c, s.url(), options...)
}

func said(actor, text string) *pb.Command {
	return &pb.Command{Actor: actor, Action: &pb.Command_Append{Append: &pb.Append{Events: []*pb.NewEvent{{Type: "said", Version: 2, Payload: []byte(text)}}}}}
}

func execute(ctx context.Context, c actordbv1connect.CommandsClient, command *pb.Command) (*pb.Answer, error) {
	res, err := c.Execute(ctx, connect.NewRequest(&pb.ExecuteRequest{Command: command}))
	if err != nil {
		return nil, err
	}
	return res.Msg.Answer, nil
}

// refusalOf is the detail of an error, and its code.
func refusalOf(err error) (*pb.Refusal, connect.Code) {
	var e *connect.Error
	if !errors.As(err, &e) {
		return nil, 0
	}
	for _, d := range e.Details() {
		if v, err := d.Value(); err == nil {
			if r, ok := v.(*pb.Refusal); ok {
				return r, e.Code()
			}
		}
	}
	return nil, e.Code()
}

// Each protocol does all that the service has.
func TestRPC(t *testing.T) {
	s := newWebSite(t)
	for name, options := range map[string][]connect.ClientOption{
		"connect": nil, "json": {connect.WithProtoJSON()}, "grpc": {connect.WithGRPC()}, "web": {connect.WithGRPCWeb()},
	} {
		t.Run(name, func(t *testing.T) {
			c, ctx, actor := s.commands(s.alice(), options...), t.Context(), "stream/"+name
			when := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
			first := said(actor, "one")
			first.ExpectedSeq = new(uint64)
			first.GetAppend().Events[0].EventTime, first.GetAppend().Events[0].Personal = timestamppb.New(when), []byte("p")
			if a, err := execute(ctx, c, first); err != nil || a.Seq != 1 || a.Count != 1 || a.Timestamp.AsTime().Before(when) {
				t.Fatalf("%v %v", a, err)
			}
			res, err := c.ExecuteBatch(ctx, connect.NewRequest(&pb.ExecuteBatchRequest{Commands: []*pb.Command{
				said(actor, "two"), first, {Actor: actor}, nil,
				{Actor: actor, Action: &pb.Command_Read{Read: &pb.Read{}}},
				{Actor: "counter/" + name, Action: &pb.Command_Decide{Decide: &pb.Decide{Type: "nonsense"}}}}}))
			if err != nil || len(res.Msg.Results) != 6 || res.Msg.Results[0].GetAnswer().GetSeq() != 2 || res.Msg.Results[4].GetAnswer().GetSeq() == 0 {
				t.Fatalf("%v %v", res, err)
			}
			for i, want := range map[int]core.Code{1: core.CodeWrongSeq, 2: core.CodeMalformed, 3: core.CodeMalformed, 5: core.CodeUnknownType} {
				if r := res.Msg.Results[i].GetRefusal(); r.GetCode() != uint32(want) || r.GetName() != want.String() || r.GetCure() != want.Cure() {
					t.Errorf("result %d: %v, want %s", i, r, want)
				}
			}
			page, err := c.ReadEvents(ctx, connect.NewRequest(&pb.ReadEventsRequest{Actor: actor, FromSeq: 2}))
			if err != nil || page.Msg.LastSeq != 2 || len(page.Msg.Events) != 1 || string(page.Msg.Events[0].Payload) != "two" {
				t.Errorf("%v %v", page, err)
			}
			stream, err := c.History(ctx, connect.NewRequest(&pb.HistoryRequest{Actor: actor}))
			if err != nil {
				t.Fatal(err)
			}
			var events []*pb.Event
			for stream.Receive() {
				events = append(events, stream.Msg().Events...)
			}
			if err := stream.Err(); err != nil || len(events) != 2 {
				t.Fatalf("%v %v", events, err)
			}
			if e := events[0]; e.Seq != 1 || e.Type != "said" || e.Version != 2 || !e.EventTime.AsTime().Equal(when) || e.Principal != tlsnet.ClientID(testDomain, "alice") ||
				string(e.Payload) != "one" || string(e.Personal) != "p" || e.Number == 0 || len(e.Session) != 32 {
				t.Errorf("%v", e)
			}
		})
	}
}

// A long history comes whole, in pages and in order.
func TestRPCHistory(t *testing.T) {
	s := newWebSite(t)
	c := s.commands(s.alice())
	const batches, each, size = 8, 10, 16 << 10
	for range batches {
		command := &pb.Command{Actor: "stream/long", Action: &pb.Command_Append{Append: &pb.Append{}}}
		for range each {
			command.GetAppend().Events = append(command.GetAppend().Events, &pb.NewEvent{Type: "said", Version: 1, Payload: make([]byte, size)})
		}
		if _, err := execute(t.Context(), c, command); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := c.History(t.Context(), connect.NewRequest(&pb.HistoryRequest{Actor: "stream/long", FromSeq: 3}))
	if err != nil {
		t.Fatal(err)
	}
	next, pages := uint64(3), 0
	for ; stream.Receive(); pages++ {
		for _, e := range stream.Msg().Events {
			if e.Seq != next || len(e.Payload) != size {
				t.Fatalf("event %d of %d bytes, want %d", e.Seq, len(e.Payload), next)
			}
			next++
		}
	}
	if stream.Err() != nil || next != batches*each+1 || pages < 2 {
		t.Errorf("%d events in %d pages: %v", next-3, pages, stream.Err())
	}
}

// What is wrong comes back with a stable code, the place and the cure.
func TestRPCRefusals(t *testing.T) {
	s := newWebSite(t)
	c := s.commands(s.alice())
	if _, err := execute(t.Context(), c, said("stream/a", "x")); err != nil {
		t.Fatal(err)
	}
	change := func(f func(*pb.Command)) *pb.Command {
		m := said("stream/a", "x")
		f(m)
		return m
	}
	seq := func(n uint64) func(*pb.Command) { return func(m *pb.Command) { m.ExpectedSeq = &n } }
	old := core.NewSessionID(core.Timestamp(time.Now().Add(-time.Minute).UnixNano()), 1).String()
	late := core.NewSessionID(core.Timestamp(time.Now().Add(25*time.Hour).UnixNano()), 1).String()
	for name, test := range map[string]struct {
		command *pb.Command
		code    core.Code
		connect connect.Code
		final   bool
	}{
		"wrong sequence":    {change(seq(7)), core.CodeWrongSeq, connect.CodeAborted, true},
		"last sequence":     {change(seq(uint64(core.AnySeq))), core.CodeMalformed, connect.CodeInvalidArgument, true},
		"unknown type":      {said("nothing/a", "x"), core.CodeUnknownType, connect.CodeNotFound, true},
		"append forbidden":  {said("counter/a", "x"), core.CodeAppendForbidden, connect.CodeFailedPrecondition, true},
		"bad actor":         {said("Stream/a", "x"), core.CodeMalformed, connect.CodeInvalidArgument, true},
		"no command":        {nil, core.CodeMalformed, connect.CodeInvalidArgument, true},
		"no action":         {&pb.Command{Actor: "stream/a"}, core.CodeMalformed, connect.CodeInvalidArgument, true},
		"too large":         {said("stream/a", string(make([]byte, core.PayloadBytesMax+1))), core.CodeTooLarge, connect.CodeInvalidArgument, true},
		"version":           {change(func(m *pb.Command) { m.GetAppend().Events[0].Version = 1 << 16 }), core.CodeMalformed, connect.CodeInvalidArgument, true},
		"no version":        {change(func(m *pb.Command) { m.GetAppend().Events[0].Version = 0 }), core.CodeMalformed, connect.CodeInvalidArgument, true},
		"time":              {change(func(m *pb.Command) { m.GetAppend().Events[0].EventTime = &timestamppb.Timestamp{Seconds: 1 << 40} }), core.CodeMalformed, connect.CodeInvalidArgument, true},
		"no session":        {change(func(m *pb.Command) { m.Number = 1 }), core.CodeMalformed, connect.CodeInvalidArgument, true},
		"no number":         {change(func(m *pb.Command) { m.Session = old }), core.CodeMalformed, connect.CodeInvalidArgument, true},
		"session's form":    {change(func(m *pb.Command) { m.Session, m.Number = "zz", 1 }), core.CodeMalformed, connect.CodeInvalidArgument, true},
		"session's digits":  {change(func(m *pb.Command) { m.Session, m.Number = strings.Repeat("z", 32), 1 }), core.CodeMalformed, connect.CodeInvalidArgument, true},
		"expired session":   {change(func(m *pb.Command) { m.Session, m.Number = old, 1 }), core.CodeSessionExpired, connect.CodeFailedPrecondition, false},
		"session too long":  {change(func(m *pb.Command) { m.Session, m.Number = late, 1 }), core.CodeSessionTooLong, connect.CodeInvalidArgument, false},
		"read in a session": {&pb.Command{Actor: "stream/a", Session: old, Action: &pb.Command_Read{}}, core.CodeMalformed, connect.CodeInvalidArgument, true},
	} {
		_, err := execute(t.Context(), c, test.command)
		r, code := refusalOf(err)
		if r == nil || r.Code != uint32(test.code) || code != test.connect || r.Final != test.final || r.Cure == "" || !strings.Contains(err.Error(), r.Name) {
			t.Errorf("%s: %v: %v", name, err, r)
		}
		if test.code == core.CodeWrongSeq && (r.Seq != 1 || r.Status != pb.Status_STATUS_REFUSED) {
			t.Errorf("%s: %v", name, r)
		}
	}
	for _, lifetime := range []time.Duration{0, time.Millisecond, 24 * time.Hour, -time.Hour} {
		_, err := c.OpenSession(t.Context(), connect.NewRequest(&pb.OpenSessionRequest{Lifetime: durationpb.New(lifetime)}))
		if connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("a session of %v: %v", lifetime, err)
		}
	}
	_, err := c.ExecuteBatch(t.Context(), connect.NewRequest(&pb.ExecuteBatchRequest{Commands: make([]*pb.Command, 1025)}))
	if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "1024") {
		t.Errorf("a large batch: %v", err)
	}
	huge := said("stream/a", "")
	for range 9 {
		huge.GetAppend().Events = append(huge.GetAppend().Events, &pb.NewEvent{Type: "said", Version: 1, Payload: make([]byte, 1<<20)})
	}
	for _, options := range [][]connect.ClientOption{nil, {connect.WithGRPC()}} {
		if _, err := execute(t.Context(), s.commands(s.alice(), options...), huge); connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Errorf("a request of 9 MiB: %v", err)
		}
	}
}

// Compressed requests are refused, and say so.
func TestRPCCompressed(t *testing.T) {
	s := newWebSite(t)
	for _, options := range [][]connect.ClientOption{{connect.WithSendGzip()}, {connect.WithSendGzip(), connect.WithGRPC()}} {
		_, err := execute(t.Context(), s.commands(s.alice(), options...), said("stream/a", strings.Repeat("x", 10_000)))
		if connect.CodeOf(err) != connect.CodeUnimplemented || !strings.Contains(err.Error(), "gzip") {
			t.Errorf("%v", err)
		}
	}
}

// Plain HTTP with JSON does, in both versions, and says clearly what is wrong.
func TestRPCWithPlainHTTP(t *testing.T) {
	s := newWebSite(t)
	post := func(c *http.Client, method, body string) (int, map[string]any) {
		t.Helper()
		res, err := c.Post(s.url()+"/actordb.v1.Commands/"+method, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		var m map[string]any
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil {
			t.Fatalf("%s: %d %q: %v", method, res.StatusCode, b, err)
		}
		return res.StatusCode, m
	}
	for _, http2 := range []bool{false, true} {
		c := s.browser(tlsnet.ClientID(testDomain, "b"), http2)
		actor := fmt.Sprintf("stream/%v", http2)
		event := `"append": {"events": [{"type": "said", "version": 1, "payload": "aGVsbG8="}]}`
		code, m := post(c, "Execute", `{"command": {"actor": "`+actor+`", "expected_seq": 0, `+event+`}}`)
		if answer, _ := m["answer"].(map[string]any); code != 200 || answer["seq"] != "1" {
			t.Errorf("%d %v", code, m)
		}
		code, m = post(c, "ReadEvents", `{"actor": "`+actor+`"}`)
		if code != 200 || !strings.Contains(fmt.Sprint(m), "aGVsbG8=") {
			t.Errorf("%d %v", code, m)
		}
		for body, want := range map[string]string{
			`{"command": {"actor": "` + actor + `", "expectedSeq": 0, ` + event + `}}`:  "409 aborted wrong-seq",
			`{"command": {"actor": "` + actor + `", "expected_sek": 0, ` + event + `}}`: "400 invalid_argument expected_sek",
			`{"command": `:     "400 invalid_argument unmarshal",
			``:                 "400 invalid_argument empty",
			`{"command": "x"}`: "400 invalid_argument unmarshal",
		} {
			code, m := post(c, "Execute", body)
			if got := fmt.Sprint(code, " ", m["code"], " ", m["message"]); !strings.HasPrefix(got, want[:strings.LastIndex(want, " ")]) || !strings.Contains(got, want[strings.LastIndex(want, " ")+1:]) {
				t.Errorf("%s: %s, want %s", body, got, want)
			}
		}
	}
	if logs := s.logs.String(); logs != "" {
		t.Errorf("logs: %s", logs)
	}
}

// Exactly once: with a session and a number a command can be sent again after any
// error, through a kill of the node too; the answer is the same and the event
// is there once.
func TestRPCExactlyOnce(t *testing.T) {
	s := newWebSite(t)
	ctx := t.Context()
	opened, err := s.commands(s.alice()).OpenSession(ctx, connect.NewRequest(&pb.OpenSessionRequest{}))
	if err != nil || opened.Msg.Expires.AsTime().Before(time.Now().Add(29*time.Minute)) {
		t.Fatal(opened, err)
	}
	numbered := func(n uint64, text string) *pb.Command {
		m := said("stream/once", text)
		m.Session, m.Number = opened.Msg.Session, n
		return m
	}
	for n := uint64(1); n <= 3; n++ {
		first, err := execute(ctx, s.commands(s.alice()), numbered(n, "x"))
		if err != nil || first.Seq != n {
			t.Fatal(first, err)
		}
		s.kill()
		s.serve()
		s.leads()
		c := s.commands(s.alice())
		for range 2 {
			again, err := execute(ctx, c, numbered(n, "x"))
			if err != nil || again.Seq != first.Seq || again.Count != first.Count || !again.Timestamp.AsTime().Equal(first.Timestamp.AsTime()) {
				t.Errorf("again: %v %v, first %v", again, err, first)
			}
		}
		_, err = execute(ctx, c, numbered(n, "y"))
		if r, code := refusalOf(err); r.GetCode() != uint32(core.CodeReused) || code != connect.CodeAlreadyExists || r.GetFinal() {
			t.Errorf("another command under the number: %v", err)
		}
	}
	below := numbered(4, "x")
	below.AckedBelow = 4
	if a, err := execute(ctx, s.commands(s.alice()), below); err != nil || a.Seq != 4 {
		t.Error(a, err)
	}
	_, err = execute(ctx, s.commands(s.alice()), numbered(2, "x"))
	if r, _ := refusalOf(err); r.GetCode() != uint32(core.CodeBelowFloor) {
		t.Errorf("a number declared answered: %v", err)
	}
	page, err := s.commands(s.alice()).ReadEvents(ctx, connect.NewRequest(&pb.ReadEventsRequest{Actor: "stream/once"}))
	if err != nil || len(page.Msg.Events) != 4 {
		t.Errorf("%v %v", page, err)
	}
}

// Many at once, of several clients, all get their own answers; some give up, and
// know that they do not know.
func TestRPCConcurrently(t *testing.T) {
	s := newWebSite(t)
	var all sync.WaitGroup
	const clients, each = 4, 100
	for i := range clients {
		name := fmt.Sprint("c", i)
		c := s.commands(s.browser(tlsnet.ClientID(testDomain, name), true))
		for j := range each {
			all.Go(func() {
				actor := fmt.Sprintf("stream/%s-%d", name, j%10)
				if j%10 == 9 {
					ctx, cancel := context.WithCancel(t.Context())
					cancel()
					if _, err := execute(ctx, c, said(actor, "x")); connect.CodeOf(err) != connect.CodeCanceled {
						t.Errorf("canceled: %v", err)
					}
					return
				}
				if a, err := execute(t.Context(), c, said(actor, "x")); err != nil || a.Count != 1 {
					t.Errorf("%v %v", a, err)
				}
			})
		}
	}
	all.Wait()
	for i := range clients {
		c := s.commands(s.alice())
		for j := range 9 {
			actor := fmt.Sprintf("stream/c%d-%d", i, j)
			page, err := c.ReadEvents(t.Context(), connect.NewRequest(&pb.ReadEventsRequest{Actor: actor}))
			if err != nil || len(page.Msg.Events) != each/10 || page.Msg.Events[0].Principal != tlsnet.ClientID(testDomain, fmt.Sprint("c", i)) {
				t.Errorf("%s: %v %v", actor, page, err)
			}
		}
	}
}

// Who is no client sends no commands; who is nobody gets nothing at all.
func TestWebIdentities(t *testing.T) {
	s := newWebSite(t)
	other := s.browser(tlsnet.NodeID(testDomain, 7), true)
	if _, err := execute(t.Context(), s.commands(other), said("stream/a", "x")); connect.CodeOf(err) != connect.CodePermissionDenied {
		t.Errorf("a node: %v", err)
	}
	for _, path := range []string{"/healthz", "/metrics"} {
		res, err := other.Get(s.url() + path)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%s for a node: %v %v", path, res, err)
		} else {
			res.Body.Close()
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", actordbv1connect.CommandsExecuteProcedure} {
		r, rec := httptest.NewRequest("GET", path, nil), httptest.NewRecorder() // of a connection that nobody judged
		if path == actordbv1connect.CommandsExecuteProcedure {
			r = httptest.NewRequest("POST", path, strings.NewReader("{}"))
			r.Header.Set("Content-Type", "application/json")
		}
		if s.Server.web.server.Handler.ServeHTTP(rec, r); rec.Code != http.StatusUnauthorized {
			t.Errorf("%s is not judged by request: %d %.100q", path, rec.Code, rec.Body.String())
		}
	}
	bare := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	if res, err := bare.Get(s.url() + "/healthz"); err == nil {
		t.Errorf("without a certificate: %v", res)
	}
	if res, err := http.Get("http://" + s.WebAddr().String() + "/healthz"); err != nil || res.StatusCode != http.StatusBadRequest {
		t.Errorf("plaintext: %v %v", res, err)
	}
}

// A node is ready when all of its shards serve, and says which one does not.
func TestHealth(t *testing.T) {
	s := newWebSite(t)
	c := s.alice()
	get := func(path string) (int, string) {
		t.Helper()
		res, err := c.Get(s.url() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	if _, err := execute(t.Context(), s.commands(c), said("stream/a", "x")); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(time.Minute); ; {
		code, body := get("/readyz")
		if code == http.StatusOK && body == "ok: 2 shards serve\n" {
			break
		}
		if code != http.StatusServiceUnavailable || !strings.Contains(body, "shard-") || time.Now().After(until) {
			t.Fatalf("%d %q", code, body)
		}
	}
	if code, body := get("/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("%d %q", code, body)
	}
	if code, body := get("/metrics"); code != http.StatusOK || !strings.Contains(body, `actordb_operations_total{process="rpc",what="commands",which="accepted"} 1`) ||
		!strings.Contains(body, `actordb_queue_limit{process="rpc",queue="rpc.pending"} 4096`) {
		t.Errorf("%d %.100q", code, body)
	}
	if code, _ := get("/"); code != http.StatusNotFound {
		t.Errorf("%d", code)
	}
	say := func(n *Node, want string) {
		t.Helper()
		rec := httptest.NewRecorder()
		ready(rec, n)
		if rec.Code != http.StatusServiceUnavailable || !strings.HasPrefix(rec.Body.String(), want) {
			t.Errorf("%d %q, want %q", rec.Code, rec.Body, want)
		}
	}
	say(&Node{host: s.Node.host, Shards: append(slices.Clone(s.Node.Shards), proc.Addr{Node: 1, Proc: 999})}, "shard-2 does not serve")
	s.kill()
	say(s.Node, "the node is stopping")
}

// curl needs nothing but the file of an identity.
func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	s := newWebSite(t)
	svid, err := s.ca.Issue(tlsnet.ClientID(testDomain, "curl"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := tlsnet.SaveIdentity(dir, svid, s.ca.Bundle()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "identity.pem")
	run := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		cmd := exec.CommandContext(t.Context(), curl, append([]string{"-sS", "--cacert", file, "--cert", file}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, &out)
		}
		return out.String()
	}
	if got := run(s.url() + "/healthz"); got != "ok\n" {
		t.Errorf("%q", got)
	}
	for _, version := range []string{"--http1.1", "--http2"} {
		got := run(version, "-H", "Content-Type: application/json", "-d", `{"command": {"actor": "stream/curl", "append": {"events": [{"type": "said", "version": 1}]}}}`,
			s.url()+"/actordb.v1.Commands/Execute")
		if !strings.Contains(got, `"count"`) {
			t.Errorf("%s: %q", version, got)
		}
	}
}
