package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"holdfast/edge"
	"holdfast/edge/release"
	"holdfast/edge/trust"
)

const (
	// wishEvery is how often it is looked at what the policy wants, and into the folder.
	wishEvery = 2 * time.Second
	// againAfter is how long after a try in vain the next is: first, and at most. Many nodes
	// may miss the same server.
	againAfter  = time.Minute
	againSeldom = time.Hour
)

// Codes of warnings about releases that are wanted and not brought.
const (
	codeUpdateWaits   = "agent-update-waiting"
	codeUpdateRefused = "agent-update-refused"
)

// errWithdrawn ends a pursuit that nobody wants any more.
var errWithdrawn = errors.New("the release is not wanted any more")

// followPolicy brings what the policy in force wants, for as long as it does. A version on
// trial comes to its end first.
func (u *updater) followPolicy(ctx context.Context) error {
	return u.follow(ctx, "policy", func() (string, wish) {
		in := u.governor.store.Snapshot()
		if in.Policy == nil || !in.Policy.Agent.Wants() || in.Degraded() || u.Report().Trial {
			return "", wish{}
		}
		w := u.wishOf(in.Policy.Agent, fmt.Sprintf("policy %s version %d", in.Name, in.Version))
		return fmt.Sprint(in.Policy.Agent, u.rootVersion()), w
	})
}

// followFolder brings what lies in the watched folder, for as long as it does.
func (u *updater) followFolder(ctx context.Context) error {
	folder := u.options.Folder
	if folder == "" {
		<-ctx.Done()
		return nil
	}
	return u.follow(ctx, "folder", func() (string, wish) {
		info, err := os.Stat(filepath.Join(folder, edge.ReleaseFile))
		if err != nil || !info.Mode().IsRegular() || u.Report().Trial {
			return "", wish{}
		}
		w := wish{sources: []release.Source{release.Folder(folder)}, origin: "folder " + folder}
		return fmt.Sprint(info.Size(), info.ModTime(), u.rootVersion()), w
	})
}

// rootVersion tells when what was not believed may be.
func (u *updater) rootVersion() uint64 { return u.governor.store.Status().Root }

// follow pursues what is wanted, one thing after the other; an empty key is nothing. What is
// not wanted any more is given up.
func (u *updater) follow(ctx context.Context, subject string, wanted func() (key string, w wish)) error {
	ticker := time.NewTicker(wishEvery)
	defer ticker.Stop()
	pursued, end := "", func() {}
	for {
		if key, w := wanted(); key != pursued {
			end()
			u.clearWish(subject)
			pursued, end = key, func() {}
			if key != "" {
				end = u.begin(ctx, subject, w)
			}
		}
		select {
		case <-ctx.Done():
			end()
			return nil
		case <-ticker.C:
		}
	}
}

// begin pursues a wish until it is brought or refused. What it returns gives it up, and
// waits for that.
func (u *updater) begin(ctx context.Context, subject string, w wish) (end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for wait := againAfter; !u.attempt(ctx, subject, w, wait); wait = min(2*wait, againSeldom) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait/2 + rand.N(wait)):
			}
		}
	}()
	return func() {
		cancel(errWithdrawn)
		<-done
	}
}

// attempt brings a wish once, and tells whether that is the end of it.
func (u *updater) attempt(ctx context.Context, subject string, w wish, wait time.Duration) bool {
	b, err := u.bring(ctx, w, func(edge.Progress) {})
	if ctx.Err() != nil && err != nil {
		return true
	}
	u.clearWish(subject)
	switch {
	case err == nil && b.switched:
		u.startAnew(b.Version)
		return true
	case err == nil:
		return true
	case errors.Is(err, edge.ErrUnavailable):
		u.warnings.Raise(edge.Warning{
			Code: codeUpdateWaits, Subject: subject, Detail: err.Error(),
			Remedy: fmt.Sprintf("%s; it is tried again within %v", remedyOf(err, "see that the release lies where it is said to, and can be reached"), wait*3/2),
		})
		return false
	}
	u.warnings.Raise(edge.Warning{
		Code: codeUpdateRefused, Subject: subject, Detail: err.Error(),
		Remedy: remedyOf(err, refusedRemedy(err)),
	})
	return true
}

func refusedRemedy(err error) string {
	if trust.ReasonOf(err) != "" {
		return "have it signed by the role release, for this node's machine, with a higher sequence (holdfast release verify)"
	}
	return "name another release"
}

func (u *updater) clearWish(subject string) {
	u.warnings.Clear(codeUpdateWaits, subject)
	u.warnings.Clear(codeUpdateRefused, subject)
}

// updateArgs are what the command update takes: what a policy says, and more.
type updateArgs struct {
	Release   string    `json:"release"`
	Sources   []string  `json:"sources"`
	Bandwidth edge.Size `json:"bandwidth,omitempty"`
	// Again has a version tried anew that was left here before.
	Again bool `json:"again,omitempty"`
}

func (a updateArgs) policy() edge.AgentPolicy {
	return edge.AgentPolicy{Release: a.Release, Sources: a.Sources, Bandwidth: a.Bandwidth}
}

func (a updateArgs) check() error {
	if a.Release == "" {
		return missing("release")
	}
	return a.policy().Check()
}

func (updateArgs) usage() string {
	return `{"release": "sha256:…", "sources": ["https://releases.example/1.5"], "bandwidth": "500Ki", "again": true}`
}

// updateAgent brings the agent to a release. It begins again after each start of the agent,
// and ends when the version is kept, or was left.
func (v *verbs) updateAgent(ctx context.Context, o order) (any, error) {
	args, err := argsOf[updateArgs](o.Command)
	if err != nil {
		return nil, err
	}
	u := v.updater
	w := u.wishOf(args.policy(), o.cause())
	w.again, w.resumes = args.Again, true
	for {
		b, err := u.bring(ctx, w, o.progress)
		switch {
		case err != nil:
			return nil, err
		case b.switched:
			u.startAnew(b.Version)
			<-ctx.Done()
			return nil, fmt.Errorf("it goes on with the agent in version %s: %w", b.Version, context.Cause(ctx))
		case !b.trial:
			return b, nil
		}
		if err := u.awaitVerdict(ctx, o.progress); err != nil {
			return nil, err
		}
	}
}

// updates has the local API update the agent.
type updates struct{ *Agent }

// Update brings the agent to the release in a folder of the node. It returns before the agent
// ends for it; leave has it end.
func (u updates) Update(ctx context.Context, folder string, again bool, told func(edge.Progress)) (to edge.AgentUpdate, leave func(), err error) {
	if !filepath.IsAbs(folder) {
		return to, nil, fmt.Errorf("cannot update the agent from %q: it is no absolute path: %w", folder, edge.ErrInvalid)
	}
	b, err := u.updater.bring(ctx, wish{sources: []release.Source{release.Folder(folder)}, origin: "folder " + folder, again: again}, told)
	if err != nil {
		return to, nil, err
	}
	to = edge.AgentUpdate{Version: b.Version, Sequence: b.Sequence, Slot: b.Slot, From: b.From, Leaving: b.switched}
	leave = func() {}
	if b.switched {
		leave = func() { u.updater.startAnew(b.Version) }
	}
	return to, leave, nil
}
