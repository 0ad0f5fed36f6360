package config

import (
	"fmt"
	"slices"
	"strings"
)

// deskPrefix begins the variables of `holdfast fleet`, which are not the agent's.
const deskPrefix = variablePrefix + "FLEET_"

// environment applies HOLDFAST_* variables. One nobody knows is a warning and
// not an error, because service managers and orchestrators set variables of
// such names for reasons of their own.
func (l *loader) environment(environ []string) {
	names, keys := []string{strings.TrimPrefix(pathVariable, variablePrefix)}, map[string]string{}
	for _, s := range l.settings {
		names = append(names, strings.TrimPrefix(variable(s.key), variablePrefix))
		keys[variable(s.key)] = s.key
	}
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, variablePrefix) || name == pathVariable || strings.HasPrefix(name, deskPrefix) {
			continue
		}
		if key, ok := keys[name]; ok {
			l.set(key, input{text: value}, Problem{Source: name})
			continue
		}
		l.warn("environment variable %s is not known%s", quote(name), meant(nearest(name[len(variablePrefix):], names)))
	}
}

// overrides applies key=value pairs.
func (l *loader) overrides(pairs []string) {
	for _, pair := range pairs {
		key, value, found := strings.Cut(pair, "=")
		place := Problem{Source: "flag"}
		label, isLabel := strings.CutPrefix(key, labelsKey+".")
		switch _, known := l.byKey[key]; {
		case !found:
			place.Detail, place.Remedy = quote(pair)+" sets nothing", "write key=value"
			l.problem(place)
		case known:
			l.set(key, input{text: value}, place)
		case isLabel:
			l.label(label, value, place)
		default:
			l.unknown(key, place)
		}
	}
}

// set puts one value into force, or reports what is wrong with it at place.
func (l *loader) set(key string, in input, place Problem) {
	s := l.byKey[key]
	if err := s.set(&l.loaded.Config, in); err != nil {
		place.Key, place.Detail, place.Remedy = key, quote(in.text)+" "+err.Error(), "write "+s.wants
		l.problem(place)
		return
	}
	if key == labelsKey {
		labels, _ := parseLabels(in.text) // just accepted by set
		for name := range labels {
			l.loaded.origins[key+"."+name] = place.origin()
		}
		return
	}
	l.loaded.origins[key] = place.origin()
}

func (l *loader) label(name, value string, place Problem) {
	key := labelsKey + "." + name
	switch {
	case !isName(name) || value != "" && !isName(value):
		place.Key, place.Detail = key, quote(value)+" is not accepted"
		place.Remedy = "write names and values of at most 63 letters, digits, '.', '_' or '-'"
		l.problem(place)
	default:
		if err := addLabels(&l.loaded.Config.Node.Labels, map[string]string{name: value}); err != nil {
			place.Key, place.Detail, place.Remedy = key, err.Error(), fmt.Sprintf("keep at most %d", maxLabels)
			l.problem(place)
			return
		}
		l.loaded.origins[key] = place.origin()
	}
}

func (l *loader) unknown(key string, place Problem) {
	place.Detail = "unknown key " + quote(key)
	place.Remedy = "remove it"
	if l.isSection(key) {
		place.Remedy = "it is a section: set one of the keys below it"
	} else if guess := nearest(key, l.known); guess != "" {
		place.Remedy = fmt.Sprintf("did you mean %q?", guess)
	}
	l.problem(place)
}

func meant(guess string) string {
	if guess == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s%s?", variablePrefix, guess)
}

// origin is a place without its column: enough to find a value again.
func (p Problem) origin() string {
	p.Column = 0
	return p.Where()
}
