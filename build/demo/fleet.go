package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"holdfast/build/stand"
)

// fleet is the operator's side of the demonstration: a desk with keys, a broker, and a
// wire to it that can be cut.
type fleet struct {
	binary  string
	desk    string // keys, root document, policies
	keep    string // what the fleet has signed, and what it was told
	broker  string // where it listens
	wire    *stand.Wire
	running []*exec.Cmd // broker and attendant
}

// site and node are the names the node goes by.
const (
	siteName = "hall-2"
	nodeName = "line-3-gw"
)

// newFleet makes keys and the policy the node is flashed with.
func newFleet(ctx context.Context, o options) (*fleet, error) {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return nil, err
	}
	f := &fleet{binary: o.binary, desk: filepath.Join(dir, "desk"), keep: filepath.Join(dir, "fleet"), broker: o.broker}
	for _, former := range []string{f.desk, f.keep, filepath.Join(dir, "state")} {
		if err := os.RemoveAll(former); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if _, err := f.run(ctx, "policy", "init", f.desk); err != nil {
		return nil, err
	}
	if err := f.sign(ctx, 1); err != nil {
		return nil, err
	}
	f.wire, err = stand.StretchWire(f.broker)
	return f, err
}

// Close ends what was started.
func (f *fleet) Close() error {
	var errs []error
	for _, process := range f.running {
		_ = process.Process.Signal(syscall.SIGTERM)
		if err := process.Wait(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", process.Args[1], err))
		}
	}
	return errors.Join(append(errs, f.wire.Close())...)
}

// settings are what the node's configuration says of its fleet.
func (f *fleet) settings() []string {
	return []string{
		"node.name=" + nodeName, "node.site=" + siteName, "node.groups=line-3", "node.role=inspection",
		"policy.root=" + f.path("root.json"), "policy.factory=" + f.signed(1), "policy.trial=2s",
		"link.broker=tcp://" + f.wire.Address(),
	}
}

func (f *fleet) path(name string) string { return filepath.Join(f.desk, name) }

func (f *fleet) signed(version int) string { return f.path(fmt.Sprintf("v%d.signed.json", version)) }

func (f *fleet) key(name string) string { return f.path("keys/" + name + ".key") }

// sign writes, builds and signs a version of the policy. From the second on urgent
// tasks have 20 ms less for each.
func (f *fleet) sign(ctx context.Context, version int) error { return f.signWith(ctx, version, "") }

// signWith adds sections of its own.
func (f *fleet) signWith(ctx context.Context, version int, sections string) error {
	text, err := os.ReadFile("build/demo/policy.yaml")
	if err != nil {
		return err
	}
	text = bytes.Replace(text, []byte("version: 1,"), fmt.Appendf(nil, "version: %d,", version), 1)
	text = bytes.Replace(text, []byte("deadline: 100ms"), fmt.Appendf(nil, "deadline: %dms", 120-20*version), 1)
	text = append(text, sections...)
	source, built := f.path(fmt.Sprintf("v%d.yaml", version)), f.path(fmt.Sprintf("v%d.json", version))
	if err := os.WriteFile(source, text, 0o644); err != nil {
		return err
	}
	if _, err := f.run(ctx, "policy", "build", source, "--images", "dist/images", "--out", built); err != nil {
		return err
	}
	_, err = f.run(ctx, "policy", "sign", built, "--key", f.key("policy-1"), "--root", f.path("root.json"), "--out", f.signed(version))
	return err
}

// run runs a verb of the binary and returns what it printed.
func (f *fleet) run(ctx context.Context, words ...string) (string, error) {
	out, err := exec.CommandContext(ctx, f.binary, words...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("holdfast %s: %w: %s", strings.Join(words, " "), err, out)
	}
	return string(out), nil
}

// say runs a verb of the fleet and shows it with what it printed.
func (f *fleet) say(ctx context.Context, words ...string) error {
	begun := time.Now()
	fmt.Printf("  $ holdfast fleet %s\n", strings.Join(shorten(words, f.desk+"/"), " "))
	out, err := f.run(ctx, append([]string{"fleet"}, append(words, "--broker", "tcp://"+f.broker, "--site", siteName, "--keep", f.keep)...)...)
	for line := range strings.Lines(out) {
		fmt.Print("    ", line)
	}
	fmt.Printf("    (%v)\n", time.Since(begun).Round(time.Millisecond))
	return err
}

func shorten(words []string, prefix string) (short []string) {
	for _, word := range words {
		short = append(short, strings.TrimPrefix(word, prefix))
	}
	return short
}

// start starts a verb that stays.
func (f *fleet) start(log string, words ...string) error {
	file, err := os.Create(filepath.Join(filepath.Dir(f.desk), log))
	if err != nil {
		return err
	}
	defer file.Close()
	process := exec.Command(f.binary, words...)
	process.Stdout, process.Stderr = file, file
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := process.Start(); err != nil {
		return err
	}
	f.running = append(f.running, process)
	return nil
}
