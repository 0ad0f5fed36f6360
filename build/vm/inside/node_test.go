//go:build vm

package inside_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/build/await"
	"holdfast/edge"
	"holdfast/edge/localapi"
)

// within bounds whatever is waited for: an emulated machine takes its time.
const within = 2 * time.Minute

// parent is the cgroup all instances stand under.
const parent = "/holdfast"

// node is the agent that runs here as a service.
type node struct {
	t      *testing.T
	client *localapi.Client
}

// theNode is the node, with its instances ready.
func theNode(t *testing.T) *node {
	t.Helper()
	n := &node{t, localapi.Dial("/run/holdfast/holdfast.sock")}
	t.Cleanup(n.client.Close)
	n.ready()
	return n
}

// look looks again and again until what it looks for is so.
func look(t *testing.T, what string, is func(ctx context.Context) error) {
	t.Helper()
	await.Until(t, within, 20*time.Millisecond, what, is)
}

// ready returns the instances, in the order of their ids, once all of them are.
func (n *node) ready() (instances []edge.Instance) {
	n.t.Helper()
	look(n.t, "all instances to be ready", func(ctx context.Context) error {
		views, err := n.client.Workloads(ctx)
		if err != nil {
			return err
		}
		instances = nil
		for _, view := range views {
			if view.Ready != view.Workload.Replicas {
				return fmt.Errorf("%s has %d ready", view.Workload.Key(), view.Ready)
			}
			for _, instance := range view.Instances {
				if instance.Running {
					instances = append(instances, instance.Instance)
				}
			}
		}
		if len(instances) == 0 {
			return errors.New("there are none")
		}
		return nil
	})
	slices.SortFunc(instances, func(a, b edge.Instance) int { return strings.Compare(a.ID, b.ID) })
	return instances
}

// wantSame wants the same processes to be there as before.
func (n *node) wantSame(before []edge.Instance) {
	n.t.Helper()
	var was, is []string
	for _, i := range before {
		was = append(was, i.ID+" "+strconv.Itoa(int(i.PID)))
	}
	for _, i := range n.ready() {
		is = append(is, i.ID+" "+strconv.Itoa(int(i.PID)))
	}
	if !slices.Equal(was, is) {
		n.t.Errorf("got instances %v, want those of before, %v", is, was)
	}
}

// group is the folder of an instance's cgroup.
func group(instance edge.Instance) string { return filepath.Join(cgroups, parent, instance.ID) }

// wantFile wants a file of a cgroup to say something.
func wantFile(t *testing.T, folder, name, want string) {
	t.Helper()
	if got := read(t, filepath.Join(folder, name)); got != want {
		t.Errorf("%s in %s: got %q, want %q", name, folder, got, want)
	}
}

// systemctl asks systemd to do something.
func systemctl(t *testing.T, words ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "systemctl", words...).CombinedOutput(); err != nil {
		t.Fatalf("systemctl %s: %v\n%s", strings.Join(words, " "), err, out)
	}
}

// property asks systemd for a property of a unit, or of itself where none is named.
func property(t *testing.T, name string, unit ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "systemctl", append([]string{"show", "--value", "--property=" + name}, unit...)...).Output()
	if err != nil {
		t.Fatalf("systemctl show %s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// moment is a point in time that systemd notes, since the kernel began.
func moment(t *testing.T, name string, unit ...string) time.Duration {
	t.Helper()
	return time.Duration(number(t, property(t, name, unit...))) * time.Microsecond
}

// mainPID is the process of the agent.
func mainPID(t *testing.T) int {
	t.Helper()
	return number(t, property(t, "MainPID", "holdfast"))
}

// serving wants models to answer at their sockets, with no agent in between.
func serving(t *testing.T, instances []edge.Instance) {
	t.Helper()
	for _, instance := range instances {
		if err := ask(t.Context(), instance.Socket); err != nil {
			t.Errorf("%s does not serve: %v", instance.ID, err)
		}
	}
}

// ask asks a model server whether it is ready.
func ask(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://model/v2/health/ready", nil)
	if err != nil {
		return err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

// memoryOf is a cgroup's memory, in MiB.
func memoryOf(t *testing.T, folder string) string {
	t.Helper()
	return fmt.Sprintf("%.1f MiB", float64(number(t, read(t, filepath.Join(folder, "memory.current"))))/(1<<20))
}

// TestNode_Limits: what a workload may have is what the kernel was told, in the terms of the
// second version.
func TestNode_Limits(t *testing.T) {
	n := theNode(t)
	for _, instance := range n.ready() {
		folder := group(instance)
		for name, want := range map[string]string{
			"cpu.max": "100000 100000", "cpu.weight": "50", "cpu.idle": "0",
			"memory.max": strconv.Itoa(64 << 20), "memory.swap.max": "0", "memory.low": strconv.Itoa(32 << 20), "memory.high": "max",
			"pids.max": "32", "cgroup.freeze": "0", "io.weight": "default 2930", // which 300 of 1,000 is of 10,000
		} {
			wantFile(t, folder, name, want)
		}
		if got, want := read(t, fmt.Sprintf("/proc/%d/cgroup", instance.PID)), "0::"+parent+"/"+instance.ID; got != want {
			t.Errorf("%s stands in %s, want %s", instance.ID, got, want)
		}
	}
	// All of them together: the machine's memory but for 128 MiB and a sixteenth.
	var total int
	if _, err := fmt.Sscanf(read(t, "/proc/meminfo"), "MemTotal: %d kB", &total); err != nil {
		t.Fatal(err)
	}
	want := (total<<10 - 128<<20 - total<<10/16) / os.Getpagesize() * os.Getpagesize()
	wantFile(t, filepath.Join(cgroups, parent), "memory.max", strconv.Itoa(want))
}

// TestNode_Protected: what instances have set aside of the memory is theirs by the kernel's
// reckoning, which goes from above to below: a cgroup is protected by no more than the one
// it stands in.
func TestNode_Protected(t *testing.T) {
	n := theNode(t)
	sum := 0
	for _, instance := range n.ready() {
		sum += number(t, read(t, filepath.Join(group(instance), "memory.low")))
	}
	if got := number(t, read(t, filepath.Join(cgroups, parent, "memory.low"))); got < sum || sum == 0 {
		t.Errorf("all instances together are protected by %d bytes, want what they have set aside, %d", got, sum)
	}
}

// TestNode_Usage: what an instance uses is told.
func TestNode_Usage(t *testing.T) {
	n := theNode(t)
	look(t, "usage", func(ctx context.Context) error {
		views, err := n.client.Workloads(ctx)
		if err != nil {
			return err
		}
		for _, instance := range views[0].Instances {
			u := instance.Usage
			if u == nil || u.CPU == 0 || u.Memory == 0 || u.Pids == 0 || u.MemoryLimit != 64<<20 {
				return fmt.Errorf("%s has %+v", instance.ID, u)
			}
			current := uint64(number(t, read(t, filepath.Join(group(instance.Instance), "memory.current"))))
			if u.Memory > 2*current {
				return fmt.Errorf("%s uses %d bytes, the kernel counts %d", instance.ID, u.Memory, current)
			}
		}
		return nil
	})
}

// TestNode_Doctor: the agent's own examination of this machine finds nothing to fail on.
func TestNode_Doctor(t *testing.T) {
	theNode(t)
	out, err := exec.CommandContext(t.Context(), "/usr/bin/holdfast", "doctor").CombinedOutput()
	t.Logf("\n%s", out)
	if err != nil {
		t.Errorf("doctor: %v", err)
	}
	if !strings.Contains(string(out), "cgroups") {
		t.Error("it does not speak of cgroups")
	}
}
