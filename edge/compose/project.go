package compose

import (
	"maps"
	"slices"

	"holdfast/edge"
)

// workloads decodes the checked values and maps the services.
func (f *file) workloads(app string, root *node, values map[string]any) []edge.Workload {
	named, _ := values["services"].(map[string]any) // checked: a mapping of mappings
	var services []service
	for _, name := range slices.Sorted(maps.Keys(named)) {
		values, _ := named[name].(map[string]any)
		at := root.at("services", name)
		services = append(services, service{f, name, at, decoder{f, at, values}.config(app)})
	}
	f.step()
	for _, s := range services {
		s.checkAgreement()
	}
	f.step()
	return f.mapServices(app, services)
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

func (f *file) mapServices(app string, services []service) []edge.Workload {
	workloads := []edge.Workload{}
	serving := map[string]string{} // model → service
	for _, s := range services {
		w := s.workload(app)
		for _, model := range w.Serve.Models() {
			if other, taken := serving[model]; taken {
				f.add(s.at.near(extensionKey, "model"), "the model "+quote(model)+" is already served by service "+quote(other),
					"give it a name of its own; for more instances of one server use deploy.replicas")
				continue
			}
			serving[model] = s.name
		}
		workloads = append(workloads, w)
	}
	f.checkDependencies(services, workloads)
	f.checkPorts(services, workloads)
	return workloads
}
