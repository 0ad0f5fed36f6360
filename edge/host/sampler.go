package host

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shirou/gopsutil/v3/common"

	"holdfast/edge"
)

const (
	// interval is how often Run samples.
	interval = time.Second
	// temperatureEvery spaces out readings of the temperature: some sensors sit
	// behind a slow bus, and heat changes slowly.
	temperatureEvery = 10 * time.Second
)

// Options say where to measure.
type Options struct {
	StatePath string       // its file system is the disk of the vitals
	Root      string       // stands before /proc and /sys; empty: the machine itself
	Log       *slog.Logger // nil: no log
}

// Sampler measures the node.
type Sampler struct {
	options Options
	last    atomic.Pointer[edge.Vitals]

	mu      sync.Mutex // guards what follows
	sensors []*sensor
	cpu     cpuTimes // of the sample before
	hottest float64  // of the last reading
	read    time.Time
}

// sensor measures one part of the vitals.
type sensor struct {
	name    string
	read    func(context.Context, *edge.Vitals) error
	failing bool
}

// New returns a sampler that has not measured anything yet.
func New(options Options) *Sampler {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	s := &Sampler{options: options}
	s.last.Store(&edge.Vitals{})
	s.sensors = []*sensor{
		{name: "uptime", read: readUptime},
		{name: "cpu", read: s.readCPULocked},
		{name: "load", read: readLoad},
		{name: "memory", read: readMemory},
		{name: "disk", read: s.readDisk},
		{name: "temperature", read: s.readTemperatureLocked},
		{name: "agent memory", read: s.readAgentMemory},
		{name: "agent cpu", read: readAgentCPU},
		{name: "agent writes", read: s.readAgentWrites},
	}
	return s
}

// Vitals returns the last sample, and zeros before the first.
func (s *Sampler) Vitals() edge.Vitals { return *s.last.Load() }

// Run samples once a second until ctx ends.
func (s *Sampler) Run(ctx context.Context) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		s.Sample()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Sample measures now. The busy share of the CPU is that since the sample before,
// and 0 in the first.
func (s *Sampler) Sample() edge.Vitals {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx := below(context.Background(), s.options.Root)
	v := edge.Vitals{At: time.Now(), Cores: cores()}
	for _, one := range s.sensors {
		s.noteLocked(one, one.read(ctx, &v))
	}
	s.last.Store(&v)
	return v
}

// noteLocked logs a sensor's turn from good to bad and back.
func (s *Sampler) noteLocked(one *sensor, err error) {
	switch failing := err != nil; {
	case failing == one.failing:
		return
	case failing:
		s.options.Log.Warn("sensor-failed", "sensor", one.name, "error", err.Error())
	default:
		s.options.Log.Info("sensor-back", "sensor", one.name)
	}
	one.failing = err != nil
}

// below tells gopsutil to read under another root.
func below(ctx context.Context, root string) context.Context {
	if root == "" {
		return ctx
	}
	return context.WithValue(ctx, common.EnvKey, common.EnvMap{
		common.HostProcEnvKey: root + "/proc",
		common.HostSysEnvKey:  root + "/sys",
	})
}
