// Package observe exports what a node does, for Prometheus.
//
// Names follow https://prometheus.io/docs/practices/naming: a unit at the end,
// _total for counters. Every series has few labels with few values: process (the
// gateway, each shard), and what is counted.
package observe

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"actordb/core/proc"
	"actordb/disk"
	"actordb/internal/host"
	"actordb/net/tlsnet"
)

const namespace = "actordb"

// Metrics of one node.
type Metrics struct {
	registry *prometheus.Registry
	steps    *prometheus.HistogramVec
	marks    *prometheus.CounterVec
	dropped  *prometheus.CounterVec
	files    *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	errors   *prometheus.CounterVec
	kv       *prometheus.HistogramVec
	syncs    atomic.Int64
}

// Syncs is how often the journals' files were synced.
func (m *Metrics) Syncs() int64 { return m.syncs.Load() }

// New makes the metrics of a node. info are labels that say which it is.
func New(info map[string]string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.steps = m.seconds("step_seconds", "Time that a process takes for one input, by the input's kind.", 1e-6, 4, 10, "process", "input")
	m.marks = m.counter("marks_total", "How often a process came by a marked place of its code: what is rare and worth knowing.", "process", "mark")
	m.dropped = m.counter("frames_dropped_total", "Frames of a process for another one of the node whose mailbox was full.", "process")
	m.files = m.seconds("file_operation_seconds", "Time of an operation on the journal's files. write-sync is what acknowledges commands.", 1e-5, 3, 12, "process", "operation")
	m.bytes = m.counter("file_bytes_total", "Bytes read from and written to the journal's files.", "process", "operation")
	m.errors = m.counter("storage_errors_total", "Operations on files and on the derived store that failed.", "process", "store", "operation")
	m.kv = m.seconds("kv_operation_seconds", "Time of an operation on the derived store.", 1e-5, 3, 12, "process", "operation")
	about := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "info", Help: "Always 1; the labels say which node it is.", ConstLabels: info})
	about.Set(1)
	m.registry.MustRegister(about, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

// seconds makes a histogram of n buckets, each as large as the one before times
// factor.
func (m *Metrics) seconds(name, help string, first, factor float64, n int, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help,
		Buckets: prometheus.ExponentialBuckets(first, factor, n)}, labels)
	m.registry.MustRegister(v)
	return v
}

// Watch exports what the node's processes and its network say when they are asked.
func (m *Metrics) Watch(reports func() []host.Report, network func() tlsnet.Stats) {
	m.registry.MustRegister(&asked{reports: reports, network: network})
}

// scrapes is how many may be answered at once.
const scrapes = 4

// Handler answers Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: scrapes, Timeout: 10 * time.Second})
}

// Observer watches a process; it is a host.Config's Observe.
func (m *Metrics) Observer(process string) host.Observer {
	o := &observer{m: m, process: process, marks: make(map[proc.Mark]prometheus.Counter), dropped: m.dropped.WithLabelValues(process)}
	for kind := range kinds {
		fill(&o.steps[kind], m.steps, process, proc.Kind(kind).String())
		fill(&o.files[kind], m.files, process, disk.OpKind(kind).String())
		fill(&o.kv[kind], m.kv, process, disk.KVKind(kind).String())
	}
	o.synced = m.files.WithLabelValues(process, "write-sync")
	o.read, o.written = m.bytes.WithLabelValues(process, "read"), m.bytes.WithLabelValues(process, "write")
	return o
}

// fill gets a series, unless there is no such kind.
func fill(at *prometheus.Observer, of *prometheus.HistogramVec, process, kind string) {
	if kind != "?" {
		*at = of.WithLabelValues(process, kind)
	}
}

// kinds is more than there are, of inputs, of operations on files, and of those on
// a store.
const kinds = 16

// observer is a process's, with its series at hand.
type observer struct {
	m             *Metrics
	process       string
	steps         [kinds]prometheus.Observer
	marks         map[proc.Mark]prometheus.Counter // of the process's goroutine
	dropped       prometheus.Counter
	files         [kinds]prometheus.Observer
	kv            [kinds]prometheus.Observer
	synced        prometheus.Observer
	read, written prometheus.Counter
}

func (o *observer) Step(kind proc.Kind, took time.Duration) { o.steps[kind].Observe(took.Seconds()) }

func (o *observer) Mark(mark proc.Mark) {
	c := o.marks[mark]
	if c == nil {
		c = o.m.marks.WithLabelValues(o.process, string(mark))
		o.marks[mark] = c
	}
	c.Inc()
}

func (o *observer) Dropped() { o.dropped.Inc() }

func (o *observer) File(op *disk.Op, res *disk.Result, took time.Duration) {
	s := o.files[op.Kind]
	if op.Kind == disk.OpWrite && op.Sync {
		s = o.synced
	}
	if op.Kind == disk.OpSync || op.Kind == disk.OpWrite && op.Sync {
		o.m.syncs.Add(1)
	}
	s.Observe(took.Seconds())
	switch op.Kind {
	case disk.OpRead:
		o.read.Add(float64(len(res.Data)))
	case disk.OpWrite:
		o.written.Add(float64(res.N))
	}
	if res.Err != nil {
		o.m.errors.WithLabelValues(o.process, "files", op.Kind.String()).Inc()
	}
}

func (o *observer) KV(kind disk.KVKind, err error, took time.Duration) {
	o.kv[kind].Observe(took.Seconds())
	if err != nil {
		o.m.errors.WithLabelValues(o.process, "kv", kind.String()).Inc()
	}
}

// asked collects what is kept elsewhere.
type asked struct {
	reports func() []host.Report
	network func() tlsnet.Stats
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

var (
	serving     = desc("serving", "1 when a process takes part: a shard that leads and has read its journal.", "process")
	queueLength = desc("queue_length", "Entries of a queue.", "process", "queue")
	queueLimit  = desc("queue_limit", "The most entries that a queue takes.", "process", "queue")
	operations  = desc("operations_total", "What a process has done since it began, by what and which.", "process", "what", "which")
	netFrames   = desc("net_frames_total", "Frames over the network.", "direction")
	netBytes    = desc("net_bytes_total", "Bytes of them with their headers, before TLS.", "direction")
	netDropped  = desc("net_frames_dropped_total", "Frames that could not be sent.")
	netLinks    = desc("net_connections", "Connections now.")
	netErrors   = desc("net_errors_total", "Connections refused or lost, by reason.", "reason")
)

// Describe implements prometheus.Collector.
func (*asked) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{serving, queueLength, queueLimit, operations, netFrames, netBytes, netDropped, netLinks, netErrors} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (a *asked) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for _, r := range a.reports() {
		up := 0.0
		if r.Serving {
			up = 1
		}
		gauge(serving, up, r.Process)
		for _, q := range r.Queues {
			gauge(queueLength, float64(q.Len), r.Process, q.Name)
			gauge(queueLimit, float64(q.Limit), r.Process, q.Name)
		}
		for _, c := range r.Counters {
			what, which, _ := strings.Cut(c.Name, ".")
			count(operations, c.Value, r.Process, what, which)
		}
	}
	s := a.network()
	count(netFrames, s.FramesIn, "in")
	count(netFrames, s.FramesOut, "out")
	count(netBytes, s.BytesIn, "in")
	count(netBytes, s.BytesOut, "out")
	count(netDropped, s.FramesDropped)
	gauge(netLinks, float64(s.Connections))
	for _, e := range s.Errors {
		count(netErrors, e.Count, e.Reason.String())
	}
}
