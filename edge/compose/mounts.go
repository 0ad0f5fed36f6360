package compose

import (
	"path"
	"slices"
	"strings"

	"holdfast/edge"
)

// volume is one entry of volumes: a bind, or a volume of the app.
type volume struct {
	source, target string
	readOnly       bool
	named          bool
	at             *node
}

// device is one entry of devices.
type device struct {
	source, target, access string
	at                     *node
}

// volumes reads the short and the long form.
func (d decoder) volumes() []volume {
	list, _ := d.value("volumes").([]any) // absent: none
	var volumes []volume
	for i, item := range list {
		at := d.at.at("volumes").items[i]
		switch item := item.(type) {
		case string:
			volumes = append(volumes, d.shortVolume(item, at))
		case map[string]any:
			volumes = append(volumes, d.longVolume(item, at))
		}
	}
	return volumes
}

// shortVolume reads SOURCE:TARGET and SOURCE:TARGET:ro. A source that is no path is the
// name of a volume.
func (d decoder) shortVolume(text string, at *node) volume {
	parts := strings.Split(text, ":")
	v := volume{source: parts[0], at: at}
	v.named = !strings.HasPrefix(v.source, "/") && !strings.HasPrefix(v.source, ".") && !strings.HasPrefix(v.source, "~")
	switch {
	case len(parts) == 1:
		d.add(at, "not honoured yet: a volume without a name could not be found again", "give it one: NAME:"+text)
		return v
	case len(parts) > 3 || len(parts) == 3 && parts[2] != "ro" && parts[2] != "rw" || strings.Contains(text, "$"):
		d.add(at, quote(text)+" is neither a bind nor a volume of the app", "write SOURCE:TARGET or SOURCE:TARGET:ro")
		return v
	}
	v.target, v.readOnly = parts[1], len(parts) == 3 && parts[2] == "ro"
	return d.checked(v)
}

// longVolume reads a mapping.
func (d decoder) longVolume(values map[string]any, at *node) volume {
	for _, key := range at.order {
		if !slices.Contains([]string{"type", "source", "target", "read_only"}, key) {
			d.add(at.fields[key], "not honoured yet", "keep type, source, target and read_only")
		}
	}
	v := volume{at: at}
	v.source, _ = values["source"].(string) // what is no text is refused as a path
	v.target, _ = values["target"].(string)
	switch given := values["read_only"].(type) {
	case nil:
	case bool:
		v.readOnly = given
	case string: // of a variable
		v.readOnly = given == "true"
		d.require(given == "true" || given == "false", at.near("read_only"), "is neither true nor false", "write true or false")
	default:
		d.add(at.near("read_only"), "is neither true nor false", "write true or false")
	}
	if at.fields["read_only"] != nil && values["read_only"] == nil {
		d.add(at.near("read_only"), "is nothing", "write true or false")
	}
	kind, _ := values["type"].(string)
	if kind != "bind" && kind != "volume" {
		d.add(at.near("type"), "not honoured yet: only binds and volumes are", "write type: bind or type: volume, or a tmpfs under tmpfs")
		return v
	}
	v.named = kind == "volume"
	return d.checked(v)
}

func (f *file) require(ok bool, at *node, detail, remedy string) {
	if !ok {
		f.add(at, detail, remedy)
	}
}

// checked reports paths that cannot be bound.
func (d decoder) checked(v volume) volume {
	d.require(!v.named || d.keeps(v.source), v.at, quote(v.source)+" is none of the volumes of the project", "add it to volumes at the top; a path of the host begins with /")
	d.require(v.named || isPlain(v.source), v.at, quote(v.source)+" is not an absolute path without . and ..", "write where it lies on the node; what stands beside this file does not come along")
	d.require(isPlain(v.target), v.at, quote(v.target)+" is not a place inside the instance that can be bound", "write an absolute path without . and ..")
	d.require(!isKernels(v.target), v.at, quote(v.target)+" is the kernel's own place inside the instance", "choose another, and name devices under devices")
	return v
}

func isPlain(name string) bool {
	return path.IsAbs(name) && path.Clean(name) == name && !strings.ContainsAny(name, "\x00$")
}

// isKernels tells whether a place is the kernel's, or the root that all hangs on.
func isKernels(target string) bool {
	return target == "/" || target == "/dev" || target == "/proc" || target == "/sys" ||
		strings.HasPrefix(target, "/proc/") || strings.HasPrefix(target, "/sys/")
}

// binds are what is given of the host, in the order of their targets.
func (s service) binds() []edge.Bind {
	var binds []edge.Bind
	for _, v := range s.config.Volumes {
		if v.named {
			continue
		}
		binds = append(binds, edge.Bind{Source: v.source, Target: v.target, ReadOnly: v.readOnly})
	}
	edge.SortStable(binds, func(a, b edge.Bind) int { return strings.Compare(a.Target, b.Target) })
	return binds
}

// volumes are the app's own, in the order of their targets.
func (s service) volumes() []edge.Volume {
	var volumes []edge.Volume
	for _, v := range s.config.Volumes {
		if v.named {
			volumes = append(volumes, edge.Volume{Name: v.source, Target: v.target, ReadOnly: v.readOnly})
		}
	}
	edge.SortStable(volumes, func(a, b edge.Volume) int { return strings.Compare(a.Target, b.Target) })
	return volumes
}

// keeps tells whether the project has a volume of that name.
func (f *file) keeps(name string) bool { return slices.Contains(f.volumes, name) }

// ownVolumes reads the volumes of the project.
func (f *file) ownVolumes(root *node) []string {
	all := root.at("volumes")
	if all == nil {
		return nil
	}
	for _, name := range all.order {
		at := all.fields[name]
		f.require(isName(name), at, quote(name)+" cannot name a volume", nameRemedy)
		f.require(len(name) != 1, at, "Compose takes a single letter for a drive", "choose a longer name")
		f.usual(at.at("driver"), "local")
		external := at.at("external")
		f.require(external == nil || external.text == "false", at, "not honoured: a volume belongs to its app", "leave external out, or name a folder of the host under the service's volumes")
	}
	return all.order
}

// usual takes a driver that is said and changes nothing.
func (f *file) usual(driver *node, name string) {
	f.require(driver == nil || driver.text == name, driver, "not honoured: only "+name+" is", "remove it")
}

// devices reads HOST, HOST:TARGET and HOST:TARGET:ACCESS.
func (d decoder) devices() []device {
	var devices []device
	taken := map[string]bool{}
	for _, e := range d.entries("devices") {
		parts := strings.Split(e.text, ":")
		given := device{source: parts[0], target: parts[0], access: "rwm", at: e.at}
		if len(parts) > 1 {
			given.target = parts[1]
		}
		if len(parts) > 2 {
			given.access = parts[2]
		}
		named := len(parts) <= 3 && isPlain(given.source)
		d.require(named, e.at, quote(e.text)+" is not a device of the host", "write its path, such as /dev/video0, or /dev/video0:/dev/camera:rw")
		d.require(!named || isPlain(given.target) && strings.HasPrefix(given.target, "/dev/"), e.at, quote(given.target)+" does not lie in /dev", "devices stand there inside the instance")
		d.require(rights(given.access) == given.access, e.at, quote(given.access)+" is not what can be done with a device", "write r, rw or rwm")
		d.require(!taken[given.target], e.at, quote(given.target)+" is given already", "keep one")
		taken[given.target] = true
		devices = append(devices, given)
	}
	return devices
}

// rights puts what may be done with a device into one order, each once.
func rights(access string) string {
	var all string
	for _, right := range []string{"r", "w", "m"} {
		if strings.Contains(access, right) {
			all += right
		}
	}
	if all == "" {
		return "r, w or m"
	}
	return all
}

// lent are the devices in the order of their places.
func (s service) lent() []edge.Device {
	var devices []edge.Device
	for _, d := range s.config.Devices {
		given := edge.Device{Host: d.source}
		if d.target != d.source {
			given.Path = d.target
		}
		if d.access != "rwm" {
			given.Access = d.access
		}
		devices = append(devices, given)
	}
	edge.SortStable(devices, func(a, b edge.Device) int { return strings.Compare(a.Target(), b.Target()) })
	return devices
}
