package compose

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// maxNetworks is as many interfaces as one instance may have.
const maxNetworks = 8

// network is one of the networks a project names.
type network struct {
	link    string // what the apps that share it call it; empty: the app's own
	outward bool   // it leads outside
}

// ownNetworks reads the networks of the project. Where one leads the file has to say, for
// elsewhere a network that says nothing leads outside.
func (f *file) ownNetworks(root *node) map[string]network {
	all := root.at("networks")
	if all == nil {
		return nil
	}
	found := map[string]network{}
	for _, name := range all.order {
		at := all.fields[name]
		f.require(isName(name), at, quote(name)+" cannot name a network", nameRemedy)
		f.usual(at.at("driver"), "bridge")
		if external := at.at("external"); external != nil && external.text == "true" {
			found[name] = f.link(name, at)
			continue
		}
		internal := at.at("internal")
		f.require(internal != nil, at, "does not say where it leads",
			"write internal: true for a network of the app alone, internal: false for one that leads outside, which a policy must allow, or external: true for one that apps share")
		f.require(at.at("name") == nil, at.near("name"), "only a network that apps share has a name of its own", "remove it, or write external: true")
		found[name] = network{outward: internal != nil && internal.text == "false"}
	}
	return found
}

// link reads a network that belongs to no app.
func (f *file) link(key string, at *node) network {
	name := key
	if given := at.at("name"); given != nil {
		name = given.text
	}
	f.require(isName(name), at.near("name"), quote(name)+" cannot name a network", nameRemedy)
	f.require(at.at("internal") == nil, at.near("internal"), "says nothing of a network that apps share: it never leads outside", "remove it")
	return network{link: name}
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

// networks are those the service is on: the app's own, which of them lead outside, and
// those that it shares with other apps.
func (s service) networks() (own, outward, links []string) {
	at := s.at.near("networks")
	for _, key := range s.config.Networks {
		found, known := s.file.networks[key]
		s.require(known, at, quote(key)+" is none of the networks of the project", "add it to networks at the top, with internal: true")
		switch {
		case found.link != "":
			s.require(!slices.Contains(links, found.link), at, quote(found.link)+" is named twice", "keep one")
			links = append(links, found.link)
		case found.outward:
			outward = append(outward, key)
			fallthrough
		default:
			own = append(own, key)
		}
	}
	slices.Sort(links)
	s.require(len(s.config.Networks) <= maxNetworks, at, fmt.Sprintf("is on %d networks", len(s.config.Networks)), "keep eight")
	s.require(len(s.config.Networks) == 0 || s.config.NetworkMode != "none" && s.config.NetworkMode != "host", s.at.near("network_mode"), "'network_mode' and 'networks' cannot be combined", "keep one")
	return own, outward, links
}
