package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"holdfast/edge"
)

// stream is what a source sends of one file, and how far it has come.
type stream struct {
	body  io.ReadCloser
	watch *watch
	at    int64
}

func (s *stream) close() {
	s.watch.end()
	_ = s.body.Close() // it was only read
}

// chunk is how much is read at once at a rate: some hundredth of a second's, so that the line
// is even, and no less than a packet.
func chunk(rate int64) int { return int(min(max(rate/64, 1<<10), 1<<16)) }

// read fills the buffer at the pace that is allowed.
func (s *stream) read(into []byte, pace *pace, rate func() int64) error {
	s.watch.piece()
	for from := (watchedReader{s.body, s.watch}); len(into) > 0; {
		allowed := rate()
		part := into
		if allowed > 0 {
			part = into[:min(chunk(allowed), len(into))]
		}
		n, err := io.ReadAtLeast(from, part, 1)
		s.at += int64(n)
		if into = into[n:]; err != nil && len(into) > 0 {
			return s.broken(err)
		}
		if err := pace.wait(s.watch.ctx, int64(n), allowed); err != nil {
			return s.watch.blame(err)
		}
		s.watch.heard()
	}
	return nil
}

// skip passes over what comes before an offset.
func (s *stream) skip(to int64, buffer []byte, pace *pace, rate func() int64) error {
	for s.at < to {
		if err := s.read(buffer[:min(int64(len(buffer)), to-s.at)], pace, rate); err != nil {
			return err
		}
	}
	return nil
}

// broken says how a source ended too soon.
func (s *stream) broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("ends after %d bytes: %w", s.at, edge.ErrUnavailable)
	}
	return s.watch.blame(err)
}

// pace keeps a download within so many bytes a second.
type pace struct{ next time.Time }

// behind is how much of a pause that took longer than it should is made up for: clocks of
// small machines are coarse. What a slow source did not use up is not.
const behind = 100 * time.Millisecond

// wait pauses until the bytes that have come are within the rate.
func (p *pace) wait(ctx context.Context, n, rate int64) error {
	if rate <= 0 {
		return nil
	}
	now := time.Now()
	switch earliest := now.Add(-behind); {
	case p.next.IsZero():
		p.next = now
	case p.next.Before(earliest):
		p.next = earliest
	}
	p.next = p.next.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	if !p.next.After(now) {
		return nil
	}
	timer := time.NewTimer(p.next.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
