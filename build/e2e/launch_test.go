package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/build/await"
	"holdfast/edge/localapi"
	"holdfast/edge/slots"
)

// launchable are the programs of these tests: the real one, in as many versions as are
// asked for, and one that is broken in a way of its choice.
type launchable struct{ real, broken []byte }

// versionMark is the version that the real program is built with, and in whose place
// another of the same length is put.
const versionMark = "launched-000"

var buildLaunchable = sync.OnceValues(func() (launchable, error) {
	var l launchable
	for into, words := range map[*[]byte][]string{
		&l.real:   {"-ldflags", "-s -w -buildid= -X main.version=" + versionMark, "holdfast"},
		&l.broken: {"-ldflags", "-s -w", "./testdata/broken/main.go"},
	} {
		out := shop.path("launchable")
		build := exec.Command("go", append([]string{"build", "-trimpath", "-buildvcs=false", "-tags", tags, "-o", out}, words...)...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := build.CombinedOutput(); err != nil {
			return l, fmt.Errorf("cannot build: %w\n%s", err, said)
		}
		content, err := os.ReadFile(out)
		if err != nil {
			return l, err
		}
		*into = content
	}
	return l, os.Remove(shop.path("launchable"))
})

// version is the real program as one of another version.
func (l launchable) version(number int) (name string, content []byte) {
	name = versionName(number)
	return name, bytes.ReplaceAll(l.real, []byte(versionMark), []byte(name))
}

func versionName(number int) string { return fmt.Sprintf("launched-%03d", number) }

// launcher is a machine with slots, and its service manager.
type launcher struct {
	t        testing.TB
	dir      string
	programs launchable
	notify   *net.UnixConn
	agent    *exec.Cmd
	ended    chan struct{}
}

// newLauncher makes a machine with the version 1 as the factory's program, which runs.
func newLauncher(t testing.TB) *launcher {
	t.Helper()
	programs, err := buildLaunchable()
	if err != nil {
		t.Fatal(err)
	}
	l := &launcher{t: t, dir: shop.path(fmt.Sprintf("launch-%d", shop.nodes.Add(1))), programs: programs}
	for _, dir := range []string{l.dir, l.path("state"), l.path("run")} {
		must(t, os.Mkdir(dir, 0o755))
	}
	_, content := programs.version(1)
	must(t, os.WriteFile(l.path("factory"), content, 0o755))
	l.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: l.path("notify"), Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() {
		l.kill()
		l.notify.Close()
		if t.Failed() {
			t.Logf("the end of the log:\n%s", tail(l.path("log")))
		}
	})
	l.wantRuns(1)
	return l
}

func (l *launcher) path(name string) string { return filepath.Join(l.dir, name) }

// store is the slots as the agent that runs would open them.
func (l *launcher) store(running slots.Name) *slots.Store {
	l.t.Helper()
	store, err := slots.New(slots.Options{
		Dir: l.path("slots"), Running: running, Factory: versionName(1), Run: l.path("run"),
	})
	must(l.t, err)
	return store
}

// start has the service manager start the launcher, and returns when the agent says that
// it is ready, has ended, or hangs and is killed.
func (l *launcher) start() {
	l.t.Helper()
	log, err := os.OpenFile(l.path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	must(l.t, err)
	defer log.Close()
	cmd := exec.Command(l.path("factory"), "launch")
	for _, setting := range []string{
		"paths.state=" + l.path("state"), "paths.run=" + l.path("run"), "api.listen=", "containerd.address=" + l.path("none.sock"),
		"containerd.cgroupParent=" + shop.stand.Cgroup() + "/launch",
	} {
		cmd.Args = append(cmd.Args, "--set", setting)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+l.path("notify"), "RUNTIME_DIRECTORY="+l.path("run"), "HOLDFAST_SLOTS="+l.path("slots"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(l.t, cmd.Start())
	l.agent, l.ended = cmd, make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(l.ended)
	}()
	l.awaitNotice()
}

// awaitNotice reads what the agent says to the service manager, until that decides.
func (l *launcher) awaitNotice() {
	l.t.Helper()
	l.await("a notice, or the end", func(context.Context) error {
		if l.hasEnded() {
			return nil
		}
		notice := make([]byte, 256)
		must(l.t, l.notify.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
		n, err := l.notify.Read(notice)
		switch said := string(notice[:n]); {
		case err != nil:
			return err
		case strings.Contains(said, "hanging"):
			l.kill()
			return nil
		case strings.Contains(said, "READY=1"):
			return nil
		default:
			return fmt.Errorf("it says %q", said)
		}
	})
}

func (l *launcher) await(what string, ask func(context.Context) error) {
	l.t.Helper()
	await.Until(l.t, within, 5*time.Millisecond, what, ask)
}

func (l *launcher) hasEnded() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// kill ends what runs, if anything does.
func (l *launcher) kill() {
	if l.agent != nil {
		_ = l.agent.Process.Kill()
		<-l.ended
	}
}

// runs restarts the agent once and returns the version that answers, or "" when none does.
func (l *launcher) runs() (version string) {
	l.t.Helper()
	l.kill()
	l.start()
	client := localapi.Dial(l.path("run/holdfast.sock"))
	l.await("an answer, or the end", func(ctx context.Context) error {
		if l.hasEnded() {
			return nil
		}
		status, err := client.Status(ctx)
		version = status.Version
		return err
	})
	return version
}

// wantRuns restarts the agent as the service manager does, until one answers, three times
// at most, and wants it to be of a version.
func (l *launcher) wantRuns(number int) {
	l.t.Helper()
	for range 3 {
		switch got := l.runs(); got {
		case "":
		case versionName(number):
			return
		default:
			l.t.Fatalf("%s runs, want version %d", got, number)
		}
	}
	l.t.Fatal("after three starts no agent runs")
}

// try installs a program and switches to it.
func (l *launcher) try(version string, sequence uint64, content []byte) slots.Name {
	l.t.Helper()
	sum := sha256.Sum256(content)
	state, _ := l.store("").State() // what is lost begins anew
	store := l.store(state.Active)
	name, err := store.Install(l.t.Context(), slots.Binary{
		Version: version, Sequence: sequence, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(content)),
	}, bytes.NewReader(content))
	must(l.t, err)
	must(l.t, store.Switch(name))
	return name
}

// update installs a version that is good, and confirms it.
func (l *launcher) update(number int) slots.Name {
	l.t.Helper()
	version, content := l.programs.version(number)
	name := l.try(version, uint64(number), content)
	l.wantRuns(number)
	must(l.t, l.store(name).Confirm())
	return name
}

// wantBad wants a version to be remembered as bad for a reason.
func (l *launcher) wantBad(version, words string) {
	l.t.Helper()
	state, err := l.store("").State()
	must(l.t, err)
	for _, bad := range state.Bad {
		if bad.Version == version && strings.Contains(bad.Reason, words) {
			return
		}
	}
	l.t.Errorf("bad are %+v, want %s for %q", state.Bad, version, words)
}

// logged wants words in the log.
func (l *launcher) logged(words string) {
	l.t.Helper()
	log, err := os.ReadFile(l.path("log"))
	must(l.t, err)
	if !bytes.Contains(log, []byte(words)) {
		l.t.Errorf("the log does not say %q", words)
	}
}

// TestLaunch_GoodVersion: the new version takes the launcher's place as the same process,
// and stays.
func TestLaunch_GoodVersion(t *testing.T) {
	l := newLauncher(t)
	name := l.update(2)
	l.wantRuns(2)
	process := "/proc/" + strconv.Itoa(l.agent.Process.Pid)
	program, err := os.Readlink(process + "/exe")
	must(t, err)
	if want := l.store("").Path(name); program != want {
		t.Errorf("the process that was started is %s, want %s", program, want)
	}
	environ, err := os.ReadFile(process + "/environ")
	must(t, err)
	for _, want := range []string{"HOLDFAST_SLOT=" + string(name), "HOLDFAST_FACTORY=" + versionName(1)} {
		if !strings.Contains(string(environ)+"\x00", "\x00"+want+"\x00") {
			t.Errorf("its environment has no %s", want)
		}
	}
	if log, _ := os.ReadFile(l.path("log")); bytes.Contains(log, []byte("is not known")) {
		t.Error("the agent takes what the launcher says for configuration")
	}
	l.update(3)
	l.wantRuns(3)
}

// TestLaunch_BadVersion: whatever is wrong with it, an agent that works is there within
// three starts and says what was wrong.
func TestLaunch_BadVersion(t *testing.T) {
	l := newLauncher(t)
	l.update(2)
	for i, c := range []struct {
		name, fault string
		spoil       func(t *testing.T, path string)
		words       string
	}{
		{"CrashesAtStart", "crash", nil, "it was given 2 starts and confirmed itself in none"},
		{"Hangs", "hang", nil, "it was given 2 starts and confirmed itself in none"},
		{"CrashesWhenReady", "ready-crash", nil, "it was given 2 starts and confirmed itself in none"},
		{"Truncated", "crash", func(t *testing.T, path string) { must(t, os.Truncate(path, 1<<20)) }, "it has 1048576 bytes"},
		{"WrongDigest", "crash", func(t *testing.T, path string) { patch(t, path, 1<<19, "!") }, "its digest is sha256:"},
		{"OtherArchitecture", "crash", func(t *testing.T, path string) { patch(t, path, 18, "\x08") }, "it is for another architecture"},
		{"NotExecutable", "crash", func(t *testing.T, path string) { must(t, os.Chmod(path, 0o644)) }, "the kernel does not start it: permission denied"},
		{"NoExecutable", "", nil, "the kernel does not start it: exec format error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := *l
			m.t = t
			version, content := fmt.Sprintf("bad-%d", i), append(bytes.Clone(l.programs.broken), "\n"+version(i)+" "+c.fault...)
			if c.fault == "" {
				clear(content[20:1024]) // it begins as a program does, and then there is nothing
			}
			name := m.try(version, uint64(100+i), content)
			if c.spoil != nil {
				c.spoil(t, m.store("").Path(name))
			}
			m.wantRuns(2)
			m.wantBad(version, c.words)
			m.logged(c.words)
			*l = m
			l.t = t
		})
	}
}

func version(i int) string { return "broken " + strconv.Itoa(i) }

// patch writes over a file.
func patch(t *testing.T, path string, at int64, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = file.WriteAt([]byte(text), at)
	must(t, errors.Join(err, file.Close()))
}

// TestLaunch_ConfirmedFails: a version that has proven itself and then does not start any
// more, or crashes later.
func TestLaunch_ConfirmedFails(t *testing.T) {
	l := newLauncher(t)
	before := l.update(2)
	content := append(bytes.Clone(l.programs.broken), "\nready-crash"...)
	name := l.try("later", 3, content)
	if got := l.runs(); got != "" {
		t.Fatalf("%q runs", got)
	}
	must(t, l.store(name).Confirm()) // as one that was well for ten minutes
	starts := 0
	for l.runs() == "" {
		if starts++; starts > 20 {
			t.Fatal("it is started for ever")
		}
	}
	l.wantRuns(2)
	l.wantBad("later", "it was confirmed, and then ended early 8 times in a row")

	l.kill() // what runs cannot be written to
	must(t, os.Truncate(l.store("").Path(before), 4096))
	l.wantRuns(1)
	l.logged("factory's program in rescue")
	l.logged("it has 4096 bytes")
	l.update(4) // and out of it again
}

// TestLaunch_Disk: nothing can be written, or nothing be read.
func TestLaunch_Disk(t *testing.T) {
	l := newLauncher(t)
	l.update(2)
	version, content := l.programs.version(3)
	name := l.try(version, 3, content)

	dir := l.path("slots")
	must(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }() // when it failed in between
	must(t, unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	l.wantRuns(2)
	l.logged("version launched-003 is not tried: its tries cannot be counted")
	must(t, unix.Unmount(dir, unix.MNT_DETACH))
	l.wantRuns(3)
	must(t, l.store(name).Confirm())

	for _, record := range []string{"record.1", "record.2"} {
		must(t, os.WriteFile(filepath.Join(dir, record), []byte("holdfast"), 0o600))
	}
	l.wantRuns(1)
	l.logged("nothing is known of other versions")
	l.update(5)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
