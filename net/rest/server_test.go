package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"actordb/core"
	"actordb/net/client"
	"actordb/net/tlsnet"
)

// Who is nobody, one principal too many, and a node that cannot be asked or is stopping,
// are told so, in the form of all errors.
func TestRefused(t *testing.T) {
	var nobody, away error
	s := New(Config{Judge: func(*http.Request) (tlsnet.Identity, error) { return tlsnet.Identity{ID: "new"}, nobody },
		Dial: func(context.Context, tlsnet.Identity) (*client.Client, error) { return nil, away }})
	want := func(path string, status int, code string) {
		t.Helper()
		w := httptest.NewRecorder()
		method := map[bool]string{true: "GET", false: "POST"}[path == "/v1/openapi.json" || path == "/v1/subscribe"]
		s.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader("{}")))
		var got struct{ Error apiError }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != status || got.Error.Code != code || got.Error.Message == "" {
			t.Errorf("%s: %d %s %v, want %d %s", path, w.Code, w.Body, err, status, code)
		}
	}
	nobody = errors.New("the certificate has expired")
	for _, path := range []string{"/v1/sql", "/v1/subscribe", "/v1/commands", "/v1/openapi.json"} {
		want(path, 401, "28000")
	}
	nobody, away = nil, errors.New("no node")
	want("/v1/sql", 503, "57P03")
	for i := range ClientsMax {
		s.clients[fmt.Sprint(i)] = &shared{users: 1}
	}
	want("/v1/commands", 429, "53300")
	clear(s.clients)
	s.Close()
	want("/v1/sql", 503, "57P03")
}

// A command's end has a status that says whether it may be sent again.
func TestStatuses(t *testing.T) {
	for _, x := range []struct {
		err    error
		status int
		code   string
	}{
		{&client.Unanswered{Attempts: 1}, 504, "outcome-unknown"},
		{&client.Unanswered{}, 503, "not-sent"},
		{&client.Refused{Code: core.CodeNotLeader}, 503, "not-leader"},
		{&client.Refused{Code: core.CodeDiskFull}, 507, "disk-full"},
		{&client.SQLError{State: "53200", Position: -1}, 429, "53200"},
		{&client.SQLError{State: "42501", Position: -1}, 403, "42501"},
		{&client.SQLError{State: "58030", Position: -1}, 503, "58030"},
		{client.ErrClosed, 503, "57P01"},
		{context.Canceled, 503, "57014"},
		{errors.New("else"), 500, "XX000"},
	} {
		if e := errorOf(x.err); e.status != x.status || e.Code != x.code {
			t.Errorf("%v: %d %s, want %d %s", x.err, e.status, e.Code, x.status, x.code)
		}
	}
}
