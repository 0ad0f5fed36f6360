package containerd_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// get asks a server on a unix socket.
func get(ctx context.Context, socket string) (string, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://model/", nil)
	if err != nil {
		return "", err
	}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

// outcome is what a Wait in the background came to.
type outcome struct {
	exit edge.Exit
	err  error
}

func (n *node) waitInBackground(t *testing.T, id string) <-chan outcome {
	t.Helper()
	done := make(chan outcome, 1)
	ctx := t.Context()
	go func() {
		exit, err := n.Wait(ctx, id)
		done <- outcome{exit, err}
	}()
	return done
}

// These tests take the shared daemon down, so none of them may run beside others.

func TestDriver_DaemonRestarts(t *testing.T) {
	n := newNode(t)
	running := n.start(t, behave("sleep"), "survivor")
	doomed := n.start(t, behave("sleep"), "doomed")
	survivor, victim := n.waitInBackground(t, "survivor"), n.waitInBackground(t, "doomed")
	if err := shared.daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Instances(t.Context()); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("got %v while the daemon is down, want %v", err, edge.ErrUnavailable)
	}
	if err := unix.Kill(int(doomed.PID), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-survivor:
		t.Errorf("wait reported %+v, %v while only the daemon was down", got.exit, got.err)
	default:
	}
	if err := shared.daemon.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := <-victim
	t.Logf("what died meanwhile was told as %+v", got.exit)
	if got.err != nil || got.exit.Code == 0 {
		t.Errorf("got %+v, %v of what died meanwhile, want an exit", got.exit, got.err)
	}
	// The daemon heard of the kill from the shim, or dropped the task unseen.
	if listed := n.instance(t, "doomed"); listed.Running || listed.Exit != nil && listed.Exit.Signal != "SIGKILL" {
		t.Errorf("got running %v, exit %v of what died meanwhile, want its kill or an end that nobody saw", listed.Running, listed.Exit)
	}
	if listed := n.instance(t, "survivor"); !listed.Running || listed.PID != running.PID {
		t.Errorf("got %+v, want the survivor running as pid %d", listed, running.PID)
	}
	if err := n.Stop(t.Context(), "survivor", 30e9); err != nil {
		t.Fatal(err)
	}
	if got := <-survivor; got.err != nil || got.exit.Code != 0 {
		t.Errorf("got %+v, %v, want the code 0 of the survivor in the end", got.exit, got.err)
	}
}

func TestDriver_ShimDies(t *testing.T) {
	n := newNode(t)
	instance := n.start(t, behave("sleep"), "orphan")
	done := n.waitInBackground(t, "orphan")
	// The daemon forgets the socket of a shim that was killed, in a folder that all
	// daemons share.
	socket := n.shimSocket(t, "orphan")
	if err := unix.Kill(parentOf(t, instance.PID), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got.err != nil || got.exit.Code == 0 {
		t.Errorf("got %+v, %v of an instance whose shim died, want an exit", got.exit, got.err)
	}
	if listed := n.instance(t, "orphan"); listed.Running || listed.Exit != nil {
		t.Errorf("got running %v, exit %v, want an end that nobody saw", listed.Running, listed.Exit)
	}
	if err := n.Remove(t.Context(), "orphan"); err != nil {
		t.Error(err)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	n.start(t, behave("sleep"), "orphan")
}

// TestDriver_ShimHangs: the daemon's listing leaves out what does not answer it in
// time, which is no end.
func TestDriver_ShimHangs(t *testing.T) {
	n := newNode(t)
	before := n.start(t, behave("sleep"), "hung")
	n.start(t, behave("sleep"), "healthy")
	shim := parentOf(t, before.PID)
	if err := unix.Kill(shim, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer unix.Kill(shim, unix.SIGCONT)
	for _, id := range []string{"hung", "healthy"} {
		if listed := n.instance(t, id); !listed.Running || listed.Exit != nil {
			t.Errorf("got running %v, exit %v of %s while a shim hangs, want it running", listed.Running, listed.Exit, id)
		}
	}
	if err := unix.Kill(shim, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if listed := n.instance(t, "hung"); !listed.Running || listed.PID != before.PID {
		t.Errorf("got %+v, want it running as pid %d", listed, before.PID)
	}
}

// shimSocket reads where an instance's shim listens: an older daemon keeps the
// address alone.
func (n *node) shimSocket(t *testing.T, id string) string {
	t.Helper()
	bundle := filepath.Join(filepath.Dir(n.opts.Address), "io.containerd.runtime.v2.task", n.opts.Namespace, id)
	text, err := os.ReadFile(filepath.Join(bundle, "bootstrap.json"))
	if errors.Is(err, os.ErrNotExist) {
		text, err = os.ReadFile(filepath.Join(bundle, "address"))
		text = []byte(`{"Address":` + strconv.Quote(string(text)) + `}`)
	}
	if err != nil {
		t.Fatal(err)
	}
	var boot struct{ Address string }
	if err := json.Unmarshal(text, &boot); err != nil || boot.Address == "" {
		t.Fatalf("cannot tell the shim's socket from %s: %v", text, err)
	}
	return strings.TrimPrefix(boot.Address, "unix://")
}

func parentOf(t *testing.T, pid uint32) int {
	t.Helper()
	parent, err := strconv.Atoi(status(t, pid)["PPid"])
	if err != nil || parent <= 1 {
		t.Fatalf("process %d has no parent of its own: %v", pid, err)
	}
	return parent
}

func TestDriver_AgentKilled(t *testing.T) {
	n := newNode(t)
	w := behave("serve", "/run/model/model.sock")
	w.Serve = &edge.Serve{Model: "m", Endpoint: "unix:///run/model/model.sock"}
	before := n.start(t, w, "server")
	// A killed agent closes nothing; its connection breaks with it.
	if err := n.Driver.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t.Context(), before.Socket); err != nil {
		t.Errorf("the model stopped serving with its agent: %v", err)
	}
	n.Driver = n.again(t)
	after := n.instance(t, "server")
	if after.PID != before.PID || after.SpecHash != w.SpecHash() || after.Socket != before.Socket {
		t.Errorf("got %+v, want the instance as it was: %+v", after, before)
	}
}

func TestDriver_Watch(t *testing.T) {
	n := newNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	reports := make(chan edge.DaemonReport)
	ended := make(chan error, 1)
	go func() { ended <- n.Watch(ctx, func(r edge.DaemonReport) { reports <- r }) }()
	up := <-reports
	if !up.Connected || up.Version == "" || up.Address != n.opts.Address || up.Namespace != n.opts.Namespace {
		t.Errorf("got %+v, want to hear of the daemon and its version", up)
	}
	if err := shared.daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	if down := <-reports; down.Connected || down.Error == "" {
		t.Errorf("got %+v, want to hear that the daemon went away", down)
	}
	if err := shared.daemon.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := <-reports; !again.Connected || again.Version != up.Version {
		t.Errorf("got %+v, want to hear that the daemon came back", again)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("got %v from a watch whose context ended", err)
	}
}

// TestDriver_WatchHang: a daemon that is connected and does not answer is away.
func TestDriver_WatchHang(t *testing.T) {
	n := newNode(t)
	n.opts.AskEvery, n.opts.AnswerWithin = 20*time.Millisecond, 500*time.Millisecond
	driver := n.again(t)
	ctx, cancel := context.WithCancel(t.Context())
	reports := make(chan edge.DaemonReport)
	ended := make(chan error, 1)
	go func() {
		ended <- driver.Watch(ctx, func(r edge.DaemonReport) {
			select {
			case reports <- r:
			case <-ctx.Done():
			}
		})
	}()
	next := func() edge.DaemonReport {
		t.Helper()
		select {
		case report := <-reports:
			return report
		case <-time.After(30 * time.Second):
			t.Error("no report comes")
			return edge.DaemonReport{}
		}
	}
	if up := next(); !up.Connected {
		t.Errorf("got %+v, want it connected", up)
	}
	hung := shared.daemon.PID()
	if err := unix.Kill(hung, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if down := next(); down.Connected || !strings.Contains(down.Error, "no answer within 500ms") {
		t.Errorf("got %+v, want to hear that it does not answer", down)
	}
	if err := unix.Kill(hung, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if again := next(); !again.Connected {
		t.Errorf("got %+v, want to hear that it answers again", again)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("got %v from a watch whose context ended", err)
	}
}

func TestDriver_DaemonTerminates(t *testing.T) {
	n := newNode(t)
	n.start(t, behave("sleep"), "steady")
	done := n.waitInBackground(t, "steady")
	// In order, as a package upgrade does it: its calls end differently from a crash.
	if err := shared.daemon.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if listed := n.instance(t, "steady"); !listed.Running {
		t.Errorf("got %+v, want it running", listed)
	}
	if err := n.Remove(t.Context(), "steady"); err != nil {
		t.Fatal(err)
	}
	if got := <-done; errors.Is(got.err, os.ErrDeadlineExceeded) || got.exit.Code == 0 && got.err == nil {
		t.Errorf("got %+v, %v, want to hear of the kill, or that it was removed", got.exit, got.err)
	}
}

// TestDriver_HalfStarted: what an agent leaves that dies between two steps of a
// start is listed as ended, and goes with Remove.
func TestDriver_HalfStarted(t *testing.T) {
	n := newNode(t)
	n.ctr(t.Context(), "containers", "create", "--label", "holdfast.workload=test/prog", imageName, "record")
	for _, dir := range []string{"record", "other"} {
		if err := os.Mkdir(filepath.Join(n.opts.RunDir, "instances", dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	got := n.instance(t, "record")
	if got.Running || got.Exit != nil || got.Workload != "test/prog" {
		t.Errorf("got %+v, want it listed as ended and no exit that nobody saw", got)
	}
	if exit, err := n.Wait(t.Context(), "record"); err != nil || exit.Code == 0 {
		t.Errorf("got %+v, %v from waiting for it, want an unknown end", exit, err)
	}
	for _, id := range []string{"record", "other"} {
		if err := n.Remove(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if left := n.leavings(t.Context()); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestDriver_Unvouched: what an agent leaves that dies before it could look at what
// it started, or that could not undo it, is listed as ended although it runs.
func TestDriver_Unvouched(t *testing.T) {
	n := newNode(t)
	for _, run := range []struct{ id, label string }{{"sound", "holdfast.other=true"}, {"unsound", "holdfast.starting=true"}} {
		n.ctr(t.Context(), "run", "--detach", "--null-io", "--cgroup", n.opts.CgroupParent+"/"+run.id,
			"--label", "holdfast.workload=test/prog", "--label", run.label, imageName, run.id, "/testprog", "sleep")
	}
	if listed := n.instance(t, "sound"); !listed.Running {
		t.Errorf("got %+v, want it running", listed)
	}
	if listed := n.instance(t, "unsound"); listed.Running || listed.Exit != nil {
		t.Errorf("got %+v, want it listed as to be removed", listed)
	}
	if err := n.Remove(t.Context(), "unsound"); err != nil {
		t.Error(err)
	}
	if n.start(t, behave("sleep"), "vouched"); !n.instance(t, "vouched").Running {
		t.Error("want what was started well running")
	}
}

// TestDriver_OtherRunDir: an instance's socket stays where it was mounted, whatever
// the configuration says since.
func TestDriver_OtherRunDir(t *testing.T) {
	n := newNode(t)
	w := behave("serve", "/run/model/model.sock")
	w.Serve = &edge.Serve{Model: "m", Endpoint: "unix:///run/model/model.sock"}
	before := n.start(t, w, "server")
	moved := *n
	moved.opts.RunDir = t.TempDir()
	moved.Driver = moved.again(t)
	after := moved.instance(t, "server")
	if after.Socket != before.Socket {
		t.Errorf("got socket %q, want %q", after.Socket, before.Socket)
	}
	if _, err := get(t.Context(), after.Socket); err != nil {
		t.Error(err)
	}
}

func TestOutlive(t *testing.T) {
	const within, after = time.Minute, 4 * time.Second
	for name, test := range map[string]struct{ cancelled, want time.Duration }{
		"CallerWaits":     {time.Hour, within},
		"CallerGivesUp":   {time.Second, time.Second + after},
		"GivenUpBefore":   {0, after},
		"GivesUpAtTheEnd": {within - time.Second, within},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.cancelled)
				defer cancel()
				begun := time.Now()
				longer, done := containerd.Outlive(ctx, within, after)
				defer done()
				<-longer.Done()
				if got := time.Since(begun); got != test.want {
					t.Errorf("got an end after %v, want %v", got, test.want)
				}
			})
		})
	}
}
