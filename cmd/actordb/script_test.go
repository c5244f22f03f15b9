package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// Commands of the scripts beside those that testscript has.

// exits CODE COMMAND…: runs a command, which must end with this exit code.
// Its output goes to the files out and err of the working directory.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	cmd := exec.Command(path, args[2:]...)
	cmd.Args[0] = args[1]
	cmd.Dir = ts.Getenv("PWD")
	if cmd.Dir == "" {
		cmd.Dir = ts.MkAbs(".")
	}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	ts.Check(os.WriteFile(ts.MkAbs("out"), out.Bytes(), 0o666))
	ts.Check(os.WriteFile(ts.MkAbs("err"), said.Bytes(), 0o666))
	if got != want {
		ts.Fatalf("exit code %d, want %d\n%s%s", got, want, out.Bytes(), said.Bytes())
	}
}

// fields FILE NAME…: the file is one JSON document with at least these fields.
func fields(ts *testscript.TestScript, neg bool, args []string) {
	doc := document(ts, args[0])
	for _, name := range args[1:] {
		if _, ok := doc[name]; ok == neg {
			var have []string
			for k := range doc {
				have = append(have, k)
			}
			sort.Strings(have)
			ts.Fatalf("%s: field %q: %t; there are %s", args[0], name, ok, strings.Join(have, " "))
		}
	}
}

// same FIELD FILE FILE: two JSON documents agree in a field.
func same(ts *testscript.TestScript, neg bool, args []string) {
	a, b := document(ts, args[1])[args[0]], document(ts, args[2])[args[0]]
	if len(a) == 0 || bytes.Equal(a, b) == neg {
		ts.Fatalf("%s: %s and %s", args[0], a, b)
	}
}

// edit FILE OLD NEW: replaces the first OLD.
func edit(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s: there is no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, args[1], args[2], 1)), 0o666))
}

// background is the server of a script.
type background struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

// serve ARG…: runs actordb serve and returns when it can be reached, at $TARGET.
// What it says goes to the files serve.out and serve.err.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	b := ts.Value("server").(*background)
	if neg || b.cmd != nil {
		ts.Fatalf("usage: serve ARG…, once at a time")
	}
	path, err := exec.LookPath("actordb")
	ts.Check(err)
	b.cmd = exec.Command(path, append([]string{"serve"}, args...)...)
	b.cmd.Args[0] = "actordb"
	b.cmd.Dir = ts.MkAbs(".")
	said, err := os.Create(ts.MkAbs("serve.err"))
	ts.Check(err)
	b.cmd.Stderr = said
	out, err := b.cmd.StdoutPipe()
	ts.Check(err)
	b.out = bufio.NewReader(out)
	ts.Check(b.cmd.Start())
	said.Close()
	ts.Defer(func() {
		if b.cmd != nil {
			_ = b.cmd.Process.Kill()
			_ = b.cmd.Wait()
		}
	})
	first, err := b.out.ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(first), "READY ")
	if err != nil || !ok {
		ts.Fatalf("serve said %q, %v\n%s", first, err, ts.ReadFile("serve.err"))
	}
	ts.Setenv("TARGET", addr)
}

// quit SIGNAL CODE: ends the server by TERM, INT or KILL, or, by NONE, waits until
// it has ended by itself; it must end with this exit code, -1 for KILL.
func quit(ts *testscript.TestScript, neg bool, args []string) {
	b := ts.Value("server").(*background)
	if neg || len(args) != 2 || b.cmd == nil {
		ts.Fatalf("usage: quit SIGNAL CODE, after serve")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	if s := map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": os.Interrupt, "KILL": os.Kill}[args[0]]; s != nil {
		ts.Check(b.cmd.Process.Signal(s))
	}
	rest, err := io.ReadAll(b.out)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("serve.out"), rest, 0o666))
	_ = b.cmd.Wait() // the exit code tells
	if got := b.cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit code %d, want %d\n%s", got, want, ts.ReadFile("serve.err"))
	}
	b.cmd = nil
}

// flip FILE OFFSET: flips a bit.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	if at >= len(b) {
		ts.Fatalf("%s has %d bytes", args[0], len(b))
	}
	b[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

func document(ts *testscript.TestScript, file string) map[string]json.RawMessage {
	d := json.NewDecoder(strings.NewReader(ts.ReadFile(file)))
	var doc map[string]json.RawMessage
	if err := d.Decode(&doc); err != nil {
		ts.Fatalf("%s: %v", file, err)
	}
	if d.More() {
		ts.Fatalf("%s: more than one document", file)
	}
	return doc
}
