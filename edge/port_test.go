package edge_test

import (
	"errors"
	"strings"
	"testing"

	"holdfast/edge"
)

func TestPort_Meets(t *testing.T) {
	here := edge.Port{Port: 80, Target: 8000}
	for _, test := range []struct {
		other edge.Port
		want  bool
	}{
		{edge.Port{Port: 80, Target: 9}, true},
		{edge.Port{Host: "127.0.0.1", Port: 80}, true},
		{edge.Port{Host: "0.0.0.0", Port: 80}, true},
		{edge.Port{Port: 81}, false},
		{edge.Port{Host: "127.0.0.2", Port: 80}, false},
		{edge.Port{Host: "192.0.2.1", Port: 80}, false},
		{edge.Port{Host: "::", Port: 80}, false},
		{edge.Port{Host: "::1", Port: 80}, false},
	} {
		if got, back := here.Meets(test.other), test.other.Meets(here); got != test.want || back != test.want {
			t.Errorf("%v and %v: got %t and %t, want %t", here, test.other, got, back, test.want)
		}
	}
}

func TestPort_Within(t *testing.T) {
	for _, test := range []struct {
		port   edge.Port
		listed string
		want   bool
	}{
		{edge.Port{Host: "192.0.2.1", Port: 80}, "192.0.2.1:80", true},
		{edge.Port{Host: "192.0.2.1", Port: 80}, "0.0.0.0:80", true},
		{edge.Port{Host: "0.0.0.0", Port: 80}, "192.0.2.1:80", false},
		{edge.Port{Host: "0.0.0.0", Port: 80}, "0.0.0.0:8080", false},
		{edge.Port{Host: "::", Port: 80}, "0.0.0.0:80", false},
		{edge.Port{Host: "fd00::1", Port: 80}, "[::]:80", true},
		{edge.Port{Host: "192.0.2.1", Port: 80}, "80", false},
	} {
		if got := test.port.Within(test.listed); got != test.want {
			t.Errorf("%v with %q listed: got %t, want %t", test.port, test.listed, got, test.want)
		}
	}
}

// TestPolicy_CheckPorts: who wants a port that is another's is told whose it is, and a
// network leads to one place.
func TestPolicy_CheckPorts(t *testing.T) {
	two := func(first, second string) string {
		text := strings.Replace(document, `"command": [],`, `"command": [], `+first+`,`, 1)
		return strings.Replace(text, `"security": {}, "restart": "no"`, second+`, "security": {}, "restart": "no"`, 1)
	}
	for name, test := range map[string]struct{ first, second, field, says string }{
		"Port": {
			`"ports": [{"port": 8080, "target": 80}]`, `"ports": [{"port": 81, "target": 80}, {"host": "0.0.0.0", "port": 8080, "target": 1}]`,
			"workloads[1].ports[1]", "0.0.0.0:8080 is published by line-3/surface already",
		},
		"Network": {
			`"networks": ["lan"], "outward": ["lan"]`, `"networks": ["lan"]`,
			"workloads[1].networks[0]", `"lan" leads outside for one of line-3/surface and line-3/batch-upload`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(two(test.first, test.second), `"outward": "deny"`, `"outward": "allow"`, 1)
			_, err := edge.DecodePolicy([]byte(text))
			var problem *edge.FieldProblem
			if !errors.As(err, &problem) || problem.Field != test.field || !strings.Contains(problem.Detail, test.says) {
				t.Errorf("got %v, want %s: %s", err, test.field, test.says)
			}
		})
	}
	t.Run("BesideEachOther", func(t *testing.T) {
		decode(t, two(`"ports": [{"port": 8080, "target": 80}]`, `"ports": [{"host": "127.0.0.2", "port": 8080, "target": 80}]`))
	})
}
