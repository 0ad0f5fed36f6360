//go:build chroot

package chroot_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/build/await"
)

// environment is that of a program that runs in the root.
var environment = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}

// alpine is a folder that apk packages are installed in. Once it has booted, processes in it
// are alone: busybox is their first, they have their own loopback, and they end with it.
type alpine struct {
	t          testing.TB
	check      string // the program that installs
	repository string
	root       string
	init       *exec.Cmd // nil until it has booted
}

func newAlpine(t *testing.T) *alpine {
	t.Helper()
	dir := t.TempDir()
	a := &alpine{t: t, check: filepath.Join(dir, "apkcheck"), repository: filepath.Join(dir, "repository"), root: filepath.Join(dir, "root")}
	// A module of its own, with nothing of the agent's in it.
	sh(t, "../apkcheck", nil, "go", "build", "-buildvcs=false", "-o", a.check, ".")
	for _, folder := range []string{a.root, filepath.Join(a.repository, "x86_64")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// of is the same for a part of a test.
func (a *alpine) of(t testing.TB) *alpine {
	other := *a
	other.t = t
	return &other
}

// offer puts a package in the repository, in place of what was there, and the index anew.
func (a *alpine) offer(file string) string {
	a.t.Helper()
	name := strings.TrimSuffix(strings.Replace(filepath.Base(file), "_", "-", 1), "_x86_64.apk") + ".apk"
	folder := filepath.Join(a.repository, "x86_64")
	before, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		a.t.Fatal(err)
	}
	for _, path := range before {
		if err := os.Remove(path); err != nil {
			a.t.Fatal(err)
		}
	}
	sh(a.t, ".", nil, "cp", file, filepath.Join(folder, name))
	return sh(a.t, ".", nil, a.check, "index", folder)
}

// words are those of a program, which runs where the root's processes are once it has booted.
func (a *alpine) words(words ...string) []string {
	if a.init == nil {
		return words
	}
	return append([]string{"nsenter", "--target", strconv.Itoa(a.init.Process.Pid), "--mount", "--pid", "--net"}, words...)
}

// apk has the package manager do something.
func (a *alpine) apk(verb string) (said string, err error) {
	a.t.Helper()
	words := a.words(a.check, "-root", a.root, "-repository", a.repository, verb, "holdfast")
	out, err := exec.CommandContext(a.t.Context(), words[0], words[1:]...).CombinedOutput()
	return string(out), err
}

// mustApk is apk where it has to end well.
func (a *alpine) mustApk(verb string) string {
	a.t.Helper()
	said, err := a.apk(verb)
	if err != nil {
		a.t.Fatalf("%s: %v\n%s", verb, err, said)
	}
	return said
}

// run runs a program in the root. What it leaves running holds no pipe of this test's.
func (a *alpine) run(ctx context.Context, words ...string) (said string, err error) {
	a.t.Helper()
	out, err := os.CreateTemp(a.t.TempDir(), "said")
	if err != nil {
		a.t.Fatal(err)
	}
	defer out.Close()
	all := a.words(append([]string{"chroot", a.root}, words...)...)
	cmd := exec.CommandContext(ctx, all[0], all[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Env = out, out, environment
	err = cmd.Run()
	text, readErr := os.ReadFile(out.Name())
	if readErr != nil {
		a.t.Fatal(readErr)
	}
	return string(text), err
}

// must is run where it has to end well.
func (a *alpine) must(words ...string) string {
	a.t.Helper()
	said, err := a.run(a.t.Context(), words...)
	if err != nil {
		a.t.Fatalf("%q: %v\n%s", words, err, said)
	}
	return said
}

// furnish puts what Alpine has beside the package: busybox as every tool, and OpenRC, both
// out of Debian's packages, with the libraries that Debian's OpenRC wants.
func (a *alpine) furnish() {
	a.t.Helper()
	debs := a.t.TempDir()
	sh(a.t, debs, nil, "apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "busybox-static", "openrc", "librc1", "libeinfo1")
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil || len(files) != 4 {
		a.t.Fatalf("got %q, %v, want four packages", files, err)
	}
	unpacked := filepath.Join(debs, "unpacked")
	for _, file := range files {
		sh(a.t, ".", nil, "dpkg-deb", "-x", file, unpacked)
	}
	for _, name := range []string{"bin", "sbin", "lib/rc", "etc/rc.conf", "etc/runlevels"} {
		sh(a.t, unpacked, nil, "cp", "-a", "--parents", name, a.root)
	}
	a.libraries(unpacked)
	for _, name := range []string{"bin", "sbin", "usr/bin", "usr/sbin", "var/log", "var/lib"} {
		if err := os.MkdirAll(filepath.Join(a.root, name), 0o755); err != nil {
			a.t.Fatal(err)
		}
	}
	a.must("/bin/busybox", "--install", "-s")
	if err := os.Symlink("/run", filepath.Join(a.root, "var/run")); err != nil {
		a.t.Fatal(err)
	}
	// A machine that has come up, as far as OpenRC is told: where it keeps what state a
	// service is in, and the runlevel.
	for _, state := range []string{"starting", "started", "stopping", "inactive", "wasinactive", "failed", "hotplugged", "daemons", "options", "exclusive", "scheduled", "tmp"} {
		if err := os.MkdirAll(filepath.Join(a.root, "run/openrc", state), 0o755); err != nil {
			a.t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"run/openrc/softlevel": "default", "etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/group": "root:x:0:\n",
		"etc/inittab": "::respawn:/bin/sleep 86400\n", "etc/insserv.conf": "", // Debian's OpenRC asks for the last
	} {
		if err := os.WriteFile(filepath.Join(a.root, name), []byte(text), 0o644); err != nil {
			a.t.Fatal(err)
		}
	}
}

// libraries copies what OpenRC's programs are linked with.
func (a *alpine) libraries(unpacked string) {
	a.t.Helper()
	own := filepath.Join(unpacked, "lib/x86_64-linux-gnu")
	said := sh(a.t, unpacked, []string{"LD_LIBRARY_PATH=" + own}, "ldd", "sbin/openrc-run", "sbin/supervise-daemon", "sbin/rc-update", "lib/rc/bin/checkpath")
	for word := range strings.FieldsSeq(said) {
		if !strings.HasPrefix(word, "/") || strings.HasSuffix(word, ":") {
			continue
		}
		to := filepath.Join(a.root, strings.TrimPrefix(word, unpacked))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			a.t.Fatal(err)
		}
		sh(a.t, ".", nil, "cp", "-L", word, to)
	}
}

// boot starts the first process.
func (a *alpine) boot() {
	a.t.Helper()
	a.init = exec.Command("/sbin/init") // the root's
	a.init.Dir, a.init.Env = "/", append(slices.Clone(environment), "CONSOLE=/dev/null")
	a.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID,
		Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		Chroot:       a.root, Pdeathsig: syscall.SIGKILL,
	}
	if err := a.init.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		if err := a.init.Process.Kill(); err != nil {
			a.t.Error(err)
		}
		_ = a.init.Wait() // killed, as it should be
	})
	for _, words := range [][]string{
		{"mount", "-t", "proc", "proc", filepath.Join(a.root, "proc")},
		{"ip", "link", "set", "lo", "up"},
	} {
		words = a.words(words...)
		sh(a.t, ".", nil, words...)
	}
}

// tree lists every file there is with its rights; of folders that others change it lists
// nothing within.
func (a *alpine) tree() (paths []string) {
	a.t.Helper()
	skip := []string{"/dev", "/proc", "/run", "/tmp", "/var/log", "/usr/lib/apk", "/lib/rc/cache"}
	err := filepath.WalkDir(a.root, func(path string, e fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, a.root)
		if slices.Contains(skip, name) {
			return fs.SkipDir
		}
		if err != nil || name == "" {
			return err
		}
		info, err := e.Info()
		if err == nil {
			paths = append(paths, info.Mode().String()+" "+name)
		}
		return err
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return sorted(paths)
}

// agent is the number of the agent's process in the root, when it answers.
func (a *alpine) agent() (pid string) {
	a.t.Helper()
	await.Until(a.t, 20*time.Second, 50*time.Millisecond, "the agent answers", func(ctx context.Context) error {
		if said, err := a.run(ctx, "/usr/bin/holdfast", "status"); err != nil {
			return fmt.Errorf("%w: %s", err, said)
		}
		said, err := a.run(ctx, "/bin/pidof", "holdfast")
		pid = strings.TrimSpace(said)
		if err != nil || strings.Contains(pid, " ") {
			return fmt.Errorf("got processes %q, want one: %w", pid, err)
		}
		return nil
	})
	return pid
}
