package compose

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"holdfast/edge"
)

// MaxFile bounds a Compose file, and a document that holds some; a gateway's has a
// few KiB.
const MaxFile = 1 << 20

// Options say what to load, and with which environment.
type Options struct {
	// Path names the file. Its folder names the app when the file does not.
	Path string
	// Content stands in for reading the file when it is not nil.
	Content []byte
	// Environ is what ${NAME} is looked up in, as KEY=value.
	Environ []string
}

// Load reads one Compose file and returns its workloads by name, or an error
// that holds every problem there is. It touches nothing but that file.
func Load(ctx context.Context, o Options) ([]edge.Workload, error) {
	content := o.Content
	if content == nil {
		var err error
		if content, err = readFile(o.Path); err != nil {
			return nil, err
		}
	}
	f := &file{problems: problems{file: o.Path}, environ: environment(o.Environ)}
	return f.load(ctx, content)
}

func (f *file) load(ctx context.Context, content []byte) ([]edge.Workload, error) {
	root, tree := f.parse(content)
	if f.grave {
		return nil, f.err()
	}
	return f.project(ctx, root, tree)
}

// project goes from the values of a project to its workloads.
func (f *file) project(ctx context.Context, root *node, tree map[string]any) ([]edge.Workload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.step()
	f.checkKeys(root)
	name := f.projectName(root, f.problems.file)
	if f.grave {
		return nil, f.err()
	}
	f.step()
	f.secrets, f.volumes, f.networks = f.outside(root), f.ownVolumes(root), f.ownNetworks(root)
	workloads := f.workloads(name, root, tree)
	if err := f.err(); err != nil {
		return nil, err
	}
	edge.SortStable(workloads, func(a, b edge.Workload) int { return strings.Compare(a.Name, b.Name) })
	return workloads, nil
}

// file is one Compose file on its way.
type file struct {
	problems
	environ  map[string]string
	verbatim bool              // not Compose: ${NAME} means nothing
	app      string            // what the app is named already
	secrets  map[string]string // what the secrets of the project are called outside it
	volumes  []string          // the names of its volumes
	networks map[string]network
	visited  int          // nodes expanded so far
	open     []*yaml.Node // what aliases being expanded stand for
}

// readFile reads a regular file of bounded size. Anything else could block or
// never end.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read Compose file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, &Problem{File: path, Detail: "is not a regular file", Remedy: "name a YAML file"}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read Compose file: %w", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read Compose file %q: %w", path, err)
	}
	return content, nil
}

func environment(environ []string) map[string]string {
	values := make(map[string]string, len(environ))
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok {
			values[name] = value
		}
	}
	return values
}

func folderName(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	return filepath.Base(filepath.Dir(abs))
}
