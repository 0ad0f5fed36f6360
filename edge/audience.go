package edge

import "slices"

// Audience says for which nodes a document is meant: one node, one group, or all
// nodes that carry certain labels. Exactly one of the three is set; the zero value
// is meant for nobody.
type Audience struct {
	Node   string            `json:"node,omitempty"`
	Group  string            `json:"group,omitempty"`
	Labels map[string]string `json:"labels,omitempty"` // a node must carry them all
}

// Identity is who a node is, as its configuration says.
type Identity struct {
	Node   string            `json:"node"`
	Groups []string          `json:"groups,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Matches tells whether a node belongs to the audience. An audience that is set in
// several ways is meant for the nodes that fit all of them.
func (a Audience) Matches(node Identity) bool {
	if a.IsZero() {
		return false
	}
	if a.Node != "" && a.Node != node.Node {
		return false
	}
	if a.Group != "" && !slices.Contains(node.Groups, a.Group) {
		return false
	}
	for name, want := range a.Labels {
		if got, carries := node.Labels[name]; !carries || got != want {
			return false
		}
	}
	return true
}

// IsZero tells whether the audience names nobody at all.
func (a Audience) IsZero() bool { return a.Node == "" && a.Group == "" && len(a.Labels) == 0 }

// String names the audience for people.
func (a Audience) String() string {
	switch {
	case a.Node != "":
		return "node " + a.Node
	case a.Group != "":
		return "group " + a.Group
	case len(a.Labels) > 0:
		return "labels " + labelText(a.Labels)
	default:
		return "nobody"
	}
}

// Check finds an audience that is not exactly one of the three.
func (a Audience) Check() error { return a.check("audience") }

func (a Audience) check(field string) error {
	c := checker{}
	ways := 0
	for _, set := range [...]bool{a.Node != "", a.Group != "", len(a.Labels) > 0} {
		if set {
			ways++
		}
	}
	c.require(ways == 1, field, "must be exactly one of node, group and labels")
	c.require(a.Node == "" || IsName(a.Node), field+".node", nameRule)
	c.require(a.Group == "" || IsName(a.Group), field+".group", nameRule)
	for _, name := range sorted(a.Labels) {
		value := a.Labels[name]
		c.require(IsName(name) && (value == "" || IsName(value)), field+".labels."+name, nameRule)
	}
	return c.err()
}
