package compose

import (
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// config is what a service says, in the types compose-go gives to its keys: how a
// text becomes a command, a size or a duration is compose-go's to say.
type config struct {
	Image, WorkingDir, User, NetworkMode string
	Restart, StopSignal                  string
	Command, Entrypoint                  types.ShellCommand
	Environment                          types.MappingWithEquals
	CapAdd, CapDrop, SecurityOpt, Tmpfs  []entry
	ReadOnly, Privileged                 bool
	Volumes                              []volume
	Devices                              []device
	Secrets                              []confidence
	Networks                             []string
	Ports                                []port
	StopGracePeriod                      *types.Duration
	HealthCheck                          *types.HealthCheckConfig
	DependsOn                            []dependency // by name
	Update                               updateConfig
	Scale, Replicas                      *int
	CPUs                                 float32
	MemLimit                             types.UnitBytes
	PidsLimit                            int64
	Limits, SetAside                     *limitsConfig // of deploy.resources
	BlkioWeight                          int64
	Extension                            map[string]any
}

type limitsConfig struct {
	CPUs   types.NanoCPUs
	Memory types.UnitBytes
	Pids   int64
}

// entry is one text of a list, and where it stands.
type entry struct {
	text string
	at   *node
}

// replicas are one where nothing else is said.
func (c config) replicas() int {
	switch {
	case c.Scale != nil:
		return *c.Scale
	case c.Replicas != nil:
		return *c.Replicas
	}
	return 1
}

// decoder reads the checked values of one service; what cannot be read goes to the
// file's problems.
type decoder struct {
	*file
	at     *node
	values map[string]any
}

// config reads every honoured key but those that say nothing.
func (d decoder) config(app string) config {
	c := config{
		Image: d.text("image"), WorkingDir: d.text("working_dir"), User: d.text("user"),
		NetworkMode: d.text("network_mode"), Restart: d.text("restart"), StopSignal: d.text("stop_signal"),
		CapAdd: last(d.entries("cap_add")), CapDrop: last(d.entries("cap_drop")),
		SecurityOpt: d.entries("security_opt"), Tmpfs: last(d.entries("tmpfs")),
		ReadOnly: d.truth("read_only"), Privileged: d.truth("privileged"),
		Volumes: d.volumes(), Devices: d.devices(), Secrets: d.secrets(), Networks: d.networks(), Ports: d.ports(),
		HealthCheck: d.healthCheck(), DependsOn: d.dependencies(), Update: d.update(),
		Scale: d.integer("scale"), Replicas: d.integer("deploy", "replicas"),
		CPUs: d.fraction("cpus"), PidsLimit: d.whole("pids_limit"),
	}
	d.into(&c.Command, "command")
	d.into(&c.Entrypoint, "entrypoint")
	d.into(&c.Environment, "environment")
	d.checkVariables()
	d.into(&c.MemLimit, "mem_limit")
	if d.at.at("stop_grace_period") != nil {
		c.StopGracePeriod = new(types.Duration)
		d.into(c.StopGracePeriod, "stop_grace_period")
	}
	c.Limits, c.SetAside = d.resources("limits"), d.resources("reservations")
	c.BlkioWeight = d.whole("blkio_config", "weight")
	c.Extension, _ = d.values[extensionKey].(map[string]any) // absent: nil
	c.Environment.Resolve(func(name string) (string, bool) {
		if name == "COMPOSE_PROJECT_NAME" { // set by Compose itself, here and not in ${…}
			return app, true
		}
		return d.lookup(name)
	})
	return c
}

// checkVariables refuses names that compose-go would move out of a mapping, into a
// variable of its own making.
func (d decoder) checkVariables() {
	at := d.at.at("environment")
	if at == nil {
		return
	}
	for _, name := range at.order { // none for a list
		if strings.HasPrefix(name, "x-") {
			d.add(at.fields[name], "Compose takes "+quote(name)+" for an extension", "write the variables as a list: NAME=value")
		}
	}
}

// resources reads what deploy says of them: the limits, or what is set aside.
func (d decoder) resources(kind string) *limitsConfig {
	if d.at.at(resourcesPath(kind)...) == nil {
		return nil
	}
	r := &limitsConfig{Pids: d.whole(resourcesPath(kind, "pids")...)}
	d.into(&r.CPUs, resourcesPath(kind, "cpus")...)
	d.into(&r.Memory, resourcesPath(kind, "memory")...)
	return r
}

func resourcesPath(kind string, key ...string) []string {
	return append([]string{"deploy", "resources", kind}, key...)
}

func limitsPath(key ...string) []string { return resourcesPath("limits", key...) }

// value finds the value below keys; what is not there is nil.
func (d decoder) value(keys ...string) any {
	var value any = d.values
	for _, key := range keys {
		below, _ := value.(map[string]any) // no mapping: nothing is below
		value = below[key]
	}
	return value
}

// into lets compose-go's own type of a key read its value.
func (d decoder) into(target interface{ DecodeMapstructure(any) error }, keys ...string) {
	value := d.value(keys...)
	if value == nil {
		return
	}
	if err := target.DecodeMapstructure(value); err != nil {
		d.add(d.at.at(keys...), err.Error(), "")
	}
}

func (d decoder) text(key string) string {
	text, _ := d.value(key).(string) // absent: empty
	return text
}

// truth reads what the key's shape made sure of.
func (d decoder) truth(key string) bool {
	at := d.at.at(key)
	return at != nil && at.text == "true"
}

// entries reads a list of texts, or a single one.
func (d decoder) entries(key string) []entry {
	switch value := d.value(key).(type) {
	case string:
		return []entry{{value, d.at.at(key)}}
	case []any:
		list := make([]entry, len(value))
		for i, item := range value {
			text, _ := item.(string) // checked by the key's shape
			list[i] = entry{text, d.at.at(key).items[i]}
		}
		return list
	}
	return nil
}

// last keeps, of entries that set the same name, the last one in the place of the
// first, as Compose does.
func last(list []entry) []entry {
	var kept []entry
	places := map[string]int{}
	for _, e := range list {
		name, _, _ := strings.Cut(e.text, "=")
		if i, ok := places[name]; ok {
			kept[i] = e
			continue
		}
		places[name] = len(kept)
		kept = append(kept, e)
	}
	return kept
}

// integer keeps what is not there apart from 0.
func (d decoder) integer(keys ...string) *int {
	switch value := d.value(keys...).(type) {
	case int:
		return &value
	case string:
		n, err := strconv.Atoi(value)
		if err != nil {
			d.notWhole(value, keys)
		}
		return &n
	}
	return nil
}

func (d decoder) whole(keys ...string) int64 {
	switch value := d.value(keys...).(type) {
	case int:
		return int64(value)
	case string:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			d.notWhole(value, keys)
		}
		return n
	}
	return 0
}

func (d decoder) notWhole(text string, keys []string) {
	d.add(d.at.at(keys...), quote(text)+" is not a whole number that can be used", "write one such as 2")
}

func (d decoder) fraction(keys ...string) float32 {
	switch value := d.value(keys...).(type) {
	case int:
		return float32(value)
	case float64:
		return float32(value)
	case string:
		f, err := strconv.ParseFloat(value, 32)
		if err != nil {
			d.add(d.at.at(keys...), quote(value)+" is not a number that can be used", "write one such as 0.5")
		}
		return float32(f)
	}
	return 0
}
