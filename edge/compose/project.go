package compose

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/errdefs"
	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"

	"holdfast/edge"
)

// workloads lets compose-go read the checked values and maps its services.
func (f *file) workloads(ctx context.Context, app string, root *node, values map[string]any) []edge.Workload {
	delete(values, "version")
	values["name"] = app
	project, err := loader.LoadWithContext(ctx, types.ConfigDetails{
		// Content is there and empty so that the loader does not go and read the
		// file itself, for the project's name.
		ConfigFiles: []types.ConfigFile{{Filename: f.problems.file, Config: values, Content: []byte{}}},
		Environment: f.environ,
	}, func(o *loader.Options) { f.options(o, app) })
	if err != nil {
		f.foreign(err, root)
		return nil
	}
	return f.mapServices(project, root)
}

func (f *file) options(o *loader.Options, app string) {
	o.SetProjectName(app, true)
	// The shapes of the honoured keys are checked. Compiling the Compose schema to
	// check them once more takes ten times as long as all the rest.
	o.SkipValidation = !f.validate
	o.SkipInclude, o.SkipExtends, o.ResolvePaths = true, true, false
	// The values are interpolated; what is left to do is to turn texts into the
	// numbers and truths their keys take.
	o.Interpolate.Substitute = func(s string, _ template.Mapping) (string, error) { return s, nil }
	o.Interpolate.LookupValue = interpolation.LookupValue(f.lookup)
}

// foreign reports errors of compose-go, each at the place its text names.
func (f *file) foreign(err error, root *node) {
	text := strings.TrimPrefix(err.Error(), "validating "+f.problems.file+": ")
	text = decodedPath.ReplaceAllString(text, "services.$1.$2: ")
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(strings.TrimSpace(line), ": "+errdefs.ErrInvalid.Error())
		if line == "" || strings.HasPrefix(line, "decoding failed") {
			continue
		}
		at := named(line, root)
		f.add(at, strings.TrimLeft(strings.TrimPrefix(line, at.path), ": "), "")
	}
	if len(f.list) == 0 {
		f.add(root, quote(text), "")
	}
}

// decodedPath is how a failed conversion names its place: 'services[web].cpus'.
var decodedPath = regexp.MustCompile(`'services\[([^\]]*)\]\.([^']*)' `)

// named finds the deepest place an error text names: by its path, or, for a
// service, by its quoted name.
func named(text string, root *node) *node {
	best := root
	root.walk(func(n *node) {
		name, ok := strings.CutPrefix(n.path, "services.")
		quoted := ok && strings.Contains(text, `service "`+name+`"`)
		if len(n.path) > len(best.path) && (quoted || strings.Contains(text, n.path)) {
			best = n
		}
	})
	return best
}

// walk visits n and everything below it in the order of the file.
func (n *node) walk(visit func(*node)) {
	visit(n)
	for _, name := range n.order {
		n.fields[name].walk(visit)
	}
	for _, item := range n.items {
		item.walk(visit)
	}
}

func (f *file) mapServices(project *types.Project, root *node) []edge.Workload {
	workloads := []edge.Workload{}
	serving := map[string]string{} // model → service
	for _, name := range slices.Sorted(maps.Keys(project.Services)) {
		at := root.at("services", name)
		s := service{file: f, at: at, config: project.Services[name]}
		w := s.workload(project.Name, name)
		for _, model := range w.Serve.Models() {
			if other, taken := serving[model]; taken {
				f.add(at.near(extensionKey, "model"), "the model "+quote(model)+" is already served by service "+quote(other),
					"give it a name of its own; for more instances of one server use deploy.replicas")
				continue
			}
			serving[model] = name
		}
		workloads = append(workloads, w)
	}
	return workloads
}
