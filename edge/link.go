package edge

import (
	"encoding/json"
	"time"
)

// Presence is a node's birth, or by its will its death. It is retained.
type Presence struct {
	Node    string `json:"node"`
	Online  bool   `json:"online"`
	Session string `json:"session"` // random, of one connection; a death counts only for its own session
	// What follows is said at birth.
	Boot     string            `json:"boot,omitempty"`
	Version  string            `json:"version,omitempty"` // of the agent
	Role     string            `json:"role,omitempty"`
	Groups   []string          `json:"groups,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Capacity *Capacity         `json:"capacity,omitempty"`
	Models   []string          `json:"models,omitempty"`
	Outbox   []StreamReport    `json:"outbox,omitempty"`
	Since    *time.Time        `json:"since,omitempty"` // of the connection, when the time is known
}

// Capacity is what the machine has for tasks.
type Capacity struct {
	CPUs   int    `json:"cpus"`
	Memory int64  `json:"memory"` // bytes
	Slots  int    `json:"slots"`  // tasks at once
	Arch   string `json:"arch"`
}

// StreamReport is one of a node's streams of envelopes: numbers after Confirmed up to
// Next, exclusive, are still to be confirmed or sent. Not all of them are entries.
type StreamReport struct {
	Name      string `json:"name"` // control or telemetry
	Epoch     string `json:"epoch"`
	Next      uint64 `json:"next"`
	Confirmed uint64 `json:"confirmed"`
	Waiting   uint64 `json:"waiting"` // entries behind Confirmed
}

// Hello is what a node knows when it comes back, and a question only the fleet can
// answer.
type Hello struct {
	Node          string         `json:"node"`
	Session       string         `json:"session"`
	Nonce         string         `json:"nonce"` // empty: the node has no use for an answer
	PolicyVersion uint64         `json:"policyVersion"`
	PolicyDigest  string         `json:"policyDigest,omitempty"`
	RootVersion   uint64         `json:"rootVersion"`
	Seen          []SeenCommands `json:"seen,omitempty"`
	Streams       []StreamReport `json:"streams,omitempty"`
	NeedFull      bool           `json:"needFull,omitempty"` // the node lost its memory

}

// SeenCommands are the counters of one issuer that a node has taken: all up to Floor
// count as taken, and those listed.
type SeenCommands struct {
	Issuer   string   `json:"issuer"`
	Floor    uint64   `json:"floor"`
	Counters []uint64 `json:"counters,omitempty"` // ascending; the latest
	Partial  bool     `json:"partial,omitempty"`  // more were taken than are listed
}

// StateReport is the whole reported state. It is retained.
type StateReport struct {
	Node    string          `json:"node"`
	Session string          `json:"session"`
	Version uint64          `json:"version"` // grows with every change, within a session
	State   json.RawMessage `json:"state"`   // a Reported
}

// StateDelta is what changed in the reported state: a JSON merge patch (RFC 7396).
type StateDelta struct {
	Node    string          `json:"node"`
	Session string          `json:"session"`
	From    uint64          `json:"from"` // the version it changes
	To      uint64          `json:"to"`
	Patch   json.RawMessage `json:"patch"`
}

// Reported is the state of a node as its fleet sees it. It holds nothing that changes
// by itself with time, so that a node where nothing happens says nothing.
type Reported struct {
	Agent     ReportedAgent               `json:"agent"`
	System    ReportedSystem              `json:"system,omitzero"`
	Policy    ReportedPolicy              `json:"policy"`
	Workloads map[string]ReportedWorkload `json:"workloads,omitempty"` // by key
	Models    map[string]ReportedModel    `json:"models,omitempty"`
	Warnings  map[string]string           `json:"warnings,omitempty"` // code/subject → detail
	Draining  bool                        `json:"draining,omitempty"`
}

// ReportedAgent is the agent in a Reported.
type ReportedAgent struct {
	Version    string `json:"version"`
	Boot       string `json:"boot"`
	Containerd bool   `json:"containerd"` // it answers
	// Slot, Trial and Rescue are as in an AgentReport.
	Slot   string `json:"slot,omitempty"`
	Trial  bool   `json:"trial,omitempty"`
	Rescue string `json:"rescue,omitempty"`
}

// ReportedSystem is the system below the agent in a Reported, where RAUC installs it.
type ReportedSystem struct {
	Version string `json:"version,omitempty"`
	Slot    string `json:"slot,omitempty"`
	Waiting string `json:"waiting,omitempty"` // the version that runs after the next start of the machine
	Trial   bool   `json:"trial,omitempty"`   // it is new, and nobody has called it good yet
}

// ReportedPolicy is the policy in a Reported.
type ReportedPolicy struct {
	State   string `json:"state"`
	Name    string `json:"name,omitempty"`
	Version uint64 `json:"version,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Root    uint64 `json:"root,omitempty"`
	Trial   bool   `json:"trial,omitempty"`
	// The latest that was taken back, and why.
	FailedVersion uint64 `json:"failedVersion,omitempty"`
	FailedWhy     string `json:"failedWhy,omitempty"`
}

// ReportedWorkload is a workload in a Reported.
type ReportedWorkload struct {
	Image    string `json:"image"`
	Desired  int    `json:"desired"`
	Ready    int    `json:"ready"`
	Running  int    `json:"running"`
	Restarts int    `json:"restarts,omitempty"`
	Adjusted bool   `json:"adjusted,omitempty"` // a command, and not the policy, says how many are desired
	Warning  string `json:"warning,omitempty"`
}

// ReportedModel is a model in a Reported.
type ReportedModel struct {
	Ready   bool   `json:"ready"`
	Version string `json:"version,omitempty"`
}

// Confirmation is the fleet's cumulative acknowledgement of one stream: everything up
// to Seq is kept where the fleet keeps it.
type Confirmation struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // ConfirmationKind
	Node       string `json:"node"`
	Epoch      string `json:"epoch"`
	Seq        uint64 `json:"seq"` // 0: that somebody attends, and no more
}

// ConfirmationKind is the kind a confirmation names.
const ConfirmationKind = "Confirmation"
