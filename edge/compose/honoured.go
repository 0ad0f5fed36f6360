package compose

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// rule says what is honoured at a place: a mapping with the keys below, or a
// value of a shape.
type rule struct {
	below map[string]rule
	shape shape
	empty bool // nothing may stand there, too
}

// each is the key of a rule that counts for any name.
const each = "*"

// honoured is the whole list.
func honoured() rule {
	limits := map[string]rule{"cpus": {shape: number}, "memory": {shape: text}, "pids": {shape: whole}}
	setAside := map[string]rule{"cpus": {shape: number}, "memory": {shape: text}}
	deploy := map[string]rule{
		"replicas": {shape: whole},
		"update_config": {below: map[string]rule{"parallelism": {shape: whole}, "order": {shape: text}, "delay": {shape: text},
			"failure_action": {shape: text}, "monitor": {shape: text}, "max_failure_ratio": {shape: number}}},
		"resources": {below: map[string]rule{"limits": {below: limits}, "reservations": {below: setAside}}},
	}
	extension := map[string]rule{
		"model": {}, "variants": {}, "endpoint": {}, "cost": {}, "concurrency": {}, "timeout": {}, "readyWithin": {}, "runAsRoot": {},
		"tenant": {}, "preemptible": {}, "degrade": {},
		oneShotKey: {empty: true, below: map[string]rule{"input": {shape: text}, "output": {shape: text}, "warm": {shape: whole}}},
		canaryKey:  {below: map[string]rule{"share": {}, "tasks": {}, "for": {}, "slower": {}}},
	}
	for _, name := range probeNames() {
		extension[name] = rule{below: map[string]rule{
			"exec": {shape: texts}, "http": {shape: text}, "port": {shape: whole}, "delay": {shape: text}, "period": {shape: text},
			"timeout": {shape: text}, "successes": {shape: whole}, "failures": {shape: whole},
		}}
	}
	health := map[string]rule{
		"test": {shape: textOrTexts}, "disable": {shape: truth}, "retries": {shape: whole},
		"interval": {shape: text}, "timeout": {shape: text}, "start_period": {shape: text}, "start_interval": {shape: text},
	}
	service := map[string]rule{
		"image": {shape: text}, "command": {shape: words}, "entrypoint": {shape: words},
		"environment": {shape: variables}, "working_dir": {shape: text}, "user": {shape: text},
		"read_only": {shape: truth}, "cap_add": {shape: texts}, "cap_drop": {shape: texts},
		"security_opt": {shape: texts}, "tmpfs": {shape: textOrTexts}, "network_mode": {shape: text},
		"privileged": {shape: truth}, "devices": {shape: texts}, "volumes": {shape: mounts},
		"secrets": {shape: confidences}, "networks": {shape: memberships}, "ports": {shape: portList},
		"depends_on": {shape: dependencies}, "healthcheck": {below: health},
		"restart": {shape: text}, "stop_signal": {shape: text}, "stop_grace_period": {shape: text},
		"scale": {shape: whole}, "cpus": {shape: number}, "mem_limit": {shape: number}, "pids_limit": {shape: whole},
		"blkio_config": {below: map[string]rule{"weight": {shape: plainWhole}}},
		"deploy":       {below: deploy}, extensionKey: {below: extension},
	}
	return rule{below: map[string]rule{
		"name":     {shape: text},
		"version":  {}, // obsolete; Compose says it has no meaning
		"services": {below: map[string]rule{each: {below: service}}},
		"volumes":  {below: map[string]rule{each: {empty: true, below: map[string]rule{"external": {shape: truth}, "driver": {shape: text}}}}},
		"networks": {below: map[string]rule{each: {empty: true, below: map[string]rule{
			"internal": {shape: truth}, "external": {shape: truth}, "name": {shape: text}, "driver": {shape: text},
		}}}},
		"secrets": {below: map[string]rule{each: {below: map[string]rule{"external": {shape: truth}, "name": {shape: text}}}}},
	}}
}

// checkKeys reports every key that is not honoured, and what has to be a mapping
// and is not.
func (f *file) checkKeys(root *node) {
	f.check(root, honoured(), "")
	services := root.at("services")
	if services == nil {
		f.add(root.near("services"), "names no services", "write them below services; services: {} says that nothing is to run")
		return
	}
	for _, name := range services.order {
		f.checkService(name, services.fields[name])
	}
}

// checkService reports what compose-go would let pass, or report without a line.
func (f *file) checkService(name string, at *node) {
	if !isName(name) {
		f.addLight(at, quote(name)+" cannot name a workload", nameRemedy)
	}
	if at.at("image") == nil {
		f.addLight(at, "names no image", "write image: and a reference")
	}
}

// check holds n against the rule of a place, which is a path with * for any name.
func (f *file) check(n *node, r rule, place string) {
	if r.below == nil {
		if !r.shape.fits(n) {
			f.add(n, "is "+kindOf(n), "write "+r.shape.String())
		}
		return
	}
	if r.empty && n.tag == "!!null" {
		return
	}
	if n.kind != yaml.MappingNode {
		f.add(n, "is not a mapping", "write keys and values below it")
		return
	}
	for _, name := range n.order {
		key := name
		if _, any := r.below[each]; any {
			key = each
		}
		below, ok := r.below[key]
		if !ok {
			f.refuse(n.fields[name], name, r, place)
			continue
		}
		f.check(n.fields[name], below, join(place, key))
	}
}

// refuse tells a key Compose knows from one nobody knows.
func (f *file) refuse(n *node, name string, r rule, place string) {
	reason, remedy := refusal(name)
	known := isAttribute(place, name)
	switch guess := nearest(name, r); {
	case known && reason != "" || name == "route" && strings.HasSuffix(n.path, extensionKey+".route"):
		f.addLight(n, "not honoured yet: "+reason, remedy)
	case known:
		f.addLight(n, "not honoured yet", remedy)
	case guess != "":
		f.addLight(n, "unknown key", "did you mean "+guess+"?")
	default:
		f.addLight(n, "unknown key", remedy)
	}
}

// isAttribute tells whether Compose has the key at a place where others are honoured.
func isAttribute(place, name string) bool {
	for line := range strings.Lines(attributes) {
		if at, names, _ := strings.Cut(line, ": "); at == place {
			return slices.Contains(strings.Fields(names), name)
		}
	}
	return false
}
