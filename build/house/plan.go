package house

// Rules are what a tree is held against.
type Rules struct {
	// Module is the module's path; everything below it is ours.
	Module string
	// Rooms says for every folder that holds a package which of our folders it may
	// import; "x/..." is x and all below.
	Rooms map[string][]string
	// FreeTests are the folders whose tests may import any of our packages, because
	// rooms meet there.
	FreeTests []string
	// TestAids are our packages that any test may import, and no other code.
	TestAids []string
	// Homes says for every third-party library, by the start of its import path,
	// where it lives.
	Homes map[string]Home
	// Unlinked are packages that the agent's binary must not hold, not even by way of
	// others, each with its reason.
	Unlinked map[string]string
	// Names are the imports that always bear a name of ours.
	Names map[string]string
	// Silent are the folders that touch nothing of the world: no files, sockets or
	// processes. Still are those among them that have no clock and no goroutine either.
	Silent, Still []string
	// Variables are the package-level variables that are neither errors nor tables
	// and may stay, by folder and name, each with its reason.
	Variables map[string]string
	// BadNames are package names that say nothing.
	BadNames []string
	// CodeLines and TestLines are lengths at which a file is worth a look.
	CodeLines, TestLines int
}

// Home is where a third-party library lives.
type Home struct {
	Folders []string
	Tests   bool // tests anywhere may use it too
}

// Plan is the plan of the house. The direction is a star:
//
//	main → edge/cli → edge/agent → rooms → edge (and pure edge/oip, edge/trust) → std
//
// A room is a folder that owns one matter. No room imports another; where two must
// meet, the hall (edge/agent) hands one to the other behind an interface.
func Plan() Rules {
	return Rules{
		Module:    "holdfast",
		Rooms:     rooms(),
		FreeTests: []string{".", "edge/cli", "edge/agent", "edge/fleet/desk", "mqtt", "mqtt/commands", "mqtt/fleetlink", "mqtt/sitelink", "build/..."}, // the link is tested with our own broker too
		TestAids:  []string{"build/await", "build/mosquitto", "build/privated", "build/stand", "edge/boltfile/filetest", "runtime/drivertest", "runtime/fake"},
		Homes:     homes(),
		Unlinked: map[string]string{
			"github.com/compose-spec/compose-go/v2/loader": "its schema is 1.7 MB of heap at every start (docs/decisions/0007)",
			"github.com/compose-spec/compose-go/v2/schema": "it is 1.7 MB of heap at every start (docs/decisions/0007)",
		},
		Names:  map[string]string{"runtime": "goruntime", "github.com/eclipse/paho.mqtt.golang": "paho"},
		Silent: []string{"edge", "edge/oip", "edge/trust", "edge/verdict", "edge/words", "edge/top", "scheduler"},
		Still:  []string{"edge", "edge/oip", "edge/trust", "edge/words", "edge/top"},
		Variables: map[string]string{
			"./version": "set by the linker, read once in main",
			"./built":   "set by the linker, read once in main",
		},
		BadNames:  []string{"util", "utils", "common", "helper", "helpers", "types", "manager", "misc", "base"},
		CodeLines: 400,
		TestLines: 600,
	}
}

// rooms says what of the house each room may import.
func rooms() map[string][]string {
	return map[string][]string{
		".":                      {"edge/cli"},
		"edge/cli":               {"edge/...", "runtime/...", "scheduler/...", "policycache", "mqtt/..."},
		"edge/agent":             {"edge", "edge/oip", "edge/trust", "edge/seal", "edge/boltfile", "edge/localapi", "edge/host", "edge/config", "edge/compose", "edge/inbox", "edge/metrics", "edge/otlp", "edge/page", "edge/rauc", "edge/release", "edge/site", "edge/slots", "runtime", "runtime/upstream", "runtime/containerd", "runtime/containerd/salvage", "scheduler", "policycache", "mqtt", "mqtt/outbox", "mqtt/journal", "mqtt/commands", "mqtt/fleetlink", "mqtt/sitelink"},
		"edge":                   {},
		"edge/oip":               {"edge"},
		"edge/trust":             {"edge"},
		"edge/seal":              {"edge"},
		"edge/rawconn":           {},
		"edge/words":             {},
		"edge/tty":               {},
		"edge/top":               {"edge", "edge/words"},
		"edge/netns":             {"edge"},
		"edge/boltfile":          {"edge"},
		"edge/boltfile/filetest": {"edge/boltfile"},
		"edge/slots":             pure("edge/boltfile"),
		"edge/verdict":           {"edge", "edge/oip"},
		"edge/inbox":             pure("edge/boltfile", "edge/timetable", "edge/verdict"),
		"edge/metrics":           pure(),
		"edge/site":              pure("edge/words"),
		"edge/flash":             pure(),
		"edge/otlp":              pure(),
		"edge/release":           pure(),
		"edge/rauc":              pure(),
		"edge/page":              {},
		"edge/timetable":         {"edge"},
		"edge/localapi":          pure("edge/rawconn"),
		"edge/load":              pure("edge/localapi", "scheduler/sim"), // the other end of the agent's socket: it meets no room inside
		"edge/host":              pure(),
		"edge/config":            pure(),
		"edge/compose":           pure(),
		"edge/fleet":             pure("edge/compose", "edge/timetable"), // the operator's hall: there a policy's Compose projects are read
		"edge/fleet/desk":        pure("edge/fleet", "mqtt"),             // the operator's side of the link
		"policycache":            pure("edge/boltfile"),
		"scheduler":              pure(),
		"scheduler/sim":          pure("scheduler"),
		"runtime":                pure("edge/rawconn", "edge/netns", "runtime/oneshot"),
		"runtime/oneshot":        pure(),
		"runtime/upstream":       pure(),
		"runtime/drivertest":     pure("runtime", "runtime/oneshot"),
		"runtime/fake":           pure("runtime", "runtime/oneshot"),
		"runtime/containerd":     pure("runtime", "runtime/relay", "runtime/oneshot", "edge/netns"),
		"runtime/relay":          pure("edge/netns"),
		"mqtt":                   pure(),
		"mqtt/outbox":            pure(),
		"mqtt/journal":           pure("edge/boltfile", "mqtt/outbox"),
		"mqtt/commands":          pure("mqtt/journal", "mqtt/outbox"),
		"mqtt/fleetlink":         pure("mqtt", "mqtt/outbox"),
		"mqtt/sitelink":          pure("mqtt", "edge/verdict"),
		"mqtt/broker":            pure(),
		"build/...":              {"edge/...", "runtime/...", "scheduler/...", "policycache", "mqtt/...", "build/..."},

		"runtime/containerd/salvage": pure(),
	}
}

// homes says where each library lives.
func homes() map[string]Home {
	return map[string]Home{
		"github.com/containerd/":                  {Folders: []string{"runtime/containerd"}},
		"github.com/opencontainers/":              {Folders: []string{"runtime/containerd"}},
		"google.golang.org/grpc":                  {Folders: []string{"runtime/containerd"}}, // as containerd speaks
		"google.golang.org/protobuf/":             {Folders: []string{"runtime/containerd"}},
		"github.com/compose-spec/compose-go/":     {Folders: []string{"edge/compose"}},
		"go.yaml.in/yaml/v3":                      {Folders: []string{"edge/config", "edge/compose", "edge/site"}},
		"github.com/shirou/gopsutil/v3/":          {Folders: []string{"edge/host"}},
		"github.com/spf13/cobra":                  {Folders: []string{"edge/cli"}},
		"github.com/spf13/pflag":                  {Folders: []string{"edge/cli"}},
		"github.com/containernetworking/cni/":     {Folders: []string{"runtime/containerd"}},
		"filippo.io/age":                          {Folders: []string{"edge/seal"}},
		"github.com/klauspost/compress/":          {Folders: []string{"runtime/containerd", "edge/flash"}},
		"github.com/eclipse/paho.mqtt.golang":     {Folders: []string{"mqtt"}},
		"github.com/mochi-mqtt/server/":           {Folders: []string{"mqtt/broker"}},
		"github.com/robfig/cron/v3":               {Folders: []string{"edge/timetable"}},
		"github.com/prometheus/client_golang/":    {Folders: []string{"edge/metrics"}},
		"github.com/sony/gobreaker":               {Folders: []string{"runtime/upstream"}},
		"go.etcd.io/bbolt":                        {Folders: []string{"edge/boltfile", "runtime/containerd/salvage"}, Tests: true}, // our files, and containerd's own
		"github.com/google/go-containerregistry/": {Folders: []string{"build/..."}},
		"github.com/rogpeppe/go-internal/":        {Tests: true},
		"go.uber.org/goleak":                      {Tests: true},
		"golang.org/x/sys/unix":                   {Folders: worldly(), Tests: true},
		"golang.org/x/sync/errgroup":              {Folders: worldly(), Tests: true},
	}
}

// pure is what every room may import, and what else one may.
func pure(also ...string) []string {
	return append([]string{"edge", "edge/oip", "edge/trust"}, also...)
}

// worldly are the folders that may ask the operating system.
func worldly() []string {
	return []string{"edge/cli", "edge/agent", "edge/boltfile/...", "edge/rawconn", "edge/tty", "edge/netns", "edge/inbox", "edge/localapi", "edge/load", "edge/host", "edge/config", "edge/compose", "edge/fleet/...", "edge/flash", "edge/slots", "policycache", "runtime/...", "mqtt/...", "build/..."}
}
