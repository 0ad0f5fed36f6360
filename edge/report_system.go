package edge

import "time"

// SystemReport is how the whole system below the agent stands, as RAUC tells.
type SystemReport struct {
	Version string `json:"version,omitempty"` // empty: it says none
	Slot    string `json:"slot,omitempty"`    // what the loader calls where it lies, such as A
	// Trial tells that it is new, and that nobody has called it good yet: after some starts
	// like that the loader starts the former one.
	Trial   bool   `json:"trial,omitempty"`
	Trouble string `json:"trouble,omitempty"` // why rauc does not tell
	// Waiting is the version that is installed, and runs after the next start of the machine.
	Waiting string `json:"waiting,omitempty"`
	// What is under way, if anything is.
	Phase    SystemPhase      `json:"phase,omitempty"`
	Wanted   string           `json:"wanted,omitempty"` // the version, once it is known
	Origin   string           `json:"origin,omitempty"` // who wants it
	Done     int64            `json:"done,omitempty"`   // bytes while it is fetched, percent while it is installed
	Total    int64            `json:"total,omitempty"`
	Last     *SystemOutcome   `json:"last,omitempty"`     // how the latest update ended
	Rejected []RejectedSystem `json:"rejected,omitempty"` // the latest last
}

// SystemPhase is how far an update of the system has come.
type SystemPhase string

// The phases.
const (
	SystemFetching   SystemPhase = "fetching"   // the bundle comes
	SystemInstalling SystemPhase = "installing" // rauc writes it
	SystemRestarting SystemPhase = "restarting" // the machine is asked to start anew
	SystemConfirming SystemPhase = "confirming" // it runs, and waits to be called good
)

// SystemOutcome is how an update of the system ended.
type SystemOutcome struct {
	Version string    `json:"version"`
	From    string    `json:"from,omitempty"` // the version before
	Runs    bool      `json:"runs"`           // otherwise the former one came back
	Why     string    `json:"why,omitempty"`
	At      time.Time `json:"at"`
}

// RejectedSystem is a version of the system that did not stay here. It is not installed
// again unless somebody asks for that.
type RejectedSystem struct {
	Version string `json:"version"`
	Digest  string `json:"digest,omitempty"`
	Why     string `json:"why"`
}

// SystemUpdate is what became of a request to update the system.
type SystemUpdate struct {
	Version string `json:"version"`
	From    string `json:"from,omitempty"` // the version before
	Slot    string `json:"slot"`
	// Runs tells that it is what runs. Otherwise it is installed, and Restarting tells
	// whether the machine starts anew for it now.
	Runs       bool `json:"runs"`
	Restarting bool `json:"restarting,omitempty"`
}
