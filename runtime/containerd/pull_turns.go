package containerd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/client"
	"github.com/opencontainers/go-digest"
)

// pulls are the images that are being pulled. Two who want the same one come one after
// the other, and the second finds it there.
type pulls struct {
	mu    sync.Mutex // guards what follows
	under map[digest.Digest]chan struct{}
}

// begin waits until nobody else pulls the image. end is called when the pull is over.
func (p *pulls) begin(ctx context.Context, sum digest.Digest) (end func(), err error) {
	for {
		end, other := p.try(sum)
		if end != nil {
			return end, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// try begins, unless somebody else pulls the image: then it gives what is closed when
// that is over.
func (p *pulls) try(sum digest.Digest) (end func(), other <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if other, busy := p.under[sum]; busy {
		return nil, other
	}
	if p.under == nil {
		p.under = map[digest.Digest]chan struct{}{}
	}
	mine := make(chan struct{})
	p.under[sum] = mine
	return func() {
		p.mu.Lock()
		delete(p.under, sum)
		p.mu.Unlock()
		close(mine)
	}, nil
}

// dropBroken lets go of what pulls have left that broke off and are not under way again.
func (p *pulls) dropBroken(ctx context.Context, c *client.Client) error {
	list, err := c.LeasesService().List(ctx)
	if err != nil {
		return fmt.Errorf("cannot list leases: %w", native(err))
	}
	var failed []error
	for _, lease := range list {
		encoded, ours := strings.CutPrefix(lease.ID, pullLeaseID(""))
		if !ours {
			continue
		}
		end, _ := p.try(digest.NewDigestFromEncoded(digest.Canonical, encoded))
		if end == nil {
			continue
		}
		if err := unlessGone(native(c.LeasesService().Delete(ctx, lease))); err != nil {
			failed = append(failed, fmt.Errorf("cannot delete lease %q: %w", lease.ID, err))
		}
		end()
	}
	return errors.Join(failed...)
}
