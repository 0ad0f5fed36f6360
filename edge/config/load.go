package config

import (
	"errors"
	"strings"

	"holdfast/edge"
)

// DefaultPath is the configuration file read when no other is named.
const DefaultPath = "/etc/holdfast/config.yaml"

const (
	variablePrefix = "HOLDFAST_"
	// pathVariable names the configuration file itself.
	pathVariable = variablePrefix + "CONFIG"
)

// Options say where the layers come from.
type Options struct {
	// Path is the configuration file, which must exist. Empty takes what
	// HOLDFAST_CONFIG names, and without that DefaultPath if it is there.
	Path string
	// Environ is the environment as KEY=value.
	Environ []string
	// Overrides are key=value pairs from the command line, the last layer.
	Overrides []string

	// DefaultPath stands in for the constant of that name; empty keeps it.
	DefaultPath string
}

// Loaded is a configuration and where it came from.
type Loaded struct {
	Config   Config
	Files    []string // the files that were read, in order
	Warnings []string // what is allowed and probably not meant

	origins map[string]string
}

// Value is one key in force.
type Value struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"` // default, file:line, a variable, or flag
}

// Origins lists every key in force with its value and its origin, by key.
func (l *Loaded) Origins() []Value {
	var values []Value
	for _, s := range settings() {
		if s.key == labelsKey && len(l.Config.Node.Labels) > 0 {
			for name, value := range l.Config.Node.Labels {
				key := labelsKey + "." + name
				values = append(values, Value{key, value, l.origin(key)})
			}
			continue
		}
		values = append(values, Value{s.key, s.get(&l.Config), l.origin(s.key)})
	}
	edge.SortStable(values, func(a, b Value) int { return strings.Compare(a.Key, b.Key) })
	return values
}

func (l *Loaded) origin(key string) string {
	if origin, ok := l.origins[key]; ok {
		return origin
	}
	return "default"
}

// Load reads all layers. It returns either a whole configuration or an error
// that holds every problem there is.
func Load(o Options) (*Loaded, error) {
	l := newLoader()
	l.files(o)
	l.environment(o.Environ)
	l.overrides(o.Overrides)
	l.derive()
	l.check()
	if err := errors.Join(l.errs...); err != nil {
		return nil, err
	}
	return &l.loaded, nil
}
