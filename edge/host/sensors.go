package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/disk"
	gohost "github.com/shirou/gopsutil/v3/host"
	"github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"
	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// errNothing is what a sensor says that answered without a value; gopsutil takes
// a file that cannot be read for an empty one.
var errNothing = errors.New("no value")

func cores() int { return goruntime.NumCPU() }

func readUptime(ctx context.Context, v *edge.Vitals) error {
	seconds, err := gohost.UptimeWithContext(ctx)
	v.Uptime = time.Duration(seconds) * time.Second
	return err
}

// cpuTimes are seconds since boot, summed over the cores.
type cpuTimes struct{ busy, total float64 }

// readCPULocked takes the busy share since the sample before. Waiting for I/O is
// idle; time stolen by a hypervisor is busy. Guest time is part of user time.
func (s *Sampler) readCPULocked(ctx context.Context, v *edge.Vitals) error {
	all, err := cpu.TimesWithContext(ctx, false)
	if err != nil {
		return err
	}
	if len(all) != 1 {
		return errNothing
	}
	t := all[0]
	now := cpuTimes{busy: t.User + t.Nice + t.System + t.Irq + t.Softirq + t.Steal}
	now.total = now.busy + t.Idle + t.Iowait
	before := s.cpu
	s.cpu = now
	if before.total > 0 && now.total > before.total {
		v.CPU = min(max((now.busy-before.busy)/(now.total-before.total), 0), 1)
	}
	return nil
}

func readLoad(ctx context.Context, v *edge.Vitals) error {
	average, err := load.AvgWithContext(ctx)
	if err != nil {
		return err
	}
	v.Load1 = average.Load1
	return nil
}

func readMemory(ctx context.Context, v *edge.Vitals) error {
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return err
	}
	if memory.Total == 0 || memory.Available > memory.Total {
		return errNothing
	}
	v.MemoryTotal, v.MemoryUsed = memory.Total, memory.Total-memory.Available
	return nil
}

func (s *Sampler) readDisk(ctx context.Context, v *edge.Vitals) error {
	usage, err := disk.UsageWithContext(ctx, existing(s.options.StatePath))
	if err != nil {
		return err
	}
	v.DiskTotal, v.DiskFree = usage.Total, usage.Free
	return nil
}

// readTemperatureLocked takes the hottest sensor that says something. A machine
// without any has no temperature, which is no failure.
func (s *Sampler) readTemperatureLocked(ctx context.Context, v *edge.Vitals) error {
	if s.read.IsZero() || v.At.Sub(s.read) >= temperatureEvery {
		s.read, s.hottest = v.At, 0
		// An error means that some sensor cannot be read; the others count.
		readings, _ := gohost.SensorsTemperaturesWithContext(ctx)
		for _, reading := range readings {
			s.hottest = max(s.hottest, reading.Temperature)
		}
	}
	v.Temperature = s.hottest
	return nil
}

func (s *Sampler) readAgentMemory(_ context.Context, v *edge.Vitals) error {
	content, err := os.ReadFile(s.options.Root + "/proc/self/statm")
	if err != nil {
		return err
	}
	fields := strings.Fields(string(content))
	if len(fields) < 2 {
		return errNothing
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64) // total, then resident
	if err != nil {
		return fmt.Errorf("cannot read resident pages: %w", err)
	}
	v.AgentRSS = pages * uint64(os.Getpagesize())
	return nil
}

func readAgentCPU(_ context.Context, v *edge.Vitals) error {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	v.AgentCPU = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	return nil
}

// readAgentWrites takes what reaches storage of what the agent writes: not what it has
// written to folders in memory, nor what was gone before it was written back. A kernel that
// does not count it is no failure.
func (s *Sampler) readAgentWrites(_ context.Context, v *edge.Vitals) error {
	content, err := os.ReadFile(s.options.Root + "/proc/self/io")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var written, cancelled uint64
	for line := range strings.Lines(string(content)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "write_bytes":
			written, err = strconv.ParseUint(value, 10, 64)
		case "cancelled_write_bytes":
			cancelled, err = strconv.ParseUint(value, 10, 64)
		}
		if err != nil {
			return fmt.Errorf("cannot read bytes written: %w", err)
		}
	}
	// Never less than before: what is gone may have been counted already.
	v.AgentWritten = max(written-min(cancelled, written), s.last.Load().AgentWritten)
	return nil
}
