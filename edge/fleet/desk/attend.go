package desk

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/trust"
	"holdfast/mqtt"
)

// Attendance is what Attend needs.
type Attendance struct {
	Folder    *Folder
	Freshness ed25519.PrivateKey
	Root      *trust.Root // nil: what the folder holds is believed
	// Once ends the attendance when nothing has come for Linger, 5 s; without it, ctx does.
	Once   bool
	Linger time.Duration
	// Tell is called for what a person may want to see; never twice at a time.
	Tell func(Deed)
}

// Deed is something an attendance did.
type Deed struct {
	Node   string `json:"node"`
	What   string `json:"what"` // fresh, policy, root, command, confirmed, hole, refused
	Detail string `json:"detail,omitempty"`
}

const (
	// maxBatch is how many messages are written together, at most.
	maxBatch = 512
	// confirmEvery is how often a stream that goes on is confirmed: each confirmation is
	// some 500 bytes on the node's link.
	confirmEvery = time.Second
	// linger is how long a node may take to say hello after it was greeted, or the next of
	// what it has kept: a link of the narrow kind needs a while for an entry.
	linger = 5 * time.Second
)

// Attend stands by for the fleet until ctx ends: it keeps every envelope of every node
// of the site and only then confirms it, answers hellos with freshness tokens, and
// brings nodes the policies, roots and commands that their hellos show missing.
func (d *Desk) Attend(ctx context.Context, a Attendance) error {
	release, err := a.Folder.attended()
	if err != nil {
		return err
	}
	defer release()
	name, err := a.Folder.clientID(d.options.Site)
	if err != nil {
		return err
	}
	at := newAttendant(d, a)
	o := d.session(name, d.filters("", mqtt.UpPresence, mqtt.UpHello, mqtt.UpEvent, mqtt.UpReply))
	o.Clean = false // while we are away the broker keeps what comes
	o.Handle = at.handle
	o.OnUp = func(context.Context) { ring(at.up) }
	if at.session, err = mqtt.New(o); err != nil {
		return err
	}
	linked, leave := context.WithCancel(context.WithoutCancel(ctx)) // what is on the disk is still confirmed at the end
	defer leave()
	ended := make(chan error, 1)
	go func() { ended <- at.session.Run(linked) }()
	err = at.run(ctx)
	leave()
	return errors.Join(err, <-ended)
}

// clientID is the name under which the broker keeps what comes while nobody attends.
func (f *Folder) clientID(site string) (string, error) {
	path := filepath.Join(f.path, "attendant."+site)
	name, err := readBounded(path, 64)
	if errors.Is(err, fs.ErrNotExist) {
		name = []byte(randomName())
		err = fleet.Write(path, name)
	}
	if err == nil && !edge.IsName(string(name)) {
		err = fmt.Errorf("cannot use client id in %q: it is no name: %w", path, edge.ErrInvalid)
	}
	return string(name), err
}

// attendant is one attendance: a goroutine that owns all below but the channels.
type attendant struct {
	Attendance
	desk     *Desk
	session  *mqtt.Session
	queue    *queue
	up       chan struct{}
	registry *Registry
	history  *history
	shelf    *shelf
	turns    turns
	due      map[streamID]struct{} // to be confirmed
	unmet    map[streamID]struct{} // of nodes that were there before us
	acks     []func()              // of what was taken and not flushed, and
	taken    int64                 // its bytes
	grumble  grumble
	refusals grumble
	ending   bool // what is sent now must be on its way before we go
}

func newAttendant(d *Desk, a Attendance) *attendant {
	log := d.options.Log
	if a.Linger <= 0 {
		a.Linger = linger
	}
	return &attendant{
		Attendance: a, desk: d, queue: newQueue(), up: make(chan struct{}, 1), registry: NewRegistry(),
		history: newHistory(filepath.Join(a.Folder.path, historyFolder), log),
		shelf:   newShelf(a.Folder, a.Root, log), turns: turns{}, due: map[streamID]struct{}{}, unmet: map[streamID]struct{}{},
	}
}

// run takes what comes in batches: what one flush of the disk takes, the next gathers.
func (at *attendant) run(ctx context.Context) error {
	confirm := time.NewTicker(confirmEvery)
	defer confirm.Stop()
	quiet, stopQuiet := at.quiet()
	defer stopQuiet()
	for {
		select {
		case <-ctx.Done():
			return at.farewell(ctx)
		case i := <-at.queue.items:
			if err := at.batch(ctx, i); err != nil {
				return err
			}
		case <-at.up:
		case <-confirm.C:
			at.confirmAll(ctx)
			greeted := at.greetAll(ctx)
			if err := at.unreached(); at.Once && err != nil {
				return err
			}
			if !greeted {
				continue
			}
		case <-quiet.C:
			return at.leave(ctx)
		}
		if at.Once {
			quiet.Reset(at.Linger)
		}
	}
}

// quiet is when an attendance that is only for once ends: long enough after it has
// begun to connect, then Linger after it has, or has greeted, or what came last.
func (at *attendant) quiet() (timer *time.Timer, stop func()) {
	timer = time.NewTimer(at.desk.options.Patience)
	if !at.Once {
		timer.Stop()
	}
	return timer, func() { timer.Stop() }
}

// farewell flushes and confirms what came, at an orderly end.
func (at *attendant) farewell(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), confirmEvery)
	defer cancel()
	at.ending = true
	err := at.flush()
	if err == nil {
		at.confirmAll(ctx)
	}
	return err
}

// leave ends an attendance that was for once.
func (at *attendant) leave(ctx context.Context) error {
	if err := at.farewell(ctx); err != nil {
		return err
	}
	if at.session.State().Connections == 0 {
		return errors.Join(at.unreached(), fmt.Errorf("cannot reach broker %q in time: %w", at.desk.options.Broker, edge.ErrUnavailable))
	}
	return nil
}

// unreached is why there was never a connection, as far as that is known.
func (at *attendant) unreached() error {
	if state := at.session.State(); state.Connections == 0 && state.Failure != nil {
		return unreachable(at.desk.options.Broker, state.Failure)
	}
	return nil
}
