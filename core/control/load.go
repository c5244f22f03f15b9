package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-jsonnet"
)

const (
	format = 1
	// SourceBytesMax bounds a dag.jsonnet, and what it evaluates to.
	SourceBytesMax = 1 << 20
	stackMax       = 500 // calls within calls
	importsMax     = 64
)

// importer gives a program the files that it imports: by their path from the folder
// of the one that imports them, never from above the first one's.
type importer struct {
	read  func(name string) (string, error)
	files map[string]jsonnet.Contents // read once: a file does not change under its program
}

// Import implements jsonnet.Importer.
func (i *importer) Import(from, name string) (jsonnet.Contents, string, error) {
	at := path.Join(path.Dir(from), name)
	if path.IsAbs(name) || at == ".." || strings.HasPrefix(at, "../") {
		return jsonnet.Contents{}, "", fmt.Errorf("import %q: imports stand in the folder of the first file, or below it", name)
	}
	if c, ok := i.files[at]; ok {
		return c, at, nil
	}
	if i.read == nil || len(i.files) == importsMax {
		return jsonnet.Contents{}, "", fmt.Errorf("import %q: %d files imported, and no more may be", name, len(i.files))
	}
	text, err := i.read(at)
	if err != nil {
		return jsonnet.Contents{}, "", err
	}
	if len(text) > SourceBytesMax {
		return jsonnet.Contents{}, "", fmt.Errorf("import %q: %d bytes, the limit is %d", name, len(text), SourceBytesMax)
	}
	i.files[at] = jsonnet.MakeContents(text)
	return i.files[at], at, nil
}

// Load evaluates a dag.jsonnet and makes the network that it describes. name is for
// messages. read returns the files that it imports, whose names are relative to its
// own folder; nil: it may import none.
func Load(name, source string, read func(name string) (string, error)) (*Network, error) {
	if len(source) > SourceBytesMax {
		return nil, fmt.Errorf("%s: %d bytes, the limit is %d", name, len(source), SourceBytesMax)
	}
	vm := jsonnet.MakeVM()
	vm.MaxStack = stackMax
	vm.Importer(&importer{read: read, files: make(map[string]jsonnet.Contents)})
	text, err := vm.EvaluateAnonymousSnippet(path.Base(name), source)
	if err != nil {
		return nil, fmt.Errorf("%s", strings.TrimSpace(err.Error())) // it names file, line and column
	}
	n, err := Parse([]byte(text))
	var wrong *Error
	if errors.As(err, &wrong) {
		for i := range wrong.Problems {
			wrong.Problems[i] = name + ": " + wrong.Problems[i]
		}
		return nil, wrong
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

// document is the form of the data.
type document struct {
	Format    json.Number             `json:"format"`
	Processes map[string]*processForm `json:"processes"`
}

type processForm struct {
	Kind    string                 `json:"kind"`
	Backend string                 `json:"backend"`
	URL     string                 `json:"url"`
	Count   *json.Number           `json:"count"`
	Needs   []string               `json:"needs"`
	Limits  map[string]json.Number `json:"limits"`
}

// Parse makes a network from what dag.jsonnet evaluates to. What it does not know
// it refuses: a misspelt word must not be a default.
func Parse(data []byte) (*Network, error) {
	if len(data) > SourceBytesMax {
		return nil, fmt.Errorf("it evaluates to %d bytes, the limit is %d", len(data), SourceBytesMax)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	d.UseNumber()
	var doc document
	if err := d.Decode(&doc); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the network's data")
	}
	if doc.Format.String() != strconv.Itoa(format) {
		return nil, &Error{[]string{fmt.Sprintf("format: %.20q: this program reads %d", doc.Format.String(), format)}}
	}
	var wrong problems
	list := make(map[string]*Process, len(doc.Processes))
	for _, name := range slices.Sorted(maps.Keys(doc.Processes)) {
		form, place := doc.Processes[name], "processes."+name
		if form == nil {
			wrong.add(place, "null: want an object")
			continue
		}
		p := &Process{Name: name, Kind: Kind(form.Kind), Backend: form.Backend, URL: form.URL, Count: 1, Needs: form.Needs, Limits: make(map[string]int64)}
		if form.Count != nil {
			p.Count = int(whole(place+".count", *form.Count, &wrong))
		}
		for _, limit := range slices.Sorted(maps.Keys(form.Limits)) {
			p.Limits[limit] = whole(place+".limits."+limit, form.Limits[limit], &wrong)
		}
		list[name] = p
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	return build(list)
}

// whole reads a number without a fraction. Jsonnet's numbers are binary floats, of
// which it writes whole ones with all their digits.
func whole(place string, v json.Number, wrong *problems) int64 {
	i, err := v.Int64()
	if err != nil {
		wrong.add(place, "%.40s: want a whole number", v)
	}
	return i
}

// Instances lists the instances of all processes in the order in which they start.
func (n *Network) Instances() (names []string) {
	for _, p := range n.Processes {
		for i := range p.Count {
			names = append(names, p.Instance(i))
		}
	}
	return slices.Clip(names)
}
