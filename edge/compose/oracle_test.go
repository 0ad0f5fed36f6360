package compose

import (
	"context"
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"

	"holdfast/edge"
)

// LoadByCompose reads content as Load does, but lets compose-go's loader decode and
// check it, by the Compose schema too. It is what Load is held against.
func LoadByCompose(ctx context.Context, o Options) ([]edge.Workload, error) {
	f := &file{problems: problems{file: o.Path}, environ: environment(o.Environ)}
	root, values := f.parse(o.Content)
	if err := f.err(); err != nil {
		return nil, err
	}
	app := f.projectName(root, o.Path)
	project, err := f.byCompose(ctx, app, values)
	if err != nil {
		return nil, err
	}
	f.networks = map[string]network{}
	for key, n := range project.Networks {
		f.networks[key] = network{outward: !n.Internal}
		if n.External {
			f.networks[key] = network{link: n.Name}
		}
	}
	f.secrets = map[string]string{}
	for key, secret := range project.Secrets {
		f.secrets[key] = secret.Name
	}
	var services []service
	for _, name := range slices.Sorted(maps.Keys(project.Services)) {
		at := root.at("services", name)
		services = append(services, service{f, name, at, converted(at, project.Services[name])})
	}
	return f.mapServices(app, services), f.err()
}

func (f *file) byCompose(ctx context.Context, app string, values map[string]any) (*types.Project, error) {
	delete(values, "version")
	values["name"] = app
	return loader.LoadWithContext(ctx, types.ConfigDetails{
		// Content is there and empty so that the loader does not read the file itself.
		ConfigFiles: []types.ConfigFile{{Filename: f.problems.file, Config: values, Content: []byte{}}},
		Environment: f.environ,
	}, func(o *loader.Options) {
		o.SetProjectName(app, true)
		o.SkipInclude, o.SkipExtends, o.ResolvePaths = true, true, false
		o.Interpolate.Substitute = func(s string, _ template.Mapping) (string, error) { return s, nil }
		o.Interpolate.LookupValue = interpolation.LookupValue(f.lookup)
	})
}

// converted takes what compose-go decoded.
func converted(at *node, from types.ServiceConfig) config {
	entries := func(texts []string) []entry {
		var list []entry
		for _, text := range texts {
			list = append(list, entry{text, at})
		}
		return list
	}
	to := config{
		Image: from.Image, WorkingDir: from.WorkingDir, User: from.User, NetworkMode: from.NetworkMode,
		Restart: from.Restart, StopSignal: from.StopSignal, Command: from.Command, Entrypoint: from.Entrypoint,
		Environment: from.Environment, CapAdd: entries(from.CapAdd), CapDrop: entries(from.CapDrop),
		SecurityOpt: entries(from.SecurityOpt), Tmpfs: entries(from.Tmpfs), ReadOnly: from.ReadOnly, Privileged: from.Privileged,
		StopGracePeriod: from.StopGracePeriod, Scale: new(from.GetScale()),
		HealthCheck: from.HealthCheck,
		CPUs:        from.CPUS, MemLimit: from.MemLimit, PidsLimit: from.PidsLimit,
	}
	for _, v := range from.Volumes {
		to.Volumes = append(to.Volumes, volume{v.Source, v.Target, v.ReadOnly, v.Type == "volume", at})
	}
	for _, d := range from.Devices {
		to.Devices = append(to.Devices, device{d.Source, d.Target, d.Permissions, at})
	}
	for _, s := range from.Secrets {
		to.Secrets = append(to.Secrets, confidence{s.Source, s.Target, s.Mode, at})
	}
	for _, p := range from.Ports {
		to.Ports = append(to.Ports, port{p.HostIP, p.Published, p.Protocol, p.Target, at})
	}
	if at.at("networks") != nil { // or Compose puts it on one that nobody asked for
		to.Networks = slices.Sorted(maps.Keys(from.Networks))
	}
	for _, name := range slices.Sorted(maps.Keys(from.DependsOn)) {
		on := from.DependsOn[name]
		to.DependsOn = append(to.DependsOn, dependency{name, on.Condition, on.Restart, on.Required, at})
	}
	to.Extension, _ = from.Extensions[extensionKey].(map[string]any)
	if d := from.Deploy; d != nil && d.UpdateConfig != nil {
		to.Update = updateConfig{
			d.UpdateConfig.Parallelism, d.UpdateConfig.Delay, d.UpdateConfig.Order,
			d.UpdateConfig.FailureAction, d.UpdateConfig.Monitor, d.UpdateConfig.MaxFailureRatio,
		}
	}
	if d := from.Deploy; d != nil && d.Resources.Limits != nil {
		l := d.Resources.Limits
		to.Limits = &limitsConfig{CPUs: l.NanoCPUs, Memory: l.MemoryBytes, Pids: l.Pids}
	}
	if d := from.Deploy; d != nil && d.Resources.Reservations != nil {
		r := d.Resources.Reservations
		to.SetAside = &limitsConfig{CPUs: r.NanoCPUs, Memory: r.MemoryBytes}
	}
	if from.BlkioConfig != nil {
		to.BlkioWeight = int64(from.BlkioConfig.Weight)
	}
	return to
}

// NormalName is the name Load makes of a text, and ComposeName the one Compose does.
func NormalName(text string) string  { return normalName(text) }
func ComposeName(text string) string { return loader.NormalizeProjectName(text) }
