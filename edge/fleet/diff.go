package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"holdfast/edge"
)

// Change is one thing a node would do or hold differently.
type Change struct {
	What   string        `json:"what"`   // workload, tenant, class, trigger, or the section's name
	Name   string        `json:"name"`   // which of them; empty for a section
	Kind   ChangeKind    `json:"kind"`   // added, removed or changed
	Effect string        `json:"effect"` // what the node does about it
	Fields []FieldChange `json:"fields,omitempty"`
}

// ChangeKind is how a thing differs.
type ChangeKind string

// The kinds.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// FieldChange is one value that differs. A side that says nothing is empty.
type FieldChange struct {
	Field string `json:"field"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
}

// Diff tells what a node that holds one policy would change under another, workloads
// first.
func Diff(from, to *edge.Policy) ([]Change, error) {
	before, err := treeOf(from)
	if err != nil {
		return nil, err
	}
	after, err := treeOf(to)
	if err != nil {
		return nil, err
	}
	changes := diffWorkloads(from, to)
	for _, of := range [...]struct{ section, what string }{{"tenants", "tenant"}, {"classes", "class"}, {"upstreams", "upstream"}, {"routes", "route"}} {
		changes = append(changes, diffNamed(of.what, section(before, of.section), section(after, of.section))...)
	}
	changes = append(changes, diffNamed("trigger", triggers(from), triggers(to))...)
	for _, name := range [...]string{"metadata", "lease", "limits", "security", "connectivity", "offline", "health", "sla", "agent", "secrets", "critical"} {
		fields := diffFields(flatten(before[name]), flatten(after[name]))
		if len(fields) > 0 {
			changes = append(changes, Change{What: name, Kind: Changed, Effect: sectionEffect(name, from, to), Fields: fields})
		}
	}
	if len(changes) > 0 && from.Metadata.Version == to.Metadata.Version {
		effect := fmt.Sprintf("is still %d: a node that holds it refuses another; raise metadata.version", to.Metadata.Version)
		changes = append(changes, Change{What: "version", Kind: Changed, Effect: effect})
	}
	return changes, nil
}

// treeOf is a policy as its document says it, where durations and sizes have units.
func treeOf(policy *edge.Policy) (map[string]any, error) {
	text, err := policy.Encode()
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	reader := json.NewDecoder(bytes.NewReader(text))
	reader.UseNumber()
	if err := reader.Decode(&tree); err != nil {
		return nil, fmt.Errorf("cannot read policy %q: %w", policy.Metadata.Name, err)
	}
	abridge(tree)
	return tree, nil
}

func section(tree map[string]any, name string) map[string]any {
	entries, _ := tree[name].(map[string]any)
	return entries
}

// triggers have no names; what sets them off stands for one.
func triggers(policy *edge.Policy) map[string]any {
	entries := map[string]any{}
	for _, t := range policy.Triggers {
		name := t.Source()
		values := map[string]any{"class": t.Class.String(), "model": t.Model}
		if t.Deadline != 0 {
			values["deadline"] = t.Deadline.String()
		}
		for key, value := range map[string]string{"tenant": t.Tenant, "reply": t.Reply, "cron": t.Cron, "into": t.Into, "input": t.Input} {
			if value != "" {
				values[key] = value
			}
		}
		if t.Keep != 0 {
			values["keep"] = t.Keep
		}
		for unique, n := name, 2; ; n++ {
			if _, taken := entries[unique]; !taken {
				entries[unique] = values
				break
			}
			unique = name + " (" + itoa(n) + ")"
		}
	}
	return entries
}

func diffNamed(what string, before, after map[string]any) []Change {
	var changes []Change
	for _, name := range both(before, after) {
		old, was := before[name]
		now, is := after[name]
		change := Change{What: what, Name: name, Fields: diffFields(flatten(old), flatten(now))}
		switch {
		case !was:
			change.Kind, change.Effect = Added, "counts from the next task on"
		case !is:
			change.Kind, change.Effect, change.Fields = Removed, removedEffect(what), nil
		case len(change.Fields) > 0:
			change.Kind, change.Effect = Changed, "counts from the next task on; the queue is checked again"
		default:
			continue
		}
		changes = append(changes, change)
	}
	return changes
}

func removedEffect(what string) string {
	switch what {
	case "tenant":
		return "falls to _default; refused where there is none"
	case "class":
		return "falls to the node's configuration"
	case "upstream":
		return "is asked no more"
	case "route":
		return "its tasks are answered here, if a workload serves the model"
	default:
		return "no more tasks from there"
	}
}

func sectionEffect(name string, from, to *edge.Policy) string {
	switch name {
	case "metadata":
		switch {
		case to.Metadata.Version < from.Metadata.Version:
			return fmt.Sprintf("a node that accepted version %d refuses version %d", from.Metadata.Version, to.Metadata.Version)
		case to.Metadata.Audience.String() != from.Metadata.Audience.String():
			return "meant for other nodes; those that do not belong refuse it"
		}
		return "a new version"
	case "lease":
		return "what was used up of the lease stays used up"
	case "limits":
		return "fills in what services leave out; their instances are replaced where that differs"
	case "secrets":
		return "instances that are told another value are replaced"
	case "security":
		return "workloads are admitted anew"
	case "agent":
		return agentEffect(from.Agent, to.Agent)
	}
	return "in force as soon as the policy is"
}

// agentEffect follows the agent: what it runs stays until another version is named.
func agentEffect(from, to edge.AgentPolicy) string {
	switch {
	case from.System != to.System && to.System.Wants():
		return "RAUC installs the system named, unless it runs, and the machine starts anew unless restart is later"
	case from.System != to.System:
		return "the system stays as it is; an installation that is under way is brought to its end"
	case from.Release == to.Release:
		return "a download that is under way goes on from there"
	case !to.Wants():
		return "the agent stays in its version; a download that is under way ends"
	}
	return "the agent updates itself and starts anew; no workload stops"
}

func both[V any](a, b map[string]V) []string {
	names := maps.Clone(a)
	if names == nil {
		names = map[string]V{}
	}
	maps.Copy(names, b)
	return slices.Sorted(maps.Keys(names))
}

func diffWorkloads(from, to *edge.Policy) []Change {
	var changes []Change
	before, after := byKey(from), byKey(to)
	for _, key := range both(before, after) {
		old, was := before[key]
		now, is := after[key]
		switch {
		case !was:
			changes = append(changes, Change{What: "workload", Name: key, Kind: Added, Effect: "starts " + instances(now.Replicas), Fields: diffFields(nil, workloadFields(now))})
		case !is:
			changes = append(changes, Change{What: "workload", Name: key, Kind: Removed, Effect: "stops " + instances(old.Replicas)})
		default:
			if fields := diffFields(workloadFields(old), workloadFields(now)); len(fields) > 0 {
				changes = append(changes, Change{What: "workload", Name: key, Kind: Changed, Effect: workloadEffect(old, now), Fields: fields})
			}
		}
	}
	return changes
}

// byKey gives the workloads as the node runs them, with what the policy fills in.
func byKey(policy *edge.Policy) map[string]edge.Workload {
	workloads := make(map[string]edge.Workload, len(policy.Workloads))
	for _, w := range policy.Workloads {
		workloads[w.Key()] = policy.Fill(w)
	}
	return workloads
}

// workloadEffect follows the agent: instances of one spec are interchangeable, those
// of another are replaced.
func workloadEffect(old, now edge.Workload) string {
	switch {
	case old.SpecHash() != now.SpecHash():
		return "replaces " + instances(old.Replicas) + " by " + itoa(now.Replicas)
	case old.Replicas < now.Replicas:
		return "starts " + instances(now.Replicas-old.Replicas) + " more"
	case old.Replicas == now.Replicas:
		return "keeps its instances"
	default:
		return "stops " + instances(old.Replicas-now.Replicas)
	}
}

func instances(n int) string {
	switch n {
	case 0:
		return "no instance"
	case 1:
		return "1 instance"
	}
	return itoa(n) + " instances"
}
