package fleet_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/fleet"
)

// line3 builds the example with some of its text replaced.
func line3(t *testing.T, replace ...string) *edge.Policy {
	t.Helper()
	path := filepath.Join(corpus, "line-3.yaml")
	text := string(read(t, path))
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("the example does not say %q", replace[i])
		}
		text = strings.Replace(text, replace[i], replace[i+1], 1)
	}
	built, err := build(t, path, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return built.Policy
}

func words(changes []fleet.Change) string {
	var b strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&b, "%s %s %s: %s\n", c.Kind, c.What, c.Name, c.Effect)
		for _, f := range c.Fields {
			fmt.Fprintf(&b, "  %s: %s > %s\n", f.Field, f.From, f.To)
		}
	}
	return b.String()
}

func TestDiff(t *testing.T) {
	for _, tt := range []struct {
		name    string
		replace []string
		want    string
	}{
		{"Nothing", nil, ""},
		{"Scaled", []string{"replicas: 2", "replicas: 3"},
			"changed workload line-3/surface: starts 1 instance more\n  replicas: 2 > 3\n"},
		{"ScaledDown", []string{"replicas: 2", "replicas: 0"},
			"changed workload line-3/surface: stops 2 instances\n  replicas: 2 > 0\n"},
		{"Replaced", []string{"cost: 20ms", "cost: 1m", "memory: 128M, pids: 64", "memory: 192M, pids: 64", "variants: [surface-lite]", "variants: [surface-lite, tiny]"},
			"changed workload line-3/surface: replaces 2 instances by 2\n  limits.memory: 128Mi > 192Mi\n" +
				"  request.memory: 128Mi > 192Mi\n" + // which is 256Mi by default, and never above the limit
				"  serve.cost: 20ms > 1m\n  serve.variants: [surface-lite] > [surface-lite, tiny]\n"},
		{"Renamed", []string{"batch-upload:", "upload:", "stop: [batch-upload]", "stop: [upload]", "restart: unless-stopped", "restart: unless-stopped\n        scale: 0"},
			"removed workload office/batch-upload: stops 1 instance\nadded workload office/upload: starts no instance\n" +
				"changed offline : in force as soon as the policy is\n"},
		{"Tenants", []string{"vision: {cpu: 1.5, memory: 512Mi, rate: 50/s, burst: 100}", "audio: {cpu: 1}", "_default: {cpu: 1, memory: 512Mi}", "_default: {cpu: 1, memory: 1Gi}"},
			"changed tenant _default: counts from the next task on; the queue is checked again\n  memory: 512Mi > 1Gi\n" +
				"added tenant audio: counts from the next task on\n  cpu:  > 1\nremoved tenant vision: falls to _default; refused where there is none\n"},
		{"TenantLists", []string{"rate: 50/s, burst: 100}", "rate: 50/s, burst: 100, models: [surface], classes: [urgent, batch]}"},
			"changed tenant vision: counts from the next task on; the queue is checked again\n" +
				"  classes:  > [urgent, batch]\n  models:  > [surface]\n"},
		{"Class", []string{"urgent: {deadline: 100ms, queue: 64, firm: true}", "urgent: {deadline: 80ms, queue: 64}"},
			"changed class urgent: counts from the next task on; the queue is checked again\n  deadline: 100ms > 80ms\n  firm: true > \n"},
		{"Trigger", []string{"deadline: 80ms, reply: factory/cam1/verdict", "deadline: 90ms"},
			"changed trigger factory/cam1/frame: counts from the next task on; the queue is checked again\n" +
				"  deadline: 80ms > 90ms\n  reply: factory/cam1/verdict > \n"},
		{"Sections", []string{"version: 42", "version: 41", "hours: 720", "hours: 24", "hostPaths: [/dev/video0]", "hostPaths: [/dev/video1]", "heartbeat: 5s", "heartbeat: 10s"},
			"changed metadata : a node that accepted version 42 refuses version 41\n  version: 42 > 41\n" +
				"changed lease : what was used up of the lease stays used up\n  hours: 720 > 24\n" +
				"changed security : workloads are admitted anew\n  hostPaths: [/dev/video0] > [/dev/video1]\n" +
				"changed connectivity : in force as soon as the policy is\n  heartbeat: 5s > 10s\n"},
		{"Audience", []string{"version: 42, audience: {group: line-3}", "version: 43, audience: {group: line-4}"},
			"changed metadata : meant for other nodes; those that do not belong refuse it\n  audience.group: line-3 > line-4\n  version: 42 > 43\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := fleet.Diff(line3(t), line3(t, tt.replace...))
			if err != nil {
				t.Fatal(err)
			}
			text := words(got)
			if tt.name == "Renamed" { // what a new workload holds is in the corpus
				text = withoutFields(text)
			}
			want := tt.want
			if want != "" && !slices.Contains(tt.replace, "version: 42") && !strings.Contains(want, "version: 42 > 43") {
				want += "changed version : is still 42: a node that holds it refuses another; raise metadata.version\n"
			}
			if text != want {
				t.Errorf("got:\n%s\nwant:\n%s", text, want)
			}
		})
	}
}

func withoutFields(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, " ") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// TestDiff_SeesEveryField: no value of the example can change without being told.
// TestDiff_LimitsDefault: an instance is made from what the policy fills in, so a
// default that changes replaces it.
// TestDiff_Routes tells what tasks may leave the node, and where to: whoever signs has to see that.
func TestDiff_Routes(t *testing.T) {
	routed := func(url, tenants string) *edge.Policy {
		return line3(t, "triggers:", "upstreams: {hq: {url: \""+url+"\"}}\nroutes: {surface: {upstream: hq, tenants: ["+tenants+"]}}\ntriggers:")
	}
	for name, c := range map[string]struct {
		from, to *edge.Policy
		want     string
	}{
		"Added":         {line3(t), routed("https://hq.example", "vision"), "added upstream hq: "},
		"AnotherServer": {routed("https://hq.example", "vision"), routed("https://other.example", "vision"), "  url: https://hq.example > https://other.example\n"},
		"OthersToo":     {routed("https://hq.example", "vision"), routed("https://hq.example", "vision, office"), "  tenants: [vision] > [vision, office]\n"},
		"Removed":       {routed("https://hq.example", "vision"), line3(t), "removed route surface: its tasks are answered here"},
	} {
		t.Run(name, func(t *testing.T) {
			changes, err := fleet.Diff(c.from, c.to)
			if err != nil {
				t.Fatal(err)
			}
			if got := words(changes); !strings.Contains(got, c.want) {
				t.Errorf("got %s, want %q among it", got, c.want)
			}
		})
	}
}

func TestDiff_LimitsDefault(t *testing.T) {
	from := &edge.Policy{Metadata: edge.Metadata{Name: "p", Version: 1, Audience: edge.Audience{Node: "n"}}, Lease: edge.LeaseTerms{Hours: 1, Boots: 1}}
	from.Workloads = []edge.Workload{{App: "a", Name: "w", Image: "x@sha256:" + strings.Repeat("1", 64), Replicas: 1}}
	to := *from
	to.Metadata.Version, to.Limits.Default.Memory = 2, 64<<20
	changes, err := fleet.Diff(from, &to)
	if err != nil {
		t.Fatal(err)
	}
	if got := changes[0]; got.What != "workload" || got.Effect != "replaces 1 instance by 1" || got.Fields[0].To != "64Mi" {
		t.Errorf("got %+v, want the instance replaced for its new limit", got)
	}
}

func TestDiff_SeesEveryField(t *testing.T) {
	for _, replace := range [][2]string{
		{"boots: 200", "boots: 201"}, {"queue: 64", "queue: 65"}, {"deadline: 1s", "deadline: 2s"}, {"rate: 50/s", "rate: 51/s"},
		{"burst: 100", "burst: 101"}, {"pids: 256", "pids: 257"}, {"cpus: 0.2,", "cpus: 0.1,"}, {`line/*"`, `*/*"`},
		{"offlineAfter: 3", "offlineAfter: 4"}, {"monthlyBytes: 50Mi", "monthlyBytes: 51Mi"}, {"routes: local", ""}, {"errorRate: 5", "errorRate: 6"},
		{"warnBelow: 60", "warnBelow: 61"}, {"window: 30s", "window: 31s"}, {"maxReplicas: 4", "maxReplicas: 5"}, {`glob: "*.pgm"`, `glob: "*.png"`},
		{"read_only: true", "read_only: false"}, {"tmp:size=16m", "tmp:size=17m"}, {"concurrency: 1", "concurrency: 2"}, {"timeout: 2s", "timeout: 3s"},
		{"readyWithin: 30s", "readyWithin: 31s"}, {`"10m"]`, `"11m"]`}, {"hall-east", "hall-west"}, {"stop_grace_period: 30s", "stop_grace_period: 31s"},
		{"upload:1.4", "upload:1.5"}, {"unless-stopped", "on-failure"},
	} {
		if got, err := fleet.Diff(line3(t), line3(t, replace[0], replace[1])); err != nil || len(got) == 0 {
			t.Errorf("%s: got %v, %v, want a change", replace[1], got, err)
		}
	}
}
