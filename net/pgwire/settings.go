package pgwire

import (
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"actordb/core/sql/parse"
	"actordb/core/sql/pgcat"
	"actordb/net/client"
)

// reported are settings that a client is told of at once, and when they change.
var reported = []string{"server_version", "server_encoding", "client_encoding", "application_name", "DateStyle", "IntervalStyle", "TimeZone",
	"integer_datetimes", "standard_conforming_strings", "is_superuser", "session_authorization", "default_transaction_read_only", "in_hot_standby"}

// fixed are settings with one value: another one is refused, since it would be ignored.
var fixed = func() map[string]string {
	m := map[string]string{}
	for _, s := range pgcat.Settings {
		if _, ok := free[settingKey(s.Name)]; !ok {
			m[settingKey(s.Name)] = s.Value
		}
	}
	return m
}()

// free are settings that a client may change: they do nothing here, but for
// statement_timeout.
var free = map[string]string{
	"application_name": "", "extra_float_digits": "1", "client_min_messages": "notice", "statement_timeout": "0", "lock_timeout": "0",
	"idle_in_transaction_session_timeout": "0", "search_path": pgcat.Path[0], "row_security": "on", "transaction_isolation": "serializable",
	"default_transaction_isolation": "serializable",
}

func settingKey(name string) string { return strings.ToLower(name) }

// newSettings are those of a session that begins. What the client's first message asks
// for is taken as far as it can be; it hears what holds.
func newSettings(startup map[string]string) map[string]string {
	s := maps.Clone(fixed)
	maps.Copy(s, free)
	for name, value := range startup {
		if _, ok := free[settingKey(name)]; ok {
			s[settingKey(name)] = value
		}
	}
	s["session_authorization"] = startup["user"]
	return s
}

func refusal(state, says, cure string) error {
	return &client.SQLError{State: state, Message: says, Cure: cure, Position: -1}
}

// isLocal reports whether a statement is for the session, and not for the node.
func isLocal(p *parse.Part) bool {
	switch p.Word {
	case "set", "reset", "show", "discard", "deallocate", "begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release":
		return true
	}
	return false
}

var (
	setForm   = regexp.MustCompile(`(?is)^set\s+(?:session\s+|local\s+)?("?[a-z_.]+"?)\s*(?:=|\sto\s)\s*(.*)$`)
	zoneForm  = regexp.MustCompile(`(?is)^set\s+(?:session\s+|local\s+)?time\s+zone\s+(.*)$`)
	modeForm  = regexp.MustCompile(`(?is)^set\s+(?:session\s+characteristics\s+as\s+)?transaction\s`)
	showForm  = regexp.MustCompile(`(?is)^show\s+"?([a-z_.]+(?:\s+[a-z]+){0,2})"?$`)
	resetForm = regexp.MustCompile(`(?is)^reset\s+"?([a-z_.]+)"?$`)
	freeForm  = regexp.MustCompile(`(?is)^deallocate\s+(?:prepare\s+)?"?([^"\s]+)"?$`)
)

// local runs a statement of the session. It returns the answer of SHOW, and the tag.
func (x *session) local(p *parse.Part) (name, value, tag string, err error) {
	if tag, ok, err := x.transaction(p); ok {
		return "", "", tag, err
	}
	switch p.Word {
	case "set":
		return "", "", "SET", x.set(p.Text)
	case "reset":
		return "", "", "RESET", x.reset(p.Text)
	case "discard":
		x.closePortals()
		clear(x.prepared)
		return "", "", "DISCARD ALL", nil
	case "deallocate":
		m := freeForm.FindStringSubmatch(p.Text)
		switch {
		case m == nil:
			return "", "", "", refusal("42601", "want DEALLOCATE NAME, or ALL", "")
		case strings.EqualFold(m[1], "all"):
			clear(x.prepared)
		default:
			delete(x.prepared, m[1])
		}
		return "", "", "DEALLOCATE", nil
	}
	m := showForm.FindStringSubmatch(p.Text)
	if m == nil {
		return "", "", "", refusal("42601", "want SHOW NAME", "")
	}
	name = strings.Join(strings.Fields(settingKey(m[1])), "_")
	if name == "time_zone" {
		name = "timezone"
	}
	if name == "transaction_isolation_level" {
		name = "transaction_isolation"
	}
	value, ok := x.settings[name]
	if !ok {
		return "", "", "", refusal("42704", "unrecognized configuration parameter \""+name+"\"", "")
	}
	return name, value, "SHOW", nil
}

// reset gives settings the values that they had when the session began.
func (x *session) reset(text string) error {
	m := resetForm.FindStringSubmatch(text)
	if m == nil {
		return refusal("42601", "want RESET NAME, or ALL", "")
	}
	began, name := newSettings(x.startup), settingKey(m[1])
	if name == "all" {
		x.settings = began
	} else if value, ok := began[name]; ok {
		x.settings[name] = value
	} else {
		return refusal("42704", "unrecognized configuration parameter \""+name+"\"", "")
	}
	x.tellName()
	return nil
}

// tellName tells the client of the one setting that it hears of and may change.
func (x *session) tellName() {
	x.back.Send(&pgproto3.ParameterStatus{Name: "application_name", Value: x.settings["application_name"]})
}

func (x *session) set(text string) error {
	if modeForm.MatchString(text) {
		return nil // every statement is serializable, and reads only
	}
	name, value := "timezone", ""
	if m := zoneForm.FindStringSubmatch(text); m != nil {
		value = m[1]
	} else if m := setForm.FindStringSubmatch(text); m != nil {
		name, value = settingKey(strings.Trim(m[1], `"`)), m[2]
	} else {
		return refusal("42601", "want SET NAME = VALUE", "")
	}
	value = strings.Trim(strings.TrimSpace(value), `'"`)
	if only, ok := fixed[name]; ok {
		if strings.EqualFold(value, only) || strings.EqualFold(value, "default") || sameSetting(name, value) {
			return nil
		}
		return refusal("0A000", "\""+name+"\" is always "+only, "leave it")
	}
	if _, ok := free[name]; !ok {
		return refusal("42704", "unrecognized configuration parameter \""+name+"\"", "")
	}
	if name == "statement_timeout" {
		if _, err := timeout(value); err != nil {
			return refusal("22023", "invalid value for parameter \"statement_timeout\": \""+value+"\"", "give milliseconds, or a number with ms, s or min")
		}
	}
	x.settings[name] = value
	if name == "application_name" {
		x.tellName()
	}
	return nil
}

// sameSetting tells of another spelling of the one value.
func sameSetting(name, value string) bool {
	switch name {
	case "client_encoding":
		return strings.EqualFold(value, "UTF-8") || strings.EqualFold(value, "UNICODE")
	case "datestyle":
		return strings.EqualFold(value, "ISO")
	case "timezone":
		return strings.EqualFold(value, "GMT") || strings.EqualFold(value, "Etc/UTC") || strings.EqualFold(value, "Z") || value == "0" || value == "+00:00"
	case "standard_conforming_strings", "transaction_read_only", "default_transaction_read_only":
		return strings.EqualFold(value, "true") || value == "1"
	}
	return false
}

// timeout reads statement_timeout; 0 is none.
func timeout(value string) (time.Duration, error) {
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(n) * time.Millisecond, nil
	}
	d, err := time.ParseDuration(strings.ReplaceAll(strings.ReplaceAll(value, " ", ""), "min", "m"))
	if err == nil && d < 0 {
		err = strconv.ErrRange
	}
	return d, err
}
