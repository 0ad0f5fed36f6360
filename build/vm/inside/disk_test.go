//go:build vm

package inside_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/edge"
)

// disk is the machine's.
const disk = "/sys/block/nvme0n1"

// awaitIdle waits until the node says that weights of the disk come to nothing, or no more.
func (n *node) awaitIdle(want bool) {
	n.t.Helper()
	look(n.t, fmt.Sprintf("the warning to be there: %v", want), func(ctx context.Context) error {
		status, err := n.client.Status(ctx)
		if err != nil {
			return err
		}
		is := func(w edge.Warning) bool { return w.Code == "disk-weights-idle" }
		if slices.ContainsFunc(status.Warnings, is) != want {
			return fmt.Errorf("warnings are %+v", status.Warnings)
		}
		return nil
	})
}

// replaced has all instances replaced, so that the runtime weighs anew.
func (n *node) replaced() (instances []edge.Instance) {
	n.t.Helper()
	before := n.ready()
	if err := n.client.Restart(n.t.Context(), "line/digits"); err != nil {
		n.t.Fatal(err)
	}
	look(n.t, "other instances", func(context.Context) error {
		instances = n.ready()
		for _, instance := range instances {
			if slices.ContainsFunc(before, func(b edge.Instance) bool { return b.ID == instance.ID }) {
				return fmt.Errorf("%s is still there", instance.ID)
			}
		}
		return nil
	})
	return instances
}

// tell writes into a file of the kernel's.
func tell(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

// TestNode_DiskWeights has the disk scheduled by nobody, by bfq, and by the costs of the
// second version while bfq is there too: an instance has its weight where it is looked for,
// and the node knows whether it is.
func TestNode_DiskWeights(t *testing.T) {
	n := theNode(t)
	n.awaitIdle(true)
	if out, err := exec.CommandContext(t.Context(), "modprobe", "bfq").CombinedOutput(); err != nil {
		t.Fatalf("modprobe: %v\n%s", err, out)
	}
	scheduler := filepath.Join(disk, "queue/scheduler")
	tell(t, scheduler, "bfq")
	n.awaitIdle(false)
	for _, instance := range n.replaced() {
		if got := read(t, filepath.Join(group(instance), "io.bfq.weight")); strings.TrimPrefix(got, "default ") != "300" {
			t.Errorf("bfq looks at a weight of %q, want 300", got)
		}
		wantFile(t, group(instance), "io.weight", "default 2930")
	}
	tell(t, scheduler, "none")
	n.awaitIdle(true)
	device := read(t, filepath.Join(disk, "dev"))
	tell(t, filepath.Join(cgroups, "io.cost.qos"), device+" enable=1")
	n.awaitIdle(false)
	tell(t, filepath.Join(cgroups, "io.cost.qos"), device+" enable=0")
	n.awaitIdle(true)
}
