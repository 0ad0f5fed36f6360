//go:build chroot

package chroot_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/build/await"
)

func (w workshop) apk(version string) string {
	return filepath.Join(w.dir, version, "holdfast_"+version+"-r0_x86_64.apk")
}

// tryApk installs in an empty folder, as an image of Alpine is made, then furnishes it, has
// OpenRC run the agent, upgrades below it and removes it.
func tryApk(t *testing.T, w workshop) {
	a := newAlpine(t)
	t.Run("Index", func(t *testing.T) {
		if said := a.of(t).offer(w.apk("1.0.0")); !strings.HasPrefix(said, "holdfast 1.0.0-r0 x86_64 Q1") {
			t.Errorf("got %q in the index", said)
		}
	})
	t.Run("Spoilt", func(t *testing.T) { a.of(t).wantNoticed(w) })
	a.of(t).offer(w.apk("1.0.0"))
	t.Run("Install", func(t *testing.T) { a.of(t).wantInstalled() })
	a.furnish()
	bare := a.bare()
	a.boot()
	t.Run("Scripts", func(t *testing.T) { a.of(t).wantUnderstood() })
	t.Run("Service", func(t *testing.T) { a.of(t).wantService() })
	t.Run("Upgrade", func(t *testing.T) { a.of(t).wantUpgraded(w) })
	t.Run("UpgradeToWhatRefuses", func(t *testing.T) { a.of(t).wantKeptRunning(w) })
	t.Run("Remove", func(t *testing.T) { a.of(t).wantRemoved(bare) })
}

// spoil changes a byte of a file.
func spoil(t testing.TB, file string, at int) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if at < 0 {
		at += len(content)
	}
	content[at] ^= 1
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// wantNoticed spoils a package in its repository, each time in another place, and wants it
// refused: what is installed otherwise was checked.
func (a *alpine) wantNoticed(w workshop) {
	a.t.Helper()
	file := filepath.Join(a.repository, "x86_64", "holdfast-1.0.0-r0.apk")
	scratch := *a
	for what, where := range map[string]int{"what it says of itself": 100, "its files": 5000, "its end": -1} {
		a.offer(w.apk("1.0.0"))
		spoil(a.t, file, where)
		scratch.root = filepath.Join(a.t.TempDir(), "root")
		if err := os.Mkdir(scratch.root, 0o755); err != nil {
			a.t.Fatal(err)
		}
		if said, err := scratch.apk("add"); err == nil {
			a.t.Errorf("a package that is spoilt in %s is installed: %s", what, said)
		}
	}
	if err := os.Rename(file, filepath.Join(filepath.Dir(file), filepath.Base(w.apk("1.0.0")))); err != nil {
		a.t.Fatal(err)
	}
	if said, err := scratch.run(a.t.Context(), "true"); err == nil {
		a.t.Errorf("a program runs in an empty folder: %s", said)
	}
}

// wantInstalled wants the files in an empty folder, and the database to be right about them
// and to notice when it is not.
func (a *alpine) wantInstalled() {
	a.t.Helper()
	if said := a.mustApk("add"); !strings.Contains(said, "Installing holdfast (1.0.0-r0)") || strings.Contains(said, "Executing") {
		a.t.Errorf("got %q, want it installed, and no script run", said)
	}
	for name, want := range map[string]fs.FileMode{
		"usr/bin/holdfast": 0o755, "etc/init.d/holdfast": 0o755, "etc/conf.d/holdfast": 0o644, "etc/logrotate.d/holdfast": 0o644,
		"etc/holdfast/config.yaml": 0o644, "etc/holdfast/conf.d": 0o755 | fs.ModeDir,
		"usr/share/doc/holdfast/sbom.cdx.json": 0o644, "usr/share/zsh/site-functions/_holdfast": 0o644,
	} {
		if info, err := os.Stat(filepath.Join(a.root, name)); err != nil || info.Mode() != want {
			a.t.Errorf("%s: got %v, %v, want %v", name, info, err, want)
		}
	}
	if said := sh(a.t, ".", nil, filepath.Join(a.root, "usr/bin/holdfast"), "version"); !strings.Contains(said, "holdfast 1.0.0 ") {
		a.t.Errorf("got %q, want the program to say its version", said)
	}
	if _, err := a.apk("add"); err == nil {
		a.t.Error("it is installed twice")
	}
	conf := filepath.Join(a.root, "etc/conf.d/holdfast")
	for _, mode := range []fs.FileMode{0o666, 0o644} {
		if err := os.Chmod(conf, mode); err != nil {
			a.t.Fatal(err)
		}
		if said, err := a.apk("verify"); (err == nil) != (mode == 0o644) {
			a.t.Errorf("with %v: got %v, %s", mode, err, said)
		}
	}
}

// bare are the paths that are not the package's: of its folders those in which there is
// something else.
func (a *alpine) bare() (paths []string) {
	a.t.Helper()
	text, err := os.ReadFile(filepath.Join(a.root, "usr/lib/apk/db/installed"))
	if err != nil {
		a.t.Fatal(err)
	}
	dir, owned, all := "", map[string]bool{}, a.tree()
	for line := range strings.Lines(string(text)) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), ":"); key {
		case "F":
			dir = value
			owned["/"+dir] = true
		case "R":
			owned["/"+dir+"/"+value] = true
		}
	}
	shared := func(name string) bool {
		return slices.ContainsFunc(all, func(other string) bool {
			_, other, _ = strings.Cut(other, " ")
			return strings.HasPrefix(other, name+"/") && !owned[other]
		})
	}
	for _, path := range all {
		if _, name, _ := strings.Cut(path, " "); !owned[name] || shared(name) {
			paths = append(paths, path)
		}
	}
	return paths
}

// wantUnderstood has the shell that will read them read the scripts, without running them.
func (a *alpine) wantUnderstood() {
	a.t.Helper()
	for _, name := range []string{"/etc/init.d/holdfast", "/etc/conf.d/holdfast"} {
		a.must("/bin/busybox", "ash", "-n", name)
	}
	half := filepath.Join(a.root, "tmp/half")
	if err := os.WriteFile(half, []byte("if true; then\n"), 0o644); err != nil {
		a.t.Fatal(err)
	}
	if said, err := a.run(a.t.Context(), "/bin/busybox", "ash", "-n", "/tmp/half"); err == nil {
		a.t.Errorf("half a script is understood: %s", said)
	}
}

// wantService has OpenRC run the agent: it starts, it comes again when it is killed, it
// reads its configuration anew, and one that is wrong starts nothing and stops nothing.
func (a *alpine) wantService() {
	a.t.Helper()
	if said := a.must("/sbin/rc-update", "add", "holdfast", "default"); !strings.Contains(said, "added to runlevel default") {
		a.t.Errorf("got %q from rc-update", said)
	}
	if said, err := a.run(a.t.Context(), "/sbin/rc-service", "holdfast", "status"); err == nil {
		a.t.Errorf("it is said to run before it was started: %s", said)
	}
	a.must("/sbin/rc-service", "holdfast", "start")
	first := a.agent()
	a.must("/sbin/rc-service", "holdfast", "status")
	a.must("/bin/kill", "-KILL", first)
	await.Until(a.t, 20*time.Second, 50*time.Millisecond, "the agent runs again", func(ctx context.Context) error {
		said, err := a.run(ctx, "/bin/pidof", "holdfast")
		if err == nil && strings.TrimSpace(said) == first {
			return errors.New("it is the one before")
		}
		return err
	})
	second := a.agent()
	a.configure("log: {level: debug}\n")
	a.must("/sbin/rc-service", "holdfast", "reload")
	a.configure("no-such-key: 1\n")
	for _, verb := range []string{"reload", "restart"} {
		if said, err := a.run(a.t.Context(), "/sbin/rc-service", "holdfast", verb); err == nil || !strings.Contains(said, "no-such-key") {
			a.t.Errorf("%s with what is wrong: got %v, %s", verb, err, said)
		}
	}
	if third := a.agent(); third != second {
		a.t.Errorf("process %s was replaced by %s, want what is wrong to stop nothing", second, third)
	}
	a.must("/sbin/rc-service", "holdfast", "stop")
	if said, err := a.run(a.t.Context(), "/bin/pidof", "holdfast"); err == nil {
		a.t.Errorf("processes %s run after the end", said)
	}
	if said, err := a.run(a.t.Context(), "/sbin/rc-service", "holdfast", "start"); err == nil {
		a.t.Errorf("it starts with what is wrong: %s", said)
	}
	log, err := os.ReadFile(filepath.Join(a.root, "var/log/holdfast/agent.log"))
	if err != nil || len(log) == 0 {
		a.t.Errorf("got a log of %d bytes, %v", len(log), err)
	}
}

// configure writes what a person would.
func (a *alpine) configure(text string) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.root, "etc/holdfast/config.yaml"), []byte(text), 0o644); err != nil {
		a.t.Fatal(err)
	}
}

// wantUpgraded wants the agent, and it alone, replaced by the newer one, and what a person
// wrote kept.
func (a *alpine) wantUpgraded(w workshop) {
	a.t.Helper()
	const own = "node: {name: mine}\n"
	a.configure(own)
	a.must("/sbin/rc-service", "holdfast", "start")
	before := a.agent()
	a.offer(w.apk("1.0.1"))
	said := a.mustApk("upgrade")
	for _, want := range []string{"(1.0.0-r0 -> 1.0.1-r0)", "Executing holdfast-1.0.1-r0.post-upgrade"} {
		if !strings.Contains(said, want) {
			a.t.Errorf("got %q, want %q in it", said, want)
		}
	}
	if after := a.agent(); after == before {
		a.t.Errorf("process %s goes on with the older program", after)
	}
	if got, err := os.ReadFile(filepath.Join(a.root, "etc/holdfast/config.yaml")); string(got) != own {
		a.t.Errorf("got %q, %v, want what a person wrote", got, err)
	}
	if got := a.must("/usr/bin/holdfast", "version"); !strings.Contains(got, "holdfast 1.0.1 ") {
		a.t.Errorf("got %q, want the newer version", got)
	}
	if said, err := a.apk("upgrade"); err == nil {
		a.t.Errorf("it is upgraded to what it is: %s", said)
	}
}

// wantKeptRunning goes back to the older one with a configuration that is wrong.
func (a *alpine) wantKeptRunning(w workshop) {
	a.t.Helper()
	before := a.agent()
	a.configure("no-such-key: 1\n")
	a.offer(w.apk("1.0.0"))
	if said := a.mustApk("upgrade"); !strings.Contains(said, "the agent before goes on") {
		a.t.Errorf("got %q, want it said that the agent goes on", said)
	}
	if after := a.agent(); after != before {
		a.t.Errorf("process %s was replaced by %s", before, after)
	}
}

// wantRemoved wants the agent ended and nothing left but what a person wrote and what the
// agent did.
func (a *alpine) wantRemoved(bare []string) {
	a.t.Helper()
	said := a.mustApk("del")
	if !strings.Contains(said, "what still runs in containerd's namespace holdfast is left there") {
		a.t.Errorf("got %q; want what could not be done without containerd", said)
	}
	if said, err := a.run(a.t.Context(), "/bin/pidof", "holdfast"); err == nil {
		a.t.Errorf("processes %s still run", said)
	}
	var left []string
	for _, path := range without(a.tree(), bare) {
		if _, name, _ := strings.Cut(path, " "); !strings.HasPrefix(name, "/var/lib/holdfast") {
			left = append(left, name)
		}
	}
	if want := []string{"/etc/holdfast", "/etc/holdfast/config.yaml", "/etc/holdfast/config.yaml.apk-new"}; !slices.Equal(sorted(left), want) {
		a.t.Errorf("got %q left, want %q", left, want)
	}
	if gone := without(bare, a.tree()); gone != nil {
		a.t.Errorf("these have gone with it: %q", gone)
	}
}
