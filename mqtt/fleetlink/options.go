package fleetlink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/outbox"
)

// Stream is a row of numbered entries that the fleet is to get. Named makes one of a
// store.
type Stream interface {
	// Read returns what follows a place, at most so many entries. A place of another
	// epoch, or before what is acknowledged, means what follows the acknowledged.
	Read(after outbox.Position, most int) (outbox.Batch, error)
	// Ack lets everything go up to a place.
	Ack(to outbox.Position)
	// Changed returns a channel that is closed when there is more. It is taken before
	// Read, so nothing is missed.
	Changed() <-chan struct{}
	Report() edge.StreamReport
}

// Commands takes signed commands. Take returns nil when it knows the command for good,
// and edge.ErrUnavailable when it is to be asked again. Any other error refuses what
// it was given, for ever.
type Commands interface {
	Take(ctx context.Context, envelope []byte) error
}

// Policies applies signed policies; its errors are as those of Commands. What governs
// already is applied again without harm.
type Policies interface {
	Apply(ctx context.Context, envelope []byte) error
}

// Freshness asks the fleet a question that nobody else can answer.
type Freshness interface {
	Nonce(ctx context.Context) (string, error)
	Hear(ctx context.Context, envelope []byte) error
}

// Memory is what of this link outlives the process.
type Memory interface {
	// Confirms tells whether this fleet has ever confirmed what it got. Then nothing
	// leaves a stream before it did.
	Confirms() bool
	SetConfirms(ctx context.Context) error
}

// Usage is what was on the wire in a month, both ways.
type Usage struct {
	Month string `json:"month"` // as in 2026-11, UTC
	Bytes uint64 `json:"bytes"`
}

// Meter keeps a Usage. It is saved at most once an hour, and at the end.
type Meter interface {
	Load() (Usage, error)
	Save(u Usage) error
}

// Options are what a Link needs. Site, Node, Boot, Session, State, StateChanged,
// Birth and Hello must be there; the rest may be missing.
type Options struct {
	Site, Node string
	Groups     []string // whose commands are for us
	Boot       string   // the name of this boot of the machine

	// Session says how to reach the broker. What is said there, subscriptions, will and
	// hooks, is the link's. ClientID is the node's name unless given; MaxFrame is what
	// the largest policy takes unless given.
	Session mqtt.Options

	Control   Stream // what was committed before anybody was told: replies first of all
	Telemetry Stream

	Commands  Commands
	Policies  Policies
	Freshness Freshness
	// Confirm verifies what the fleet says to have kept; nil believes nobody.
	Confirm func(ctx context.Context, envelope []byte) (edge.Confirmation, error)
	Memory  Memory // nil: remembered until the process ends

	State        func() edge.Reported
	StateChanged func() <-chan struct{} // closed when State changes next
	// Birth and Hello are asked for each that is sent. The link adds what it knows: the
	// node, whether it is there, the session, nonce and streams.
	Birth func() edge.Presence
	Hello func() edge.Hello

	// Budget is how many bytes may be on the wire in a month; nil, or 0, is any number.
	Budget func() uint64
	Meter  Meter // nil: counted from the start of the process

	// Patience is how long the link may be down before that is a warning; 0: for ever.
	Patience time.Duration
	// Refused hears of what came and was of no use, a few times a minute at most.
	Refused func(topic, reason string)
	Log     *slog.Logger // nil: discards
}

func (o *Options) check() error {
	var problems []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	require(edge.IsName(o.Site), "site %.70q is no name", o.Site)
	require(mqtt.IsNode(o.Node), "node %.70q is no name of a node", o.Node)
	require(edge.IsName(o.Boot), "boot %.70q is no name", o.Boot)
	for i, group := range o.Groups {
		require(edge.IsName(group) && !slices.Contains(o.Groups[:i], group), "group %.70q is no name, or there twice", group)
	}
	require(o.State != nil && o.StateChanged != nil, "no state to report")
	require(o.Birth != nil && o.Hello != nil, "nothing to say at birth")
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("cannot use options of fleet link: %w: %w", err, edge.ErrInvalid)
	}
	return nil
}

// fill puts in place what does nothing where nothing was given.
func (o *Options) fill() {
	if o.Memory == nil {
		o.Memory = forgetful{}
	}
	if o.Meter == nil {
		o.Meter = forgetful{}
	}
	if o.Budget == nil {
		o.Budget = func() uint64 { return 0 }
	}
	if o.Refused == nil {
		o.Refused = func(string, string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Session.Log == nil {
		o.Session.Log = o.Log
	}
	if o.Session.ClientID == "" {
		o.Session.ClientID = o.Node
	}
}

// forgetful is the Memory and Meter of who has none.
type forgetful struct{}

func (forgetful) Confirms() bool       { return false }
func (forgetful) Load() (Usage, error) { return Usage{}, nil }
func (forgetful) Save(Usage) error     { return nil }

func (forgetful) SetConfirms(context.Context) error { return nil }

// Store keeps a stream: *outbox.Spool and *journal.Journal do.
type Store interface {
	Read(after outbox.Position, most int) (outbox.Batch, error)
	Ack(to outbox.Position)
	Changed() <-chan struct{}
	Status() outbox.Status
}

// named is a store that speaks of itself as the hello does.
type named struct {
	Store
	name string
}

// Named makes a Stream of a store.
func Named(name string, s Store) Stream { return named{s, name} }

func (n named) Report() edge.StreamReport {
	status := n.Status()
	return edge.StreamReport{Name: n.name, Epoch: status.Epoch, Next: status.Next, Confirmed: status.Acked}
}

// Waiting counts what is not confirmed; numbers are an upper bound where the store
// cannot tell.
func (n named) Waiting() uint64 {
	if store, counts := n.Store.(counter); counts {
		return store.Waiting()
	}
	status := n.Status()
	return status.Next - min(status.Next, status.Acked+1)
}

// counter is a stream that knows how many entries it has. Not every number is one.
type counter interface{ Waiting() uint64 }

var (
	_ Stream = named{}
	_ Store  = (*outbox.Spool)(nil)
)
