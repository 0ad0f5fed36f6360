package agent

import (
	"context"
	"maps"
	"sync"
	"time"

	"holdfast/edge"
)

const (
	// sampleEvery is how often the node is sampled: as often as its vitals are.
	sampleEvery = time.Second
	// keptSamples is five minutes, what a plot shows at once, and about 60 KiB.
	keptSamples = 300
)

// history keeps the node's latest samples, one each second, so that whoever begins to look
// sees how it came to be as it is. It is kept whether or not anybody looks.
type history struct {
	take func() edge.Sample

	mu      sync.Mutex // guards what follows
	samples ring[edge.Sample]
	taken   uint64 // samples ever
}

func newHistory(take func() edge.Sample) *history {
	return &history{take: take, samples: ring[edge.Sample]{size: keptSamples}}
}

// Run takes samples until ctx ends.
func (h *history) Run(ctx context.Context) error {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			h.add(h.take())
		}
	}
}

func (h *history) add(s edge.Sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	// What seldom changes is kept once.
	if last, any := h.samples.last(); any && maps.Equal(last.Upstreams, s.Upstreams) {
		s.Upstreams = last.Upstreams
	}
	h.samples.add(s)
	h.taken++
}

// Samples lists the kept samples after the first so many, oldest first, and how many there
// have been.
func (h *history) Samples(after uint64) ([]edge.Sample, uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.samples.latest(unseen(h.taken, after)), h.taken
}

// unseen is how many there are after so many; all when those are counted otherwise.
func unseen(total, after uint64) int {
	if after > total {
		after = 0
	}
	return int(min(total-after, 1<<30))
}

// sampler makes samples of what the parts of the agent know. It is of one goroutine.
type sampler struct {
	*Agent
	at   time.Time     // of the vitals before
	used time.Duration // CPU time of the agent by then
	busy float64       // its share of a core since the ones before them
}

// take is the node now.
func (s *sampler) take() edge.Sample {
	vitals, tasks := s.vitals.Vitals(), s.scheduler.Glance(0)
	sample := edge.Sample{
		At: time.Now(), CPU: vitals.CPU, MemoryUsed: vitals.MemoryUsed,
		AgentCPU: s.share(vitals), AgentRSS: vitals.AgentRSS, Temperature: vitals.Temperature,
		Waiting: tasks.Report.Waiting + tasks.Report.Away, Running: tasks.Report.Running,
		Suspended: len(tasks.Running) - tasks.Report.Running,
		Ended:     endedTasks(tasks.Report.Classes),
		Link:      "none",
	}
	if link := s.linkReport(); link != nil {
		sample.Link, sample.Outbox = "down", link.Waiting()
		if link.Phase == "up" {
			sample.Link = "up"
		}
	}
	for _, upstream := range s.router.Reports() {
		if sample.Upstreams == nil {
			sample.Upstreams = map[string]edge.UpstreamState{}
		}
		sample.Upstreams[upstream.Name] = upstream.State
	}
	return sample
}

// share is how busy the agent keeps a core, between the latest two vitals.
func (s *sampler) share(v edge.Vitals) float64 {
	if passed := v.At.Sub(s.at); passed > 0 {
		if !s.at.IsZero() {
			s.busy = max(float64(v.AgentCPU-s.used)/float64(passed), 0)
		}
		s.at, s.used = v.At, v.AgentCPU
	}
	return s.busy
}

// endedTasks counts what has ended, but for what its caller gave up: that says nothing of the
// node.
func endedTasks(classes []edge.ClassReport) (ended edge.EndedTasks) {
	for _, class := range classes {
		var count edge.EndedCount
		for outcome, n := range class.Settled {
			switch outcome {
			case edge.Completed.String():
				count[0] += n
				count[1] += n
			case edge.Cancelled.String():
			case edge.Refused.String(), edge.Evicted.String():
				count[1] += n
				count[2] += n
			case edge.Missed.String():
				count[1] += n
				count[3] += n
			default:
				count[1] += n
			}
		}
		switch class.Class {
		case edge.Urgent:
			ended.Urgent = count
		case edge.Normal:
			ended.Normal = count
		case edge.Batch:
			ended.Batch = count
		}
	}
	return ended
}
