package compose

// HonouredPaths lists the honoured keys as paths of the Compose schema.
func HonouredPaths() []string {
	var paths []string
	honoured().walk("", func(path string) { paths = append(paths, path) })
	return paths
}

func (r rule) walk(at string, visit func(string)) {
	for name, below := range r {
		path := join(at, name)
		if name != extensionKey && name != each {
			visit(path)
		}
		if name != extensionKey {
			below.walk(path, visit)
		}
	}
}
