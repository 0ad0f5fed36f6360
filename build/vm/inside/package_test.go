//go:build vm

package inside_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/build/vm/order"
	"holdfast/edge"
	"holdfast/edge/localapi"
)

// TestPackage_Journey is the life of a package on a node that has work to do: it takes over
// from an agent that was put there by hand, is replaced while tasks come, refuses to start
// what is wrong, goes, comes back, and goes for good.
func TestPackage_Journey(t *testing.T) {
	versions := order.Versions()
	n := theNode(t)
	before := n.ready()
	byHand(t)
	t.Run("Install", func(t *testing.T) {
		// The configuration is there already, and stays: it is no other package's.
		dpkg(t, "--install", "--force-confold", order.Package(versions[0]))
		n := theNode(t)
		n.wantVersion(versions[0])
		n.wantSame(before)
		wantUnit(t, "active", "enabled")
		if got := fileMode(t, "/etc/holdfast/config.yaml"); got != 0o644 {
			t.Errorf("got mode %o of the configuration", got)
		}
	})
	t.Run("UpgradeUnderLoad", func(t *testing.T) { upgradeUnderLoad(t, before, versions[1]) })
	t.Run("WrongConfiguration", func(t *testing.T) { wrongConfiguration(t, before, versions) })
	t.Run("StoppedStaysStopped", func(t *testing.T) {
		systemctl(t, "stop", "holdfast")
		dpkg(t, "--install", order.Package(versions[1]))
		wantUnit(t, "inactive", "enabled")
		systemctl(t, "start", "holdfast")
		theNode(t).wantSame(before)
	})
	t.Run("Remove", func(t *testing.T) {
		out := dpkg(t, "--remove", "holdfast")
		if !strings.Contains(out, "ended 2 instance(s)") {
			t.Errorf("dpkg says:\n%s\nwant that instances were ended", out)
		}
		wantGone(t, before)
		wantThere(t, true, "/etc/holdfast/config.yaml", "/var/lib/holdfast/images/digits.oci.tar")
		wantThere(t, false, "/usr/bin/holdfast", "/usr/lib/systemd/system/holdfast.service")
		if images := strings.Fields(ctr(t, "images", "list", "--quiet")); len(images) == 0 {
			t.Error("the images have gone with the package, want them kept")
		}
	})
	t.Run("InstallAgain", func(t *testing.T) {
		dpkg(t, "--install", order.Package(versions[1]))
		theNode(t).wantVersion(versions[1])
		wantUnit(t, "active", "enabled")
	})
	t.Run("Purge", func(t *testing.T) {
		instances := theNode(t).ready()
		dpkg(t, "--purge", "holdfast")
		wantGone(t, instances)
		wantThere(t, false, "/etc/holdfast", "/var/lib/holdfast", "/run/holdfast", "/usr/bin/holdfast",
			"/etc/systemd/system/multi-user.target.wants/holdfast.service", "/etc/systemd/system/holdfast.service")
		out, err := exec.CommandContext(t.Context(), "ctr", "namespaces", "list", "--quiet").CombinedOutput()
		if err != nil || strings.Contains(string(out), "holdfast") {
			t.Errorf("got namespaces %q, %v, want that of the agent gone", out, err)
		}
	})
}

// byHand takes away what this machine has of the agent without a package, but not what
// runs: as a person would before the first package.
func byHand(t *testing.T) {
	t.Helper()
	systemctl(t, "stop", "holdfast")
	systemctl(t, "disable", "holdfast")
	for _, name := range []string{
		"/usr/bin/holdfast", "/usr/lib/systemd/system/holdfast.service", "/etc/systemd/system/graphical.target.wants/holdfast.service",
	} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	systemctl(t, "daemon-reload")
}

// stream asks one task after another, until it is ended.
type stream struct {
	client *localapi.Client
	input  []byte

	mu       sync.Mutex // guards what follows
	answered int
	refused  int // isTurnedAway
	failed   []error
	last     time.Time     // answer
	gap      time.Duration // the longest between two answers
}

func (s *stream) run(ctx context.Context) {
	for ctx.Err() == nil {
		_, err := s.client.Infer(ctx, "digits", edge.Payload{Body: s.input}, localapi.InferOptions{Deadline: 10 * time.Second})
		if ctx.Err() != nil {
			return
		}
		s.note(err, time.Now())
	}
}

func (s *stream) note(err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case isTurnedAway(err):
		s.refused++
	case err != nil:
		s.failed = append(s.failed, err)
	default:
		if s.answered > 0 {
			s.gap = max(s.gap, now.Sub(s.last))
		}
		s.answered++
		s.last = now
	}
}

// isTurnedAway tells whether nobody has taken a task in: the older agent takes none any
// more, there is none, or the newer one has not found its instances yet. Whoever asks hears
// that at once, and may ask again.
func isTurnedAway(err error) bool {
	if refusal, refused := edge.AsRefusal(err); refused {
		return refusal.Reason == edge.ReasonDraining || refusal.Reason == edge.ReasonModelNotReady
	}
	return errors.Is(err, edge.ErrUnavailable)
}

func (s *stream) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered
}

// awaitMore waits until so many more tasks were answered.
func (s *stream) awaitMore(t *testing.T, more int) {
	t.Helper()
	want := s.count() + more
	look(t, "answers", func(context.Context) error {
		if s.count() < want {
			return errors.New("there are too few")
		}
		return nil
	})
}

// upgradeUnderLoad: nothing that works is touched, and the tasks go on but for the agent's
// own restart.
func upgradeUnderLoad(t *testing.T, before []edge.Instance, version string) {
	t.Helper()
	n := theNode(t)
	input, err := os.ReadFile(filepath.Join(order.Tree, "testdata/digits/3.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{client: n.client, input: input}
	ctx, end := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	asking.Go(func() { s.run(ctx) })
	s.awaitMore(t, 50)
	started := time.Now()
	dpkg(t, "--install", order.Package(version))
	took := time.Since(started)
	s.awaitMore(t, 50)
	end()
	asking.Wait()
	n.wantVersion(version)
	n.wantSame(before)
	t.Logf("figure: dpkg took %v; %d tasks answered, %d were turned away at once, longest between two answers %v",
		took.Round(time.Millisecond), s.answered, s.refused, s.gap.Round(time.Millisecond))
	if len(s.failed) > 0 {
		t.Errorf("%d tasks failed: %v", len(s.failed), s.failed[0])
	}
	// The agent before ends what it has taken in, within TimeoutStopSec; the next one is
	// there after RestartSec at most, and its start.
	if s.gap > 20*time.Second {
		t.Errorf("no task was answered for %v", s.gap)
	}
}

// wrongConfiguration: the agent that runs is better than one that would not start.
func wrongConfiguration(t *testing.T, before []edge.Instance, versions [2]string) {
	t.Helper()
	const wrong = "/etc/holdfast/conf.d/wrong.yaml"
	if err := os.WriteFile(wrong, []byte("scheduler: {slots: many}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	pid := mainPID(t)
	out := dpkg(t, "--install", "--force-downgrade", order.Package(versions[0]))
	if !strings.Contains(out, "wrong.yaml:1") || !strings.Contains(out, "the agent is not started with this configuration") {
		t.Errorf("dpkg says:\n%s\nwant what is wrong, and what to do", out)
	}
	n := theNode(t)
	if now := mainPID(t); now != pid {
		t.Errorf("the agent is process %d, want %d, which ran before", now, pid)
	}
	if err := os.Remove(wrong); err != nil {
		t.Fatal(err)
	}
	dpkg(t, "--install", order.Package(versions[1]))
	n.wantVersion(versions[1])
	n.wantSame(before)
}

// dpkg runs it without anybody to answer its questions.
func dpkg(t *testing.T, words ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "dpkg", words...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	t.Logf("dpkg %s:\n%s", strings.Join(words, " "), out)
	if err != nil {
		t.Fatalf("dpkg: %v", err)
	}
	return string(out)
}

func ctr(t *testing.T, words ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ctr", append([]string{"--namespace", "holdfast"}, words...)...).Output()
	if err != nil {
		t.Fatalf("ctr %s: %v", strings.Join(words, " "), err)
	}
	return string(out)
}

// wantVersion waits for an agent of a version.
func (n *node) wantVersion(version string) {
	n.t.Helper()
	look(n.t, "an agent of version "+version, func(ctx context.Context) error {
		status, err := n.client.Status(ctx)
		if err == nil && status.Version != version {
			err = errors.New("it is " + status.Version)
		}
		return err
	})
}

// wantUnit wants the service to be in a state, and to start with the machine.
func wantUnit(t *testing.T, active, enabled string) {
	t.Helper()
	if got := property(t, "ActiveState", "holdfast"); got != active {
		t.Errorf("the service is %s, want %s", got, active)
	}
	if got := property(t, "UnitFileState", "holdfast"); got != enabled {
		t.Errorf("the service is %s, want %s", got, enabled)
	}
}

// wantGone wants nothing of instances to be left.
func wantGone(t *testing.T, instances []edge.Instance) {
	t.Helper()
	for _, i := range instances {
		if _, err := os.Stat(group(i)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the cgroup of %s: got %v, want it gone", i.ID, err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "pgrep", "-f", "containerd-shim-runc-v2 -namespace holdfast").CombinedOutput(); err == nil {
		t.Errorf("shims are left: %s", out)
	}
}

func wantThere(t *testing.T, there bool, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := os.Lstat(name); (err == nil) != there {
			t.Errorf("%s: got %v, want it there: %v", name, err, there)
		}
	}
}

func fileMode(t *testing.T, name string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}
