package compose

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// maxNetworks is as many interfaces as one instance may have.
const maxNetworks = 8

// ownNetworks reads the networks of the project. They lead nowhere, and the file has to
// say so, for elsewhere a network that says nothing leads outside.
func (f *file) ownNetworks(root *node) []string {
	all := root.at("networks")
	if all == nil {
		return nil
	}
	for _, name := range all.order {
		at := all.fields[name]
		f.require(isName(name), at, quote(name)+" cannot name a network", nameRemedy)
		internal := at.at("internal")
		f.require(internal != nil && internal.text == "true", at, "not honoured yet: it would lead outside the app",
			"write internal: true, or network_mode: host for a service that must reach more")
	}
	return all.order
}

// networks reads the names, as a list or as a mapping.
func (d decoder) networks() []string {
	at := d.at.at("networks")
	if at == nil {
		return nil
	}
	d.require(len(at.order)+len(at.items) > 0, at, "names none", "name one, or remove it for no network")
	if at.kind == yaml.MappingNode {
		return slices.Sorted(slices.Values(at.order))
	}
	var names []string
	for _, item := range at.items {
		d.require(!slices.Contains(names, item.text), item, quote(item.text)+" stands here for the second time", "keep one")
		names = append(names, item.text)
	}
	slices.Sort(names)
	return names
}

// networks are those of the project that the service is on.
func (s service) networks() []string {
	for _, name := range s.config.Networks {
		s.require(slices.Contains(s.file.networks, name), s.at.near("networks"), quote(name)+" is none of the networks of the project",
			"add it to networks at the top, with internal: true")
	}
	s.require(len(s.config.Networks) <= maxNetworks, s.at.near("networks"), fmt.Sprintf("is on %d networks", len(s.config.Networks)), "keep eight")
	s.require(len(s.config.Networks) == 0 || s.config.NetworkMode == "", s.at.near("network_mode"), "'network_mode' and 'networks' cannot be combined", "keep one")
	if len(s.config.Networks) == 0 {
		return nil
	}
	return s.config.Networks
}
