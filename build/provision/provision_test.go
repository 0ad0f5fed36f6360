// Package provision_test runs provision.sh on make-believe machines: a PATH of its
// own in which apt-get and go are stand-ins that write down what they were asked.
package provision_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// needed is what the script itself uses, and every Debian has.
var needed = []string{"awk", "bash", "cat", "dirname", "env", "flock", "grep", "id", "mkdir", "mktemp", "mv", "rm", "touch"}

// packaged are the commands the script gets from Debian.
var packaged = []string{"runc", "gcc", "mosquitto", "mosquitto_pub", "qemu-aarch64-static", "qemu-arm-static", "systemd-analyze", "curl", "nsenter", "ip", "nft", "python3", "mkfs.vfat", "mcopy", "sfdisk", "losetup", "findmnt", "chromium", "node", "bridge", "groff", "xz"}

// machine is a folder of commands, a log of what the stand-ins were asked, and a
// folder for the pinned tools.
type machine struct{ commands, log, tools string }

func newMachine(t *testing.T) machine {
	t.Helper()
	dir := t.TempDir()
	m := machine{commands: filepath.Join(dir, "commands"), log: filepath.Join(dir, "log"), tools: filepath.Join(dir, "tools")}
	if err := os.MkdirAll(m.commands, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range needed {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(m.commands, name)); err != nil {
			t.Fatal(err)
		}
	}
	// What is downloaded is a file, which unpacked has a program in it.
	m.command(t, "apt-get", `echo "apt-get $*" >>`+m.log+`
case "$*" in *" download "*) touch prometheus_1_amd64.deb;; esac`)
	m.command(t, "dpkg-deb", `mkdir -p usr/bin && echo '#!/bin/sh' >usr/bin/promtool && /bin/chmod +x usr/bin/promtool`)
	m.command(t, "go", goStandIn(m.log))
	m.command(t, "npm", `echo "npm $*" >>`+m.log+`
mkdir -p node_modules`)
	if err := os.MkdirAll(m.browser(), 0o755); err == nil {
		err = os.WriteFile(filepath.Join(m.browser(), "package-lock.json"), []byte("{}\n"), 0o600)
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// browser is the folder of the browser's packages.
func (m machine) browser() string { return filepath.Join(filepath.Dir(m.commands), "browser") }

// goStandIn behaves like go in the two ways the script uses it: install writes a
// program that carries its version and tags, version -m reads them back.
func goStandIn(log string) string {
	return `
if [ "$1" = version ]; then while read -r line; do case $line in '#'*) echo "${line#?}";; esac; done <"$3"; exit; fi
echo "go $*" >>` + log + `
tags=; while [ $# -gt 0 ]; do
  case $1 in -tags) tags=$2; shift;; *@*)
    path=${1%@*}; module=${path%/cmd/*}; out=$GOBIN/${path##*/}
    printf '#\tmod\t%s\t%s\n#\tbuild\t-tags=%s\n' "$module" "${1#*@}" "$tags" >"$out"; /bin/chmod +x "$out";;
  esac; shift; done`
}

// command puts one command into the machine.
func (m machine) command(t *testing.T, name, body string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.commands, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// provision runs the script and returns what it printed and what it asked for.
func (m machine) provision(t *testing.T, args ...string) (printed, asked string, err error) {
	t.Helper()
	_ = os.Remove(m.log)
	cmd := exec.Command("./provision.sh", args...)
	cmd.Env = []string{"PATH=" + m.commands, "HOLDFAST_TOOLS=" + m.tools, "HOLDFAST_BROWSER=" + m.browser(), "HOLDFAST_SBIN=", "HOLDFAST_SHARE=" + m.commands, "HOLDFAST_CNI=" + m.commands, "TMPDIR=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	log, readErr := os.ReadFile(m.log)
	if readErr != nil && !os.IsNotExist(readErr) {
		t.Fatal(readErr)
	}
	return string(out), string(log), err
}

func TestProvision_BareMachine(t *testing.T) {
	m := newMachine(t)
	printed, asked, err := m.provision(t)
	if err != nil {
		t.Fatalf("provision: %v\n%s", err, printed)
	}
	for _, want := range []string{
		"update\n", "install runc gcc mosquitto mosquitto-clients qemu-user-static qemu-user-static systemd curl util-linux iproute2 nftables python3 dosfstools mtools fdisk mount util-linux chromium nodejs containernetworking-plugins", " groff-base",
		"cmd/containerd@v2", "cmd/containerd-shim-runc-v2@v2", "cmd/ctr@v2", "no_btrfs", "cmd/golangci-lint@v2", "cmd/nfpm@v2", "download prometheus\n", "npm ci ",
	} {
		if !strings.Contains(asked, want) {
			t.Errorf("asked for:\n%swant %q among it", asked, want)
		}
	}
	if !strings.Contains(printed, "installing Debian packages: runc") {
		t.Errorf("printed %q, want it to say what it installs", printed)
	}
}

// worked is what the programs that this one has run have taken of the processors, whoever else wanted them.
func worked(t *testing.T) time.Duration {
	t.Helper()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func TestProvision_SecondRun(t *testing.T) {
	m := newMachine(t)
	for _, name := range packaged {
		m.command(t, name, "exit 0")
	}
	if printed, _, err := m.provision(t); err != nil {
		t.Fatalf("first run: %v\n%s", err, printed)
	}
	before := worked(t)
	printed, asked, err := m.provision(t)
	if err != nil || asked != "" {
		t.Errorf("second run asked for %q (%v), want nothing\n%s", asked, err, printed)
	}
	if took := worked(t) - before; took > time.Second {
		t.Errorf("second run took %v of the processors, want under a second", took)
	}
	t.Run("OtherPackages", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(m.browser(), "package-lock.json"), []byte("{\"other\": 1}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, asked, _ := m.provision(t); !strings.HasPrefix(asked, "npm ci ") {
			t.Errorf("asked for %q, want the packages of the new lock file", asked)
		}
	})
	t.Run("ForeignVersion", func(t *testing.T) {
		m.tool(t, "ctr", "#\tmod\tgithub.com/containerd/containerd/v2\tv2.2.90\n")
		if _, asked, _ := m.provision(t); !strings.Contains(asked, "cmd/ctr@") || strings.Contains(asked, "cmd/containerd@") {
			t.Errorf("asked for %q, want ctr alone", asked)
		}
	})
	t.Run("OtherTags", func(t *testing.T) {
		m.tool(t, "containerd", "#\tmod\tgithub.com/containerd/containerd/v2\tv2.2.9\n#\tbuild\t-tags=no_cri\n")
		if _, asked, _ := m.provision(t); !strings.Contains(asked, "cmd/containerd@") {
			t.Errorf("asked for %q, want containerd", asked)
		}
	})
}

// tool replaces a pinned program.
func (m machine) tool(t *testing.T, name, stamp string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.tools, "bin", name), []byte(stamp), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestProvision_Only(t *testing.T) {
	m := newMachine(t)
	t.Run("Run", func(t *testing.T) {
		_, asked, err := m.provision(t, "--only", "run")
		if err != nil || !strings.Contains(asked, "install runc\n") || strings.Contains(asked, "golangci") {
			t.Errorf("asked for %q (%v), want runc and no linter", asked, err)
		}
	})
	t.Run("Lint", func(t *testing.T) {
		_, asked, err := m.provision(t, "--only", "lint")
		if err != nil || strings.Contains(asked, "apt-get") || !strings.Contains(asked, "golangci") {
			t.Errorf("asked for %q (%v), want the linter and no packages", asked, err)
		}
	})
	t.Run("Machine", func(t *testing.T) { // which a run without --only does not ask for
		_, asked, err := m.provision(t, "--only", "vm")
		if err != nil || !strings.Contains(asked, "mmdebstrap") || !strings.Contains(asked, "qemu-system-x86") || strings.Contains(asked, "mosquitto") {
			t.Errorf("asked for %q (%v), want what makes a machine", asked, err)
		}
		if _, asked, _ := m.provision(t); strings.Contains(asked, "qemu-system") {
			t.Errorf("asked for %q without --only", asked)
		}
	})
	t.Run("Image", func(t *testing.T) { // nor for this
		_, asked, err := m.provision(t, "--only", "image")
		if err != nil || !strings.Contains(asked, "squashfs-tools") || !strings.Contains(asked, "arch-test") || !strings.Contains(asked, " ovmf qemu-efi-aarch64 qemu-efi-arm") || strings.Contains(asked, "mosquitto") {
			t.Errorf("asked for %q (%v), want what makes and starts images", asked, err)
		}
		if _, asked, _ := m.provision(t); strings.Contains(asked, "squashfs") || strings.Contains(asked, "ovmf") {
			t.Errorf("asked for %q without --only", asked)
		}
	})
	t.Run("Chroot", func(t *testing.T) {
		_, asked, err := m.provision(t, "--only", "chroot")
		if err != nil || !strings.Contains(asked, "mmdebstrap") || !strings.Contains(asked, " rpm") || strings.Contains(asked, "cmd/containerd@") {
			t.Errorf("asked for %q (%v), want what packages are installed in", asked, err)
		}
	})
	t.Run("Unknown", func(t *testing.T) {
		printed, asked, err := m.provision(t, "--only", "lnit")
		if err == nil || asked != "" || !strings.Contains(printed, "hint: one of") {
			t.Errorf("printed %q, asked %q, error %v; want a refusal with a hint", printed, asked, err)
		}
	})
}

func TestProvision_Failures(t *testing.T) {
	t.Run("PackageManagerFails", func(t *testing.T) {
		m := newMachine(t)
		m.command(t, "apt-get", "echo 'E: no such package'; exit 100")
		printed, _, err := m.provision(t, "--only", "run")
		if err == nil || !strings.Contains(printed, "E: no such package") {
			t.Errorf("printed %q, error %v; want apt-get's own words and a failure", printed, err)
		}
	})
	t.Run("NoPackageManager", func(t *testing.T) {
		m := newMachine(t)
		if err := os.Remove(filepath.Join(m.commands, "apt-get")); err != nil {
			t.Fatal(err)
		}
		printed, _, err := m.provision(t, "--only", "run")
		if err == nil || !strings.Contains(printed, "hint: install them by hand") {
			t.Errorf("printed %q, error %v; want a hint and a failure", printed, err)
		}
	})
	t.Run("NoGo", func(t *testing.T) {
		m := newMachine(t)
		if err := os.Remove(filepath.Join(m.commands, "go")); err != nil {
			t.Fatal(err)
		}
		printed, _, err := m.provision(t)
		if err == nil || !strings.Contains(printed, "hint: install Go 1.") {
			t.Errorf("printed %q, error %v; want a hint and a failure", printed, err)
		}
	})
	t.Run("BuildFails", func(t *testing.T) {
		m := newMachine(t)
		m.command(t, "go", "exit 1")
		if printed, _, err := m.provision(t, "--only", "lint"); err == nil {
			t.Errorf("printed %q and succeeded, want a failure", printed)
		}
	})
}
