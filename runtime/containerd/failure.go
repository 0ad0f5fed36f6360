package containerd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"

	"holdfast/edge"
)

// native turns an error of the daemon, with or without its transport's wrapping,
// into one that callers branch on by the sentinels of edge.
func native(err error) error {
	if err == nil || isOurs(err) {
		return err
	}
	plain := unwrapped(err)
	switch {
	case errors.Is(plain, context.Canceled), errors.Is(plain, context.DeadlineExceeded):
		return plain
	case errdefs.IsNotFound(plain):
		return fmt.Errorf("%w: %w", edge.ErrNotFound, plain)
	case errdefs.IsAlreadyExists(plain):
		return fmt.Errorf("%w: %w", edge.ErrExists, plain)
	case errdefs.IsUnavailable(plain):
		return edge.WithHint(fmt.Errorf("containerd is %w: %w", edge.ErrUnavailable, plain), "is containerd running? systemctl status containerd")
	case errdefs.IsInvalidArgument(plain):
		return fmt.Errorf("%w: %w", edge.ErrInvalid, plain)
	case errdefs.IsNotImplemented(plain):
		return edge.WithHint(fmt.Errorf("containerd cannot do what it is asked for: %w", plain), "it may be too old: version 1.6 or newer is needed")
	case errdefs.IsDeadlineExceeded(plain):
		return context.DeadlineExceeded
	default:
		return plain
	}
}

// unwrapped takes an error out of its transport's wrapping. Some of the client's
// services have done so already, and to do it twice would lose what kind it is.
func unwrapped(err error) error {
	for _, is := range []func(error) bool{
		errdefs.IsNotFound, errdefs.IsAlreadyExists, errdefs.IsUnavailable, errdefs.IsInvalidArgument,
		errdefs.IsFailedPrecondition, errdefs.IsCanceled, errdefs.IsDeadlineExceeded,
	} {
		if is(err) {
			return err
		}
	}
	if plain := errgrpc.ToNative(err); !errdefs.IsUnknown(plain) {
		return plain
	}
	return err
}

func isOurs(err error) bool {
	for _, sentinel := range []error{edge.ErrNotFound, edge.ErrExists, edge.ErrUnavailable, edge.ErrInvalid, edge.ErrWrongPlatform} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// verdict is what a waiting call does next.
type verdict uint8

const (
	verdictFail  verdict = iota // give the error to the caller
	verdictRetry                // the daemon is away: ask again after a pause
	verdictLook                 // the task may be gone: see what is left of it
)

// judge decides what an error of waiting means. It is pure. ended is the state of
// the caller's own context.
func judge(err, ended error) verdict {
	if ended != nil {
		return verdictFail
	}
	plain := unwrapped(err)
	switch {
	case errdefs.IsUnavailable(plain):
		return verdictRetry
	case errdefs.IsCanceled(plain), errors.Is(err, context.Canceled), errdefs.IsDeadlineExceeded(plain), errors.Is(err, context.DeadlineExceeded):
		// Not ours, so the daemon's: it ends its calls so when it shuts down in order.
		return verdictRetry
	case errdefs.IsNotFound(plain):
		return verdictLook
	case isShimGone(err):
		return verdictLook
	default:
		return verdictFail
	}
}

// isShimGone tells that the daemon's connection to the shim broke: the shim died,
// or the daemon is about to. The daemon then clears up after it, and until it has,
// calls fail like this. The error has no kind of its own.
func isShimGone(err error) bool {
	return err != nil && strings.Contains(err.Error(), "ttrpc: closed")
}
