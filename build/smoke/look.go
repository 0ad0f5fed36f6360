package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"time"
)

// platform is one kind of machine holdfast is built for.
type platform struct {
	goarch   string
	machine  elf.Machine
	emulator []string // with the oldest processor that has to do; none: only a real one will do
}

// platforms are known by the last part of a binary's name.
var platforms = map[string]platform{
	"amd64":   {"amd64", elf.EM_X86_64, []string{"qemu-x86_64-static"}},
	"arm64":   {"arm64", elf.EM_AARCH64, []string{"qemu-aarch64-static", "-cpu", "cortex-a53"}},
	"armv7":   {"arm", elf.EM_ARM, []string{"qemu-arm-static", "-cpu", "cortex-a7"}},
	"armv6":   {"arm", elf.EM_ARM, []string{"qemu-arm-static", "-cpu", "arm1176"}},
	"riscv64": {"riscv64", elf.EM_RISCV, []string{"qemu-riscv64-static"}},
	"386":     {"386", elf.EM_386, nil}, // Debian 12's qemu-i386 crashes in Go's signal handling
}

// startLimit bounds one start of a binary; under emulation one takes about a second.
const startLimit = time.Minute

// look inspects one binary, and starts it if asked to.
func look(ctx context.Context, file string, run bool) (string, error) {
	name := filepath.Base(file)
	p, known := platforms[name[strings.LastIndex(name, "-")+1:]]
	if !known {
		return "", fmt.Errorf("cannot tell the machine of %q: its name must end with -amd64, -arm64, -armv7, -armv6, -riscv64 or -386", file)
	}
	if err := inspect(file, p); err != nil {
		return "", err
	}
	stat, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("cannot look at binary: %w", err)
	}
	facts := fmt.Sprintf("static, %s, %.2f MiB", p.goarch, float64(stat.Size())/(1<<20))
	if !run {
		return facts, nil
	}
	said, err := start(ctx, file, p)
	if err != nil {
		return "", fmt.Errorf("cannot use %q on %s: %w", file, p.goarch, err)
	}
	return facts + ", says " + said, nil
}

// inspect makes sure that the file is for the machine and needs nothing but a kernel.
func inspect(file string, p platform) error {
	binary, err := elf.Open(file)
	if err != nil {
		return fmt.Errorf("cannot read binary %q: %w", file, err)
	}
	defer binary.Close()
	if binary.Machine != p.machine {
		return fmt.Errorf("binary %q is for %v, want %v", file, binary.Machine, p.machine)
	}
	for _, segment := range binary.Progs {
		if segment.Type == elf.PT_INTERP {
			return fmt.Errorf("binary %q is not static: it asks for an interpreter", file)
		}
	}
	if libraries, err := binary.ImportedLibraries(); err == nil && len(libraries) > 0 {
		return fmt.Errorf("binary %q is not static: it asks for %s", file, strings.Join(libraries, ", "))
	}
	return nil
}

// The configurations a binary has to judge. The number at fault stands in line 2.
const (
	goodConfig = "scheduler:\n  slots: 2\nlog: {level: debug}\napi: {maxBody: 4MiB}\n"
	badConfig  = "scheduler:\n  slots: many\n"
)

// start runs the binary as a person would on the day it arrives.
func start(ctx context.Context, file string, p platform) (said string, err error) {
	dir, err := os.MkdirTemp("", "holdfast-smoke-")
	if err != nil {
		return "", fmt.Errorf("cannot make folder: %w", err)
	}
	defer os.RemoveAll(dir)
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	if err := errors.Join(os.WriteFile(good, []byte(goodConfig), 0o644), os.WriteFile(bad, []byte(badConfig), 0o644)); err != nil {
		return "", fmt.Errorf("cannot write configuration: %w", err)
	}
	said, err = p.execute(ctx, file, "version")
	if err != nil {
		return "", err
	}
	if !strings.Contains(said, "linux/"+p.goarch) {
		return "", fmt.Errorf("version says %q, want linux/%s in it", said, p.goarch)
	}
	if out, err := p.execute(ctx, file, "config", "check", "--config", good); err != nil {
		return "", fmt.Errorf("a good configuration is refused: %w: %s", err, out)
	}
	out, err := p.execute(ctx, file, "config", "check", "--config", bad)
	if err == nil {
		return "", errors.New("a bad configuration is accepted")
	}
	if !strings.Contains(out, "bad.yaml:2") {
		return "", fmt.Errorf("a bad configuration is refused without its place bad.yaml:2: %s", out)
	}
	return said, nil
}

// execute runs one verb on a processor of the platform and returns all it printed.
func (p platform) execute(ctx context.Context, file string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	file, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	command := []string{file}
	if p.goarch != goruntime.GOARCH {
		if p.emulator == nil {
			return "", fmt.Errorf("no emulator for %s is good enough", p.goarch)
		}
		command = append(append([]string{}, p.emulator...), file)
	}
	if _, err := exec.LookPath(command[0]); err != nil {
		return "", fmt.Errorf("%w (run: make provision)", err)
	}
	command = append(command, args...)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"} // nothing of this machine's configuration
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	said := strings.TrimSpace(out.String())
	if err != nil {
		return said, fmt.Errorf("cannot run %s: %w: %s", strings.Join(args, " "), err, said)
	}
	return said, nil
}
