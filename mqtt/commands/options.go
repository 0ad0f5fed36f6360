package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
	"holdfast/mqtt/journal"
)

// Journal remembers commands across power cuts. It is open before Accept and Run, and
// until both are over.
type Journal interface {
	Take(ctx context.Context, c edge.Command, digest string) (journal.Taken, error)
	Begin(ctx context.Context, id string) error
	Finish(ctx context.Context, said edge.Reply) error
	Unfinished() []journal.Open
	KeepIssuers(ctx context.Context, root uint64, issuers []string) error
}

var _ Journal = (*journal.Journal)(nil)

// Effect carries out a command that was begun. Its result is an object, or nothing. It
// ends soon after its context does. Of an error, the conditions of edge and its hint
// are told. What it does must end with it: nothing waits for what it leaves behind. It
// is never asked to cancel, which the runner does itself.
type Effect func(ctx context.Context, c edge.Command, progress func(edge.Progress)) (json.RawMessage, error)

// Options are what a Runner needs. Node, Root, Journal, Do, Expired and Policy have no
// default.
type Options struct {
	Node    edge.Identity
	Root    func() *trust.Root // the newest; nil while there is none
	Journal Journal
	Do      Effect
	// Expired tells whether an instant has passed for certain.
	Expired func(at time.Time) bool
	// Policy is the version in force, and whether its lease has ended.
	Policy func() (version uint64, ended bool)

	// Progress tells replies that may be lost. It does not wait. nil: nobody is told.
	Progress func(edge.Reply)
	// Refused hears of commands that were not taken, with the edge.MessageDigest of what came;
	// of many, of one in ten seconds. It does not wait. nil: nobody.
	Refused func(reason, detail, digest string)
	Log     *slog.Logger // nil: silent
}

// Bounds.
const (
	// Verification of whatever comes: 16 bad signatures cost 10 ms on a slow ARM, so
	// that at most half of such a processor goes to whoever sends junk.
	verifyEvery, verifyBurst = time.Second / 50, 100
	// Replies to commands that were not taken, or come again.
	answerEvery, answerBurst = time.Second / 2, 20
	// Reports of what was refused: each may become an event, and be written to flash.
	reportEvery, reportBurst = 10 * time.Second, 20

	progressEvery = 2 * time.Second // of one command

	// A journal that cannot be written to is tried again after retryBase, then twice
	// that, up to retryMost. Nobody else tries, so there is no jitter.
	retryBase, retryMost = time.Second, time.Minute

	maxSuperseded = 256 // ids that were superseded before they came
	resultDepth   = 12  // an envelope has 16 levels, and three are around a result
	maxDetail     = 1 << 10
	maxRemedy     = 512
)

// New checks options.
func New(o Options) (*Runner, error) {
	switch {
	case !edge.IsName(o.Node.Node):
		return nil, fmt.Errorf("cannot create runner: node %.70q is no name: %w", o.Node.Node, edge.ErrInvalid)
	case o.Root == nil || o.Journal == nil || o.Do == nil || o.Expired == nil || o.Policy == nil:
		return nil, errors.New("cannot create runner: root, journal, effect, clock or policy is missing")
	}
	if o.Progress == nil {
		o.Progress = func(edge.Reply) {}
	}
	if o.Refused == nil {
		o.Refused = func(string, string, string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Runner{
		options: o,
		wake:    make(chan struct{}, 1),
		verify:  newBucket(verifyEvery, verifyBurst),
		answers: newBucket(answerEvery, answerBurst),
		reports: newBucket(reportEvery, reportBurst),
		jobs:    map[string]*job{},
		running: map[lane]int{},
		issuers: map[string]bool{},
	}, nil
}
