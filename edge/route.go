package edge

import (
	"fmt"
	"time"
)

// RouteMode says where the tasks of a model are answered: by the node's own instances,
// by a server elsewhere, or by one in place of the other.
type RouteMode uint8

// The modes.
const (
	// RouteLocal: by the node's own instances. What is not said otherwise.
	RouteLocal RouteMode = iota
	// RouteUpstream: by the upstream alone.
	RouteUpstream
	// RouteUpstreamElseLocal: by the upstream, and in time by the node when no answer has
	// come. The node's own time is kept for it from the start.
	RouteUpstreamElseLocal
	// RouteLocalElseUpstream: by the node, and by the upstream what the node has no time for.
	RouteLocalElseUpstream
)

// Routes lists every mode.
var Routes = [...]RouteMode{RouteLocal, RouteUpstream, RouteUpstreamElseLocal, RouteLocalElseUpstream}

var routeNames = [...]string{
	RouteLocal: "local", RouteUpstream: "upstream",
	RouteUpstreamElseLocal: "upstream-else-local", RouteLocalElseUpstream: "local-else-upstream",
}

// What an Answer says of the way it came.
const (
	AnsweredLocally  = "local"
	AnsweredUpstream = "upstream"
)

// Why says why an answer came the way it did, or by the model it did. It is for programs, too: the words
// stay as they are.
type Why string

// Why an answer came by its route. None is said of a model without one.
const (
	WhyRoute           Why = "route"            // it is what its route asks first
	WhyNoTime          Why = "no-time"          // the node had no time for it
	WhyNotServed       Why = "not-served"       // the node had no instance for it
	WhyUpstreamDown    Why = "upstream-down"    // the upstream could not be reached, or is left alone
	WhyUpstreamFailed  Why = "upstream-failed"  // it answered with an error, or with what is no answer
	WhyUpstreamRefused Why = "upstream-refused" // it had no room for it, or did not take the input
	WhyUpstreamSlow    Why = "upstream-slow"    // it took longer than it does otherwise
	WhyDeadlineNear    Why = "deadline-near"    // longer could not be waited for it
	WhyTooManyAsked    Why = "too-many-asked"   // as many tasks as may be were asked of upstreams already
	WhyTenant          Why = "tenant"           // the route is not its tenant's
	WhyOffline         Why = "offline"          // the policy's rules for a node without its fleet
	WhyHealth          Why = "health"           // the policy's rules for a node that is not well
)

// WhyLoad is why a smaller variant answered: the plan had not time enough for the larger one. Otherwise it is
// WhyOffline, WhyHealth, or WhyRoute where the route names another model.
const WhyLoad Why = "load"

// String names the mode as people and documents write it.
func (r RouteMode) String() string {
	if int(r) < len(routeNames) {
		return routeNames[r]
	}
	return fmt.Sprintf("route(%d)", uint8(r))
}

// MarshalText writes the mode by name.
func (r RouteMode) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the mode by name.
func (r *RouteMode) UnmarshalText(text []byte) error {
	for i, name := range routeNames {
		if string(text) == name {
			*r = RouteMode(i)
			return nil
		}
	}
	return fmt.Errorf("unknown route %.100q: must be local, upstream, upstream-else-local or local-else-upstream", text)
}

// Travels tells whether tasks may be answered by the upstream.
func (r RouteMode) Travels() bool { return r != RouteLocal }

// UpstreamState is whether an upstream is asked.
type UpstreamState string

// The states.
const (
	UpstreamUp     UpstreamState = "up"
	UpstreamDown   UpstreamState = "down"   // it has failed too often and is left alone for a while
	UpstreamProbed UpstreamState = "probed" // it is being found out whether it is back
)

// UpstreamReport is one upstream at a moment.
type UpstreamReport struct {
	Name  string        `json:"name"`
	URL   string        `json:"url"`
	State UpstreamState `json:"state"`
	Since time.Time     `json:"since,omitzero"` // it was last lost or back

	Asked     uint64 `json:"asked"`
	Answered  uint64 `json:"answered"`
	Spared    uint64 `json:"spared"` // not asked, as it was down
	LastError string `json:"lastError,omitempty"`
}
