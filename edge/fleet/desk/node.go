package desk

import (
	"fmt"
	"strings"

	"holdfast/edge"
)

// Connection is whether a node is there.
type Connection string

// What a connection may be.
const (
	Online  Connection = "online"
	Offline Connection = "offline"
	// Late: the broker says it is gone, but the node has spoken since, or its will is of
	// an earlier session than its birth. The will came late, and the node is there.
	Late Connection = "late"
	// Unknown: the broker has never heard of it.
	Unknown Connection = "unknown"
)

// Node is what is known of a node by what it said.
type Node struct {
	Name         string         `json:"node"`
	Connection   Connection     `json:"connection"`
	Presence     edge.Presence  `json:"presence"` // of its latest birth, where one was heard
	Reported     *edge.Reported `json:"reported,omitempty"`
	StateVersion uint64         `json:"stateVersion,omitempty"`
	Stale        bool           `json:"stale,omitempty"` // changes of the state were missed
}

// Identity is who the node says it is.
func (n Node) Identity() edge.Identity {
	return edge.Identity{Node: n.Name, Groups: n.Presence.Groups, Labels: n.Presence.Labels}
}

// Policy is the policy in the node's report, in words.
func (n Node) Policy() string {
	if n.Reported == nil {
		return ""
	}
	p := n.Reported.Policy
	words := []string{strings.TrimSpace(p.Name + " v" + fmt.Sprint(p.Version)), p.State}
	if p.Version == 0 {
		words = []string{p.State}
	}
	if p.Trial {
		words = append(words, "on trial")
	}
	if p.FailedVersion != 0 {
		words = append(words, fmt.Sprintf("(v%d taken back)", p.FailedVersion))
	}
	return strings.Join(words, " ")
}

// Models counts the models that are ready and those that are known.
func (n Node) Models() (ready, known int) {
	if n.Reported == nil {
		return 0, len(n.Presence.Models)
	}
	for _, m := range n.Reported.Models {
		if m.Ready {
			ready++
		}
	}
	return ready, len(n.Reported.Models)
}

// Backlog is how many entries waited to be sent or confirmed when the node last
// connected.
func (n Node) Backlog() uint64 {
	var total uint64
	for _, s := range n.Presence.Outbox {
		total += s.Waiting
	}
	return total
}
