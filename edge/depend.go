package edge

import (
	"fmt"
	"slices"
	"strings"
)

// Dependency is another workload of the same app that is to be there first.
type Dependency struct {
	Name string              `json:"name"` // its Name
	When DependencyCondition `json:"when"` // it is there
	// Restart: when it is updated, or restarted by a person, this one is restarted too.
	Restart bool `json:"restart,omitempty"`
	// Optional: this one starts also when the other is not wanted or in trouble.
	Optional bool `json:"optional,omitempty"`
}

// DependencyCondition says when a dependency is there, as Compose names it.
type DependencyCondition string

// The conditions.
const (
	WhenStarted   DependencyCondition = "service_started"
	WhenHealthy   DependencyCondition = "service_healthy"                // all its instances are ready
	WhenCompleted DependencyCondition = "service_completed_successfully" // all have ended with code 0
)

// Conditions lists them all.
func Conditions() []DependencyCondition {
	return []DependencyCondition{WhenStarted, WhenHealthy, WhenCompleted}
}

// checkDependencies holds what one workload says of others against them.
func (p *Policy) checkDependencies(c *checker) {
	for i, w := range p.Workloads {
		seen := map[string]bool{}
		for j, on := range w.DependsOn {
			at := fmt.Sprintf("workloads[%d].dependsOn[%d]", i, j)
			other := p.workload(w.App, on.Name)
			c.require(other != nil || on.Optional, at+".name", quoteShort(on.Name)+" is none of the workloads of its app")
			c.require(!seen[on.Name], at+".name", quoteShort(on.Name)+" stands twice")
			seen[on.Name] = true
			c.require(slices.Contains(Conditions(), on.When), at+".when", quoteShort(string(on.When))+" is not one of its conditions")
			c.require(other == nil || on.When != WhenCompleted || other.Restart != RestartAlways, at+".when",
				quoteShort(on.Name)+" is restarted always, so it never completes")
			c.require(other == nil || !other.IsOneShot(), at+".name", quoteShort(on.Name)+" is a one-shot tool, which is never there for longer than a task")
		}
	}
	if circle := DependencyCircle(p.Workloads); circle != nil {
		c.require(false, "workloads", "depend on each other in a circle: "+strings.Join(circle, " → "))
	}
}

func (p *Policy) workload(app, name string) *Workload {
	for i := range p.Workloads {
		if w := &p.Workloads[i]; w.App == app && w.Name == name {
			return w
		}
	}
	return nil
}

// DependencyCircle finds workloads of which each waits for the next: their keys, the
// first once more at the end; nil where there are none.
func DependencyCircle(workloads []Workload) []string {
	s := circleSearch{on: map[string][]string{}, left: map[string]bool{}}
	for _, w := range workloads {
		for _, d := range w.DependsOn {
			s.on[w.Key()] = append(s.on[w.Key()], w.App+"/"+d.Name)
		}
	}
	for _, w := range workloads {
		if circle := s.visit(w.Key()); circle != nil {
			return circle
		}
	}
	return nil
}

// circleSearch walks along dependencies, depth first.
type circleSearch struct {
	on   map[string][]string
	left map[string]bool // seen to be in no circle
	path []string
}

func (s *circleSearch) visit(key string) []string {
	if s.left[key] {
		return nil
	}
	if i := slices.Index(s.path, key); i >= 0 {
		return append(slices.Clone(s.path[i:]), key)
	}
	s.path = append(s.path, key)
	for _, next := range s.on[key] {
		if circle := s.visit(next); circle != nil {
			return circle
		}
	}
	s.path = s.path[:len(s.path)-1]
	s.left[key] = true
	return nil
}
