package containerd_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// site is a host's network of the test's own, a network outside behind it, and what the
// agent may do there.
type site struct {
	host, outside uint32 // processes of these networks
}

const (
	hostAddress    = "198.51.100.1"
	outsideAddress = "198.51.100.2"
)

// newSite makes the two networks, joined by a cable.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{networkOf(t), networkOf(t)}
	s.run(t, s.host, "ip", "link", "add", "uplink", "type", "veth", "peer", "name", "uplink", "netns", fmt.Sprint(s.outside))
	for pid, address := range map[uint32]string{s.host: hostAddress, s.outside: outsideAddress} {
		s.run(t, pid, "ip", "address", "add", address+"/24", "dev", "uplink")
		s.run(t, pid, "ip", "link", "set", "uplink", "up")
		s.run(t, pid, "ip", "link", "set", "lo", "up")
	}
	s.run(t, s.host, "ip", "route", "add", "default", "via", outsideAddress)
	s.run(t, s.host, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	return s
}

// networkOf starts a process with a new network.
func networkOf(t *testing.T) uint32 {
	t.Helper()
	cmd := exec.Command("sleep", "infinity")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(cmd.Process.Kill(), cmd.Wait()); err == nil {
			t.Error("it ended by itself")
		}
	})
	return uint32(cmd.Process.Pid)
}

func (s *site) run(t *testing.T, pid uint32, command ...string) string {
	t.Helper()
	out, err := exec.Command("nsenter", append([]string{"--net", "--target", fmt.Sprint(pid), "--"}, command...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", command, err, out)
	}
	return string(out)
}

// listen has the test's program answer in a network.
func (s *site) listen(t *testing.T, pid uint32, said string) {
	t.Helper()
	cmd := exec.Command("nsenter", "--net", "--target", fmt.Sprint(pid), "--", filepath.Join(shared.dir, "testprog"), "answer", said)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(cmd.Process.Kill(), cmd.Wait()); err == nil {
			t.Error("it ended by itself")
		}
	})
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
}

// calls is what addresses say to who calls from a network.
func (s *site) calls(t *testing.T, pid uint32, addresses ...string) string {
	t.Helper()
	return s.run(t, pid, append([]string{filepath.Join(shared.dir, "testprog"), "call"}, addresses...)...)
}

// do has an agent at the site do an errand.
func (s *site) do(t *testing.T, n *node, e errand) string {
	t.Helper()
	e.Node, e.Host = n.place(), s.host
	e.More = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE}
	return e.send(t)
}

// state is what there is of networks at the site.
func (s *site) state(t *testing.T) (tables, bridges []string) {
	t.Helper()
	for line := range strings.Lines(s.run(t, s.host, "nft", "list", "tables")) {
		tables = append(tables, strings.TrimSpace(line))
	}
	for line := range strings.Lines(s.run(t, s.host, "ip", "-brief", "link", "show", "type", "bridge")) {
		bridges = append(bridges, strings.Fields(line)[0])
	}
	return tables, bridges
}

func outward(name string, args ...string) edge.Workload {
	w := on("line", name, []string{"lan"}, args...)
	w.Outward = []string{"lan"}
	return w
}

func TestDriver_Outward(t *testing.T) {
	n := newNode(t)
	s := newSite(t)
	s.listen(t, s.outside, "i am outside")
	s.listen(t, s.host, "i am the host")
	if got := s.calls(t, s.outside, hostAddress+":7000"); !strings.HasSuffix(got, "i am the host\n") {
		t.Fatalf("got %q, want the host to answer somebody, or its silence would tell nothing", got)
	}
	for id, w := range map[string]edge.Workload{
		"out": outward("out", "answer", "i am the instance"), "beside": outward("beside", "sleep"),
		"in": on("line", "in", []string{"back"}, "sleep"), "other": on("office", "other", []string{"lan"}, "answer", "i am another"),
	} {
		if complaint := s.do(t, n, errand{Workload: w, ID: id}); complaint != "" {
			t.Fatal(complaint)
		}
	}
	out, beside, in := n.instance(t, "out"), n.instance(t, "beside"), n.instance(t, "in")
	address := out.Addresses["lan"]
	_, bridges := s.state(t)
	t.Run("OutsideAndNowhereElse", func(t *testing.T) {
		host, way, far := hostAddress+":7000", gateway(address)+":7000", n.instance(t, "other").Addresses["lan"]+":7000"
		got := s.calls(t, out.PID, outsideAddress+":7000", host, way, far)
		if want := outsideAddress + ":7000 i am outside\n" + host + " unreachable\n" + way + " unreachable\n" + far + " unreachable\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := s.calls(t, in.PID, outsideAddress+":7000"); got != outsideAddress+":7000 unreachable\n" {
			t.Errorf("got %q from a network that leads nowhere", got)
		}
	})
	t.Run("Beside", func(t *testing.T) {
		if got := s.calls(t, beside.PID, address+":7000"); got != address+":7000 i am the instance\n" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("NotInward", func(t *testing.T) {
		s.run(t, s.outside, "ip", "route", "add", address+"/32", "via", hostAddress)
		if got := s.calls(t, s.outside, address+":7000"); got != address+":7000 unreachable\n" {
			t.Errorf("got %q", got)
		}
		tables, _ := s.state(t)
		if len(tables) != 1 {
			t.Fatalf("got tables %v, want that of the one network", tables)
		}
		s.run(t, s.host, "nft", "delete", tables[0][:len("table")], "ip", strings.Fields(tables[0])[2])
		if got := s.calls(t, s.outside, address+":7000"); got != address+":7000 i am the instance\n" {
			t.Errorf("got %q without the rules: it is something else that keeps it away", got)
		}
		if got := s.calls(t, out.PID, hostAddress+":7000"); got != hostAddress+":7000 i am the host\n" {
			t.Errorf("got %q without the rules: it is something else that keeps the host from it", got)
		}
		s.mend(t, n, func() bool { now, _ := s.state(t); return slices.Equal(now, tables) })
		if got := s.calls(t, s.outside, address+":7000"); got != address+":7000 unreachable\n" {
			t.Errorf("got %q once the rules are back", got)
		}
	})
	t.Run("NamesOutside", func(t *testing.T) {
		if got, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/etc/resolv.conf", out.PID)); err != nil || strings.Contains(string(got), "127.0.0.") {
			t.Errorf("got %q, %v, want servers that can be reached", got, err)
		}
		if got, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/etc/resolv.conf", in.PID)); err == nil {
			t.Errorf("got %q where nothing outside is reached", got)
		}
	})
	t.Run("NoWayBetween", func(t *testing.T) {
		if got := strings.TrimSpace(s.run(t, out.PID, "cat", "/proc/sys/net/ipv4/ip_forward")); got != "0" {
			t.Errorf("got %q, want an instance to forward nothing", got)
		}
	})
	t.Run("NoLonger", func(t *testing.T) {
		if complaint := s.do(t, n, errand{Workload: on("line", "next", []string{"lan"}, "sleep"), ID: "next"}); complaint != "" {
			t.Fatal(complaint)
		}
		if got := s.calls(t, out.PID, outsideAddress+":7000"); got != outsideAddress+":7000 unreachable\n" {
			t.Errorf("got %q once the network is to lead nowhere", got)
		}
		if tables, now := s.state(t); len(tables) > 0 || !slices.Equal(now, bridges) {
			t.Errorf("got tables %v and bridges %v, want none and %v", tables, now, bridges)
		}
	})
	for _, instance := range []string{"out", "beside", "in", "other", "next"} {
		if complaint := s.do(t, n, errand{ID: instance, Remove: true}); complaint != "" {
			t.Fatal(complaint)
		}
	}
	s.wantNothing(t, n)
}

// gateway is the first address beside another.
func gateway(address string) string { return address[:strings.LastIndex(address, ".")] + ".1" }

// mend has an agent look after the site until it is so.
func (s *site) mend(t *testing.T, n *node, is func() bool) {
	t.Helper()
	e := errand{Node: n.place(), Host: s.host, Watch: true, More: []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE}}
	cmd := e.command(t)
	end, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err = await(t.Context(), is)
	if endErr := errors.Join(end.Close(), cmd.Wait()); err != nil || endErr != nil {
		t.Errorf("waited in vain for the agent to mend it: %v, %v", err, endErr)
	}
}

// wantNothing wants nothing left of networks at the site, in the kernel and in books.
func (s *site) wantNothing(t *testing.T, n *node) {
	t.Helper()
	if tables, bridges := s.state(t); len(tables)+len(bridges) > 0 {
		t.Errorf("tables %v and bridges %v are left", tables, bridges)
	}
	if links := s.run(t, s.host, "ip", "-brief", "link", "show", "type", "veth"); strings.Count(links, "\n") != 1 {
		t.Errorf("interfaces are left beside the one uplink: %s", links)
	}
	for _, pattern := range []string{"hosts/*", "leases/*"} {
		left, err := filepath.Glob(filepath.Join(n.opts.RunDir, "net", n.opts.Namespace, pattern))
		if err != nil || len(left) > 0 {
			t.Errorf("%v, %v are left", left, err)
		}
	}
}

func TestDriver_OutwardRefused(t *testing.T) {
	n := newNode(t)
	s := newSite(t)
	t.Run("HostDoesNotForward", func(t *testing.T) {
		s.run(t, s.host, "sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward")
		complaint := s.do(t, n, errand{Workload: outward("out", "sleep"), ID: "out"})
		if !strings.Contains(complaint, "sysctl -w net.ipv4.ip_forward=1") {
			t.Errorf("got %q, want what to do", complaint)
		}
		s.wantNothing(t, n)
		s.run(t, s.host, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	})
	t.Run("AddressesOfTheSite", func(t *testing.T) {
		s.run(t, s.host, "ip", "route", "add", "10.128.0.0/9", "via", outsideAddress)
		complaint := s.do(t, n, errand{Workload: outward("out", "sleep"), ID: "out"})
		if !strings.Contains(complaint, "uplink") || !strings.Contains(complaint, "another name") {
			t.Errorf("got %q, want the clash", complaint)
		}
		s.wantNothing(t, n)
		s.run(t, s.host, "ip", "route", "del", "10.128.0.0/9")
	})
	t.Run("WithoutTheRight", func(t *testing.T) {
		complaint := errand{Node: n.place(), Host: s.host, Workload: outward("out", "sleep"), ID: "out"}.send(t)
		if !strings.Contains(complaint, "networks.conf") {
			t.Errorf("got %q, want what is missing", complaint)
		}
		s.wantNothing(t, n)
	})
}

// traces counts what there is of an instance that is being put on networks.
func (s *site) traces(t *testing.T, n *node) int {
	t.Helper()
	tables, bridges := s.state(t)
	leases, err := filepath.Glob(filepath.Join(n.opts.RunDir, "net", n.opts.Namespace, "leases", "*", "10.*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(tables) + len(bridges) + len(leases)
}

// books counts what is written of instances on networks.
func (s *site) books(t *testing.T, n *node) int {
	t.Helper()
	count := 0
	for _, pattern := range []string{"hosts/*", "leases/*"} {
		found, err := filepath.Glob(filepath.Join(n.opts.RunDir, "net", n.opts.Namespace, pattern))
		if err != nil {
			t.Fatal(err)
		}
		count += len(found)
	}
	return count
}

// TestDriver_NetworksAfterPowerCut: of all that was, only files and containerd's records
// are left, where the folder of the run is not in memory.
func TestDriver_NetworksAfterPowerCut(t *testing.T) {
	n := newNode(t)
	s := newSite(t)
	w := outward("out", "answer", "i am the instance")
	w.Links, w.Ports = []string{"plant"}, []edge.Port{{Port: freePort(t), Target: 7000}}
	if complaint := s.do(t, n, errand{Workload: w, ID: "out"}); complaint != "" {
		t.Fatal(complaint)
	}
	before := n.instance(t, "out").Addresses
	s.cutPower(t, n, "out")
	if s.books(t, n) == 0 {
		t.Fatal("nothing is written any more, so nothing can be told from its being cleared")
	}
	s.mend(t, n, func() bool { return s.books(t, n) == 0 })
	s.wantNothing(t, n)
	n.wantNoRelay(t)
	if complaint := s.do(t, n, errand{Workload: w, ID: "out"}); complaint != "" {
		t.Fatal(complaint)
	}
	if after := n.instance(t, "out").Addresses; !slices.Equal(slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before))) {
		t.Errorf("got addresses %v, want one on each network of %v", after, before)
	}
	s.listen(t, s.outside, "i am outside")
	if got := s.calls(t, n.instance(t, "out").PID, outsideAddress+":7000"); got != outsideAddress+":7000 i am outside\n" {
		t.Errorf("got %q", got)
	}
	if complaint := s.do(t, n, errand{ID: "out", Remove: true}); complaint != "" {
		t.Fatal(complaint)
	}
	s.wantNothing(t, n)
}

// cutPower ends all that runs of an instance, and takes from the kernel what was made for
// it.
func (s *site) cutPower(t *testing.T, n *node, id string) {
	t.Helper()
	pids := append(n.relays(), int(n.instance(t, id).PID))
	for _, shim := range n.shims() {
		pid, err := strconv.Atoi(shim)
		if err != nil {
			t.Fatal(err)
		}
		pids = append([]int{pid}, pids...)
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	tables, bridges := s.state(t)
	for _, table := range tables {
		s.run(t, s.host, append([]string{"nft", "delete"}, strings.Fields(table)...)...)
	}
	for _, bridge := range bridges {
		s.run(t, s.host, "ip", "link", "delete", bridge)
	}
}
