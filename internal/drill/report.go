package drill

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"actordb/checkers"
	"actordb/disk/losefs"
)

// A Report is what a drill did and found.
type Report struct {
	Verdict      checkers.Verdict  `json:"verdict"`
	Seed         uint64            `json:"seed"`
	Clients      int               `json:"clients"`
	Shards       int               `json:"shards"`
	Kills        int               `json:"kills"`
	Moments      map[string]int    `json:"moments"` // kills, by what the node was doing
	Operations   int               `json:"operations"`
	Acknowledged int               `json:"acknowledged"` // changes that were
	Read         int               `json:"read"`
	Refused      int               `json:"refused"`
	Unknown      int               `json:"unknown"`
	Repeated     int               `json:"repeated"` // sent more than once
	Lost         Lost              `json:"lost"`
	Checks       []checkers.Result `json:"checks"` // over all stages
	Recovery     []Bucket          `json:"recovery"`
	Stages       []*StageReport    `json:"stages"`
	WallSeconds  float64           `json:"wall_seconds"`
	Dir          string            `json:"dir"`
}

// A StageReport is what one stage did and found.
type StageReport struct {
	Name         string            `json:"name"`
	Says         string            `json:"says"`
	Dir          string            `json:"dir"`
	Kills        int               `json:"kills"`
	Moments      map[string]int    `json:"moments"`
	Operations   int               `json:"operations"`
	Acknowledged int               `json:"acknowledged"`
	Read         int               `json:"read"`
	Refused      int               `json:"refused"`
	Unknown      int               `json:"unknown"`
	Repeated     int               `json:"repeated"`
	Lost         Lost              `json:"lost"`
	JournalBytes int64             `json:"journal_bytes"` // at the end
	Checks       []checkers.Result `json:"checks"`
	Starts       []Sample          `json:"starts"`
}

// Lost is what power losses took.
type Lost struct {
	Writes int   `json:"writes"` // as a whole, truncations among them
	Torn   int   `json:"torn"`   // writes, in part
	Bytes  int64 `json:"bytes"`
	Names  int   `json:"names"` // changes of names undone
}

func (l *Lost) add(m losefs.Lost) {
	l.Writes, l.Torn, l.Bytes, l.Names = l.Writes+m.Writes, l.Torn+m.Torn, l.Bytes+m.Bytes, l.Names+m.Names
}

// A Sample is one start of a node that came to accept commands.
type Sample struct {
	Stage        string  `json:"stage"`
	JournalBytes int64   `json:"journal_bytes"` // of all shards
	FirstMS      float64 `json:"first_ms"`      // from the process's start to the first command accepted
	AllMS        float64 `json:"all_ms"`        // to one in every shard
}

// A Bucket is the starts with journals of up to some size.
type Bucket struct {
	Stage     string  `json:"stage"`
	UpTo      int64   `json:"up_to_bytes"` // of the journals
	Starts    int     `json:"starts"`
	MedianMS  float64 `json:"median_ms"` // to the first command
	MaxMS     float64 `json:"max_ms"`
	AllMedian float64 `json:"all_median_ms"` // to one in every shard
	AllMax    float64 `json:"all_max_ms"`
}

func (r *Report) add(s *StageReport) {
	s.vouch()
	r.Stages = append(r.Stages, s)
	r.Kills += s.Kills
	for name, n := range s.Moments {
		r.Moments[name] += n
	}
	r.Operations, r.Acknowledged, r.Read = r.Operations+s.Operations, r.Acknowledged+s.Acknowledged, r.Read+s.Read
	r.Refused, r.Unknown, r.Repeated = r.Refused+s.Refused, r.Unknown+s.Unknown, r.Repeated+s.Repeated
	r.Lost.Writes, r.Lost.Torn, r.Lost.Bytes, r.Lost.Names = r.Lost.Writes+s.Lost.Writes, r.Lost.Torn+s.Lost.Torn, r.Lost.Bytes+s.Lost.Bytes, r.Lost.Names+s.Lost.Names
	for _, c := range s.Checks {
		if c.Note != "" {
			c.Note = s.Name + ": " + c.Note
		}
		i := slices.IndexFunc(r.Checks, func(x checkers.Result) bool { return x.Name == c.Name })
		if i < 0 {
			r.Checks = append(r.Checks, c)
		} else {
			x := &r.Checks[i]
			if x.Examined += c.Examined; worse(c.Verdict, x.Verdict) {
				x.Verdict, x.Note = c.Verdict, c.Note
			}
		}
	}
	r.Verdict = checkers.Pass
	for _, c := range r.Checks {
		if worse(c.Verdict, r.Verdict) {
			r.Verdict = c.Verdict
		}
	}
}

// vouch makes unknown what a checker passed without looking at anything: nothing
// was learned then.
func (s *StageReport) vouch() {
	for i := range s.Checks {
		if c := &s.Checks[i]; c.Verdict == checkers.Pass && c.Examined == 0 {
			c.Verdict, c.Note = checkers.Unknown, "nothing was there to examine"
		}
	}
}

func worse(a, b checkers.Verdict) bool {
	rank := func(v checkers.Verdict) int {
		return slices.Index([]checkers.Verdict{checkers.Pass, checkers.Unknown, checkers.Fail}, v)
	}
	return rank(a) > rank(b)
}

// finish makes the table of starts.
func (r *Report) finish() {
	for _, s := range r.Stages {
		r.Recovery = append(r.Recovery, buckets(s.Starts)...)
	}
}

// sizes are the buckets' bounds; the last one has none above.
var sizes = []int64{mib, 4 * mib, 16 * mib, 64 * mib, 128 * mib, 256 * mib, 512 * mib, 1 << 62}

func buckets(starts []Sample) (list []Bucket) {
	from := int64(-1)
	for _, to := range sizes {
		var first, all []float64
		stage := ""
		for _, s := range starts {
			if s.JournalBytes > from && s.JournalBytes <= to {
				stage, first, all = s.Stage, append(first, s.FirstMS), append(all, s.AllMS)
			}
		}
		from = to
		if len(first) > 0 {
			list = append(list, Bucket{Stage: stage, UpTo: to, Starts: len(first), MedianMS: median(first), MaxMS: slices.Max(first),
				AllMedian: median(all), AllMax: slices.Max(all)})
		}
	}
	return list
}

func median(list []float64) float64 {
	slices.Sort(list)
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

// Save writes drill.json, and each start as a line of drill.csv.
func (r *Report) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "drill.json"), append(text, '\n'), 0o644)
	}
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "drill.csv"))
	if err != nil {
		return err
	}
	defer f.Close()
	return r.writeStarts(f)
}

func (r *Report) writeStarts(out io.Writer) error {
	w := csv.NewWriter(out)
	lines := [][]string{{"stage", "journal_bytes", "first_ms", "all_ms"}}
	for _, s := range r.Stages {
		for _, x := range s.Starts {
			lines = append(lines, []string{x.Stage, strconv.FormatInt(x.JournalBytes, 10), fmt.Sprint(x.FirstMS), fmt.Sprint(x.AllMS)})
		}
	}
	return w.WriteAll(lines)
}
