package config_test

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"holdfast/edge/config"
)

func tableKeys() []string {
	var keys []string
	for _, key := range config.Keys() {
		keys = append(keys, key.Key)
	}
	slices.Sort(keys)
	return keys
}

// TestKeys_CoverConfig fails when a field has no row or a row no field.
func TestKeys_CoverConfig(t *testing.T) {
	got := fieldKeys(reflect.TypeFor[config.Config](), "")
	slices.Sort(got)
	if want := tableKeys(); !slices.Equal(got, want) {
		t.Errorf("fields: %q\ntable: %q", got, want)
	}
}

func fieldKeys(typ reflect.Type, prefix string) []string {
	var keys []string
	for field := range typ.Fields() {
		if field.Anonymous {
			keys = append(keys, fieldKeys(field.Type, prefix)...)
			continue
		}
		key := prefix + field.Tag.Get("json")
		if field.Type.Kind() == reflect.Struct {
			keys = append(keys, fieldKeys(field.Type, key+".")...)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

// TestExample_IsComplete holds the annotated example against the table: the same
// keys, and the defaults as values.
func TestExample_IsComplete(t *testing.T) {
	const path = samples + "/full.yaml"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(content, &tree); err != nil {
		t.Fatal(err)
	}
	got := treeKeys(tree, "")
	slices.Sort(got)
	if want := tableKeys(); !slices.Equal(got, want) {
		t.Errorf("example: %q\ntable: %q", got, want)
	}
	loaded, err := config.Load(config.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defaults := config.Default()
	live, restart := config.Diff(defaults, loaded.Config)
	if live != nil {
		t.Errorf("values that are not the default: got %q, want none", live)
	}
	if want := []string{"node.name", "node.groups", "node.labels", "api.socket"}; !slices.Equal(restart, want) {
		t.Errorf("values that are not the default: got %q, want %q", restart, want)
	}
	for _, value := range loaded.Origins() {
		if !strings.HasPrefix(value.Origin, path+":") {
			t.Errorf("%s: got origin %q, want a line of the example", value.Key, value.Origin)
		}
	}
}

func treeKeys(tree map[string]any, prefix string) []string {
	var keys []string
	for name, value := range tree {
		key := prefix + name
		if section, ok := value.(map[string]any); ok && key != "node.labels" {
			keys = append(keys, treeKeys(section, key+".")...)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

// TestExample_MarksLive holds the word "live" in the example against the table.
func TestExample_MarksLive(t *testing.T) {
	content, err := os.ReadFile(samples + "/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	marked := map[string]bool{}
	for line := range strings.Lines(string(content)) {
		if name, comment, found := strings.Cut(line, "#"); found && strings.HasPrefix(comment, " live;") {
			marked[strings.TrimSpace(strings.SplitN(name, ":", 2)[0])] = true
		}
	}
	want := map[string]bool{}
	for _, key := range config.Keys() {
		if key.Live {
			want[key.Key[strings.LastIndexByte(key.Key, '.')+1:]] = true
		}
	}
	if !maps.Equal(marked, want) {
		t.Errorf("got %v, want %v", marked, want)
	}
}

func TestDiff_Names(t *testing.T) {
	old, changed := config.Default(), config.Default()
	if live, restart := config.Diff(old, changed); live != nil || restart != nil {
		t.Errorf("got %q and %q of equal configurations, want none", live, restart)
	}
	changed.Log.Level++
	changed.Node.Labels = map[string]string{"a": "b"}
	changed.Containerd.Address = "/elsewhere"
	live, restart := config.Diff(old, changed)
	if want := []string{"log.level"}; !slices.Equal(live, want) {
		t.Errorf("live: got %q, want %q", live, want)
	}
	// Who the node is decides which policies are meant for it, and is settled at the start.
	if want := []string{"node.labels", "containerd.address"}; !slices.Equal(restart, want) {
		t.Errorf("restart: got %q, want %q", restart, want)
	}
}

func TestLive_TakesJustTheLiveKeys(t *testing.T) {
	inForce, loaded := config.Default(), config.Default()
	loaded.Node = config.Node{Name: "other", Site: "s", Role: "r", Groups: []string{"g"}, Labels: map[string]string{"a": "b"}}
	loaded.Policy = config.Policy{Root: "/t", Factory: "/f", Trial: 9}
	loaded.Site = config.Broker{Address: "tcp://a", User: "u", PasswordFile: "/p", CA: "/ca", Certificate: "/c", Key: "/k"}
	loaded.Link = config.Link{Broker: loaded.Site, Tasks: 9, Vitals: 9, Reboot: "allow"}
	loaded.Paths = config.Paths{State: "/s", Run: "/r"}
	loaded.Containerd = config.Containerd{Address: "/a", Namespace: "n", CgroupParent: "/c"}
	loaded.API = config.API{Socket: "/x", Listen: "", Group: "g", TokenFile: "/t", MaxBody: 1, MaxInFlight: 2}
	loaded.Scheduler = config.Scheduler{Slots: 9, DefaultCost: 9, Classes: config.Classes{
		Urgent: config.Class{Deadline: 7, Queue: 7}, Normal: config.Class{Deadline: 8, Queue: 8}, Batch: config.Class{Deadline: 9, Queue: 9},
	}}
	loaded.Limits.Default = config.InstanceLimits{CPUs: 9, Memory: 9, Pids: 9}
	loaded.Log = config.Log{Level: 8, Format: "json"}
	loaded.Logs = config.Logs{MaxSize: 9, Keep: 9}
	loaded.Trace = config.Trace{OTLP: "http://c/v1/traces", Share: 1}
	loaded.Workloads.Compose = "/w"
	loaded.Images = config.Images{Fetch: "command", Mirrors: []string{"m"}, Insecure: []string{"i"}, CA: "/ca", Passwords: "/p", Rate: 9}
	loaded.Disk.Reserve = 9
	loaded.Update = config.Update{Folder: "/stick", ConfirmAfter: 9}
	loaded.Reserve = config.Reserve{Memory: 9, CPUs: 9}

	live, restart := config.Diff(inForce, loaded)
	if got, want := len(live)+len(restart), len(config.Keys())-1; got < want { // the socket's default is derived elsewhere
		t.Fatalf("the loaded configuration differs in %d keys, want all %d", got, want)
	}
	applied, left := config.Diff(inForce, config.Live(inForce, loaded))
	if !slices.Equal(applied, live) || left != nil {
		t.Errorf("took %q and %q, want %q", applied, left, live)
	}
}

func TestReserve_Of(t *testing.T) {
	const mib, gib = config.MiB, config.GiB
	for name, c := range map[string]struct{ set, total, want config.Size }{
		"Smallest":     {0, 512 * mib, 160 * mib},
		"Middle":       {0, gib, 192 * mib},
		"Largest":      {0, 4 * gib, 384 * mib},
		"Tiny":         {0, 128 * mib, 64 * mib},
		"Configured":   {300 * mib, gib, 300 * mib},
		"TooMuch":      {2 * gib, gib, gib - 64*mib},
		"NothingKnown": {0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (config.Reserve{Memory: c.set}).Of(c.total); got != c.want {
				t.Errorf("got %v of %v, want %v", got, c.total, c.want)
			}
		})
	}
}

func TestConfig_JSON(t *testing.T) {
	got, err := json.Marshal(config.Default())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"maxBody":"16MiB"`, `"defaultCost":"50ms"`, `"level":"info"`, `"deadline":"10m"`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("got %s, want %s in it", got, want)
		}
	}
}

func TestKeys_Variables(t *testing.T) {
	names := map[string]string{}
	for _, key := range config.Keys() {
		if other, twice := names[key.Variable]; twice {
			t.Errorf("%s and %s share %s", key.Key, other, key.Variable)
		}
		names[key.Variable] = key.Key
		if key.Doc == "" || key.Wants == "" {
			t.Errorf("%s has no words", key.Key)
		}
	}
	if names["HOLDFAST_CONTAINERD_CGROUP_PARENT"] != "containerd.cgroupParent" {
		t.Errorf("got %v, want the variable of containerd.cgroupParent", names)
	}
}
