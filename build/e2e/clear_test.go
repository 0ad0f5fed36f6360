package e2e_test

import (
	"strings"
	"testing"

	"holdfast/edge/cli"
)

// clearNode says the verb with the configuration of the node.
func (n *node) clearNode(args ...string) said {
	n.t.Helper()
	return run(n.t, append(append([]string{"clear"}, args...), n.Arguments()[1:]...)...)
}

// TestClear_Node: what no end of an agent stops is ended by the verb, and not while an
// agent would start it again.
func TestClear_Node(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(2))
	instances := n.awaitReady("digits", 2)
	n.clearNode().want(t, cli.ExitFailed, "holdfast: cannot clear node", "hint: an agent would start them again")
	if got := n.awaitReady("digits", 2); sameInstances(instances, got) != nil {
		t.Errorf("got %v, want those of before the verb was refused", got)
	}
	n.stopAgent()
	n.clearNode("--images").want(t, cli.ExitOK, "ended 2 instance(s)", "removed 2 image(s)")
	for what, left := range map[string]string{
		"containers": n.ctr("containers", "list", "-q"), "tasks": n.ctr("tasks", "list", "-q"),
		"images": n.ctr("images", "list", "-q"), "content": n.ctr("content", "list", "-q"),
	} {
		if strings.TrimSpace(left) != "" {
			t.Errorf("%s: got %q, want none", what, left)
		}
	}
	n.clearNode().want(t, cli.ExitOK, "ended 0 instance(s)")
	n.startAgent() // a folder of images is not there: what is wanted waits for one
	n.importImage(shop.digits())
	n.importImage(shop.faulty())
	n.awaitReady("digits", 2)
}
