// Command unsimulated counts the code of the shipped binary that no simulated
// run executes. Run it at the root of the source tree:
//
//	go run ./internal/tools/unsimulated
//
// It takes the packages of this module that cmd/actordb depends on. One that the
// testbed does not import cannot run under the simulator at all, and needs a
// reason in the table below. Of the others it measures what a sweep of fixed
// seeds executes, by the go command's coverage, and lists what it does not.
//
// Lines are lines with code: neither blank nor comment. A line is unexecuted if
// it stands in a statement that no run reached. The output depends on the source
// alone.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/scanner"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const module = "actordb"

// reasons tells why a package, or a file of one, is not executed.
func reasons() map[string]string {
	return map[string]string{
		"cmd/actordb":         "the command line: flags, files, processes, screens",
		"experiments":         "measures the machine",
		"experiments/mutants": "reads planted bugs and has them built",
		"disk/executor.go":    "carries operations out on a real directory, for the production host",

		"disk/osfile":   "real files; judged by disk/disktest",
		"disk/pebblekv": "Pebble; judged by disk/disktest, with its calls failing in turn",
		"disk/sqlitekv": "SQLite; judged by disk/disktest",
		"disk/pgkv":     "PostgreSQL; judged by disk/disktest, with its server crashed",
		"disk/kvfile":   "files over a store; judged by disk/disktest",
		"disk/checked":  "checksums of values in stores that have none of their own",
		"disk/losefs":   "takes from real files what a power loss would, for drills",

		"internal/host":    "the production host; internal/proctest holds it to the contract that the simulator keeps",
		"internal/node":    "opens a real directory and starts the processes on the host; killed under load by its tests and by drills",
		"internal/datadir": "names and locks of a real directory",
		"internal/observe": "exports figures",
		"net/tlsnet":       "sockets and certificates",
		"net/rpc":          "the HTTP face",
		"net/pgwire":       "the face for PostgreSQL's clients",
		"net/rest":         "the face for HTTP and JSON",
		"net/client":       "the client package for programs outside",

		"internal/history":   "reads a directory without the engine, to judge it",
		"internal/verify":    "judges a directory",
		"internal/admission": "lets a machine join by a token, over TLS",
		"internal/operator":  "asks a running cluster to move slots and change members",
		"internal/inspect":   "shows a directory",
		"internal/backup":    "copies a directory",
		"workloads/nexmark":  "events and queries of a benchmark",
		"internal/load":      "drives a node from outside",
		"internal/bench":     "measures a node from outside",
		"internal/drill":     "kills a node from outside",
	}
}

// reason is a package's, or that of the nearest folder above it that has one.
func reason(folder string) string {
	for ; folder != "."; folder = path.Dir(folder) {
		if why := reasons()[folder]; why != "" {
			return why
		}
	}
	return ""
}

func main() {
	measure := flag.Bool("measure", true, "also measure what simulated runs execute of the packages that they can")
	seeds := flag.String("seeds", "1-60", "seeds to measure with")
	duration := flag.String("duration", "10s", "virtual time of each")
	flag.Parse()
	if err := run(os.Stdout, *measure, *seeds, *duration); err != nil {
		fmt.Fprintf(os.Stderr, "unsimulated: %v\n", err)
		os.Exit(1)
	}
}

// pkg is a package of the binary.
type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string

	simulated bool
	files     []file
}

type file struct {
	name string
	code map[int]bool // lines with code
	dead map[int]bool // of them, those that no run reached
}

func (p *pkg) folder() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

func (p *pkg) lines() (code, dead int) {
	for _, f := range p.files {
		code += len(f.code)
		dead += len(f.dead)
	}
	return code, dead
}

func run(w io.Writer, measure bool, seeds, duration string) error {
	shipped, err := list("./cmd/actordb")
	if err != nil {
		return err
	}
	simulated, err := list("./internal/testbed")
	if err != nil {
		return err
	}
	for _, p := range shipped {
		p.simulated = slices.ContainsFunc(simulated, func(s *pkg) bool { return s.ImportPath == p.ImportPath })
		for _, name := range p.GoFiles {
			f := file{name: name, dead: map[int]bool{}}
			if f.code, err = codeLines(filepath.Join(p.Dir, name)); err != nil {
				return err
			}
			p.files = append(p.files, f)
		}
		if !p.simulated && reason(p.folder()) == "" {
			return fmt.Errorf("%s is shipped and not simulated: give the reason in internal/tools/unsimulated", p.folder())
		}
	}
	if measure {
		if err := cover(shipped, seeds, duration); err != nil {
			return err
		}
	}
	return show(w, shipped, measure, seeds, duration)
}

// list returns the packages of this module that one depends on, itself included.
func list(of string) ([]*pkg, error) {
	out, err := output(exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,GoFiles", of))
	if err != nil {
		return nil, err
	}
	var all []*pkg
	d := json.NewDecoder(strings.NewReader(out))
	for {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if strings.HasPrefix(p.ImportPath, module+"/") {
			all = append(all, &p)
		}
	}
	slices.SortFunc(all, func(a, b *pkg) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return all, nil
}

func output(cmd *exec.Cmd) (string, error) {
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, said.String())
	}
	return string(out), nil
}

// codeLines returns the lines of a file that hold code.
func codeLines(path string) (map[int]bool, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	f := set.AddFile(path, -1, len(src))
	var s scanner.Scanner
	s.Init(f, src, nil, 0) // without comments
	lines := map[int]bool{}
	for {
		pos, t, text := s.Scan()
		if t == token.EOF {
			return lines, nil
		}
		if t == token.SEMICOLON && text == "\n" {
			continue // made up at the end of a line
		}
		first := set.Position(pos).Line
		for i := range 1 + strings.Count(text, "\n") {
			lines[first+i] = true
		}
	}
}

// cover runs a sweep of an instrumented build and marks what it did not reach.
func cover(shipped []*pkg, seeds, duration string) error {
	dir, err := os.MkdirTemp("", "unsimulated-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, counters, profile := filepath.Join(dir, "actordb"), filepath.Join(dir, "counters"), filepath.Join(dir, "profile")
	if err := os.Mkdir(counters, 0o777); err != nil {
		return err
	}
	if _, err := output(exec.Command("go", "build", "-cover", "-coverpkg="+module+"/...", "-o", program, "./cmd/actordb")); err != nil {
		return err
	}
	sweep := exec.Command(program, "sim", "sweep", "--seeds", seeds, "--duration", duration, "--json")
	sweep.Env = append(os.Environ(), "GOCOVERDIR="+counters)
	var exit *exec.ExitError
	if _, err := output(sweep); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return err // 1 says that a law is broken: that is for others to tell
	}
	if _, err := output(exec.Command("go", "tool", "covdata", "textfmt", "-i="+counters, "-o="+profile)); err != nil {
		return err
	}
	return readProfile(shipped, profile)
}

// readProfile marks the lines of blocks that were never executed, but for those
// that an executed block shares.
func readProfile(shipped []*pkg, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	byName := map[string]*file{}
	for _, p := range shipped {
		for i := range p.files {
			byName[p.ImportPath+"/"+p.files[i].name] = &p.files[i]
		}
	}
	alive := map[string]map[int]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, block, ok := strings.Cut(lines.Text(), ":")
		source := byName[name]
		if !ok || source == nil {
			continue // the mode, and packages that are not shipped
		}
		from, to, ran, err := parseBlock(block)
		if err != nil {
			return fmt.Errorf("%s: %q: %w", path, lines.Text(), err)
		}
		for line := from; line <= to; line++ {
			switch {
			case !source.code[line]:
			case ran:
				if alive[name] == nil {
					alive[name] = map[int]bool{}
				}
				alive[name][line] = true
			default:
				source.dead[line] = true
			}
		}
	}
	for name, set := range alive {
		for line := range set {
			delete(byName[name].dead, line)
		}
	}
	return lines.Err()
}

// parseBlock reads "12.34,15.2 3 1": from, to, statements, count.
func parseBlock(s string) (from, to int, ran bool, err error) {
	fields := strings.Fields(s)
	if len(fields) != 3 {
		return 0, 0, false, errors.New("want three fields")
	}
	begin, end, _ := strings.Cut(fields[0], ",")
	line := func(position string) int {
		number, _, _ := strings.Cut(position, ".")
		n, convErr := strconv.Atoi(number)
		err = errors.Join(err, convErr)
		return n
	}
	from, to = line(begin), line(end)
	return from, to, fields[2] != "0", err
}

func show(w io.Writer, shipped []*pkg, measured bool, seeds, duration string) error {
	total, outside, dead := 0, 0, 0
	fmt.Fprintln(w, "Shipped code that cannot run under the simulator:")
	for _, p := range shipped {
		n, _ := p.lines()
		total += n
		if p.simulated {
			continue
		}
		outside += n
		fmt.Fprintf(w, "  %-24s %6d lines  %s\n", p.folder(), n, reason(p.folder()))
	}
	fmt.Fprintf(w, "  %-24s %6d of %d lines\n\n", "in all", outside, total)
	if !measured {
		return nil
	}
	fmt.Fprintf(w, "Shipped code that runs under the simulator; not executed by seeds %s of %s (actordb sim sweep):\n", seeds, duration)
	for _, p := range shipped {
		if !p.simulated {
			continue
		}
		n, d := p.lines()
		dead += d
		fmt.Fprintf(w, "  %-24s %6d of %5d lines\n", p.folder(), d, n)
		for _, f := range p.files {
			if why := reasons()[p.folder()+"/"+f.name]; why != "" {
				fmt.Fprintf(w, "    %-22s %6d of %5d lines  %s\n", f.name, len(f.dead), len(f.code), why)
			}
		}
	}
	fmt.Fprintf(w, "  %-24s %6d of %d lines\n\n", "in all", dead, total-outside)
	_, err := fmt.Fprintf(w, "Not executed by the simulator: %d of %d lines.\n", outside+dead, total)
	return err
}
