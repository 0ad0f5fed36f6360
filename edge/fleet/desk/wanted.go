package desk

import (
	"fmt"
	"slices"

	"holdfast/edge"
)

// Wanted narrows down which nodes are meant. The zero value means all.
type Wanted struct {
	Node   string
	Group  string
	Labels map[string]string
}

func (w Wanted) matches(n edge.Identity) bool {
	if w.Node != "" && w.Node != n.Node || w.Group != "" && !slices.Contains(n.Groups, w.Group) {
		return false
	}
	for name, want := range w.Labels {
		if got, carries := n.Labels[name]; !carries || got != want {
			return false
		}
	}
	return true
}

// choose lists the nodes that are meant by both the audience, where there is one, and
// the wish. A node asked for by name is taken even if nobody has heard of it: the
// broker keeps the document until it comes.
func (d *Desk) choose(nodes []Node, audience *edge.Audience, w Wanted) ([]string, error) {
	var names []string
	for _, n := range nodes {
		if id := n.Identity(); w.matches(id) && (audience == nil || audience.Matches(id)) {
			names = append(names, n.Name)
		}
	}
	known := slices.ContainsFunc(nodes, func(n Node) bool { return n.Name == w.Node })
	switch {
	case len(names) > 0:
		return names, nil
	case w.Node != "" && (!known || silent(nodes, w.Node)) && (audience == nil || audience.Node == "" || audience.Node == w.Node):
		return []string{w.Node}, nil
	case w.Node != "":
		return nil, fmt.Errorf("node %q does not belong to %v: %w", w.Node, audience, edge.ErrInvalid)
	}
	site, broker := d.options.Site, d.options.Broker
	switch {
	case len(nodes) == 0:
		return nil, fmt.Errorf("no node of site %q has ever connected to broker %q: %w", site, broker, edge.ErrNotFound)
	case audience != nil:
		return nil, fmt.Errorf("no node of site %q is meant, of %d that have connected: it is for %v: %w", site, len(nodes), *audience, edge.ErrNotFound)
	}
	return nil, fmt.Errorf("no node of site %q is meant, of %d that have connected: %w", site, len(nodes), edge.ErrNotFound)
}

// silent tells whether all that is left of a node is a will that says nothing of it.
func silent(nodes []Node, name string) bool {
	i := slices.IndexFunc(nodes, func(n Node) bool { return n.Name == name })
	return i >= 0 && nodes[i].Connection == Offline && len(nodes[i].Presence.Groups)+len(nodes[i].Presence.Labels) == 0
}
