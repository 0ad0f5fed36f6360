package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"holdfast/edge"
	"holdfast/edge/release"
	"holdfast/edge/trust"
	"holdfast/policycache"
)

// Codes of warnings about releases that are wanted and not brought.
const (
	codeUpdateWaits   = "agent-update-waiting"
	codeUpdateRefused = "agent-update-refused"
)

// followPolicy brings what the policy in force wants, for as long as it does. A version on
// trial comes to its end first.
func (u *updater) followPolicy(ctx context.Context) error {
	return u.pursuer("policy").follow(ctx, func() (string, attempt) {
		in := u.governor.store.Snapshot()
		if in.Policy == nil || !in.Policy.Agent.Wants() || in.Degraded() || u.Report().Trial {
			return "", nil
		}
		wanted := in.Policy.Agent
		wanted.System = edge.SystemPolicy{} // is another's matter
		return fmt.Sprint(wanted, u.rootVersion()), u.attempt(u.wishOf(wanted, inForce(in)))
	})
}

// inForce names the policy that wants something.
func inForce(in *policycache.Snapshot) string {
	return fmt.Sprintf("policy %s version %d", in.Name, in.Version)
}

// followFolder brings what lies in the watched folder, for as long as it does.
func (u *updater) followFolder(ctx context.Context) error {
	folder := u.options.Folder
	if folder == "" {
		<-ctx.Done()
		return nil
	}
	return u.pursuer("folder").follow(ctx, func() (string, attempt) {
		info, err := os.Stat(filepath.Join(folder, edge.ReleaseFile))
		if err != nil || !info.Mode().IsRegular() || u.Report().Trial {
			return "", nil
		}
		w := wish{sources: []release.Source{release.Folder(folder)}, origin: "folder " + folder}
		return fmt.Sprint(info.Size(), info.ModTime(), u.rootVersion()), u.attempt(w)
	})
}

// rootVersion tells when what was not believed may be.
func (u *updater) rootVersion() uint64 { return u.governor.store.Status().Root }

// pursuer goes after what a policy or a folder wants.
func (u *updater) pursuer(subject string) pursuer {
	return pursuer{
		warnings: u.warnings, subject: subject, waits: codeUpdateWaits, refused: codeUpdateRefused,
		hope: "see that the release lies where it is said to, and can be reached", remedy: refusedRemedy,
	}
}

// attempt brings a wish, and has the agent start anew for it.
func (u *updater) attempt(w wish) attempt {
	return func(ctx context.Context) error {
		b, err := u.bring(ctx, w, func(edge.Progress) {})
		if err == nil && b.switched {
			u.startAnew(b.Version)
		}
		return err
	}
}

func refusedRemedy(err error) string {
	if trust.ReasonOf(err) != "" {
		return "have it signed by the role release, for this node's machine, with a higher sequence (holdfast release verify)"
	}
	return "name another release"
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
		w.again = false // it was tried
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
