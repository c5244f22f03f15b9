package load

import "context"

// A Measurement is a load on one server, and what that cost. What the system does
// not tell is 0.
type Measurement struct {
	Report
	CPU    float64 `json:"cpu_us_per_command"` // of the server's processes
	Memory int64   `json:"memory_bytes"`       // of these, resident, at the end
	// Written and Flushes are the disk's: of the whole machine, which should do
	// nothing else.
	Written float64 `json:"device_bytes_per_command"`
	Flushes float64 `json:"device_flushes_per_second"`
	Syncs   float64 `json:"syncs_per_second"` // as the server counts them
	// Missing says why nothing was measured: the server is not installed.
	Missing string `json:"missing,omitempty"`
}

// Server is what is measured beside the load.
type Server struct {
	PIDs []int  // of its processes, but those that they have started
	Dir  string // where its files are
}

// Measure runs a load on a server.
func Measure(ctx context.Context, cfg Config, server Server, driver Driver) (*Measurement, error) {
	return MeasureWith(cfg, server, func(cfg Config) (*Report, error) { return Run(ctx, cfg, driver) })
}

// MeasureWith is Measure for who calls Run by himself, with the configuration that
// he is given.
func MeasureWith(cfg Config, server Server, run func(Config) (*Report, error)) (*Measurement, error) {
	var usage [2]Usage
	var device [2]Device
	cfg.Window = func(open bool) {
		i := 0
		if !open {
			i = 1
		}
		usage[i] = Usage{}
		for _, pid := range server.PIDs {
			u, _ := UsageOf(pid) // not known: 0
			usage[i].CPU, usage[i].Memory = usage[i].CPU+u.CPU, usage[i].Memory+u.Memory
		}
		device[i], _ = DeviceOf(server.Dir)
	}
	r, err := run(cfg)
	if err != nil {
		return nil, err
	}
	n := float64(max(r.Accepted, 1))
	m := &Measurement{Report: *r, Memory: usage[1].Memory}
	m.CPU = float64((usage[1].CPU - usage[0].CPU).Microseconds()) / n
	m.Written = float64(device[1].Written-device[0].Written) / n
	m.Flushes = float64(device[1].Flushes-device[0].Flushes) / r.Seconds
	return m, nil
}
