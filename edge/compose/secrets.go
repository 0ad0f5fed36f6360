package compose

import (
	"path"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"holdfast/edge"
)

// confidence is one entry of a service's secrets.
type confidence struct {
	source, target string
	mode           *types.FileMode
	at             *node
}

// outside reads the secrets of the project: what they are called by whoever has them.
func (f *file) outside(root *node) map[string]string {
	names := map[string]string{}
	all := root.at("secrets")
	if all == nil {
		return names
	}
	for _, key := range all.order {
		at := all.fields[key]
		names[key] = key
		if given := at.at("name"); given != nil {
			names[key] = given.text
		}
		if external := at.at("external"); external == nil || external.text != "true" {
			f.add(at, "not honoured: only external secrets are, since no value belongs into this file or beside it",
				"write external: true, and seal its value into the policy or keep it on the node")
		}
		if !isName(names[key]) {
			f.add(at.near("name"), quote(names[key])+" cannot name a secret", nameRemedy)
		}
	}
	return names
}

// secrets reads the short and the long form.
func (d decoder) secrets() []confidence {
	list, _ := d.value("secrets").([]any) // absent: none
	var told []confidence
	for i, item := range list {
		at := d.at.at("secrets").items[i]
		switch item := item.(type) {
		case string:
			told = append(told, confidence{source: item, target: path.Join(edge.SecretsFolder, item), at: at})
		case map[string]any:
			told = append(told, d.longSecret(item, at))
		}
	}
	return told
}

func (d decoder) longSecret(values map[string]any, at *node) confidence {
	for _, key := range at.order {
		if !slices.Contains([]string{"source", "target", "mode"}, key) {
			d.add(at.fields[key], "not honoured: a secret belongs to the user of its instance", "keep source, target and mode")
		}
	}
	c := confidence{at: at}
	c.source, _ = values["source"].(string) // what is no text is none of the project's
	c.target = path.Join(edge.SecretsFolder, c.source)
	if given := values["target"]; given != nil {
		c.target, _ = given.(string)
		d.require(c.target != "", at.near("target"), "is not a file inside the instance", "write a name, or an absolute path")
	} else if at.fields["target"] != nil {
		d.add(at.near("target"), "is nothing", "write a name, or an absolute path")
	}
	if at.fields["mode"] != nil {
		c.mode = new(types.FileMode)
		if err := c.mode.DecodeMapstructure(values["mode"]); err != nil {
			d.add(at.near("mode"), "is not a file mode", "write one such as 0440")
		}
	}
	return c
}

// secrets are what the instance is told, in the order of the places.
func (s service) secrets() []edge.Secret {
	var told []edge.Secret
	taken := map[string]bool{}
	for _, c := range s.config.Secrets {
		name, known := s.file.secrets[c.source]
		secret := edge.Secret{Name: name}
		target := c.target
		if !path.IsAbs(target) {
			target = edge.SecretsFolder + "/" + target
		}
		if target != secret.Target() {
			secret.Path = target
		}
		if c.mode != nil {
			secret.Mode = edge.FileMode(*c.mode)
		}
		switch {
		case !known:
			s.add(c.at, quote(c.source)+" is none of the secrets of the project", "add it to secrets at the top, with external: true")
		case !isPlain(target) || isKernels(target) || target == edge.SecretsFolder || strings.HasSuffix(target, "/"):
			s.add(c.at, quote(c.target)+" is not a file inside the instance", "write a name, or an absolute path without . and ..")
		case c.mode != nil && (*c.mode <= 0 || *c.mode&^0o555 != 0):
			s.add(c.at, c.mode.String()+" is not how a secret can be read", "write a mode such as 0400 or 0440")
		case taken[target]:
			s.add(c.at, quote(target)+" is taken already", "keep one")
		}
		taken[target] = true
		told = append(told, secret)
	}
	edge.SortStable(told, func(a, b edge.Secret) int { return strings.Compare(a.Target(), b.Target()) })
	return told
}
