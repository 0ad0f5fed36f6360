package oneshot

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"holdfast/edge"
)

const (
	// makeWithin bounds making one container: unpacking an image on slow flash takes minutes.
	makeWithin = 10 * time.Minute
	// removeWithin bounds taking one away, which takes a twentieth of a second.
	removeWithin = 30 * time.Second
	// sweepWithin bounds looking for what an earlier agent left.
	sweepWithin = time.Minute
	// closeWithin bounds what is done at the end.
	closeWithin = 4 * time.Second
	// patience is how long what is made ahead waits for a free core. A node that never has
	// one would not keep anything ready, nor clear anything away.
	patience = time.Second
	// glance is how often a core is looked for.
	glance = 20 * time.Millisecond
)

// turn begins whatever is due and says when to look again; zero: when something changes.
func (k *Keeper) turn(ctx context.Context) (next time.Time) {
	k.mu.Lock()
	next = k.tendAllLocked(ctx, time.Now())
	news := k.newsLocked()
	k.mu.Unlock()
	if news {
		k.opts.Changed()
	}
	return next
}

func (k *Keeper) tendAllLocked(ctx context.Context, now time.Time) (next time.Time) {
	if !k.swept {
		return k.sweepLocked(ctx, now)
	}
	atWork := 0
	for _, p := range k.pools {
		atWork += len(p.busy)
	}
	idle := k.opts.Idle(atWork)
	for _, p := range k.sortedLocked() {
		next = earlier(next, k.tendLocked(ctx, p, now, idle))
		if p.empty() {
			delete(k.pools, p.spec.Key())
		}
	}
	return next
}

// newsLocked tells whether Tools has something to say that it had not at the last turn.
func (k *Keeper) newsLocked() bool {
	now := k.toolsLocked()
	same := slices.EqualFunc(now, k.told, func(a, b Tool) bool {
		return reflect.DeepEqual(a.Workload, b.Workload) && a.Ready == b.Ready && text(a.Failure) == text(b.Failure) && text(a.Stuck) == text(b.Stuck)
	})
	k.told = now
	return !same
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// tendLocked does what is due for one pool, one thing at a time, and not while tasks want
// every core.
func (k *Keeper) tendLocked(ctx context.Context, p *pool, now time.Time, idle bool) time.Time {
	errand, at := p.due(now)
	if errand == rest {
		p.since = time.Time{}
		return at
	}
	if p.since.IsZero() {
		p.since = now
	}
	if !idle && now.Sub(p.since) < patience {
		return now.Add(glance)
	}
	p.chore, p.since = true, time.Time{}
	if errand == produce {
		spec, hash, id := p.spec, p.hash, k.nameLocked(p.spec)
		k.jobs.Go(func() { k.produce(ctx, p, spec, hash, id) })
		return time.Time{}
	}
	h := p.spent[0]
	p.spent, p.sheds = p.spent[1:], true
	k.jobs.Go(func() { k.discard(ctx, p, h) })
	return time.Time{}
}

// nameLocked names a container that is to be made.
func (k *Keeper) nameLocked(w edge.Workload) string {
	for {
		id := k.opts.Name(w)
		if _, taken := k.ours[id]; !taken {
			k.ours[id] = struct{}{}
			return id
		}
	}
}

// produce makes a container that is to stand ready.
func (k *Keeper) produce(ctx context.Context, p *pool, spec edge.Workload, hash, id string) {
	ctx, cancel := context.WithTimeout(ctx, makeWithin)
	defer cancel()
	container, err := k.opts.Driver.Ready(ctx, spec, id)
	k.mu.Lock()
	p.chore = false
	if k.notedLocked(p, id, hash, err) {
		p.warm = append(p.warm, held{id, hash, container}) // if it is not wanted any more it is shed
	}
	k.mu.Unlock()
	k.poke()
}

// notedLocked notes how the making of a container went, of the version that is wanted still.
func (k *Keeper) notedLocked(p *pool, id, hash string, err error) bool {
	if err != nil {
		delete(k.ours, id)
	}
	switch {
	case isAway(err):
		k.loseLocked()
		p.next = time.Now().Add(backoff(p.tries, k.opts.Jitter()))
		p.tries++
	case err != nil && errors.Is(err, context.Canceled):
	case hash != p.hash:
	case err != nil:
		if p.failure == nil {
			k.opts.Log.Warn("tool-not-ready", "workload", p.spec.Key(), "error", err.Error())
		}
		p.failed(err, time.Now(), k.opts.Jitter())
	default:
		p.made()
	}
	return err == nil
}

// discard takes a container away.
func (k *Keeper) discard(ctx context.Context, p *pool, h held) {
	err := k.remove(ctx, h)
	k.mu.Lock()
	p.chore, p.sheds = false, false
	k.removedLocked(p, h, err)
	k.mu.Unlock()
	k.poke()
}

func (k *Keeper) remove(ctx context.Context, h held) error {
	ctx, cancel := context.WithTimeout(ctx, removeWithin)
	defer cancel()
	err := h.container.Close()
	return errors.Join(err, k.opts.Driver.Remove(ctx, h.id))
}

// removedLocked notes how taking a container away went; it is tried until it succeeds.
func (k *Keeper) removedLocked(p *pool, h held, err error) {
	if err == nil {
		delete(k.ours, h.id)
		p.stuck, p.again = nil, time.Time{}
		return
	}
	p.spent = append(p.spent, h)
	p.again = time.Now().Add(backoff(3, k.opts.Jitter()))
	if isAway(err) {
		k.loseLocked()
	} else {
		p.stuck = err
	}
}

// isAway tells whether the daemon does not answer. That the disk is full is called
// unavailable too.
func isAway(err error) bool {
	return errors.Is(err, edge.ErrUnavailable) && !errors.Is(err, edge.ErrNoRoom)
}

// sweepLocked begins to take away what an earlier agent left, when that is due. Until
// nothing is left no task runs: one that ran when that agent died could run twice.
func (k *Keeper) sweepLocked(ctx context.Context, now time.Time) time.Time {
	if k.sweeping || now.Before(k.next) {
		return k.next
	}
	k.sweeping, k.away = true, false
	k.jobs.Go(func() { k.sweep(ctx) })
	return time.Time{}
}

func (k *Keeper) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sweepWithin)
	defer cancel()
	k.mu.Lock()
	before := maps.Clone(k.ours)
	k.mu.Unlock()
	there, err := k.opts.Driver.Remnants(ctx)
	if err == nil {
		err = k.clear(ctx, there)
	}
	k.mu.Lock()
	k.sweeping, k.trouble = false, err
	if err != nil {
		k.next = time.Now().Add(min(backoff(k.tries, k.opts.Jitter()), 5*time.Second)) // even if nobody tells that the daemon is back
		k.tries++
	} else if !k.away {
		k.swept, k.next, k.tries = true, time.Time{}, 0
		k.forgetLocked(before, there)
	}
	k.mu.Unlock()
	k.poke()
}

// sweepers is how many leftovers are taken away at once.
const sweepers = 4

// clear takes away what is there and not ours.
func (k *Keeper) clear(ctx context.Context, there []string) error {
	var removals sync.WaitGroup
	places, failed := make(chan struct{}, sweepers), make([]error, len(there))
	for i, id := range there {
		if k.isOurs(id) {
			continue
		}
		places <- struct{}{}
		removals.Go(func() {
			failed[i] = k.opts.Driver.Remove(ctx, id)
			if failed[i] == nil {
				k.opts.Log.Info("leftover-removed", "instance", id)
			}
			<-places
		})
	}
	removals.Wait()
	return errors.Join(failed...)
}

func (k *Keeper) isOurs(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ours := k.ours[id]
	return ours
}

// forgetLocked drops what stood ready before and is not there any more: the daemon has
// lost it.
func (k *Keeper) forgetLocked(before map[string]struct{}, there []string) {
	for _, p := range k.pools {
		gone := func(h held) bool {
			_, was := before[h.id]
			return was && !slices.Contains(there, h.id)
		}
		for _, h := range p.warm {
			if gone(h) {
				p.spent = append(p.spent, h) // what lies outside the daemon is taken away too
			}
		}
		p.warm = slices.DeleteFunc(p.warm, gone)
	}
}

// close ends all tasks and takes everything away.
func (k *Keeper) close(ctx context.Context) {
	k.end()
	k.jobs.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer cancel()
	var removals sync.WaitGroup
	for _, h := range k.vacate(ctx) {
		removals.Go(func() {
			if err := k.remove(ctx, h); err != nil {
				k.opts.Log.Debug("tool-not-removed", "instance", h.id, "error", err.Error())
			}
		})
	}
	removals.Wait()
}

// vacate waits until nothing is at work any more, and takes all pools away.
func (k *Keeper) vacate(ctx context.Context) (left []held) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.sortedLocked() {
		for len(p.busy) > 0 && ctx.Err() == nil {
			changed := p.free.next()
			k.mu.Unlock()
			select {
			case <-changed:
			case <-ctx.Done():
			}
			k.mu.Lock()
		}
		left = append(append(left, p.warm...), p.spent...)
		p.warm, p.spent = nil, nil
	}
	k.pools = map[string]*pool{}
	return left
}
