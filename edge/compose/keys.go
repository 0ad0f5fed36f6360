package compose

import (
	"maps"
	"slices"
	"strings"
)

// Key is a Compose key that is honoured.
type Key struct {
	Path    string // dotted; SERVICE stands for the name of any
	Value   string // what is written there
	Meaning string
}

// Keys lists every honoured key in the order of their paths.
func Keys() []Key {
	var keys []Key
	honoured().list("", func(path string, r rule) {
		value, meaning := meaningOf(path)
		if value == "" {
			value = r.shape.String()
		}
		keys = append(keys, Key{Path: path, Value: value, Meaning: meaning})
	})
	return keys
}

// list visits what has a value of its own.
func (r rule) list(at string, visit func(path string, r rule)) {
	if r.below == nil {
		visit(at, r)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(r.below)) {
		below := r.below[name]
		if name == each {
			name = "NAME"
			if at == "services" {
				name = "SERVICE"
			}
		}
		below.list(join(at, name), visit)
	}
}

// meaningOf says what a key means here, and what is written there where its shape
// does not tell.
func meaningOf(path string) (value, meaning string) {
	key := strings.TrimPrefix(path, "services.SERVICE.")
	for _, name := range probeNames() {
		key = strings.Replace(key, "x-holdfast."+name+".", "x-holdfast.PROBE.", 1)
	}
	for _, of := range []func(string) (value, meaning string){healthMeaning, networkMeaning, resourceMeaning, storageMeaning} {
		if value, meaning := of(key); meaning != "" {
			return value, meaning
		}
	}
	for _, known := range [...]struct{ key, value, meaning string }{
		{"name", "", "the app's name; in a policy the key below `apps`, which it must equal"},
		{"version", "anything", "nothing; Compose calls it obsolete"},
		{"image", "", "what runs; pinned by digest in a policy"},
		{"command", "", "arguments; left out: the image's"},
		{"entrypoint", "", "the program; left out: the image's"},
		{"environment", "", "variables over the image's; a name without a value that is not set anywhere is left out"},
		{"working_dir", "an absolute path", "where the process starts"},
		{"user", "uid, uid:gid or names of the image", "who the process is; root only with x-holdfast.runAsRoot"},
		{"read_only", "", "false makes the root file system writable; it is read-only otherwise"},
		{"cap_add", "", "capabilities beyond none; all but NET_BIND_SERVICE a policy must list"},
		{"cap_drop", "", "no change: all are dropped"},
		{"security_opt", "[no-new-privileges:true]", "no change: always so"},
		{"privileged", "", "true takes every restraint off, which a policy must allow; the user stays as it is"},
		{"restart", "no, on-failure, always, unless-stopped", "left out: always for model servers, no for others; no still starts again what a power cut ended; unless-stopped means always"},
		{"stop_signal", "a name such as SIGTERM", "asks the process to end"},
		{"stop_grace_period", "a duration up to 1h", "between that and SIGKILL; 10s where not given"},
		{"scale", "a number from 0 to 100", "instances; short for deploy.replicas"},
		{"deploy.replicas", "a number from 0 to 100", "instances; 1 where not given"},
		{"x-holdfast.model", "a name", "makes the service a model server: the model it answers"},
		{"x-holdfast.variants", "[name, …]", "smaller models it answers too, the largest first"},
		{"x-holdfast.endpoint", "unix:///run/model/model.sock", "where it listens for the Open Inference Protocol"},
		{"x-holdfast.cost", "a duration", "service time to plan with until there is a measured one"},
		{"x-holdfast.concurrency", "a number from 1 to 1024", "tasks one instance answers at once; 1 where not given"},
		{"x-holdfast.timeout", "a duration", "after which a request means that its instance hangs"},
		{"x-holdfast.readyWithin", "a duration", "how long an instance may take until it is ready"},
		{"x-holdfast.preemptible", "true or false", "false keeps its tasks from being suspended for more urgent ones; true where not given and concurrency is 1"},
		{"x-holdfast.degrade", "true or false", "false keeps variants from answering in its place when time is short; true where not given"},
		{"x-holdfast.runAsRoot", "true or false", "true allows root inside the instance, which a policy must allow"},
		{"x-holdfast.oneShot.input", "/in/data", "makes each task a container of its own, of a tool that is no server: the file in which it finds its input; left out: its standard input"},
		{"x-holdfast.oneShot.output", "/out/data", "the file it writes; left out: its standard output"},
		{"x-holdfast.oneShot.warm", "a number from 1 to 64", "containers at most that stand ready for tasks to come, as many as have come lately; as many as replicas where not given"},
		{"x-holdfast.canary.share", "a share from 1% to 50%", "of the model's tasks that try a new version, beside all instances of the old one"},
		{"x-holdfast.canary.tasks", "a number from 1", "tasks of the new version that decide; 200 where not given"},
		{"x-holdfast.canary.for", "a duration up to 24h", "after which it is decided though fewer came; 10m where not given"},
		{"x-holdfast.canary.slower", "a number from 1 to 100", "times what the old version takes the new one may take; 1.5 where not given"},
		{"x-holdfast.tenant", "a name", "whose share of the node it uses; left out: `_default`"},
	} {
		if known.key == key {
			return known.value, known.meaning
		}
	}
	return "", ""
}

// healthMeaning is meaningOf for what says how an instance is asked and waited for.
func healthMeaning(key string) (value, meaning string) {
	for _, known := range [...]struct{ key, value, meaning string }{
		{"depends_on", "[SERVICE] or SERVICE: {condition: service_healthy, restart: true, required: false}", "what is there before an instance is first started, and goes after it; conditions: service_started, service_healthy, service_completed_successfully"},
		{"deploy.update_config.parallelism", "a number from 0 to 100", "instances replaced at a time, 0 for all; 1 where not given"},
		{"deploy.update_config.order", "start-first or stop-first", "whether a new one comes before the old one goes; start-first where not given, which Compose has the other way round"},
		{"deploy.update_config.delay", "a duration up to 1h", "between one step being ready and the next"},
		{"deploy.update_config.failure_action", "rollback, pause or continue", "what becomes of a new version that fails; left out: rollback, by the policy's trial while that lasts"},
		{"deploy.update_config.monitor", "a duration up to 1h", "how long all instances of a new version have to be ready until it is good; 30s where not given"},
		{"deploy.update_config.max_failure_ratio", "a share from 0 to 1", "of the replicas that may fail; none where not given"},
		{"healthcheck.test", "[CMD, program, …], [CMD-SHELL, line], the line alone, or [NONE]", "a command inside the instance whose code 0 says that it is well; what is not well for good is started again"},
		{"healthcheck.disable", "true or false", "true: there is none"},
		{"healthcheck.interval", "a duration from 100ms to 1h", "between two; 30s where not given"},
		{"healthcheck.timeout", "a duration from 100ms to 1h", "for one; 30s where not given"},
		{"healthcheck.retries", "a number from 1 to 1000", "failures in a row that count; 3 where not given"},
		{"healthcheck.start_period", "a duration from 100ms to 1h", "a start may take so much longer; none where not given"},
		{"healthcheck.start_interval", "a duration from 100ms to 1h", "between two until it is well, with start_period; 5s where not given"},
		{"x-holdfast.PROBE.exec", "[program, …]", "a command inside the instance whose code 0 is good"},
		{"x-holdfast.PROBE.http", "a path such as /healthz", "is got by HTTP: at the port, or where there is none at the model server's socket; 200 to 399 is good"},
		{"x-holdfast.PROBE.port", "a number from 1 to 65535", "of the instance's own loopback; alone: it accepts a connection"},
		{"x-holdfast.PROBE.delay", "a duration from 10ms to 1h", "before the first"},
		{"x-holdfast.PROBE.period", "a duration from 10ms to 1h", "between two; 10s where not given"},
		{"x-holdfast.PROBE.timeout", "a duration from 10ms to 1h", "for one; 1s where not given"},
		{"x-holdfast.PROBE.successes", "a number from 1 to 1000", "in a row that count, for readiness alone; 1 where not given"},
		{"x-holdfast.PROBE.failures", "a number from 1 to 1000", "in a row that count; 3 where not given"},
	} {
		if known.key == key {
			return known.value, known.meaning
		}
	}
	return "", ""
}

// networkMeaning is meaningOf for what an instance reaches beyond itself, devices too.
func networkMeaning(key string) (value, meaning string) {
	for _, known := range [...]struct{ key, value, meaning string }{
		{"devices", "[HOST], [HOST:/dev/NAME] or [HOST:/dev/NAME:rw]", "devices of the host, which a policy must list; the node belongs to the instance's user"},
		{"network_mode", "none or host", "host gives the host's own network, which a policy must allow; where left out its networks are all it has"},
		{"networks.NAME.internal", "true or false", "true: a network of the app's services, which leads to nothing else; false: one that leads outside too, which a policy must allow (`security.outward`)"},
		{"networks.NAME.external", "true", "a network that apps share, which a policy must allow (`security.links`); others are called SERVICE.APP there"},
		{"networks.NAME.name", "a name", "what the apps that share it call it; left out: NAME"},
		{"networks.NAME.driver", "bridge", "no change: it is one in any case"},
		{"networks", "[NAME] or {NAME: }", "the networks of the app it is on, at most eight: there it is called by its name, and all its ports are reached; left out: no network"},
		{"ports", "[\"NODE:INSTANCE\", \"ADDRESS:NODE:INSTANCE\"], or target, published and host_ip", "TCP ports of the instances that the node answers at: on its loopback (127.0.0.1) where no ADDRESS is given, any other a policy must list (`security.hostPorts`); needs no network"},
	} {
		if known.key == key {
			return known.value, known.meaning
		}
	}
	return "", ""
}

// resourceMeaning is meaningOf for what an instance may have of the node.
func resourceMeaning(key string) (value, meaning string) {
	for _, known := range [...]struct{ key, value, meaning string }{
		{"cpus", "cores, from 0.01", "short for deploy.resources.limits.cpus"},
		{"mem_limit", "a size from 4M", "short for deploy.resources.limits.memory"},
		{"pids_limit", "a number from 1", "short for deploy.resources.limits.pids"},
		{"deploy.resources.limits.cpus", "cores, from 0.01", "at most; left out: the node's default"},
		{"deploy.resources.limits.memory", "a size from 4M", "at most; left out: the node's default"},
		{"deploy.resources.limits.pids", "a number from 1", "processes at most; left out: the node's default"},
		{"deploy.resources.reservations.cpus", "cores, from 0.01, not above the limit", "what it has when the node is short of CPU, and what counts on its tenant's; left out: the limit"},
		{"deploy.resources.reservations.memory", "a size from 4M, not above the limit", "what it keeps longest when the node is short of memory; what all set aside together must fit the node"},
		{"blkio_config.weight", "a number from 10 to 1000", "its part of the disk beside others that want it; left out: the kernel's default"},
	} {
		if known.key == key {
			return known.value, known.meaning
		}
	}
	return "", ""
}

// storageMeaning is meaningOf for what an instance finds in its files beside its image.
func storageMeaning(key string) (value, meaning string) {
	for _, known := range [...]struct{ key, value, meaning string }{
		{"secrets.NAME.external", "true", "the secret comes from the policy or the node; no other kind is honoured"},
		{"secrets.NAME.name", "a name", "what it is called there; left out: NAME"},
		{"secrets", "[NAME] or [{source: NAME, target: FILE, mode: 0440}]", "files with secrets for the instance's user alone, in /run/secrets where no absolute target is given"},
		{"volumes.NAME.external", "false, or nothing below NAME", "a folder that the app keeps: over updates and rollbacks, until `holdfast volumes remove APP/NAME`"},
		{"volumes.NAME.driver", "local", "no change: it lies on the node in any case"},
		{"volumes", "SOURCE:TARGET or SOURCE:TARGET:ro, or type: bind or volume with source, target and read_only", "NAME:TARGET is a volume of the app, which belongs to the first instance's user; a SOURCE with / is a file or folder of the host, which a policy must list; what else is mounted below them stays out"},
		{"tmpfs", "PATH or PATH:size=64m, one or a list", "memory-backed folders, 16 MiB where no size is given"},
	} {
		if known.key == key {
			return known.value, known.meaning
		}
	}
	return "", ""
}
