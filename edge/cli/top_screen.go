package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/edge/localapi"
	"holdfast/edge/top"
	"holdfast/edge/tty"
)

// topEvery is how often the screen is painted, if anything has changed: often enough that
// lanes move, and little for a slow line.
const topEvery = 200 * time.Millisecond

// errQuit ends the screen as its user wants it.
var errQuit = errors.New("quit")

// screen is a node shown on a terminal. All but run's goroutines belongs to the loop.
type screen struct {
	terminal *tty.Terminal
	client   *localapi.Client
	look     top.Look
	state    top.State
	messages chan top.Message
	logs     context.CancelFunc // of what is followed; nil: nothing
}

func newScreen(terminal *tty.Terminal, client *localapi.Client, look top.Look) *screen {
	return &screen{terminal: terminal, client: client, look: look, messages: make(chan top.Message)}
}

// run shows the node until its user has enough of it, or the terminal has gone.
func (s *screen) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.follow(ctx) })
	group.Go(func() error { return s.loop(ctx, group) })
	err := group.Wait()
	if errors.Is(err, errQuit) {
		return nil
	}
	return err
}

// loop changes the state by what comes, and paints it.
func (s *screen) loop(ctx context.Context, group *errgroup.Group) error {
	ticker := time.NewTicker(topEvery)
	defer ticker.Stop()
	s.update(ctx, group, top.Tick{At: time.Now()})
	for {
		if err := s.paint(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errEnough
		case key, open := <-s.terminal.Keys():
			if !open || s.update(ctx, group, top.Key(key)) {
				return errQuit
			}
			continue
		case <-s.terminal.Resized():
			s.terminal.Repaint()
			continue
		case m := <-s.messages:
			s.update(ctx, group, m)
		case now := <-ticker.C:
			s.update(ctx, group, top.Tick{At: now})
			continue
		}
		s.gather(ctx, group, ticker.C)
	}
}

// gather takes what comes until the next paint, so that a busy node is not painted for every
// message, and returns at once for its user.
func (s *screen) gather(ctx context.Context, group *errgroup.Group, next <-chan time.Time) {
	timer := time.NewTimer(topEvery / 4)
	defer timer.Stop()
	for {
		select {
		case m := <-s.messages:
			s.update(ctx, group, m)
		case now := <-next:
			s.update(ctx, group, top.Tick{At: now})
			return
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// update takes one message; true when that was the wish to end.
func (s *screen) update(ctx context.Context, group *errgroup.Group, m top.Message) (quit bool) {
	var wish top.Wish
	s.state, wish = s.state.Update(m)
	if s.logs != nil && (wish.EndLogs || wish.OpenLogs != "") {
		s.logs()
		s.logs = nil
	}
	if wish.OpenLogs != "" {
		var reading context.Context
		reading, s.logs = context.WithCancel(ctx)
		group.Go(func() error { return s.followLogs(reading, wish.OpenLogs) })
	}
	return wish.Quit
}

func (s *screen) paint() error {
	columns, lines := s.terminal.Size()
	return s.terminal.Paint(s.state.View(s.look, columns, lines))
}

// tell hands a message to the loop; false when ctx has ended.
func (s *screen) tell(ctx context.Context, m top.Message) bool {
	select {
	case s.messages <- m:
		return true
	case <-ctx.Done():
		return false
	}
}

// follow reads the agent's live stream, and comes back when it ends.
func (s *screen) follow(ctx context.Context) error {
	var pause backoff
	for {
		err := s.client.Live(ctx, func(kind string, data []byte) error {
			pause.reset()
			m, err := top.Decode(kind, data)
			if err != nil || m == nil {
				return err
			}
			if !s.tell(ctx, m) {
				return ctx.Err()
			}
			return nil
		})
		if err == nil {
			err = errors.New("it was stopped")
		}
		if ctx.Err() != nil || !s.tell(ctx, top.Gone{Err: err}) || !pause.wait(ctx) {
			return nil
		}
	}
}

// followLogs reads what a workload prints until it is not wanted any more.
func (s *screen) followLogs(ctx context.Context, target string) error {
	output, err := s.client.Logs(ctx, target, shownLog, true)
	if err == nil {
		err = s.tellLines(ctx, target, output)
		_ = output.Close() // it was only read
	}
	if ctx.Err() == nil {
		s.tell(ctx, top.LogEnded{Target: target, Err: err})
	}
	return nil
}

// shownLog is how many of the lines before are shown.
const shownLog = 500

// tellLines passes text on, the lines that came together in one message.
func (s *screen) tellLines(ctx context.Context, target string, output io.Reader) error {
	var lines lineCutter
	buffer := make([]byte, 32<<10)
	for {
		n, err := output.Read(buffer)
		if whole := lines.add(buffer[:n]); len(whole) > 0 && !s.tell(ctx, top.LogText{Target: target, Lines: whole}) {
			return nil
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("cannot read output of %q: %w", target, err)
		}
	}
}
