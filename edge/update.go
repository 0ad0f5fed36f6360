package edge

import (
	"cmp"
	"time"
)

// Update says how the instances of a workload are replaced: when it is updated, and when
// a person has it restarted. The zero value starts one new instance beside the old ones,
// lets go of an old one when it is ready, and goes on with the next; a version that fails
// is taken back.
type Update struct {
	// Parallel is how many are replaced at a time; 0: 1. More than there are is all.
	Parallel int `json:"parallel,omitempty"`
	// StopFirst ends the old ones before the new ones are started, for a node without the
	// memory for both, or an app that cannot run twice: meanwhile they are missing.
	StopFirst bool `json:"stopFirst,omitempty"`
	// Delay is between one step being ready and the next.
	Delay time.Duration `json:"delay,omitempty"`
	// OnFailure is what becomes of a new version that fails. Empty: it is taken back, by the
	// trial of the policy that brought it as long as that lasts, else alone.
	OnFailure FailureAction `json:"onFailure,omitempty"`
	// Monitor is how long every instance of a new version has to be ready without a break
	// until the version is good; 0: DefaultMonitor.
	Monitor time.Duration `json:"monitor,omitempty"`
	// MaxFailed is which share of its replicas may fail, from 0 to 1.
	MaxFailed float64 `json:"maxFailed,omitempty"`
	// Canary has a share of the tasks try a new version of a model first.
	Canary *Canary `json:"canary,omitempty"`
}

// DefaultMonitor is longer than most servers need to fail on a bad setting, and short
// enough that a person who brought the version still looks.
const DefaultMonitor = 30 * time.Second

// Watched is how long a new version has to be well to be good.
func (u Update) Watched() time.Duration { return cmp.Or(u.Monitor, DefaultMonitor) }

// FailureAction is what becomes of a new version that fails.
type FailureAction string

// The actions, as Compose names them.
const (
	OnFailureRollback FailureAction = "rollback" // the last good version runs again
	OnFailurePause    FailureAction = "pause"    // nothing more is replaced, and nothing taken back
	OnFailureContinue FailureAction = "continue" // it goes on as if nothing had happened
)

// Canary is how a new version of a model is tried: one instance of it, beside all the old
// ones, answers a share of the tasks. It is decided when it has answered Tasks, or after
// For, whichever is first.
type Canary struct {
	Share int           `json:"share"`           // of the tasks, in percent
	Tasks int           `json:"tasks,omitempty"` // 0: DefaultCanaryTasks
	For   time.Duration `json:"for,omitempty"`   // 0: DefaultCanaryFor
	// Slower is how many times what the old version takes the new one may take; 0:
	// DefaultCanarySlower.
	Slower float64 `json:"slower,omitempty"`
}

// Defaults for what a canary does not say, and the bounds of what it may.
const (
	DefaultCanaryTasks = 200              // with which a failure in fifty shows
	DefaultCanaryFor   = 10 * time.Minute // an idle node's update is not to hang on tasks that do not come
	// DefaultCanarySlower is over what two instances of one version differ by on a busy node.
	DefaultCanarySlower = 1.5
	MaxCanaryShare      = 50 // percent; more would make the old version the smaller part
	MaxCanaryTasks      = 1_000_000
	MaxCanarySlower     = 100
)

// WithDefaults fills in what is not said.
func (c Canary) WithDefaults() Canary {
	c.Tasks = cmp.Or(c.Tasks, DefaultCanaryTasks)
	c.For = cmp.Or(c.For, DefaultCanaryFor)
	c.Slower = cmp.Or(c.Slower, DefaultCanarySlower)
	return c
}

func (u Update) check(c *checker, at string) {
	c.count(u.Parallel, 0, maxReplicas, at+"parallel")
	c.duration(u.Delay, at+"delay")
	c.oneOf(string(u.OnFailure), at+"onFailure", string(OnFailureRollback), string(OnFailurePause), string(OnFailureContinue))
	c.duration(u.Monitor, at+"monitor")
	c.number(u.MaxFailed, 1, at+"maxFailed")
	if u.Canary != nil {
		c.count(u.Canary.Share, 1, MaxCanaryShare, at+"canary.share")
		c.count(u.Canary.Tasks, 0, MaxCanaryTasks, at+"canary.tasks")
		c.duration(u.Canary.For, at+"canary.for")
		c.require(u.Canary.Slower == 0 || u.Canary.Slower >= 1, at+"canary.slower", "is below 1")
		c.number(u.Canary.Slower, MaxCanarySlower, at+"canary.slower")
		c.require(!u.StopFirst, at+"canary", "needs old and new instances at once, which stopFirst forbids")
	}
}

// Versions is what a node remembers of the versions of one workload, over restarts and
// power cuts.
type Versions struct {
	// Good is the last version that was good; its replicas count for nothing.
	Good   *Workload       `json:"good,omitempty"`
	Failed []FailedVersion `json:"failed,omitempty"` // the latest last
	// Trial is the spec hash of the version on trial, and Begun how often an agent has
	// begun with it. Passed: as a canary it was good.
	Trial  string `json:"trial,omitempty"`
	Begun  int    `json:"begun,omitempty"`
	Passed bool   `json:"passed,omitempty"`
}

// FailedVersion is a version that failed and was taken back. It is not tried again until
// a person asks for it.
type FailedVersion struct {
	Hash  string    `json:"hash"` // Workload.SpecHash
	Image string    `json:"image"`
	Why   string    `json:"why"`
	At    time.Time `json:"at"`
	// Unstarted: it could not even be started. It is tried again when images come.
	Unstarted bool `json:"unstarted,omitempty"`
}

// UpdatePhase is where a workload stands between two versions.
type UpdatePhase string

// The phases.
const (
	UpdateTrial     UpdatePhase = "trial"      // the new version is replacing the old one, or being watched
	UpdateCanary    UpdatePhase = "canary"     // a share of the tasks tries the new version
	UpdatePaused    UpdatePhase = "paused"     // the new version failed; nothing more is replaced
	UpdateFailed    UpdatePhase = "failed"     // the new version failed, and stays
	UpdateTakenBack UpdatePhase = "taken-back" // the new version failed; the last good one runs
)

// UpdateView is how a workload stands between two versions; there is none when the wanted
// version is good.
type UpdateView struct {
	Phase     UpdatePhase   `json:"phase"`
	Since     time.Time     `json:"since"`
	Why       string        `json:"why,omitempty"` // it failed
	Wanted    string        `json:"wanted"`        // spec hash
	Image     string        `json:"image"`         // of the wanted version
	Good      string        `json:"good,omitempty"`
	GoodImage string        `json:"goodImage,omitempty"`
	Canary    *CanaryReport `json:"canary,omitempty"`
}

// CanaryReport compares two versions of a model by the tasks that came meanwhile.
type CanaryReport struct {
	Share int           `json:"share"` // percent
	Tasks int           `json:"tasks"` // of the new version that decide
	Until time.Time     `json:"until,omitzero"`
	New   VersionFigure `json:"new"`
	Old   VersionFigure `json:"old"`
}

// VersionFigure is what became of the tasks of one version.
type VersionFigure struct {
	Tasks  uint64        `json:"tasks"`
	Failed uint64        `json:"failed"`
	Median time.Duration `json:"medianNs,omitempty"` // of the latest good answers
	P90    time.Duration `json:"p90Ns,omitempty"`
}

// IsCanary tells whether an instance is one beside the others that tries a new version.
func (v WorkloadView) IsCanary(i InstanceView) bool {
	return v.Update != nil && v.Update.Canary != nil && i.SpecHash == v.Update.Wanted
}

// ShortHash is the part of a spec hash that people compare.
func ShortHash(hash string) string { return hash[:min(12, len(hash))] }
