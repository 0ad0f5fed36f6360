package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/edge/slots"
)

// pursuit is what an update was about, kept over the agent's ends: for whom, to what, and how
// the node was before it.
type pursuit struct {
	Release string       `json:"release"` // digest of what was signed
	Binary  slots.Binary `json:"binary"`
	Origin  string       `json:"origin"` // who wanted it
	From    string       `json:"from"`   // the version before
	Before  standing     `json:"before"`
	Told    bool         `json:"told,omitempty"` // that it was left
}

const (
	pursuitName = "update.json"
	// maxPursuit bounds the file: a policy of 48 KiB names some hundred workloads.
	maxPursuit      = 64 << 10
	maxPursuitDepth = 6
)

// pursued reads the kept pursuit; the zero one where there is none, or none that can be read:
// then the node asks again what it would have known.
func (u *updater) pursued() (p pursuit) {
	text, err := readRegular(u.path, maxPursuit)
	if err == nil {
		_, err = edge.DecodeJSON(text, edge.JSONBounds{Size: maxPursuit, Depth: maxPursuitDepth}, &p)
	}
	if err == nil {
		return p
	}
	if !errors.Is(err, fs.ErrNotExist) {
		u.log.Warn("pursuit-unreadable", "error", err.Error())
	}
	return pursuit{}
}

// pursue keeps what the update is about before the agent ends for it.
func (u *updater) pursue(p pursuit) error {
	text, err := json.Marshal(p)
	if err == nil {
		err = boltfile.Replace(boltfile.RealDisk{}, u.path, text)
	}
	if err != nil {
		return fmt.Errorf("cannot keep what the update is about: %w", err)
	}
	return nil
}

// standing is how the node is, as far as a new version must not make it worse.
type standing struct {
	Daemon    bool             `json:"containerd"`
	Link      bool             `json:"link"`                // it was up within the last day
	Linked    bool             `json:"-"`                   // it is up, or was a moment ago
	Workloads map[string]count `json:"workloads,omitempty"` // that are ready
	Wanted    map[string]count `json:"-"`
}

// count is how many instances of a workload there are, in which version of it.
type count struct {
	Spec  string `json:"spec"`
	Count int    `json:"count"`
}

const (
	// linkWithin is how lately the link must have been up for the node to count as one that
	// has a link.
	linkWithin = 24 * time.Hour
	// linkGap is how long a line may be down without being amiss.
	linkGap = 2 * time.Minute
)

// stands looks at the node.
func (u *updater) stands(a *Agent) standing {
	now := standing{Daemon: a.daemon.Load().Connected, Workloads: map[string]count{}, Wanted: map[string]count{}}
	if report := a.linkReport(); report != nil {
		u.mu.Lock()
		if report.Phase == "up" {
			u.linkSeen = time.Now()
		}
		now.Link = !u.linkSeen.IsZero() && time.Since(u.linkSeen) < linkWithin
		now.Linked = now.Link && time.Since(u.linkSeen) < linkGap
		u.mu.Unlock()
	}
	for _, view := range a.supervisor.Workloads() {
		key, spec := view.Workload.Key(), view.Workload.SpecHash()
		now.Wanted[key] = count{spec, view.Workload.Replicas}
		if view.Ready > 0 {
			now.Workloads[key] = count{spec, view.Ready}
		}
	}
	return now
}

// worse says what is not as it was; empty: nothing. A workload that is wanted otherwise by
// now, or no longer, is nothing to compare with.
func (s standing) worse(before standing) string {
	switch {
	case before.Daemon && !s.Daemon:
		return "containerd does not answer, and did before"
	case before.Link && !s.Linked:
		return "there is no link to the fleet, and there was one before"
	}
	for key, was := range before.Workloads {
		most, is := s.Wanted[key]
		if is && most.Spec == was.Spec && s.Workloads[key].Count < min(was.Count, most.Count) {
			return fmt.Sprintf("%d of workload %s are ready, and %d were before", s.Workloads[key].Count, key, was.Count)
		}
	}
	return ""
}
