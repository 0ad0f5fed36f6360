package compose

import (
	"slices"
	"strings"

	"holdfast/edge"
)

// dependency is one entry of depends_on.
type dependency struct {
	name, condition   string
	restart, required bool
	at                *node
}

// dependencies reads the list and the mapping.
func (d decoder) dependencies() []dependency {
	at := d.at.at("depends_on")
	if at == nil {
		return nil
	}
	var list []dependency
	for _, e := range d.entries("depends_on") {
		list = append(list, dependency{name: e.text, condition: string(edge.WhenStarted), required: true, at: e.at})
	}
	for _, name := range at.order {
		list = append(list, d.longDependency(name, at.fields[name]))
	}
	edge.SortStable(list, func(a, b dependency) int { return strings.Compare(a.name, b.name) })
	return list
}

func (d decoder) longDependency(name string, at *node) dependency {
	on := dependency{name: name, condition: string(edge.WhenStarted), required: true, at: at}
	if at.fields == nil {
		d.add(at, "is not a mapping", "write condition: and one of "+conditions())
		return on
	}
	for _, key := range at.order {
		below := at.fields[key]
		switch key {
		case "condition":
			on.condition = below.text
			d.require(isText(below), below, "is not one of its conditions", "write one of "+conditions())
		case "restart", "required":
			d.require(truth.fits(below), below, "is neither true nor false", "write true or false")
			into := map[string]*bool{"restart": &on.restart, "required": &on.required}[key]
			*into = below.text == "true"
		default:
			d.add(below, "not honoured", "keep condition, restart and required")
		}
	}
	return on
}

func conditions() string {
	var names []string
	for _, c := range edge.Conditions() {
		names = append(names, string(c))
	}
	return strings.Join(names, ", ")
}

// dependsOn is what is to be there first.
func (s service) dependsOn() []edge.Dependency {
	var list []edge.Dependency
	for i, on := range s.config.DependsOn {
		if i > 0 && s.config.DependsOn[i-1].name == on.name {
			s.add(on.at, quote(on.name)+" stands twice", "keep one")
			continue
		}
		if !slices.Contains(edge.Conditions(), edge.DependencyCondition(on.condition)) {
			s.add(on.at.near("condition"), quote(on.condition)+" is not one of its conditions", "write one of "+conditions())
		}
		list = append(list, edge.Dependency{
			Name: on.name, When: edge.DependencyCondition(on.condition), Restart: on.restart, Optional: !on.required,
		})
	}
	return list
}

// checkDependencies holds what services say of each other against them.
func (f *file) checkDependencies(services []service, workloads []edge.Workload) {
	for _, s := range services {
		for _, on := range s.config.DependsOn {
			i := slices.IndexFunc(workloads, func(w edge.Workload) bool { return w.Name == on.name })
			switch {
			case i < 0:
				f.add(on.at, quote(on.name)+" is none of the services of the file", "name one, or remove it")
			case on.condition == string(edge.WhenCompleted) && workloads[i].Restart == edge.RestartAlways:
				f.add(on.at, quote(on.name)+" is restarted always, so it never completes", `write restart: "no" or on-failure there, or wait for another condition`)
			case workloads[i].IsOneShot():
				f.add(on.at, quote(on.name)+" is a one-shot tool, which is never there for longer than a task", "remove it")
			}
		}
	}
	circle := edge.DependencyCircle(workloads)
	if circle == nil {
		return
	}
	for i := range circle {
		_, circle[i], _ = strings.Cut(circle[i], "/")
	}
	for _, s := range services {
		for _, on := range s.config.DependsOn {
			if s.name == circle[0] && on.name == circle[1] {
				f.add(on.at, "services wait for each other in a circle: "+strings.Join(circle, " → "), "take one of them out of depends_on")
			}
		}
	}
}
