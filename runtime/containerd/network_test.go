package containerd_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// on is a program on networks of an app.
func on(app, name string, networks []string, args ...string) edge.Workload {
	w := behave(args...)
	w.App, w.Name, w.Networks = app, name, networks
	return w
}

// bridges lists those of the machine that are ours.
func bridges(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("/sys/class/net/hf??????????/bridge")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (n *node) leases() []string {
	found, _ := filepath.Glob(filepath.Join(n.opts.RunDir, "net", n.opts.Namespace, "leases", "*", "10.*")) // well formed
	return found
}

// wantNoNetworks wants nothing to be left of networks, on the machine and in books.
func (n *node) wantNoNetworks(t *testing.T, before []string) {
	t.Helper()
	if now := bridges(t); !slices.Equal(now, before) {
		t.Errorf("bridges are %v, want %v as before", now, before)
	}
	if left := n.leases(); len(left) > 0 {
		t.Errorf("addresses are still held: %v", left)
	}
	files, err := filepath.Glob(filepath.Join(n.opts.RunDir, "net", n.opts.Namespace, "hosts", "*"))
	if len(files) > 0 || err != nil {
		t.Errorf("hosts files are left: %v, %v", files, err)
	}
}

// calls runs a program that calls addresses, and returns what it says.
func (n *node) calls(t *testing.T, app string, networks []string, addresses ...string) string {
	t.Helper()
	var out strings.Builder
	if _, err := n.RunOnce(t.Context(), on(app, "caller", networks, append([]string{"call"}, addresses...)...), "caller", &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// addressOf is what the hosts file of an instance says of a name.
func addressOf(t *testing.T, pid uint32, name string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/etc/hosts", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == name {
			return fields[0]
		}
	}
	return ""
}

func TestDriver_Networks(t *testing.T) {
	n := newNode(t)
	before := bridges(t)
	back, front := []string{"back"}, []string{"front"}
	db := n.start(t, on("line", "db", back, "answer", "i am the database"), "db")
	web := n.start(t, on("line", "web", []string{"back", "front"}, "answer", "i am the web"), "web")
	other := n.start(t, on("office", "db", back, "answer", "i am another"), "other")
	t.Run("ByName", func(t *testing.T) {
		if got, want := n.calls(t, "line", back, "db:7000", "web:7000"), "db:7000 i am the database\nweb:7000 i am the web\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("SameNameInAnotherApp", func(t *testing.T) {
		if got, want := n.calls(t, "office", back, "db:7000", "web:7000"), "db:7000 i am another\nweb:7000 unreachable\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("OfItsNetworksOnly", func(t *testing.T) {
		if got, want := n.calls(t, "line", front, "web:7000", "db:7000"), "web:7000 i am the web\ndb:7000 unreachable\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("ByAddressNoFurther", func(t *testing.T) {
		far := addressOf(t, db.PID, "db") + ":7000"
		if got := n.calls(t, "office", back, far); got != far+" unreachable\n" {
			t.Errorf("got %q: one app reaches another", got)
		}
		if got := n.calls(t, "line", back, far); got != far+" i am the database\n" {
			t.Errorf("got %q: the address is not one that can be reached at all", got)
		}
	})
	t.Run("NotTheHost", func(t *testing.T) { n.wantHostUnreachable(t, back) })
	t.Run("NameComesAndGoes", func(t *testing.T) {
		if got := addressOf(t, db.PID, "late"); got != "" {
			t.Fatalf("got %q for who is not there", got)
		}
		n.start(t, on("line", "late", back, "sleep"), "late")
		if got := addressOf(t, db.PID, "late"); got == "" || got != addressOf(t, web.PID, "late") {
			t.Errorf("got %q, want an address both know", got)
		}
		if got := addressOf(t, other.PID, "late"); got != "" {
			t.Errorf("got %q in another app", got)
		}
		if err := n.Remove(t.Context(), "late"); err != nil {
			t.Fatal(err)
		}
		if got := addressOf(t, db.PID, "late"); got != "" {
			t.Errorf("got %q for who has gone", got)
		}
	})
	t.Run("KeptOverRestartOfAgent", func(t *testing.T) {
		address := addressOf(t, web.PID, "db")
		again := n.again(t)
		if _, err := again.Start(t.Context(), on("line", "next", back, "sleep"), "next"); err != nil {
			t.Fatal(err)
		}
		if got := addressOf(t, web.PID, "db"); got != address || addressOf(t, web.PID, "next") == "" {
			t.Errorf("got %q, want %q as before, and the new one beside it", got, address)
		}
		if err := again.Remove(t.Context(), "next"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("KilledLeavesNothing", func(t *testing.T) {
		waited := n.waitInBackground(t, "other")
		if err := unix.Kill(int(other.PID), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-waited
		if err := n.Remove(t.Context(), "other"); err != nil {
			t.Fatal(err)
		}
		if got := len(bridges(t)) - len(before); got != 2 {
			t.Errorf("got %d bridges, want the two of the other app", got)
		}
	})
	for _, id := range []string{"db", "web"} {
		if err := n.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	n.wantNoNetworks(t, before)
}

// wantHostUnreachable calls the host at every address it has, beside a neighbour that
// answers.
func (n *node) wantHostUnreachable(t *testing.T, networks []string) {
	t.Helper()
	addresses, stop := listenEverywhere(t)
	defer stop()
	said := n.calls(t, "line", networks, append(addresses, "db:7000")...)
	for line := range strings.Lines(said) {
		if reached := !strings.HasSuffix(line, " unreachable\n"); reached != strings.HasPrefix(line, "db:7000") {
			t.Errorf("got %q", line)
		}
	}
	if got := strings.Count(said, "\n"); got != len(addresses)+1 || len(addresses) == 0 {
		t.Errorf("got %d answers to %d calls: %q", got, len(addresses)+1, said)
	}
}

func TestDriver_NetworksRefused(t *testing.T) {
	n := newNode(t)
	before := bridges(t)
	t.Run("WithoutPlugins", func(t *testing.T) {
		opts := n.opts
		opts.Plugins = []string{t.TempDir()}
		driver, err := containerd.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		defer driver.Close()
		_, err = driver.Start(t.Context(), on("line", "db", []string{"back"}, "sleep"), "db")
		if !errors.Is(err, edge.ErrNotFound) || !strings.Contains(edge.HintOf(err), "apt-get install containernetworking-plugins") {
			t.Errorf("got %v (%s), want a refusal with its remedy", err, edge.HintOf(err))
		}
		if _, err := driver.Start(t.Context(), behave("sleep"), "plain"); err != nil {
			t.Errorf("got %v for one without a network, want it started", err)
		}
	})
	t.Run("PluginFails", func(t *testing.T) {
		folder := t.TempDir()
		for name, text := range map[string]string{"host-local": "#!/bin/sh\nexit 1\n", "bridge": "#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\necho '{\"cniVersion\":\"0.4.0\",\"code\":100,\"msg\":\"failed: operation not permitted\"}'\nexit 1\n"} {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		n.opts.Plugins = []string{folder}
		_, err := n.again(t).Start(t.Context(), on("line", "db", []string{"back"}, "sleep"), "db")
		if err == nil || !strings.Contains(edge.HintOf(err), "networks.conf") {
			t.Errorf("got %v (%s), want what the agent's service lacks", err, edge.HintOf(err))
		}
		n.opts.Plugins = nil
	})
	t.Run("BesideTheHosts", func(t *testing.T) {
		w := on("line", "db", []string{"back"}, "sleep")
		w.Security.HostNetwork = true
		if _, err := n.Start(t.Context(), w, "db"); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want edge.ErrInvalid", err)
		}
	})
	n.wantNoNetworks(t, before)
}

// TestDriver_NetworksSwept: when the daemon has lost everything, addresses and bridges
// are given back all the same.
func TestDriver_NetworksSwept(t *testing.T) {
	n := newNode(t)
	before := bridges(t)
	instance := n.start(t, on("line", "db", []string{"back"}, "sleep"), "lost")
	waited := n.waitInBackground(t, "lost")
	if err := unix.Kill(int(instance.PID), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-waited
	n.ctr(t.Context(), "tasks", "delete", "lost")
	n.ctr(t.Context(), "containers", "delete", "lost")
	if len(n.leases()) != 1 {
		t.Fatalf("got %v, want the address still held, or there is nothing to sweep", n.leases())
	}
	n.sweepUntil(t, func() bool { return len(n.leases()) == 0 && len(bridges(t)) == len(before) })
	n.wantNoNetworks(t, before)
}

// TestDriver_Links: apps that share a network reach each other there, by names that say
// whose they are, and nowhere else.
func TestDriver_Links(t *testing.T) {
	n := newNode(t)
	before := bridges(t)
	linked := func(app, name string, own []string, args ...string) edge.Workload {
		w := on(app, name, own, args...)
		w.Links = []string{"plant"}
		return w
	}
	back := []string{"back"}
	broker := n.start(t, linked("hall", "broker", back, "answer", "i am the broker"), "broker")
	n.start(t, on("hall", "db", back, "answer", "i am the hall's database"), "halldb")
	db := n.start(t, linked("line", "db", back, "answer", "i am the line's database"), "db")
	n.start(t, on("office", "files", back, "answer", "i am the office"), "files")
	calls := func(w edge.Workload) string {
		t.Helper()
		var out strings.Builder
		if _, err := n.RunOnce(t.Context(), w, "caller", &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	t.Run("ByNameAndApp", func(t *testing.T) {
		got := calls(linked("line", "caller", back, "call", "broker.hall:7000", "db:7000", "broker:7000"))
		if want := "broker.hall:7000 i am the broker\ndb:7000 i am the line's database\nbroker:7000 unreachable\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		got = calls(linked("hall", "caller", back, "call", "db.line:7000", "db:7000", "broker:7000"))
		if want := "db.line:7000 i am the line's database\ndb:7000 i am the hall's database\nbroker:7000 i am the broker\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("ToTheSharedOnly", func(t *testing.T) {
		hall := n.instance(t, "halldb").Addresses["back"] + ":7000"
		if got, want := calls(linked("line", "caller", back, "call", "db.hall:7000", hall)), "db.hall:7000 unreachable\n"+hall+" unreachable\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("NotWithoutIt", func(t *testing.T) {
		shared := n.instance(t, "broker").Addresses["link:plant"] + ":7000"
		for _, app := range []string{"line", "office"} {
			if got, want := calls(on(app, "caller", back, "call", "broker.hall:7000", shared)), "broker.hall:7000 unreachable\n"+shared+" unreachable\n"; got != want {
				t.Errorf("%s: got %q, want %q", app, got, want)
			}
		}
	})
	t.Run("NameComesAndGoes", func(t *testing.T) {
		if got := addressOf(t, broker.PID, "db.line"); got == "" || got != n.instance(t, "db").Addresses["link:plant"] {
			t.Errorf("got %q", got)
		}
		if err := n.Remove(t.Context(), "db"); err != nil {
			t.Fatal(err)
		}
		if got := addressOf(t, broker.PID, "db.line"); got != "" {
			t.Errorf("got %q for who has gone", got)
		}
	})
	if db.Addresses["back"] == "" || db.Addresses["link:plant"] == "" {
		t.Errorf("got addresses %v, want one on each network", db.Addresses)
	}
	for _, id := range []string{"broker", "halldb", "files"} {
		if err := n.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	n.wantNoNetworks(t, before)
}

// TestDriver_NetworksCutOff: whoever dies while an instance is put on its networks leaves
// nothing that the next one does not find.
func TestDriver_NetworksCutOff(t *testing.T) {
	n := newNode(t)
	s := newSite(t)
	w := outward("out", "sleep")
	w.Networks, w.Links, w.Ports = append(w.Networks, "back"), []string{"plant"}, []edge.Port{{Port: freePort(t), Target: 7000}}
	e := errand{Node: n.place(), Host: s.host, Workload: w, ID: "out", More: []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE}}
	seen := map[int]bool{}
	for round := range 14 {
		cmd := e.command(t)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Some way into what it does: until so many traces of it are there.
		err := await(t.Context(), func() bool { return s.traces(t, n) >= round%7 || cmd.Process.Signal(unix.Signal(0)) != nil })
		if err != nil {
			t.Fatal(err)
		}
		seen[s.traces(t, n)] = true
		cmd.Process.Kill() // it may have ended
		cmd.Wait()
		s.mend(t, n, func() bool { return s.books(t, n) == 0 || n.runs(t, "out") })
		if n.runs(t, "out") { // it had come to its end
			if complaint := s.do(t, n, errand{ID: "out", Remove: true}); complaint != "" {
				t.Fatal(complaint)
			}
		}
		s.wantNothing(t, n)
		n.wantNoRelay(t)
	}
	if len(seen) < 4 {
		t.Errorf("it was cut off at %v alone, want different steps", seen)
	}
}

func (n *node) runs(t *testing.T, id string) bool {
	t.Helper()
	list, err := n.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(list, func(i edge.Instance) bool { return i.ID == id && i.Running })
}
