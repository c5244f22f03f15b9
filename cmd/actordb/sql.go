package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"actordb/net/client"
	"actordb/net/tlsnet"
)

type sqlCommand struct {
	Command  []string      `short:"c" sep:"none" placeholder:"SQL" help:"A statement to run, and then to end; may be given several times. Left out: statements from standard input, which may be a terminal."`
	Identity string        `default:"data/ca/dev" placeholder:"DIR" help:"The caller's identity.pem; left out, that of a node which runs with --dir data --dev."`
	JSON     bool          `name:"json" help:"Answers as JSON: one document for each statement, of a subscription one for each change."`
	Changes  int           `placeholder:"N" help:"End a subscription after so many changes. Left out: when it is interrupted."`
	Batch    bool          `help:"Let the statements of others go first."`
	Timing   bool          `help:"Tell how long each statement took."`
	Timeout  time.Duration `default:"30s" help:"Give up connecting after so long."`
	URL      string        `arg:"" optional:"" default:"127.0.0.1:7400" help:"HOST:PORT of a node, or several with commas; the next one is tried when one cannot be reached."`
}

func (sqlCommand) Help() string {
	return `Examples:

    actordb sql -c "SELECT * FROM projections.cart_view WHERE cart_id = 'some-uuid'"
    actordb sql -c "SUBSCRIBE TO projections.cart_view" --changes 10
    actordb sql --identity /etc/actordb/me 10.0.0.1:7400,10.0.0.2:7400 < report.sql

On a terminal it reads statements that end with a semicolon, and keeps their history. \? lists what else it understands: \d, \timing, \watch, \q.
A subscription shows each change as it happens: +1 for a row that comes, -1 for one that goes.
Exit codes: 0 all done, 2 a statement was declined, 4 the node could not be reached.`
}

// sqlSession runs statements.
type sqlSession struct {
	*sqlCommand
	ctx    context.Context
	client *client.Client
	out    io.Writer
	failed error // the last statement's
}

// Run implements the command.
func (c *sqlCommand) Run() error {
	if c.Changes < 0 || c.Timeout <= 0 {
		return usage("--changes %d, --timeout %v: want a positive number and time", c.Changes, c.Timeout)
	}
	identity, err := tlsnet.LoadIdentity(c.Identity)
	if err != nil {
		return usage("--identity: %w", err)
	}
	dialing, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	conn, err := client.Dial(dialing, client.Config{Addrs: strings.Split(strings.TrimPrefix(c.URL, "actordb://"), ","), Source: identity})
	if err != nil {
		return environment("%w", err)
	}
	defer conn.Close()
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	s := &sqlSession{sqlCommand: c, client: conn, out: out}
	if len(c.Command) == 0 && isTerminal(os.Stdin) && isWide(os.Stdout) {
		return s.shell()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s.ctx = ctx
	for _, text := range c.Command {
		if err := s.run(text); err != nil {
			return err
		}
	}
	if len(c.Command) > 0 {
		return nil
	}
	return s.script(os.Stdin)
}

// script runs the statements of a text, until one is declined.
func (s *sqlSession) script(in io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(in, scriptBytesMax+1))
	if err != nil {
		return environment("%w", err)
	}
	if len(text) > scriptBytesMax {
		return usage("the input has more than %d bytes; give it in parts", scriptBytesMax)
	}
	for rest := string(text); ; {
		statement, after, whole := cutStatement(rest)
		if strings.TrimSpace(statement) == "" {
			return nil
		}
		if err := s.run(statement); err != nil {
			return err
		}
		if rest = after; !whole {
			return nil
		}
	}
}

const scriptBytesMax = 64 << 20

// cutStatement takes the first statement off a text; whole tells that its semicolon is
// there. It knows quotes, dollar quotes and comments, as far as they hide semicolons.
func cutStatement(text string) (statement, rest string, whole bool) {
	for i := 0; i < len(text); {
		skip := 1
		switch c := text[i]; {
		case c == ';':
			return text[:i], text[i+1:], true
		case c == '\'' || c == '"':
			skip = until(text[i+1:], string(c)) + 1
		case strings.HasPrefix(text[i:], "--"):
			skip = until(text[i:], "\n")
		case strings.HasPrefix(text[i:], "/*"):
			skip = until(text[i:], "*/")
		case c == '$':
			if end := strings.IndexByte(text[i+1:], '$'); end >= 0 && dollarTag(text[i+1:i+1+end]) {
				tag := text[i : i+end+2]
				skip = len(tag) + until(text[i+len(tag):], tag)
			}
		}
		i += skip
	}
	return text, "", false
}

// until is how many bytes there are up to and with an end, or all.
func until(text, end string) int {
	if i := strings.Index(text, end); i >= 0 {
		return i + len(end)
	}
	return len(text)
}

func dollarTag(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) < 0 && (s == "" || s[0] > '9')
}

// run runs one statement and shows what comes of it. The error is how the command
// ends, if it does with this one.
func (s *sqlSession) run(text string) error {
	begun := time.Now()
	err := s.answer(text)
	if err == nil && s.Timing {
		fmt.Fprintf(s.out, "Time: %.3f ms\n", float64(time.Since(begun).Microseconds())/1000)
	}
	if w, ok := s.out.(*bufio.Writer); ok {
		w.Flush()
	}
	var declined *client.SQLError
	switch {
	case err == nil, errors.Is(err, context.Canceled) && s.subscribes(text):
		return nil
	case errors.As(err, &declined):
		fmt.Fprint(os.Stderr, explain(declined))
		return &failure{code: exitUsage}
	}
	return environment("%w", err)
}

func (s *sqlSession) subscribes(text string) bool {
	words := strings.Fields(text)
	return len(words) > 1 && strings.EqualFold(words[0], "subscribe")
}

func (s *sqlSession) answer(text string) error {
	if s.subscribes(text) {
		return s.subscribe(text)
	}
	rows, err := s.client.Ask(s.ctx, client.Query{Text: text, Batch: s.Batch})
	if err != nil {
		return err
	}
	defer rows.Close()
	if s.JSON {
		return printAnswer(s.out, rows)
	}
	return printRows(s.out, rows)
}

// subscribe shows changes as they come.
func (s *sqlSession) subscribe(text string) error {
	sub, err := s.client.Subscribe(s.ctx, text, 0)
	if err != nil {
		return err
	}
	defer sub.Close()
	p := newChangePrinter(s.out, sub.Columns(), s.JSON)
	for p.shown < s.Changes || s.Changes == 0 {
		change, err := sub.Next(s.ctx)
		if err != nil {
			return err
		}
		if err := p.print(change, s.Changes); err != nil {
			return err
		}
		if w, ok := s.out.(*bufio.Writer); ok {
			w.Flush()
		}
	}
	return nil
}

// explain shows an error as psql does: the line that is to blame, with a caret below.
func explain(e *client.SQLError) string {
	var b strings.Builder
	fmt.Fprintf(&b, "ERROR:  %s: %s\n", e.State, e.Message)
	if e.Position >= 0 && e.Position <= len(e.Text) {
		before := e.Text[:e.Position]
		start := strings.LastIndexByte(before, '\n') + 1
		line, _, _ := strings.Cut(e.Text[start:], "\n")
		head := fmt.Sprintf("LINE %d: ", strings.Count(before, "\n")+1)
		line, at := clipped(strings.ReplaceAll(line, "\t", " "), utf8.RuneCountInString(e.Text[start:e.Position]))
		fmt.Fprintf(&b, "%s%s\n%*s^\n", head, line, len(head)+at, "")
	}
	if e.Cure != "" {
		fmt.Fprintf(&b, "HINT:  %s\n", e.Cure)
	}
	return b.String()
}

// clipped is the part of a line around a place in it, counted in characters.
func clipped(line string, at int) (string, int) {
	runes := []rune(line)
	from, to := max(0, at-lineWidth/2), min(len(runes), at+lineWidth/2)
	out := string(runes[from:to])
	if from > 0 {
		out, at = "..."+out, at-from+3
	}
	if to < len(runes) {
		out += "..."
	}
	return out, at
}

// historyFile is where the shell keeps what was typed; "": nowhere.
func historyFile() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".actordb_history")
}
