package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// blow is a fault under way.
type blow struct {
	*ward
	random *rand.Rand
	mark   map[victim]edge.InstanceView // whose shim, and whose process
	held   map[victim]int               // what holds on to the two processes: their numbers may be given again
	hit    map[string]bool              // the instances that were killed, or lost their shim
	struck []victim
	fallen []victim // whom a service manager starts again
	since  uint64   // the last event before
}

// choose marks two instances, by chance the same one.
func (w *ward) choose(instances []edge.InstanceView, r *rand.Rand) *blow {
	w.t.Helper()
	b := &blow{ward: w, random: r, since: w.latest(), held: map[victim]int{}, hit: map[string]bool{}, mark: map[victim]edge.InstanceView{
		aShim: instances[r.IntN(len(instances))], aProcess: instances[r.IntN(len(instances))],
	}}
	for v, pid := range map[victim]int{aShim: w.shimOf(b.mark[aShim].PID), aProcess: int(b.mark[aProcess].PID)} {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { unix.Close(fd) })
		b.held[v] = fd
	}
	return b
}

// shimOf is the process that holds an instance's: its parent.
func (w *ward) shimOf(pid uint32) (shim int) {
	w.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		w.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "PPid:")
	if _, err := fmt.Sscan(rest, &shim); err != nil {
		w.t.Fatal(err)
	}
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", shim))
	if err != nil || !strings.Contains(string(command), "containerd-shim") {
		w.t.Fatalf("the parent of process %d is %q, %v, want a shim", pid, command, err)
	}
	return shim
}

// strike kills one. Where the blows fall apart, whom a service manager starts again comes
// back, and what the agent minds is noticed and by chance mended, before the next.
func (b *blow) strike(v victim, apart bool) {
	b.t.Helper()
	again := v == aShim || v == aProcess
	again = again && b.hit[b.mark[v].ID]
	b.struck = append(b.struck, v)
	switch v {
	case aShim, aProcess:
		// What goes with its shim may have gone already.
		if err := unix.PidfdSendSignal(b.held[v], unix.SIGKILL, nil, 0); err != nil && (!again || !errors.Is(err, unix.ESRCH)) {
			b.t.Fatal(err)
		}
		b.hit[b.mark[v].ID] = true
	case theHost:
		b.killDaemon()
		b.fallen = append(b.fallen, v)
	case theAgent:
		if err := b.KillAgent(); err != nil {
			b.t.Fatal(err)
		}
		b.fallen = append(b.fallen, v)
	}
	if !apart {
		return
	}
	b.comeBack()
	if (v == aShim || v == aProcess) && !again {
		b.awaitEvent(b.since, edge.EventInstanceExited, b.mark[v].ID)
	}
	if b.random.IntN(2) == 0 {
		b.recovered()
	}
}

// recovered are the instances once all are ready, and none of them is one that was hit.
func (b *blow) recovered() []edge.InstanceView {
	b.t.Helper()
	b.await("other instances in the place of those that were hit", func(ctx context.Context) error {
		for _, name := range []string{"digits", "store"} {
			view, err := b.workload(ctx, name)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(view.Instances, func(i edge.InstanceView) bool { return b.hit[i.ID] }) {
				return fmt.Errorf("it has %+v", view.Instances)
			}
		}
		return nil
	})
	return b.patients()
}

// comeBack starts again what a service manager would, in an order that chance gives.
func (b *blow) comeBack() {
	b.t.Helper()
	b.random.Shuffle(len(b.fallen), func(i, j int) { b.fallen[i], b.fallen[j] = b.fallen[j], b.fallen[i] })
	for _, v := range b.fallen {
		if v == theHost {
			b.restartDaemon()
		} else {
			b.startAgent()
		}
	}
	b.fallen = nil
}
