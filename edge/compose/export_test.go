package compose

import (
	"maps"
	"slices"
	"strings"
)

// Attributes is what the code knows of the Compose schema.
const Attributes = attributes

// HonouredPaths lists the honoured keys as paths of the Compose schema.
func HonouredPaths() []string {
	var paths []string
	honoured().walk("", func(path string) { paths = append(paths, path) })
	return paths
}

func (r rule) walk(at string, visit func(string)) {
	for name, below := range r.below {
		path := join(at, name)
		if name != extensionKey && name != each {
			visit(path)
		}
		if name != extensionKey {
			below.walk(path, visit)
		}
	}
}

// HonouredPlaces lists the mappings that hold honoured keys of Compose.
func HonouredPlaces() []string {
	places := map[string]bool{}
	for _, path := range HonouredPaths() {
		places[strings.TrimSuffix(path[:max(0, strings.LastIndex(path, "."))], ".")] = true
	}
	return slices.Sorted(maps.Keys(places))
}
