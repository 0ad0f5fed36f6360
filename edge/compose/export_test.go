package compose

import (
	"context"

	"holdfast/edge"
)

// LoadValidated loads content and lets compose-go hold it against the Compose
// schema as well.
func LoadValidated(ctx context.Context, o Options) ([]edge.Workload, error) {
	f := &file{problems: problems{file: o.Path}, environ: environment(o.Environ), validate: true}
	return f.load(ctx, o.Content)
}

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
