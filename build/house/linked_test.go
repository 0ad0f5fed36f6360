package house_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"holdfast/build/house"
)

// TestHouse_Unlinked holds what the agent's binary is made of against the plan. Imports
// of imports count, which Check does not see.
func TestHouse_Unlinked(t *testing.T) {
	unlinked := house.Plan().Unlinked
	agent := linked(t, "../..")
	if len(unlinked) == 0 || !slices.Contains(agent, "holdfast/edge/compose") {
		t.Fatalf("got %d packages in the agent, and a plan that keeps out %q", len(agent), unlinked)
	}
	for path, reason := range unlinked {
		if slices.Contains(agent, path) {
			t.Errorf("the agent links %s: %s", path, reason)
		}
	}
	t.Run("Control", func(t *testing.T) {
		tests := linked(t, "-test", "../../edge/compose")
		for path := range unlinked {
			if !slices.Contains(tests, path) {
				t.Errorf("%s is kept out of the agent and found nowhere, so this test cannot fail", path)
			}
		}
	})
}

// linked lists the packages that go into what go list names.
func linked(t *testing.T, of ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-deps", "-tags", "grpcnotrace,nethttpomithttp2"}, of...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}
