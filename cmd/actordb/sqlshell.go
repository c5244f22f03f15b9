package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/peterh/liner"
)

const shellHelp = `Statements end with a semicolon.
    \d              event types and projections
    \d NAME         the columns of one, and the statement that made it
    \timing         tell how long statements take, or no more
    \watch [S]      run the last statement again every S seconds (2), until interrupted
    \q              end
`

// shell reads statements from a terminal.
func (s *sqlSession) shell() error {
	edit := liner.NewLiner()
	defer edit.Close()
	edit.SetCtrlCAborts(true)
	edit.SetMultiLineMode(true)
	file := historyFile()
	if f, err := os.Open(file); err == nil {
		edit.ReadHistory(f)
		f.Close()
	}
	defer s.saveHistory(edit, file)
	node, _ := s.client.Node()
	fmt.Printf("Connected to %s. \\? for help.\n", node.ID)
	text, last := "", ""
	for {
		prompt := "actordb> "
		if text != "" {
			prompt = "      -> "
		}
		line, err := edit.Prompt(prompt)
		switch {
		case errors.Is(err, liner.ErrPromptAborted):
			text = ""
			continue
		case errors.Is(err, io.EOF):
			fmt.Println()
			return nil
		case err != nil:
			return environment("%w", err)
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		edit.AppendHistory(line)
		if text == "" && strings.HasPrefix(strings.TrimSpace(line), `\`) {
			if s.meta(strings.Fields(line), last) {
				return nil
			}
			continue
		}
		text += line + "\n"
		for {
			statement, rest, whole := cutStatement(text)
			if !whole {
				break
			}
			if last, text = strings.TrimSpace(statement), strings.TrimLeft(rest, " \t\n"); last != "" {
				s.interruptible(func() { s.tell(s.run(last)) })
			}
		}
	}
}

func (s *sqlSession) saveHistory(edit *liner.State, file string) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return // history is a convenience
	}
	w := bufio.NewWriter(f)
	edit.WriteHistory(w)
	w.Flush()
	f.Close()
}

// interruptible ends what f does when somebody presses the keys for it.
func (s *sqlSession) interruptible(f func()) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s.ctx = ctx
	f()
}

// tell shows an error that does not end the shell.
func (s *sqlSession) tell(err error) {
	if err != nil && err.Error() != "" && !errors.Is(err, context.Canceled) {
		var f *failure
		if !errors.As(err, &f) || f.err != nil {
			fmt.Fprintf(os.Stderr, "ERROR:  %v\n", err)
		}
	}
}

// meta carries out a command of the shell itself, and reports whether it is the last.
func (s *sqlSession) meta(words []string, last string) (quit bool) {
	switch words[0] {
	case `\q`, `\quit`:
		return true
	case `\?`, `\h`, `\help`:
		fmt.Print(shellHelp)
	case `\timing`:
		s.Timing = !s.Timing
		fmt.Printf("Timing is %s.\n", map[bool]string{true: "on", false: "off"}[s.Timing])
	case `\d`:
		s.interruptible(func() { s.describe(words[1:]) })
	case `\watch`:
		every := 2.0
		if len(words) > 1 {
			var err error
			if every, err = strconv.ParseFloat(words[1], 64); err != nil || every < 0.01 || every > 86400 {
				fmt.Fprintf(os.Stderr, "\\watch %s: want seconds, 0.01 to 86400\n", words[1])
				return false
			}
		}
		if last == "" {
			fmt.Fprintln(os.Stderr, `\watch: there is no statement to repeat`)
			return false
		}
		s.interruptible(func() { s.watch(last, time.Duration(every*float64(time.Second))) })
	default:
		fmt.Fprintf(os.Stderr, "%s: no such command; \\? lists them\n", words[0])
	}
	return false
}

// watch repeats a statement until it is interrupted or declined.
func (s *sqlSession) watch(text string, every time.Duration) {
	for {
		fmt.Printf("%s (every %v)\n\n", time.Now().Format(time.DateTime), every)
		if err := s.run(text); err != nil {
			s.tell(err)
			return
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

// describe shows the catalog, or one of its entries.
func (s *sqlSession) describe(names []string) {
	if len(names) == 0 {
		s.tell(s.run(`SELECT name, kind, materialized FROM system.relations ORDER BY name`))
		return
	}
	name := strings.TrimSuffix(names[0], ";")
	if !strings.Contains(name, ".") {
		name = "projections." + name
	}
	quoted := "'" + strings.ReplaceAll(name, "'", "''") + "'"
	s.tell(s.run(`SELECT name AS "column", type, not_null, personal FROM system.columns WHERE relation = ` + quoted))
	s.tell(s.run(`SELECT definition FROM system.relations WHERE name = ` + quoted))
}
