package sitelink

import (
	"slices"

	"holdfast/edge"
	"holdfast/mqtt"
)

// Status is the link at one moment. Counts grow from New on.
type Status struct {
	Broker   string
	Link     mqtt.State // of the present session, which begins anew with other subscriptions; idle when there is none
	Triggers []TriggerStatus
	Warnings []edge.Warning // triggers that are not served

	Tasks        int   // inside
	Bytes        int64 // of messages and of what was made from them
	Waiting      int   // verdicts for the broker
	WaitingBytes int64
	Known        int // messages that would be recognised if they came again

	Messages    uint64 // from the broker
	Retained    uint64 // of them: from the broker's memory, no tasks
	Strays      uint64 // of them: no trigger asks for them
	Duplicates  uint64 // of them: known, no second task
	Redelivered uint64 // of them: sent before, and not known to this process
	Oversize    uint64 // of them: larger than the link takes
	Full        uint64 // refusals for want of room
	Abandoned   uint64 // tasks given up because Run ended

	Told       uint64 // verdicts the broker has acknowledged
	ToldAgain  uint64 // verdicts sent more than once
	Expired    uint64 // verdicts of no more use
	CrowdedOut uint64 // verdicts that gave way to newer ones for want of bytes
	Unsendable uint64 // verdicts no broker would take: topic or size
}

// TriggerStatus is one trigger in force. Its counts go on when other triggers change.
type TriggerStatus struct {
	edge.Trigger
	Messages uint64
	Unfit    uint64                     // of them: not to be turned into a request
	Outcomes [len(edge.Outcomes)]uint64 // by edge.Outcome
	Told     uint64                     // verdicts the broker has acknowledged
	Untold   uint64                     // verdicts nobody heard
}

// Status returns the link as it is.
func (l *Link) Status() Status {
	p := l.plan.Load()
	t := &l.tallies
	waiting, waitingBytes := l.replies.load() // what has grown old is counted below
	tasks, bytes, known := l.intake.load()
	s := Status{
		Tasks: tasks, Bytes: bytes, Known: known, Waiting: waiting, WaitingBytes: waitingBytes,
		Broker: l.options.Link.Broker, Link: mqtt.State{Phase: mqtt.Idle}, Warnings: slices.Clone(p.warnings),
		Messages: t.messages.Load(), Retained: t.retained.Load(), Strays: t.strays.Load(), Duplicates: t.duplicates.Load(),
		Redelivered: t.redelivered.Load(), Oversize: t.oversize.Load(), Full: t.full.Load(), Abandoned: t.abandoned.Load(),
		Told: t.told.Load(), ToldAgain: t.toldAgain.Load(), Expired: t.expired.Load(), CrowdedOut: t.crowdedOut.Load(), Unsendable: t.unsendable.Load(),
	}
	if session := l.session.Load(); session != nil {
		s.Link = session.State()
	}
	for _, r := range p.rules {
		s.Triggers = append(s.Triggers, r.status())
	}
	return s
}

func (r *rule) status() TriggerStatus {
	s := TriggerStatus{
		Trigger: r.Trigger, Messages: r.counts.messages.Load(), Unfit: r.counts.unfit.Load(),
		Told: r.counts.told.Load(), Untold: r.counts.untold.Load(),
	}
	for i := range s.Outcomes {
		s.Outcomes[i] = r.counts.outcomes[i].Load()
	}
	return s
}
