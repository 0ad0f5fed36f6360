package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"holdfast/build/image/oci"
	"holdfast/build/rootfs"
	"holdfast/build/vm/order"
)

//go:embed files
var files embed.FS

// tags are the Makefile's, so that what is tested is what is shipped.
const tags = "grpcnotrace,nethttpomithttp2"

// units are the services that start with the machine.
var units = []string{"containerd.service", "holdfast.service", "holdfast-vm.service"}

// programs are what tests would have built, by folder below the module.
var programs = []string{
	"runtime/containerd/testdata/testprog", "build/sample/server", "build/sample/faulty", "build/sample/burner", "",
}

// furnish makes the machine's disk.
func (p *place) furnish(ctx context.Context, steps []trial) error {
	if err := p.unpack(ctx); err != nil {
		return err
	}
	// A folder of the state is where Debian is copied to by links: files that are there
	// already are replaced, never written into.
	stage := p.path("stage")
	if err := os.RemoveAll(stage); err != nil {
		return fmt.Errorf("cannot remove stage: %w", err)
	}
	defer os.RemoveAll(stage)
	if err := rootfs.Complete(rootfs.Command(ctx, "cp", "--archive", "--link", p.base, stage), "vm"); err != nil {
		return err
	}
	if err := p.load(ctx, stage, steps); err != nil {
		return err
	}
	if err := os.Remove(p.disk()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A journal would only be replayed by a machine that starts again from this disk.
	return rootfs.Complete(rootfs.Command(ctx, "mke2fs", "-q", "-t", "ext4", "-d", stage, "-L", "root", "-m", "0", "-O", "^has_journal", p.disk(), "3G"), "vm")
}

// load puts into a folder what the machine has beside Debian.
func (p *place) load(ctx context.Context, stage string, steps []trial) error {
	for _, put := range []func(context.Context, string, []trial) error{p.putPrograms, p.putPackages, p.putTests, p.putTree, p.putNode} {
		if err := put(ctx, stage, steps); err != nil {
			return err
		}
	}
	return nil
}

func (p *place) path(name string) string { return filepath.Join(p.work, name) }
func (p *place) disk() string            { return p.path("disk.img") }

// build runs the Go compiler.
func (p *place) build(ctx context.Context, args ...string) error {
	cmd := rootfs.Command(ctx, "go", args...)
	cmd.Dir, cmd.Env = p.root, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	return rootfs.Complete(cmd, "vm")
}

// putPrograms builds the agent and what tests would have built, and takes containerd from
// where it was provisioned.
func (p *place) putPrograms(ctx context.Context, stage string, _ []trial) error {
	built := func(folder string) string {
		return filepath.Join(stage, order.Built, "holdfast", folder, order.Program)
	}
	for _, folder := range programs {
		if err := p.program(ctx, folder, built(folder)); err != nil {
			return err
		}
	}
	guest := built("build/vm/guest")
	if err := p.program(ctx, "build/vm/guest", guest); err != nil {
		return err
	}
	tool := func(name string) string { return filepath.Join(p.root, ".tools/bin", name) }
	for name, from := range map[string]string{
		"usr/lib/holdfast-vm/guest":       guest,
		"usr/lib/holdfast-vm/bin/go":      guest,
		"usr/bin/holdfast":                built(""),
		"usr/bin/containerd":              tool("containerd"),
		"usr/bin/containerd-shim-runc-v2": tool("containerd-shim-runc-v2"),
		"usr/bin/ctr":                     tool("ctr"),
	} {
		if err := rootfs.Link(from, filepath.Join(stage, name)); err != nil {
			return err
		}
	}
	return packImage(built("build/sample/server"), filepath.Join(stage, "var/lib/holdfast/images/digits.oci.tar"))
}

// program builds a package.
func (p *place) program(ctx context.Context, folder, to string) error {
	return p.versioned(ctx, "vm", folder, to)
}

func (p *place) versioned(ctx context.Context, version, folder, to string) error {
	return p.build(ctx, "build", "-trimpath", "-buildvcs=false", "-tags", tags,
		"-ldflags", "-s -w -buildid= -X main.version="+version, "-o", to, "./"+folder)
}

// packImage makes the archive of the sample model that the node finds when it starts.
func packImage(server, archive string) error {
	const name = "holdfast.example/digits:1"
	index, err := oci.Build(oci.Spec{
		Name: name, Entry: []string{"/server"}, User: "65532:65532",
		Binaries: map[string]string{"linux/amd64": server},
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		return err
	}
	_, err = oci.WriteArchive(archive, name, index)
	return err
}

// putTests compiles the tests of the steps.
func (p *place) putTests(ctx context.Context, stage string, steps []trial) error {
	for _, t := range steps {
		to := filepath.Join(stage, order.Tests, t.program())
		if _, err := os.Stat(to); err == nil {
			continue // of an earlier step
		}
		if err := p.build(ctx, "test", "-c", "-trimpath", "-vet=off", "-tags", tags+","+t.tags,
			"-ldflags", "-s -w", "-o", to, "./"+t.pkg); err != nil {
			return err
		}
	}
	return nil
}

// putTree copies what is in the checkout beside Go's sources, for tests read it.
func (p *place) putTree(ctx context.Context, stage string, steps []trial) error {
	list := rootfs.Command(ctx, "git", "ls-files", "-z")
	list.Dir = p.root
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("cannot list the checkout: %w", err)
	}
	tree := filepath.Join(stage, order.Tree)
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if strings.HasSuffix(name, ".go") {
			continue
		}
		err := rootfs.Link(filepath.Join(p.root, name), filepath.Join(tree, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it was removed and is not yet committed
			return err
		}
	}
	for _, t := range steps {
		if err := os.MkdirAll(filepath.Join(tree, t.pkg), 0o755); err != nil {
			return err
		}
	}
	// Where tests look for the daemon they start themselves.
	if err := os.MkdirAll(filepath.Join(tree, ".tools"), 0o755); err != nil {
		return err
	}
	return os.Symlink("/usr/bin", filepath.Join(tree, ".tools/bin"))
}

// putNode makes a node of it: services, configuration, the plan.
func (p *place) putNode(_ context.Context, stage string, steps []trial) error {
	var plan []order.Step
	for _, t := range steps {
		plan = append(plan, t.step())
	}
	text, err := json.MarshalIndent(plan, "", "  ")
	if err != nil {
		return err
	}
	if err := rootfs.Write(filepath.Join(stage, order.Plan), text, 0o644); err != nil {
		return err
	}
	if err := rootfs.Link(filepath.Join(p.root, "build/systemd/holdfast.service"), filepath.Join(stage, "usr/lib/systemd/system/holdfast.service")); err != nil {
		return err
	}
	for name, to := range map[string]string{
		"containerd.service": "usr/lib/systemd/system", "holdfast-vm.service": "usr/lib/systemd/system",
		"config.yaml": "etc/holdfast", "compose.yaml": "etc/holdfast", "hostname": "etc", "machine-id": "etc",
	} {
		text, err := files.ReadFile("files/" + name)
		if err != nil {
			return err
		}
		if err := rootfs.Write(filepath.Join(stage, to, name), text, 0o644); err != nil {
			return err
		}
	}
	text, err = files.ReadFile("files/containerd.toml")
	if err != nil {
		return err
	}
	if err := rootfs.Write(filepath.Join(stage, "etc/containerd/config.toml"), text, 0o644); err != nil {
		return err
	}
	return enable(stage)
}

// enable has the services start with the machine, and what has no use in it not.
func enable(stage string) error {
	system := filepath.Join(stage, "etc/systemd/system")
	wants := filepath.Join(system, "graphical.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		return err
	}
	for _, unit := range units {
		if err := os.Symlink(filepath.Join("/usr/lib/systemd/system", unit), filepath.Join(wants, unit)); err != nil {
			return err
		}
	}
	for _, unit := range []string{"getty@tty1.service", "serial-getty@ttyS0.service", "e2scrub_reap.service", "apt-daily.timer", "apt-daily-upgrade.timer"} {
		if err := os.Symlink("/dev/null", filepath.Join(system, unit)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
