package compose

import (
	"math"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/tree"

	"go.yaml.in/yaml/v3"
)

// rule says which keys are honoured below a place. A rule without keys honours
// everything below it.
type rule map[string]rule

// each is the key of a rule that counts for any name.
const each = "*"

func leaves(names ...string) rule {
	r := rule{}
	for _, name := range names {
		r[name] = nil
	}
	return r
}

// honoured is the whole list.
func honoured() rule {
	service := leaves(
		"image", "command", "entrypoint", "environment", "working_dir", "user",
		"read_only", "cap_add", "cap_drop", "security_opt", "tmpfs", "network_mode",
		"restart", "stop_signal", "stop_grace_period",
		"scale", "cpus", "mem_limit", "pids_limit",
	)
	service["deploy"] = rule{
		"replicas":  nil,
		"resources": rule{"limits": leaves("cpus", "memory", "pids")},
	}
	service[extensionKey] = leaves("model", "variants", "endpoint", "cost", "concurrency", "timeout", "readyWithin", "runAsRoot")
	return rule{
		"name":     nil,
		"version":  nil, // obsolete; Compose says it has no meaning
		"services": rule{each: service},
	}
}

// refusals say why a key that Compose knows is not honoured, and what to do
// instead. Keys are the last part of the path.
func refusals(key string) (reason, remedy string) {
	switch key {
	case "ports", "networks", "expose", "links", "dns", "extra_hosts", "hostname":
		return "instances have no network", "let a model server listen on a unix socket (x-holdfast.endpoint)"
	case "volumes", "volumes_from", "configs", "secrets":
		return "instances see nothing of the host", "put files into the image, and scratch data under tmpfs"
	case "privileged", "devices", "device_cgroup_rules", "cgroup", "ipc", "pid", "uts", "userns_mode", "sysctls":
		return "it would undo the isolation of instances", "add single capabilities with cap_add"
	case "depends_on", "healthcheck":
		return "readiness is asked of model servers only", "remove it; instances are restarted until they run"
	case "build":
		return "images are built elsewhere", "name an image and import it with `holdfast images import`"
	case "env_file", "label_file", "include", "extends":
		return "only this one file is read", "write it out here"
	case "profiles":
		return "every service of the file runs", "keep one file for each set of services"
	case "logging":
		return "output is kept in rotated files on the node", "set logs.maxSize and logs.keep in the configuration"
	case "route":
		return "every model is answered locally", "remove it"
	default:
		return "", "remove it"
	}
}

// checkKeys reports every key that is not honoured, and what has to be a mapping
// and is not.
func (f *file) checkKeys(root *node) {
	f.check(root, honoured(), tree.NewPath())
	services := root.at("services")
	if services == nil || services.kind == yaml.MappingNode && len(services.order) == 0 {
		f.add(root.near("services"), "names no services", "write at least one below services")
		return
	}
	for _, name := range services.order {
		f.checkService(name, services.fields[name])
	}
}

// checkService reports what compose-go would let pass, or report without a line.
func (f *file) checkService(name string, at *node) {
	if !isName(name) {
		f.add(at, quote(name)+" cannot name a workload", nameRemedy)
	}
	if at.at("image") == nil {
		f.add(at, "names no image", "write image: and a reference")
	}
	// yes and on are taken, with a complaint on standard error.
	if flag := at.at("read_only"); flag != nil && flag.text != "true" && flag.text != "false" {
		f.add(flag, quote(flag.text)+" is neither true nor false", "write true or false")
	}
	// NaN is a number to YAML, and to what reads texts as numbers.
	for _, cpus := range []*node{at.at("cpus"), at.at("deploy", "resources", "limits", "cpus")} {
		if cpus == nil {
			continue
		}
		if n, err := strconv.ParseFloat(cpus.text, 64); err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			f.add(cpus, quote(cpus.text)+" is not a number of cores", "write one such as 0.5")
		}
	}
}

func (f *file) check(n *node, r rule, at tree.Path) {
	if r == nil {
		return
	}
	if n.kind != yaml.MappingNode {
		f.add(n, "is not a mapping", "write keys and values below it")
		return
	}
	for _, name := range n.order {
		below, ok := r[name]
		if !ok {
			below, ok = r[each]
		}
		if !ok {
			f.refuse(n.fields[name], name, r, at.Next(name))
			continue
		}
		f.check(n.fields[name], below, at.Next(name))
	}
}

// refuse tells a key Compose knows from one nobody knows.
func (f *file) refuse(n *node, name string, r rule, at tree.Path) {
	reason, remedy := refusals(name)
	known := tree.NewMatcher(schema.AttributePaths()...).Matches(at)
	switch guess := nearest(name, r); {
	case known && reason != "" || name == "route" && strings.HasSuffix(n.path, extensionKey+".route"):
		f.add(n, "not honoured yet: "+reason, remedy)
	case known:
		f.add(n, "not honoured yet", remedy)
	case guess != "":
		f.add(n, "unknown key", "did you mean "+guess+"?")
	default:
		f.add(n, "unknown key", remedy)
	}
}
