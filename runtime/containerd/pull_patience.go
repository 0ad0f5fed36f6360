package containerd

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"holdfast/edge"
)

const (
	// maxTries is how often a registry is asked again without bringing anything. With a
	// first pause of a second that is half a minute, longer than a router takes to find
	// another way. A network that is away for longer is waited for by whoever wants the
	// image.
	maxTries = 5
	// leastGain is what a try must bring to count as one that brought something. A
	// registry that breaks off after every byte would be asked for ever.
	leastGain = 64 << 10
	// longestWait is how long a registry may have itself waited for.
	longestWait = 2 * time.Minute
)

// insist fetches an image, and goes on where a try broke off for as long as tries bring
// something.
func (p *pulling) insist(ctx context.Context, sum digest.Digest) (target ocispec.Descriptor, err error) {
	for tries := 1; ; tries++ {
		before := p.gained
		if target, err = p.attempt(ctx, sum); err == nil {
			return target, nil
		}
		if p.gained >= before+leastGain {
			tries = 1
		}
		wait, worth := p.patience(err, tries)
		if !worth || pauseFor(ctx, wait) != nil {
			return target, err
		}
	}
}

// attempt asks one registry after the other. One that could not help is not asked again
// by this pull, but for the last.
func (p *pulling) attempt(ctx context.Context, sum digest.Digest) (target ocispec.Descriptor, err error) {
	for {
		p.registry = p.sources[0]
		watched, stop := p.registry.watch(ctx)
		target, err = p.fetch(watched, sum)
		if err != nil {
			err = p.registry.explain(watched, roomless(native(err)))
		}
		stop()
		last := len(p.sources) == 1
		if err == nil || last || ctx.Err() != nil || errors.Is(err, edge.ErrNoRoom) || errors.Is(err, edge.ErrWrongPlatform) {
			return target, err
		}
		p.sources = p.sources[1:]
	}
}

// patience tells whether, and after what pause, another try is worth it. A registry
// that never brought anything and says nothing of later is left to whoever asked: its
// name may be wrong.
func (p *pulling) patience(err error, tries int) (wait time.Duration, worth bool) {
	var busy *later
	switch {
	case tries > maxTries, !errors.Is(err, edge.ErrUnavailable), errors.Is(err, edge.ErrNoRoom):
		return 0, false
	case errors.As(err, &busy) && busy.after > 0:
		return busy.after, busy.after <= longestWait
	case p.fetched == 0:
		return 0, false
	}
	longest := p.pause << (tries - 1)
	return longest/2 + rand.N(longest/2+1), true
}

// pauseFor waits, and says why it did not.
func pauseFor(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
