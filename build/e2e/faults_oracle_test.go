package e2e_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"holdfast/edge"
)

// wantServed wants the service to have what it keeps and what it was told.
func (w *ward) wantServed(instances []edge.InstanceView) {
	w.t.Helper()
	store := instances[len(instances)-1]
	for path, want := range map[string]string{"/var/lib/store/kept": "kept", "/run/secrets/db": wardSecret} {
		if got, err := inside(store, path); err != nil || got != want {
			w.t.Errorf("got %q, %v at %s, want %q", got, err, path, want)
		}
	}
}

// wantUnhurt wants the very processes of before, but for those that were hit.
func (w *ward) wantUnhurt(before, after []edge.InstanceView, hit map[string]bool) {
	w.t.Helper()
	unhurt := func(all []edge.InstanceView) []edge.InstanceView {
		return slices.DeleteFunc(slices.Clone(all), func(i edge.InstanceView) bool {
			return hit[i.ID] || !slices.ContainsFunc(before, func(b edge.InstanceView) bool { return b.ID == i.ID })
		})
	}
	want := unhurt(before)
	for i := range want {
		want[i].Restarts = 0
	}
	got := unhurt(after)
	for i := range got {
		got[i].Restarts = 0 // of the seat, which an instance may have taken over
	}
	if err := sameInstances(want, got); err != nil {
		w.t.Error(err)
	}
}

// holdings are what a node holds, by what it is for and how often: instances are called by
// their workloads, so that those of before and after can be compared.
type holdings map[string]int

// inventory lists everything the node holds for its instances.
func (w *ward) inventory(instances []edge.InstanceView) holdings {
	w.t.Helper()
	all := w.footprint()
	all = slices.DeleteFunc(all, func(thing string) bool { return strings.HasPrefix(thing, "shim ") })
	all.add("shim", w.shimIDs()...)
	names := map[string]string{}
	for _, i := range instances {
		names[i.ID] = "{" + i.Workload + "}"
		names["process "+strconv.Itoa(int(i.PID))] = "process of {" + i.Workload + "}"
	}
	all.add("process", w.members()...)
	h := holdings{}
	for _, thing := range all {
		if name, ours := names[thing]; ours {
			thing = name
		}
		for id, name := range names {
			if !strings.HasPrefix(id, "process ") {
				thing = strings.ReplaceAll(thing, id, name)
			}
		}
		h[thing]++
	}
	return h
}

// shimIDs names the instances whose shims run.
func (w *ward) shimIDs() (ids []string) {
	processes(func(words []string) bool {
		if id := w.shimFor(words); id != "" {
			ids = append(ids, id)
		}
		return false
	})
	return ids
}

// members are the processes in the node's cgroups.
func (w *ward) members() []string {
	found := map[string]bool{}
	for _, cgroup := range cgroupsAt(w.Cgroup()) {
		text, _ := os.ReadFile(filepath.Join(cgroup, "cgroup.procs")) // gone: nobody is in it
		for _, pid := range strings.Fields(string(text)) {
			found[pid] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// differs is nil if the node holds the same again. An instance that has ended is kept for
// its log until another has been well in its place for ten seconds: all of it but processes.
func (h holdings) differs(now holdings, ended []string) error {
	var all []error
	for _, thing := range slices.Sorted(maps.Keys(now)) {
		kept := slices.ContainsFunc(ended, func(id string) bool { return strings.Contains(thing, id) })
		if now[thing] > h[thing] && !kept {
			all = append(all, fmt.Errorf("there are %d of %q, want %d", now[thing], thing, h[thing]))
		}
	}
	for _, thing := range slices.Sorted(maps.Keys(h)) {
		if now[thing] < h[thing] {
			all = append(all, fmt.Errorf("there are %d of %q, want %d", now[thing], thing, h[thing]))
		}
	}
	return errors.Join(all...)
}

// untold lists what befell the node and nobody was told of, or that was told and is not so.
func (b *blow) untold(before, after []edge.InstanceView, told []edge.Event) (complaints []string) {
	complain := func(ok bool, format string, values ...any) {
		if !ok {
			complaints = append(complaints, fmt.Sprintf(format, values...))
		}
	}
	agent, host := slices.Contains(b.struck, theAgent), slices.Contains(b.struck, theHost)
	for _, i := range before {
		ends := count(told, edge.EventInstanceExited, i.ID)
		complain(b.hit[i.ID] == (ends == 1) && ends < 2, "%s was killed: %v, and %d ends are told", i.ID, b.hit[i.ID], ends)
		taken := count(told, edge.EventInstanceAdopted, i.ID)
		complain(b.hit[i.ID] || agent == (taken == 1) && taken < 2, "%s is to be taken over: %v, and was so %d times", i.ID, agent, taken)
	}
	for _, i := range after {
		known := slices.ContainsFunc(before, func(b edge.InstanceView) bool { return b.ID == i.ID })
		starts := count(told, edge.EventInstanceStarted, i.ID)
		complain(known || starts == 1, "%s is new, and %d starts are told", i.ID, starts)
	}
	for _, e := range told {
		complain(e.Kind != edge.EventInstanceStarted || e.Cause != "", "%s was started, and nobody says why", e.Subject)
		complain(e.Kind != edge.EventAgentStarted || strings.Contains(e.Cause, "without being asked to"), "the agent was killed, and the next one says %q", e.Cause)
	}
	complain(agent == (count(told, edge.EventAgentStarted, "") == 1), "the agent was killed: %v, and nothing else is told", agent)
	if host && !agent {
		lost, back := count(told, edge.EventDaemonLost, ""), count(told, edge.EventDaemonBack, "")
		complain(lost == 1 && back == 1, "containerd was killed, and %d losses and %d returns are told", lost, back)
	}
	return complaints
}

// count is how often something was told; of anything for no subject.
func count(told []edge.Event, kind edge.EventKind, subject string) (times int) {
	for _, e := range told {
		if e.Kind == kind && (subject == "" || e.Subject == subject) {
			times++
		}
	}
	return times
}
