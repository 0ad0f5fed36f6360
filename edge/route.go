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
