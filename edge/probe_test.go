package edge_test

import (
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// TestPolicy_Probes: what cannot be asked is refused by the path of its field.
func TestPolicy_Probes(t *testing.T) {
	const head = `{"apiVersion": "holdfast/v1", "kind": "Policy", "metadata": {"name": "line-3", "version": 1, "audience": {"group": "g"}}, "lease": {"hours": 1, "boots": 1}, "workloads": [
  {"app": "line", "name": "a", "image": "x.example/x` + digest + `", "replicas": 1, "entrypoint": null, "command": null, "limits": {}, "security": {}, "restart": "always"`
	for text, want := range map[string]string{
		`"probes": {"readiness": {"port": 80}}`:                                                   "",
		`"probes": {"liveness": {"exec": ["a"], "period": 1000000000, "failures": 5}}`:            "",
		`"probes": {"startup": {}}`:                                                               "workloads[0].probes.startup: needs exec, http or a port",
		`"probes": {"startup": {"exec": ["a"], "port": 1}}`:                                       "workloads[0].probes.startup.exec: stands beside",
		`"probes": {"startup": {"exec": ["a"], "successes": 2}}`:                                  "workloads[0].probes.startup.successes: must be 1",
		`"probes": {"liveness": {"http": "/x"}}`:                                                  "workloads[0].probes.liveness.http: needs a port",
		`"probes": {"liveness": {"http": "/x y", "port": 1}}`:                                     "workloads[0].probes.liveness.http: \"/x y\" is not a path",
		`"probes": {"liveness": {"port": 70000}}`:                                                 "workloads[0].probes.liveness.port",
		`"probes": {"liveness": {"port": 7, "period": 5}}`:                                        "workloads[0].probes.liveness.period: is below 10ms",
		`"dependsOn": [{"name": "b", "when": "service_started", "optional": true}]`:               "",
		`"dependsOn": [{"name": "b", "when": "service_started"}]`:                                 "workloads[0].dependsOn[0].name: \"b\" is none of the workloads",
		`"dependsOn": [{"name": "b", "when": "never", "optional": true}]`:                         "workloads[0].dependsOn[0].when: \"never\" is not",
		`"dependsOn": [{"name": "a", "when": "service_started"}]`:                                 "workloads: depend on each other in a circle: line/a → line/a",
		`"dependsOn": [{"name": "a", "when": "service_completed_successfully", "optional":true}]`: "workloads[0].dependsOn[0].when: \"a\" is restarted always",
	} {
		_, err := edge.DecodePolicy([]byte(head + ", " + text + "}]}"))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: got %v, want it taken", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func TestProbe_Defaults(t *testing.T) {
	var p edge.Probe
	if p.Every() != 10*time.Second || p.Within() != time.Second || p.Good() != 1 || p.Bad() != 3 {
		t.Errorf("got %v, %v, %d, %d", p.Every(), p.Within(), p.Good(), p.Bad())
	}
	for want, p := range map[string]edge.Probe{
		"a b": {Exec: []string{"a", "b"}}, "GET /x": {HTTP: "/x"}, "GET :80/x": {HTTP: "/x", Port: 80}, "TCP port 80": {Port: 80},
	} {
		if got := p.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestDependencyCircle: the first workloads that wait for each other.
func TestDependencyCircle(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "",
		"a:b b:c c:":        "",
		"a:b,c b:c c: d:a":  "",
		"a:a":               "x/a x/a",
		"a:b b:c c:b":       "x/b x/c x/b",
		"a:gone b:c,a c:b ": "x/b x/c x/b",
	} {
		var all []edge.Workload
		for _, part := range strings.Fields(text) {
			name, on, _ := strings.Cut(part, ":")
			w := edge.Workload{App: "x", Name: name}
			for _, other := range strings.Split(on, ",") {
				if other != "" {
					w.DependsOn = append(w.DependsOn, edge.Dependency{Name: other})
				}
			}
			all = append(all, w)
		}
		if got := strings.Join(edge.DependencyCircle(all), " "); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
