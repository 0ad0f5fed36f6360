package agent

import (
	"errors"
	"time"

	"holdfast/edge"
)

const (
	// tasksEvery is how often settled tasks become records.
	tasksEvery = time.Second
	// countEvery is how often the fleet is told how many more there were.
	countEvery = time.Minute
	// maxCounted bounds the models that are counted apart: callers may name any.
	maxCounted = 64
)

// taskRecord is one settled task as the fleet is told.
type taskRecord struct {
	ID         string `json:"id"`
	Model      string `json:"model"`
	Answered   string `json:"answeredBy,omitempty"` // the variant, if another model than the one asked for
	Route      string `json:"route,omitempty"`      // of an answer
	RouteWhy   string `json:"routeWhy,omitempty"`   // where the model has a route
	Class      string `json:"class"`
	Tenant     string `json:"tenant,omitempty"`
	Outcome    string `json:"outcome"`
	Reason     string `json:"reason,omitempty"`
	AgeMs      int64  `json:"ageMs"` // from its end to this record
	QueueUs    int64  `json:"queueUs"`
	ComputeUs  int64  `json:"computeUs"`
	SlackUs    *int64 `json:"slackUs,omitempty"` // at its end; below zero: late. None without a deadline
	EstimateUs int64  `json:"estimateUs"`

	Trace edge.TraceID `json:"trace,omitzero"`
}

// taskCounts is how many tasks settled that were not told one by one.
type taskCounts struct {
	OverMs int64                        `json:"overMs"` // the time they came in
	Models map[string]map[string]uint64 `json:"models"` // by model and outcome; "" are those of more models than are counted apart
}

// taskMeter lets so many tasks a second through, and counts the rest. Its owner has a
// lock.
type taskMeter struct {
	each   int // a second
	single []settled
	rest   map[string]map[string]uint64
	since  time.Time // of rest
}

// settled is what is kept of a settlement until it is told: not its answer.
type settled struct {
	task               edge.Task
	outcome            edge.Outcome
	err                error
	answeredBy, route  string
	why                edge.Why
	at                 time.Time
	queue, compute     time.Duration
	estimate, leftOver time.Duration
}

func (m *taskMeter) add(s edge.Settlement) {
	if len(m.single) >= m.each {
		m.count(s.Task.Model, s.Outcome, s.At)
		return
	}
	task := s.Task
	task.Input = edge.Payload{} // as large as a picture
	m.single = append(m.single, settled{
		task: task, outcome: s.Outcome, err: s.Err, answeredBy: s.Variant(), route: s.Answer.Route, why: s.RouteWhy, at: s.At,
		queue: s.Queue, compute: s.Compute, estimate: s.Estimate, leftOver: s.Slack(),
	})
}

func (m *taskMeter) count(model string, outcome edge.Outcome, at time.Time) {
	if m.rest == nil {
		m.rest, m.since = map[string]map[string]uint64{}, at
	}
	if m.rest[model] == nil {
		if len(m.rest) >= maxCounted {
			model = ""
		}
		if m.rest[model] == nil {
			m.rest[model] = map[string]uint64{}
		}
	}
	m.rest[model][outcome.String()]++
}

// take gives what is to be told now; at the end that is everything.
func (m *taskMeter) take(now time.Time, end bool) (single []taskRecord, rest *taskCounts) {
	for _, s := range m.single {
		single = append(single, s.record(now))
	}
	clear(m.single)
	m.single = m.single[:0]
	if m.rest != nil && (end || now.Sub(m.since) >= countEvery) {
		rest = &taskCounts{OverMs: now.Sub(m.since).Milliseconds(), Models: m.rest}
		m.rest = nil
	}
	return single, rest
}

func (s *settled) record(now time.Time) taskRecord {
	r := taskRecord{
		ID: s.task.ID, Model: s.task.Model, Class: s.task.Class.String(), Tenant: s.task.Tenant,
		Answered: s.answeredBy, Route: s.route, RouteWhy: string(s.why),
		Outcome: s.outcome.String(), AgeMs: now.Sub(s.at).Milliseconds(),
		Trace:   s.task.Trace.ID,
		QueueUs: s.queue.Microseconds(), ComputeUs: s.compute.Microseconds(), EstimateUs: s.estimate.Microseconds(),
	}
	if s.task.HasDeadline() {
		slack := s.leftOver.Microseconds()
		r.SlackUs = &slack
	}
	switch {
	case s.outcome == edge.Failed:
		r.Reason = failureKind(s.err)
	case s.err != nil:
		r.Reason = explain(edge.Settlement{Task: s.task, Outcome: s.outcome, Err: s.err, Queue: s.queue, Compute: s.compute, Estimate: s.estimate})
	}
	return r
}

// failureKind is what the fleet is told of a failure. What a model says of it may quote its input, and stays here.
func failureKind(err error) string {
	for _, kind := range [...]error{edge.ErrModel, edge.ErrDeadline, edge.ErrUnavailable, edge.ErrInvalid, edge.ErrNotFound} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return "failed"
}
