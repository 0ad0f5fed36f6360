package config

import (
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/edge"
)

// setting is one key: everything there is to know of it in one row.
type setting struct {
	key  string
	live bool // a changed value can take effect without a restart
	doc  string
	field
}

// Bounds of settings, each with its reason.
const (
	longest = Duration(24 * time.Hour) // nothing waits for a task longer than a day
	// instanceFloor is the least memory in which runc can start a process at all.
	instanceFloor = 4 * MiB
	largest       = 1024 * GiB // above any gateway's memory; catches a wrong unit
	bodyCeiling   = GiB        // bodies are held in memory whole
)

// Keys the loader treats on their own.
const (
	labelsKey = "node.labels"
	socketKey = "api.socket"
)

// settings is the table of every key, in the order a person reads them.
func settings() []setting {
	table := slices.Concat(nodeSettings(), policySettings(), linkSettings(), placeSettings(), schedulerSettings())
	for _, class := range edge.Classes {
		table = append(table, classSettings(class)...)
	}
	return slices.Concat(table, outputSettings(), reserveSettings(), imageSettings(), updateSettings())
}

// nodeSettings are who the node is.
func nodeSettings() []setting {
	return []setting{
		{"node.name", false, "the node's name; default: the host's name",
			textField(func(c *Config) *string { return &c.Node.Name }, "a name of at most 63 letters, digits, '.', '_' or '-'", isName)},
		{"node.site", false, "the site the node stands at, a level of its topics",
			textField(func(c *Config) *string { return &c.Node.Site }, "a name of at most 63 letters, digits, '.', '_' or '-'", isName)},
		{"node.role", false, "what the node is for, as its fleet is told; empty: nothing",
			textField(func(c *Config) *string { return &c.Node.Role }, "a name of at most 63 letters, digits, '.', '_' or '-', or nothing", isNameOrNothing)},
		{"node.groups", false, "groups the node belongs to, which policies may be meant for",
			namesField(func(c *Config) *[]string { return &c.Node.Groups })},
		{labelsKey, false, "what the node is and where it stands, as name: value; policies may be meant for them",
			labelsField(func(c *Config) *map[string]string { return &c.Node.Labels })},
	}
}

// policySettings are where its trust begins.
func policySettings() []setting {
	return []setting{
		{"policy.root", false, "the signed root document that the node trusts; where there never was one, no policy governs the node",
			pathField(func(c *Config) *string { return &c.Policy.Root }, "the path of a root document", true)},
		{"policy.factory", false, "the signed policy that is in force until another one is",
			pathField(func(c *Config) *string { return &c.Policy.Factory }, "the path of a signed policy", true)},
		{"policy.trial", false, "how long a new policy is watched, and taken back if a workload it changed cannot be run; a model server has 30s to become ready unless it says otherwise",
			durationField(func(c *Config) *Duration { return &c.Policy.Trial }, Duration(time.Second), longest, "1m")},
	}
}

// placeSettings are where things lie and listen.
func placeSettings() []setting {
	return []setting{
		{"paths.state", false, "folder of what must survive a power cut",
			pathField(func(c *Config) *string { return &c.Paths.State }, "a folder", false)},
		{"paths.run", false, "folder of sockets and of what may be lost",
			pathField(func(c *Config) *string { return &c.Paths.Run }, "a folder", false)},
		{"containerd.address", false, "containerd's socket",
			pathField(func(c *Config) *string { return &c.Containerd.Address }, "the path of a socket", false)},
		{"containerd.namespace", false, "the containerd namespace that is the agent's own",
			textField(func(c *Config) *string { return &c.Containerd.Namespace }, "a name of letters, digits, '.', '_' or '-' that ends in a letter or digit", isNamespace)},
		{"containerd.cgroupParent", false, "the cgroup all instances stand under",
			textField(func(c *Config) *string { return &c.Containerd.CgroupParent }, "an absolute cgroup path such as /holdfast", isCgroup)},
		{socketKey, false, "unix socket of the local API; default: holdfast.sock in paths.run",
			pathField(func(c *Config) *string { return &c.API.Socket }, "the path of a socket", true)},
		{"api.listen", false, "host:port of the local API; empty: no TCP listener",
			textField(func(c *Config) *string { return &c.API.Listen }, "host:port such as 127.0.0.1:7433, or nothing for no TCP listener", isListen)},
		{"api.group", false, "name or number of the group whose members may use the socket beside root; empty: the agent's own",
			textField(func(c *Config) *string { return &c.API.Group }, "the name or number of a group, or nothing", isNameOrNothing)},
		{"api.tokenFile", true, "file with the token by which the port lets tasks be cancelled, workloads restarted, the node drained, and logs be read; empty: systemd's credential api-token, if there is one, else only the socket does",
			pathField(func(c *Config) *string { return &c.API.TokenFile }, "the path of a file", true)},
		{"api.maxBody", false, "the largest request body",
			sizeField(func(c *Config) *Size { return &c.API.MaxBody }, KiB, bodyCeiling, "16MiB")},
		{"api.maxInFlight", false, "all request bodies held at one time",
			sizeField(func(c *Config) *Size { return &c.API.MaxInFlight }, KiB, largest, "64MiB")},
	}
}

// schedulerSettings are what the queue plans with, but for the classes.
func schedulerSettings() []setting {
	return []setting{
		{"scheduler.slots", false, "tasks that may run at once; 0: one for each CPU",
			intField(func(c *Config) *int { return &c.Scheduler.Slots }, 0, 4096)},
		{"scheduler.defaultCost", false, "service time of a model that declares none, until it is measured",
			durationField(func(c *Config) *Duration { return &c.Scheduler.DefaultCost }, Duration(time.Microsecond), longest, "50ms")},
		{"scheduler.order", false, "the order of the queue: plan, or for comparison only fifo, priority, edf, edf-late, edf-hopeless, edf-refuse or latest-start, under which nothing is suspended",
			choiceField(func(c *Config) *string { return &c.Scheduler.Order }, "plan", "fifo", "priority", "edf", "edf-late", "edf-hopeless", "edf-refuse", "latest-start")},
		{"scheduler.preempt", false, "whether tasks may be suspended for more urgent ones; false: what runs runs to its end",
			truthField(func(c *Config) *bool { return &c.Scheduler.Preempt })},
		{"scheduler.suspended", false, "tasks that may be suspended at once, each with the memory of its instance; 0: as many as slots and four more",
			intField(func(c *Config) *int { return &c.Scheduler.Suspended }, 0, 4096)},
	}
}

// outputSettings bound instances, and what they and the agent write.
func outputSettings() []setting {
	return []setting{
		{"limits.default.cpus", false, "cores of an instance whose workload names no limit",
			decimalField(func(c *Config) *float64 { return &c.Limits.Default.CPUs }, 0.01, 1024)},
		{"limits.default.memory", false, "memory of an instance whose workload names no limit",
			sizeField(func(c *Config) *Size { return &c.Limits.Default.Memory }, instanceFloor, largest, "512MiB")},
		{"limits.default.pids", false, "processes and threads of an instance whose workload names no limit",
			intField(func(c *Config) *int { return &c.Limits.Default.Pids }, 1, 1<<22)},
		{"log.level", true, "what the agent's log says: debug, info, warn or error",
			levelField(func(c *Config) *Level { return &c.Log.Level })},
		{"log.format", false, "text for people, json for programs",
			choiceField(func(c *Config) *string { return &c.Log.Format }, "text", "json")},
		{"logs.maxSize", false, "size at which an instance's output file is rotated",
			sizeField(func(c *Config) *Size { return &c.Logs.MaxSize }, 4*KiB, bodyCeiling, "4MiB")},
		{"logs.keep", false, "rotated output files kept for each instance",
			intField(func(c *Config) *int { return &c.Logs.Keep }, 0, 100)},
		{"trace.otlp", false, "where traces of tasks are sent: the URL of an OpenTelemetry collector that takes OTLP over HTTP; empty: nowhere",
			textField(func(c *Config) *string { return &c.Trace.OTLP }, "a URL such as http://127.0.0.1:4318/v1/traces, or nothing", isCollector)},
		{"trace.share", false, "share of the tasks that are traced, of those whose callers do not say",
			decimalField(func(c *Config) *float64 { return &c.Trace.Share }, 0, 1)},
		{"workloads.compose", true, "Compose file with the workloads to run where no policy governs the node; empty: none",
			pathField(func(c *Config) *string { return &c.Workloads.Compose }, "the path of a Compose file", true)},
	}
}

// linkSettings are the keys of both links, the one to the fleet and the one to the
// site's broker.
func linkSettings() []setting {
	fleet := brokerSettings("link", "the fleet's", func(c *Config) *Broker { return &c.Link.Broker })
	site := brokerSettings("site", "the site's", func(c *Config) *Broker { return &c.Site })
	return append(append(fleet, []setting{
		{"link.tasks", false, "settled tasks that the fleet is told of one by one, each second; more are counted",
			intField(func(c *Config) *int { return &c.Link.Tasks }, 0, 1000)},
		{"link.vitals", false, "how often the fleet is told what the node measures about itself",
			durationField(func(c *Config) *Duration { return &c.Link.Vitals }, Duration(time.Second), longest, "1m")},
		{"link.reboot", false, "whether a command that two keys signed may reboot the machine",
			choiceField(func(c *Config) *string { return &c.Link.Reboot }, "deny", "allow")},
	}...), site...)
}

func brokerSettings(prefix, whose string, at func(*Config) *Broker) []setting {
	path := func(key, doc, wants string, at func(*Config) *string) setting {
		return setting{prefix + "." + key, false, doc, pathField(at, wants, true)}
	}
	return []setting{
		{prefix + ".broker", false, whose + " MQTT broker, tcp://host:port or tls://host:port; empty: none",
			textField(func(c *Config) *string { return &at(c).Address }, "an address such as tls://broker.example:8883, or nothing", isBroker)},
		{prefix + ".user", false, "the node's name at " + whose + " broker; empty: none",
			textField(func(c *Config) *string { return &at(c).User }, "a name", nil)},
		path("passwordFile", "file with the password; empty: systemd's credential "+prefix+"-password, if there is one", "the path of a file",
			func(c *Config) *string { return &at(c).PasswordFile }),
		path("ca", "certificates of who vouches for "+whose+" broker; empty: whom the system trusts", "the path of a PEM file",
			func(c *Config) *string { return &at(c).CA }),
		path("certificate", "the node's certificate at "+whose+" broker", "the path of a PEM file",
			func(c *Config) *string { return &at(c).Certificate }),
		path("key", "the key of that certificate", "the path of a PEM file",
			func(c *Config) *string { return &at(c).Key }),
	}
}

func classSettings(class edge.Class) []setting {
	at := func(c *Config) *Class {
		switch class {
		case edge.Urgent:
			return &c.Scheduler.Classes.Urgent
		case edge.Batch:
			return &c.Scheduler.Classes.Batch
		default:
			return &c.Scheduler.Classes.Normal
		}
	}
	prefix := "scheduler.classes." + class.String()
	return []setting{
		{prefix + ".deadline", true, "deadline of a task of this class that names none",
			durationField(func(c *Config) *Duration { return &at(c).Deadline }, Duration(time.Millisecond), longest, "100ms")},
		{prefix + ".queue", false, "tasks of this class that may wait",
			intField(func(c *Config) *int { return &at(c).Queue }, 1, 1<<20)},
	}
}

// variable is the environment's name of a key: api.maxBody is HOLDFAST_API_MAX_BODY.
func variable(key string) string {
	var b strings.Builder
	b.WriteString(variablePrefix)
	for _, r := range key {
		switch {
		case r == '.':
			b.WriteByte('_')
		case r >= 'A' && r <= 'Z':
			b.WriteByte('_')
			b.WriteRune(r)
		default:
			b.WriteString(strings.ToUpper(string(r)))
		}
	}
	return b.String()
}

// isNamespace follows containerd's rule for identifiers.
func isNamespace(s string) bool {
	if !isName(s) || strings.ContainsRune("._-", rune(s[len(s)-1])) {
		return false
	}
	for i := 1; i < len(s); i++ {
		if strings.ContainsRune("._-", rune(s[i])) && strings.ContainsRune("._-", rune(s[i-1])) {
			return false
		}
	}
	return true
}

func isCgroup(s string) bool {
	return len(s) > 1 && len(s) < 200 && s[0] == '/' && path.Clean(s) == s && !strings.ContainsAny(s, "\x00\n:")
}

func isNameOrNothing(s string) bool { return s == "" || isName(s) }

// isBroker takes what the link can dial; credentials have keys of their own.
func isBroker(s string) bool {
	if s == "" {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && slices.Contains([]string{"tcp", "mqtt", "tls", "mqtts", "ssl"}, u.Scheme) &&
		u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" && (u.Path == "" || u.Path == "/")
}

// isCollector tells a URL that spans can be sent to.
func isCollector(s string) bool {
	u, err := url.Parse(s)
	return s == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil && u.Fragment == ""
}

func isListen(s string) bool {
	if s == "" {
		return true
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsAny(host, " \t\n\x00/") {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}
