package metrics

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"holdfast/edge"
)

// MostModels bounds the models that have series of their own.
const MostModels = 64

// other stands for the models beyond.
const other = "other"

// Metrics counts tasks, and shows them with what the node's status says.
type Metrics struct {
	registry *prometheus.Registry
	tasks    *prometheus.CounterVec
	missed   *prometheus.CounterVec
	slack    *prometheus.HistogramVec
	queue    *prometheus.HistogramVec
	compute  *prometheus.HistogramVec
	recovery *prometheus.HistogramVec

	mu     sync.Mutex // guards models
	models map[string]bool
}

// New shows what status says, each time somebody asks.
func New(status func() edge.Status) (*Metrics, error) {
	spans := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: buckets}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		tasks:    counter("tasks_total", "Tasks that have ended.", "model", "class", "outcome", "route"),
		missed:   counter("deadline_missed_total", "Tasks that were let in and not answered by their deadline.", "class"),
		slack: histogram("task_slack_seconds", "Time that was left before the deadline when a task was answered; below zero it was late.",
			append([]float64{-1, -.1, -.01, 0}, spans...), "class"),
		queue:   histogram("task_queue_seconds", "Time from a task's arrival to its start.", spans, "class"),
		compute: histogram("task_compute_seconds", "Time from a task's start to its answer.", spans, "class"),
		recovery: histogram("recovery_seconds", "Time from the end of an instance that was ready, and ended by itself, to the moment another is.",
			[]float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}),
		models: map[string]bool{},
	}
	for _, c := range []prometheus.Collector{m.tasks, m.missed, m.slack, m.queue, m.compute, m.recovery, reader{status}} {
		if err := m.registry.Register(c); err != nil {
			return nil, fmt.Errorf("cannot register metrics: %w", err)
		}
	}
	for _, class := range edge.Classes { // a series that begins with its first miss shows no increase
		m.missed.WithLabelValues(class.String())
	}
	m.recovery.WithLabelValues()
	return m, nil
}

// Settled counts a task.
func (m *Metrics) Settled(s edge.Settlement) {
	class := s.Task.Class.String()
	m.tasks.WithLabelValues(m.model(s.Task.Model), class, s.Outcome.String(), s.Answer.Route).Inc()
	if s.Outcome == edge.Missed || s.Outcome == edge.Evicted {
		m.missed.WithLabelValues(class).Inc()
	}
	if s.Outcome != edge.Completed {
		return
	}
	m.queue.WithLabelValues(class).Observe(s.Queue.Seconds())
	m.compute.WithLabelValues(class).Observe(s.Compute.Seconds())
	if s.Task.HasDeadline() {
		m.slack.WithLabelValues(class).Observe(s.Slack().Seconds())
	}
}

// Recovered counts an instance that is there again.
func (m *Metrics) Recovered(took time.Duration) { m.recovery.WithLabelValues().Observe(took.Seconds()) }

// model bounds how many there are: a refused task may name any.
func (m *Metrics) model(name string) string {
	name = valid(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.models[name] {
		if len(m.models) >= MostModels {
			return other
		}
		m.models[name] = true
	}
	return name
}

// Handler shows everything in the format that is asked for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2})
}
