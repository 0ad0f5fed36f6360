package slots

import (
	"path/filepath"
	"slices"
	"strings"
)

// The variables by which the launcher tells the agent what it is.
const (
	slotVariable    = "HOLDFAST_SLOT"    // a, b or factory
	rescueVariable  = "HOLDFAST_RESCUE"  // why the factory's program stands in
	factoryVariable = "HOLDFAST_FACTORY" // the version of the factory's program
	dirVariable     = "HOLDFAST_SLOTS"   // the folder of the slots
)

// DefaultDir is the folder of the slots unless HOLDFAST_SLOTS names another.
const DefaultDir = "/var/lib/holdfast/slots"

// Started is how a process was started.
type Started struct {
	Slot    Name   // what it is; empty: it was not started by the launcher, and cannot be updated
	Rescue  string // why the factory's program stands in for a version; empty: it does not
	Factory string // the version of the factory's program; empty: unknown
	Dir     string // the folder of the slots
	Run     string // see Options
}

// FromEnvironment reads what the launcher has said.
func FromEnvironment(getenv func(string) string) Started {
	started := Started{
		Slot: Name(getenv(slotVariable)), Rescue: plain(getenv(rescueVariable)),
		Factory: plain(getenv(factoryVariable)), Dir: getenv(dirVariable),
	}
	if !started.Slot.known() {
		started.Slot = ""
	}
	if !filepath.IsAbs(started.Dir) {
		started.Dir = DefaultDir
	}
	// systemd names the folder that is kept while the machine runs.
	if run := getenv("RUNTIME_DIRECTORY"); filepath.IsAbs(run) && !strings.Contains(run, ":") {
		started.Run = filepath.Clean(run)
	}
	return started
}

// Options are those of the store that the process belongs to.
func (s Started) Options() Options {
	return Options{Dir: s.Dir, Running: s.Slot, Factory: s.Factory, Run: s.Run}
}

// Environment is an environment in which FromEnvironment finds how a process was started.
func (s Started) Environment(environ []string) []string {
	environ = WithoutOurs(environ)
	for _, said := range [][2]string{
		{slotVariable, string(s.Slot)}, {rescueVariable, s.Rescue}, {factoryVariable, s.Factory}, {dirVariable, s.Dir},
	} {
		if said[1] != "" {
			environ = append(environ, said[0]+"="+said[1])
		}
	}
	return environ
}

// WithoutOurs is an environment without what the launcher says: the rest of it is the
// agent's configuration.
func WithoutOurs(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains([]string{slotVariable, rescueVariable, factoryVariable, dirVariable}, name)
	})
}
