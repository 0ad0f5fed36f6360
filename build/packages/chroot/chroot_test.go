//go:build chroot

package chroot_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// epoch is the time of the packages' files.
const epoch = "1767225600"

// suite is the Debian that is unpacked, from where this machine gets its packages.
const suite = "bookworm"

// workshop makes the packages, of two versions, once for all tests.
type workshop struct{ dir string }

func newWorkshop(t *testing.T) workshop {
	t.Helper()
	w := workshop{t.TempDir()}
	for _, version := range []string{"1.0.0", "1.0.1"} {
		program := filepath.Join(w.dir, "holdfast-"+version)
		sh(t, "../../..", nil, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "grpcnotrace,nethttpomithttp2",
			"-ldflags", "-s -w -buildid= -X main.version="+version, "-o", program, ".")
		sh(t, "../../..", nil, "go", "run", "-tags", "grpcnotrace,nethttpomithttp2", "./build/packages", "-kinds", "deb,rpm,apk", "-version", version, "-epoch", epoch,
			"-out", filepath.Join(w.dir, version), "amd64="+program)
	}
	return w
}

func (w workshop) deb(version string) string {
	return filepath.Join(w.dir, version, "holdfast_"+version+"_amd64.deb")
}

func (w workshop) rpm(version string) string {
	return filepath.Join(w.dir, version, "holdfast-"+version+"-1.x86_64.rpm")
}

// sh runs a program and returns what it printed; want says how it may end.
func sh(t testing.TB, dir string, environ []string, words ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), environ...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
	return string(out)
}

// debian is a Debian of its own, unpacked.
type debian struct {
	t    *testing.T
	root string
}

func newDebian(t *testing.T) debian {
	t.Helper()
	root := filepath.Join(t.TempDir(), "debian")
	sh(t, ".", nil, "mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", suite, root)
	return debian{t, root}
}

func (d debian) in(t *testing.T) debian { return debian{t, d.root} }

// run runs a program in it.
func (d debian) run(words ...string) string {
	d.t.Helper()
	return sh(d.t, "/", []string{"DEBIAN_FRONTEND=noninteractive"}, append([]string{"chroot", d.root}, words...)...)
}

// install has dpkg install a package that lies outside.
func (d debian) install(file string) string {
	d.t.Helper()
	inside := "/tmp/" + filepath.Base(file)
	sh(d.t, ".", nil, "cp", file, d.root+inside)
	return d.run("dpkg", "--install", inside)
}

// tree lists every path there is with its rights and owner, but for what dpkg and the
// loader keep for themselves.
func (d debian) tree() (paths []string) {
	d.t.Helper()
	skip := []string{"/var/lib/dpkg", "/var/log", "/tmp", "/var/cache", "/etc/ld.so.cache", "/dev", "/proc", "/sys"}
	err := filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, d.root)
		if slices.Contains(skip, name) {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if err == nil && name != "" {
			info, infoErr := e.Info()
			if err = infoErr; err == nil {
				paths = append(paths, info.Mode().String()+" "+name)
			}
		}
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return paths
}

// without are those of one list that are not in the other.
func without(a, b []string) (left []string) {
	for _, path := range a {
		if _, there := slices.BinarySearch(b, path); !there {
			left = append(left, path)
		}
	}
	return left
}

// TestPackages tries all three kinds, each with what this machine has for it.
func TestPackages(t *testing.T) {
	w := newWorkshop(t)
	t.Run("Debian", func(t *testing.T) {
		d := newDebian(t)
		t.Run("Deb", func(t *testing.T) { tryDeb(t, w, d) })
		t.Run("RPM", func(t *testing.T) { tryRPM(t, w, d) })
	})
	t.Run("Alpine", func(t *testing.T) { tryApk(t, w) })
}

func tryDeb(t *testing.T, w workshop, d debian) {
	t.Run("Lintian", func(t *testing.T) { lintian(t, w.deb("1.0.1")) })
	bare := d.in(t).tree()
	slices.Sort(bare)
	t.Run("Install", func(t *testing.T) { d.in(t).wantInstalled(w) })
	const own = "node: {name: mine}\n"
	config := filepath.Join(d.root, "etc/holdfast/config.yaml")
	t.Run("UpgradeKeepsConfiguration", func(t *testing.T) {
		d := d.in(t)
		if err := os.WriteFile(config, []byte(own), 0o644); err != nil {
			t.Fatal(err)
		}
		d.install(w.deb("1.0.1"))
		if got, err := os.ReadFile(config); string(got) != own {
			t.Errorf("got %q, %v, want what a person wrote", got, err)
		}
		if got := d.run("holdfast", "version"); !strings.Contains(got, "holdfast 1.0.1 ") {
			t.Errorf("got %q, want the newer version", got)
		}
	})
	// What an agent would have left.
	state := filepath.Join(d.root, "var/lib/holdfast/volumes")
	if err := os.MkdirAll(state, 0o750); err != nil {
		t.Fatal(err)
	}
	t.Run("Remove", func(t *testing.T) {
		out := d.in(t).run("dpkg", "--remove", "holdfast")
		if !strings.Contains(out, "what still runs in containerd's namespace holdfast is left there") {
			t.Errorf("dpkg says %q; want what could not be done without containerd", out)
		}
		for name, want := range map[string]bool{config: true, state: true, filepath.Join(d.root, "usr/bin/holdfast"): false} {
			if _, err := os.Stat(name); (err == nil) != want {
				t.Errorf("%s: got %v, want it there: %v", name, err, want)
			}
		}
	})
	t.Run("Purge", func(t *testing.T) {
		d := d.in(t)
		if left := without(d.tree(), bare); len(left) == 0 {
			t.Error("nothing is left before the purge: this check cannot fail")
		}
		d.run("dpkg", "--purge", "holdfast")
		if left := without(d.tree(), bare); left != nil {
			t.Errorf("these are left: %q", left)
		}
		if gone := without(bare, sorted(d.tree())); gone != nil {
			t.Errorf("these have gone with it: %q", gone)
		}
	})
}

func sorted(paths []string) []string {
	slices.Sort(paths)
	return paths
}

// wantInstalled wants everything in its place, and the program to work there.
func (d debian) wantInstalled(w workshop) {
	d.t.Helper()
	d.install(w.deb("1.0.0"))
	for name, want := range map[string]fs.FileMode{
		"usr/bin/holdfast": 0o755, "etc/holdfast/config.yaml": 0o644, "etc/holdfast/conf.d": 0o755 | fs.ModeDir,
		"usr/lib/systemd/system/holdfast.service": 0o644, "usr/share/bash-completion/completions/holdfast": 0o644,
		"usr/share/doc/holdfast/sbom.cdx.json": 0o644,
	} {
		info, err := os.Stat(filepath.Join(d.root, name))
		if err != nil || info.Mode() != want {
			d.t.Errorf("%s: got %v, %v, want %v", name, info, err, want)
		}
	}
	if got := d.run("dpkg", "--verify", "holdfast"); got != "" {
		d.t.Errorf("dpkg finds changed: %s", got)
	}
	if got := d.run("holdfast", "config", "check"); strings.Contains(got, "unknown key") {
		d.t.Errorf("got %q of the configuration that is installed", got)
	}
	enabled := filepath.Join(d.root, "etc/systemd/system/multi-user.target.wants/holdfast.service")
	if _, err := os.Lstat(enabled); err != nil {
		d.t.Errorf("the service does not start with the machine: %v", err)
	}
}

// lintian has Debian's own reader look at a package. It must have nothing to say.
func lintian(t *testing.T, file string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "lintian", "--allow-root", "--tag-display-limit=0", "--fail-on=error,warning", file).CombinedOutput()
	t.Logf("\n%s", out)
	if err != nil {
		t.Errorf("lintian: %v", err)
	}
}

func tryRPM(t *testing.T, w workshop, d debian) {
	root := t.TempDir()
	rpm := func(words ...string) string {
		t.Helper()
		return sh(t, ".", nil, append([]string{"rpm", "--root", root}, words...)...)
	}
	// Without its scripts: their shell and what they call are not in this folder. And this
	// is Debian's rpm, whose database knows nothing of what is installed.
	change := func(how, what string) {
		t.Helper()
		rpm("--noscripts", "--nodeps", "--ignorearch", "--ignoreos", how, what)
	}
	sh(t, ".", nil, "rpm", "--root", root, "--initdb")
	config := filepath.Join(root, "etc/holdfast/config.yaml")
	t.Run("Install", func(t *testing.T) {
		change("--install", w.rpm("1.0.0"))
		if got := rpm("--verify", "--nodeps", "holdfast"); strings.TrimSpace(got) != "" {
			t.Errorf("rpm finds changed: %s", got)
		}
		if got := rpm("--query", "--configfiles", "holdfast"); got != "/etc/holdfast/config.yaml\n" {
			t.Errorf("got %q as configuration", got)
		}
		if got := rpm("--query", "--recommends", "holdfast"); !strings.Contains(got, "containerd >= 1.6") {
			t.Errorf("got %q as recommended, want containerd", got)
		}
	})
	t.Run("UpgradeKeepsConfiguration", func(t *testing.T) {
		const own = "node: {name: mine}\n"
		if err := os.WriteFile(config, []byte(own), 0o644); err != nil {
			t.Fatal(err)
		}
		change("--upgrade", w.rpm("1.0.1"))
		if got, err := os.ReadFile(config); string(got) != own {
			t.Errorf("got %q, %v, want what a person wrote", got, err)
		}
		if got := sh(t, ".", nil, filepath.Join(root, "usr/bin/holdfast"), "version"); !strings.Contains(got, "holdfast 1.0.1 ") {
			t.Errorf("got %q, want the newer version", got)
		}
	})
	t.Run("Erase", func(t *testing.T) {
		rpm("--noscripts", "--nodeps", "--erase", "holdfast")
		if _, err := os.Stat(filepath.Join(root, "usr/bin/holdfast")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want the program gone", err)
		}
		if _, err := os.Stat(config + ".rpmsave"); err != nil {
			t.Errorf("what a person wrote is not kept: %v", err)
		}
	})
	t.Run("Scripts", func(t *testing.T) { rpmScripts(d.in(t), rpm, w.rpm("1.0.1")) })
}

// rpmScripts runs the scripts as rpm would, where there is neither systemd nor an agent:
// none of them may fail, for that would leave a package half installed.
func rpmScripts(d debian, rpm func(...string) string, file string) {
	d.t.Helper()
	sections := strings.Split(rpm("--query", "--scripts", "--package", file), "scriptlet (using /bin/sh):\n")
	if len(sections) != 4 {
		d.t.Fatalf("got %d scripts, want 3", len(sections)-1)
	}
	for i, section := range sections[1:] {
		lines := strings.SplitAfter(section, "\n")
		if i < 2 {
			lines = lines[:len(lines)-1] // the name of the next
		}
		for _, count := range []string{"0", "1", "2"} {
			d.run("sh", "-c", strings.Join(lines, ""), "script", count)
		}
	}
}
