package edge

import "time"

// AgentReport is how the agent stands between its own versions. The zero value is one that
// was not started by the launcher, and cannot be updated.
type AgentReport struct {
	Slot     string `json:"slot,omitempty"`     // a or b; factory: what the node was flashed with
	Sequence uint64 `json:"sequence,omitempty"` // of the release that runs; 0: the factory's
	Previous string `json:"previous,omitempty"` // the version that runs should this one fail
	Rescue   string `json:"rescue,omitempty"`   // why the factory's program stands in for a version
	// Trial tells that the version is new, and is left unless it is well for a while. It is
	// kept at TrialUntil if it stays so; Unwell says what is not as it was before. TriesLeft
	// is how often it would be started again should it end before.
	Trial      bool      `json:"trial,omitempty"`
	TrialUntil time.Time `json:"trialUntil,omitzero"`
	Unwell     string    `json:"unwell,omitempty"`
	TriesLeft  int       `json:"triesLeft,omitempty"`
	// Last is what became of the last update that came to an end, if any did: since the
	// agent's start, else of the one it was started for.
	Last AgentOutcome `json:"last,omitzero"`
	// What is under way, if anything is.
	Phase    AgentPhase        `json:"phase,omitempty"`
	Wanted   string            `json:"wanted,omitempty"` // the version
	Origin   string            `json:"origin,omitempty"` // who wants it
	Done     int64             `json:"done,omitempty"`   // bytes
	Total    int64             `json:"total,omitempty"`
	Rejected []RejectedVersion `json:"rejected,omitempty"` // the latest last
}

// AgentPhase is how far an update of the agent has come.
type AgentPhase string

// The phases. The trial after them is of the new version.
const (
	AgentSeeking  AgentPhase = "seeking"  // the release document is asked for
	AgentFetching AgentPhase = "fetching" // the program comes
	AgentTesting  AgentPhase = "testing"  // it is tried on a copy of the node's store
	AgentLeaving  AgentPhase = "leaving"  // the agent is about to start anew in it
)

// AgentOutcome is how an update of the agent ended.
type AgentOutcome struct {
	Version string      `json:"version,omitempty"` // empty: which one would have come is not known
	Result  AgentResult `json:"result"`
	Why     string      `json:"why,omitempty"`
}

// AgentResult is what became of an update of the agent.
type AgentResult string

// The results.
const (
	AgentKept    AgentResult = "kept"    // the version was well for long enough, and is kept
	AgentLeft    AgentResult = "left"    // it was tried, and left for the one before
	AgentRefused AgentResult = "refused" // it was not let in: not believed, not for this node, or failed its self-test
	AgentAwaited AgentResult = "awaited" // it cannot be had now; who wants it asks again
)

// RejectedVersion is a version of the agent that was found bad here. It is not installed
// again.
type RejectedVersion struct {
	Version  string `json:"version"`
	Sequence uint64 `json:"sequence,omitempty"`
	Digest   string `json:"digest"`
	Why      string `json:"why"`
}

// AgentUpdate is what became of a request to update the agent.
type AgentUpdate struct {
	Version  string `json:"version"`
	Sequence uint64 `json:"sequence"`
	Slot     string `json:"slot"`
	From     string `json:"from,omitempty"`    // the version before
	Leaving  bool   `json:"leaving,omitempty"` // the agent ends, to start anew in it; otherwise it runs already
}
