package containerd

import (
	"context"
	"fmt"
	"math"
	"time"

	cgroup1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	cgroup2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/typeurl/v2"

	"holdfast/edge"
)

// Usage measures a running instance.
func (d *Driver) Usage(ctx context.Context, id string) (edge.Usage, error) {
	usage, err := d.usage(d.scope(ctx), id)
	if err != nil {
		return edge.Usage{}, fmt.Errorf("cannot measure instance %q: %w", id, err)
	}
	return usage, nil
}

func (d *Driver) usage(ctx context.Context, id string) (edge.Usage, error) {
	if err := checkID(id); err != nil {
		return edge.Usage{}, err
	}
	c, err := d.conn()
	if err != nil {
		return edge.Usage{}, err
	}
	answer, err := c.TaskService().Metrics(ctx, &tasks.MetricsRequest{Filters: []string{"id==" + id}})
	if err != nil {
		return edge.Usage{}, native(err)
	}
	if len(answer.Metrics) == 0 {
		return edge.Usage{}, edge.ErrNotFound
	}
	metrics, err := typeurl.UnmarshalAny(answer.Metrics[0].Data)
	if err != nil {
		return edge.Usage{}, fmt.Errorf("cannot decode metrics: %w", err)
	}
	return usageOf(metrics)
}

// usageOf reads the metrics of either version of cgroups: hosts send what they
// have.
func usageOf(metrics any) (edge.Usage, error) {
	switch m := metrics.(type) {
	case *cgroup1.Metrics:
		return usageV1(m), nil
	case *cgroup2.Metrics:
		return usageV2(m), nil
	default:
		return edge.Usage{}, fmt.Errorf("metrics of type %T are not known", metrics)
	}
}

func usageV1(m *cgroup1.Metrics) edge.Usage {
	return edge.Usage{
		CPU:         nanoseconds(m.GetCPU().GetUsage().GetTotal()),
		Memory:      less(m.GetMemory().GetUsage().GetUsage(), m.GetMemory().GetTotalInactiveFile()),
		MemoryLimit: limit(m.GetMemory().GetUsage().GetLimit()),
		Pids:        m.GetPids().GetCurrent(),
		Throttled:   nanoseconds(m.GetCPU().GetThrottling().GetThrottledTime()),
		OOMKills:    m.GetMemoryOomControl().GetOomKill(),
	}
}

func usageV2(m *cgroup2.Metrics) edge.Usage {
	return edge.Usage{
		CPU:         microseconds(m.GetCPU().GetUsageUsec()),
		Memory:      less(m.GetMemory().GetUsage(), m.GetMemory().GetInactiveFile()),
		MemoryLimit: limit(m.GetMemory().GetUsageLimit()),
		Pids:        m.GetPids().GetCurrent(),
		Throttled:   microseconds(m.GetCPU().GetThrottledUsec()),
		OOMKills:    m.GetMemoryEvents().GetOomKill(),
	}
}

// less subtracts what was counted a moment later and may therefore be more.
func less(whole, part uint64) uint64 {
	if part > whole {
		return 0
	}
	return whole - part
}

// limit drops the huge numbers by which the kernel says that there is none.
func limit(bytes uint64) uint64 {
	const none = 1 << 62
	if bytes >= none {
		return 0
	}
	return bytes
}

func nanoseconds(n uint64) time.Duration { return time.Duration(min(n, math.MaxInt64)) }

func microseconds(n uint64) time.Duration {
	return nanoseconds(min(n, math.MaxInt64/1000) * 1000)
}
