package sitelink

import (
	"context"
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/edge/verdict"
	"holdfast/mqtt"
)

// handle takes one message. connected ends with the connection, ctx with Run.
func (l *Link) handle(connected, ctx context.Context, d mqtt.Delivery) {
	if !l.pace.wait(connected) {
		return // it comes again
	}
	l.tallies.messages.Add(1)
	if d.Retained {
		l.tallies.retained.Add(1)
		d.Ack()
		return
	}
	rules := l.plan.Load().match(d.Topic)
	if len(rules) == 0 {
		l.stray(d)
		return
	}
	if l.intake.again(d) {
		l.tallies.duplicates.Add(1)
		return
	}
	if !l.replies.reserve(connected, replied(rules)) {
		return // it comes again
	}
	if d.Duplicate {
		l.tallies.redelivered.Add(1)
	}
	if d.Oversize > 0 {
		l.tallies.oversize.Add(1)
	}
	m, ok := l.intake.admit(d, len(rules))
	if !ok {
		l.tallies.full.Add(1)
		d.Ack()
	}
	for _, r := range rules {
		r.counts.messages.Add(1)
		l.serve(ctx, d, m, r)
	}
}

// replied counts the verdicts that somebody is to hear.
func replied(rules []*rule) (n int) {
	for _, r := range rules {
		if r.Reply != "" {
			n++
		}
	}
	return n
}

// stray is a message nobody asks for: the broker remembers a subscription of former
// days. A former one of this process is on its way out.
func (l *Link) stray(d mqtt.Delivery) {
	d.Ack()
	l.tallies.strays.Add(1)
	l.mu.Lock()
	known := false
	for filter := range l.former {
		known = known || matches(filter, d.Topic)
	}
	l.mu.Unlock()
	if known || l.strayed.Swap(true) {
		return
	}
	o := &l.options
	o.Warnings.Raise(edge.Warning{
		Code: WarningStrays, Subject: o.Link.Broker, Detail: fmt.Sprintf("messages on topics such as %q come, and no trigger asks for them", d.Topic),
		Remedy: "the broker remembers a subscription of former days: stop the agent and connect once with a clean session, mosquitto_sub -i " + o.Link.ClientID + " -t x -E",
	})
}

// errand is one message for one trigger.
type errand struct {
	link    *Link
	rule    *rule
	message *message // nil when there was no room for it
	verdict verdict.Verdict
	until   time.Time // the verdict is of use
}

// serve makes the task of one trigger, or refuses it.
func (l *Link) serve(ctx context.Context, d mqtt.Delivery, m *message, r *rule) {
	e := &errand{link: l, rule: r, message: m, verdict: verdict.Verdict{
		Duplicate: d.Duplicate, Trigger: r.MQTT, Topic: d.Topic, Model: r.Model, Class: r.Class,
	}}
	e.expect(edge.Task{Arrived: d.Arrived})
	if m == nil {
		e.refuse(d, full(fmt.Sprintf("the node holds %d bytes of messages, as many as it may", l.options.MaxBytes)))
		return
	}
	if d.Oversize > 0 {
		e.verdict.Reason = verdict.ReasonTooLarge
		e.verdict.Detail = fmt.Sprintf("the message has %d bytes, %d are taken", d.Oversize, l.frame())
		e.verdict.Hint = "send less at once"
		e.verdict.Outcome = edge.Refused
		e.tell()
		return
	}
	req, err := verdict.Read(d.Payload, r.Model, l.options.Models)
	var task edge.Task
	if err == nil {
		e.verdict.ID = req.Parsed.ID
		task, err = req.Task(r.Trigger, l.within(r), d.Arrived)
		task.ID = l.nextID()
	}
	if err != nil {
		r.counts.unfit.Add(1)
		e.refuse(d, err)
		return
	}
	e.verdict.Task, e.verdict.Class = task.ID, task.Class
	e.expect(task)
	if !l.intake.slot(m, made(req)) {
		l.tallies.full.Add(1)
		e.refuse(d, full(fmt.Sprintf("as many messages as may be are inside: %d tasks, or %d bytes", l.options.MaxTasks, l.options.MaxBytes)))
		return
	}
	if e.verdict.ID == "" {
		e.verdict.ID = verdict.Digest(d.Payload)
	}
	l.tasks.Go(func() { e.run(ctx, task) })
}

// made is how many bytes a request has beside those of its message.
func made(r verdict.Request) int64 {
	if r.Made {
		return int64(len(r.Payload.Body))
	}
	return 0
}

// retryFull is when asking again may help: some tasks are over by then.
const retryFull = time.Second

func full(detail string) error {
	return &edge.Refusal{Reason: edge.ReasonQueueFull, Detail: detail, RetryAfter: retryFull}
}

// within is the deadline of a trigger.
func (l *Link) within(r *rule) time.Duration {
	if r.Deadline > 0 {
		return time.Duration(r.Deadline)
	}
	return l.options.DefaultDeadline(r.Class)
}

// expect notes how long the task may take, and its verdict is of use.
func (e *errand) expect(t edge.Task) {
	within := e.link.within(e.rule)
	if t.HasDeadline() {
		within = t.Deadline.Sub(t.Arrived)
	}
	e.verdict.DeadlineMS = verdict.Of(within)
	e.until = t.Arrived.Add(max(within, 0) + e.link.options.VerdictLife)
}

// run has the task computed and tells what became of it. A task given up because Run
// ends has no verdict: its message comes again.
func (e *errand) run(ctx context.Context, t edge.Task) {
	s := e.link.options.Tasks.Infer(ctx, t)
	e.link.intake.leave()
	if ctx.Err() != nil && s.Outcome == edge.Cancelled {
		e.link.tallies.abandoned.Add(1)
		e.link.intake.abandon(e.message)
		if e.rule.Reply != "" {
			e.link.replies.release()
		}
		return
	}
	if !t.HasDeadline() {
		e.until = time.Now().Add(e.link.options.VerdictLife)
	}
	e.verdict.Settle(s)
	e.tell()
}

func (e *errand) refuse(d mqtt.Delivery, err error) {
	if e.verdict.ID == "" {
		e.verdict.ID = verdict.Digest(d.Payload)
	}
	e.verdict.Refuse(err)
	e.tell()
}

// tell counts the verdict, and sends it to who is to hear it.
func (e *errand) tell() {
	l, r := e.link, e.rule
	r.counts.outcomes[e.verdict.Outcome].Add(1)
	if r.Reply == "" {
		if e.message != nil {
			l.intake.told(e.message)
		}
		return
	}
	topic := fill(r.Reply, r.MQTT, e.verdict.Topic)
	body := e.verdict.Encode(l.frame() - len(topic) - headroom)
	l.replies.add(&letter{topic: topic, body: body, until: e.until, from: e.message, counts: r.counts})
}

// headroom is what a packet has beside topic and payload, and the mark of a verdict
// that is sent again.
const headroom = 64

// frame is the largest packet of the next connection.
func (l *Link) frame() int {
	if retune := l.options.Link.Retune; retune != nil {
		if frame := retune().MaxFrame; frame > 0 {
			return min(frame, mostFrame)
		}
	}
	return min(l.options.Link.Tuning.MaxFrame, mostFrame)
}

// mostFrame is what a session takes at most, whatever it is told.
const mostFrame = 1 << 20
