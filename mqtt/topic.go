package mqtt

import (
	"fmt"
	"strings"

	"holdfast/edge"
)

// Kind is what is said on a topic of a node, as the end of the topic says it.
type Kind string

// Everything that is said between a fleet and its nodes.
const (
	DownPolicy  Kind = "down/policy"  // retained: the signed policy, whole
	DownCommand Kind = "down/command" // a signed command
	DownFresh   Kind = "down/fresh"   // a signed freshness token, the answer to UpHello
	DownAck     Kind = "down/ack"     // the fleet's cumulative acknowledgement

	UpPresence Kind = "up/presence" // retained, and the will: birth and death
	UpHello    Kind = "up/hello"    // what the node knows, and a nonce
	UpState    Kind = "up/state"    // retained: the reported state, whole
	UpDelta    Kind = "up/delta"    // the reported state since a version
	UpEvent    Kind = "up/event"    // what happened
	UpReply    Kind = "up/reply"    // what became of a command

	// GroupCommand is a signed command to all of a group; its topic names no node.
	GroupCommand Kind = "command"
)

// The grammar, one level each:
//
//	hf/v1/{site}/{node}/{down|up}/{kind}
//	hf/v1/{site}/group/{group}/command
//
// Site, node and group are names as edge.IsName has them, so none can leave its
// level. A node cannot be called "group": its command topic would be that of the
// group "down".
const (
	topicRoot  = "hf"
	topicMajor = "v1"
	groupLevel = "group"
)

// Topic is one topic of the fleet, taken apart. Either Node or Group is set.
type Topic struct {
	Site, Node, Group string
	Kind              Kind
}

// Check tells what keeps the topic from being one.
func (t Topic) Check() error {
	switch {
	case !edge.IsName(t.Site):
		return fmt.Errorf("topic: site %.80q is no name: %w", t.Site, edge.ErrInvalid)
	case t.Kind == GroupCommand && t.Node == "" && edge.IsName(t.Group):
		return nil
	case t.Kind == GroupCommand:
		return fmt.Errorf("topic: group %.80q is no name: %w", t.Group, edge.ErrInvalid)
	case t.Group != "" || !IsNode(t.Node):
		return fmt.Errorf("topic: node %.80q is no name of a node: %w", t.Node, edge.ErrInvalid)
	case !isKind(t.Kind):
		return fmt.Errorf("topic: nothing is called %.80q: %w", t.Kind, edge.ErrInvalid)
	}
	return nil
}

// IsNode tells whether text may name a node on the link.
func IsNode(text string) bool { return edge.IsName(text) && text != groupLevel }

func isKind(k Kind) bool {
	switch k {
	case DownPolicy, DownCommand, DownFresh, DownAck, UpPresence, UpHello, UpState, UpDelta, UpEvent, UpReply:
		return true
	}
	return false
}

// String writes the topic. Only one that passes Check can be read again.
func (t Topic) String() string {
	if t.Kind == GroupCommand {
		return strings.Join([]string{topicRoot, topicMajor, t.Site, groupLevel, t.Group, string(GroupCommand)}, "/")
	}
	return strings.Join([]string{topicRoot, topicMajor, t.Site, t.Node, string(t.Kind)}, "/")
}

// ParseTopic reads a topic; what is not exactly one of ours is an error.
func ParseTopic(text string) (Topic, error) {
	if len(text) > MaxTopic {
		return Topic{}, fmt.Errorf("cannot read topic of %d bytes: %w", len(text), edge.ErrInvalid)
	}
	levels := strings.Split(text, "/")
	if len(levels) != 6 || levels[0] != topicRoot || levels[1] != topicMajor {
		return Topic{}, fmt.Errorf("cannot read topic %.80q: want hf/v1/site/node/direction/kind: %w", text, edge.ErrInvalid)
	}
	t := Topic{Site: levels[2], Node: levels[3], Kind: Kind(levels[4] + "/" + levels[5])}
	if levels[3] == groupLevel {
		t = Topic{Site: levels[2], Group: levels[4], Kind: Kind(levels[5])}
		if t.Kind != GroupCommand {
			return Topic{}, fmt.Errorf("cannot read topic %.80q: groups have commands only: %w", text, edge.ErrInvalid)
		}
	}
	if err := t.Check(); err != nil {
		return Topic{}, fmt.Errorf("cannot read %.80q: %w", text, err)
	}
	return t, nil
}

// NodeFilters are what a node subscribes to: all that is for it, and the commands of
// its groups.
func NodeFilters(site, node string, groups ...string) []string {
	filters := []string{strings.Join([]string{topicRoot, topicMajor, site, node, "down", "+"}, "/")}
	for _, group := range groups {
		filters = append(filters, Topic{Site: site, Group: group, Kind: GroupCommand}.String())
	}
	return filters
}

// FleetFilter is what an operator subscribes to: one kind from every node of a site.
func FleetFilter(site string, kind Kind) string {
	return strings.Join([]string{topicRoot, topicMajor, site, "+", string(kind)}, "/")
}
