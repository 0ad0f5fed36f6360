package sitelink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"holdfast/edge"
	"holdfast/edge/verdict"
	"holdfast/mqtt"
)

// Tasks runs tasks.
type Tasks interface {
	// Infer blocks until the task has settled. The end of ctx means that its caller
	// gave up.
	Infer(ctx context.Context, t edge.Task) edge.Settlement
}

// Warnings is where lasting conditions are told.
type Warnings interface {
	Raise(w edge.Warning)
	Clear(code, subject string)
}

// The codes of our warnings.
const (
	// WarningTrigger: a trigger of the policy is not served. The subject is its filter.
	WarningTrigger = "trigger-not-served"
	// WarningStrays: the broker sends messages that no trigger asks for. The subject is
	// the broker.
	WarningStrays = "site-messages-unasked"
)

// Options say where the site's broker is, who does the work, and how much of it.
type Options struct {
	// Link is the session with the broker: address, client id, credentials, TLS,
	// tuning. What the link itself decides must be empty: Subscriptions, Unsubscribe,
	// Handle, OnUp, OnDown and Oversize. Messages larger than Tuning.MaxFrame (64 KiB,
	// at most 1 MiB) are refused. By default 1,024 messages of at most MaxBytes wait in
	// the inbox.
	Link mqtt.Options
	// Former are filters that earlier processes of the node may have subscribed to with
	// this client id, at most 64; those not in force are given up at the first connection.
	Former []string

	Tasks  Tasks
	Models verdict.Models
	// DefaultDeadline is the deadline of a trigger that names none; 0 means none. By
	// default it is the class's own.
	DefaultDeadline func(edge.Class) time.Duration
	Warnings        Warnings // nil tells nobody; Status has them all the same

	MaxTasks    int           // inside at a time, 64
	MaxBytes    int64         // of messages and of requests made from them, 8 MiB; as much again for verdicts
	MaxVerdicts int           // waiting for the broker or still to come, 256; messages wait for room
	VerdictLife time.Duration // how long after its deadline a verdict is still of use, 30 s
	Rate        int           // messages examined in a second, 1,000; more wait at the broker

	Log *slog.Logger // nil discards
}

// inbox is how many messages may wait to be examined. A broker with a window of 20, as
// mosquitto has, was seen to send 290 at once when they came fast; and each time the
// inbox is full the connection is made anew.
const inbox = 1024

func (o *Options) check() error {
	var problems []error
	require := func(ok bool, text string) {
		if !ok {
			problems = append(problems, errors.New(text))
		}
	}
	l := &o.Link
	require(o.Tasks != nil && o.Models != nil, "nobody to run tasks or to know models")
	require(l.Subscriptions == nil && l.Unsubscribe == nil && l.Handle == nil && l.OnUp == nil && l.OnDown == nil && !l.Oversize,
		"the session's subscriptions and callbacks are the link's own")
	require(o.MaxTasks >= 0 && o.MaxBytes >= 0 && o.MaxVerdicts >= 0 && o.VerdictLife >= 0 && o.Rate >= 0, "a bound is below zero")
	require(o.MaxBytes == 0 || o.MaxBytes >= 2*int64(l.Tuning.MaxFrame), "MaxBytes has no room for the largest message and a request made from it")
	require(len(o.Former) <= maxFilters && !slices.ContainsFunc(o.Former, func(filter string) bool { return !mqtt.IsFilter(filter) }),
		"the former filters are too many, or not all are topic filters")
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("cannot use options of site link: %w: %w", edge.ErrInvalid, err)
	}
	_, err := mqtt.New(*l)
	return err
}

func (o *Options) fill() {
	if o.MaxTasks == 0 {
		o.MaxTasks = 64
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 8 << 20
	}
	if o.MaxVerdicts == 0 {
		o.MaxVerdicts = 256
	}
	if o.VerdictLife == 0 {
		o.VerdictLife = 30 * time.Second
	}
	if o.Rate == 0 {
		o.Rate = 1000
	}
	if o.Link.Tuning.MaxFrame == 0 {
		o.Link.Tuning.MaxFrame = mqtt.DefaultFrame
	}
	if o.Link.Inbox == 0 {
		o.Link.Inbox = inbox
	}
	if o.Link.InboxBytes == 0 {
		o.Link.InboxBytes = int(min(o.MaxBytes, 1<<30))
	}
	if o.DefaultDeadline == nil {
		o.DefaultDeadline = edge.Class.DefaultDeadline
	}
	if o.Warnings == nil {
		o.Warnings = unheard{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// unheard takes warnings for nobody.
type unheard struct{}

func (unheard) Raise(edge.Warning)   {}
func (unheard) Clear(string, string) {}
