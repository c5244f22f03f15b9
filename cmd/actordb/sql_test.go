package main

import (
	"slices"
	"strings"
	"testing"

	"actordb/net/client"
)

// Semicolons end statements, but for those within quotes and comments.
func TestCutStatement(t *testing.T) {
	for text, want := range map[string][]string{
		"SELECT 1":                           {"SELECT 1"},
		"SELECT 1; SELECT 2;":                {"SELECT 1", " SELECT 2", ""},
		"SELECT ';', \"a;b\"; x":             {"SELECT ';', \"a;b\"", " x"},
		"SELECT 'it''s;' ; y":                {"SELECT 'it''s;' ", " y"},
		"-- one; two\nSELECT 1; z":           {"-- one; two\nSELECT 1", " z"},
		"/* ; */ SELECT 1; z":                {"/* ; */ SELECT 1", " z"},
		"SELECT $$;$$, $a$;$$;$a$; z":        {"SELECT $$;$$, $a$;$$;$a$", " z"},
		"SELECT $1; z":                       {"SELECT $1", " z"},
		"SELECT 'it does not end; SELECT 1;": {"SELECT 'it does not end; SELECT 1;"},
	} {
		var got []string
		for rest, whole := text, true; whole; {
			var s string
			s, rest, whole = cutStatement(rest)
			got = append(got, s)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q is cut into %q, want %q", text, got, want)
		}
	}
}

// The caret stands below the place, whatever is before it.
func TestExplainError(t *testing.T) {
	for _, x := range []struct{ text, at, want string }{
		{"SELECT x", "x", "LINE 1: SELECT x\n               ^\n"},
		{"SELECT 'é',\n\tx FROM t", "x", "LINE 2:  x FROM t\n         ^\n"},
		{"SELECT 'éé', x", "x", "LINE 1: SELECT 'éé', x\n                     ^\n"},
		{strings.Repeat("a ", 100) + "x", "x", "..." + strings.Repeat(" a", 27) + " x\n" + strings.Repeat(" ", 8+3+55) + "^\n"},
	} {
		e := &client.SQLError{State: "42703", Message: "no x", Cure: "name another", Text: x.text, Position: strings.Index(x.text, x.at)}
		if got := explain(e); !strings.HasPrefix(got, "ERROR:  42703: no x\n") || !strings.HasSuffix(got, "\nHINT:  name another\n") || !strings.Contains(got, x.want) {
			t.Errorf("%s\nwant\n%s", got, x.want)
		}
	}
	if got := explain(&client.SQLError{State: "XX000", Message: "bad", Position: -1}); got != "ERROR:  XX000: bad\n" {
		t.Error(got)
	}
}
