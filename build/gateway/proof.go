package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/build/rootfs"
	"holdfast/edge"
)

// proofOptions are the arguments of a proof.
type proofOptions struct {
	accel   string
	cuts    int
	seed    uint64
	verbose bool
	update  string
	control string
	disk    string
	within  time.Duration
	fleet   bool
	trial   time.Duration
	inside  string
	tests   string
	idle    time.Duration
}

func (o *proofOptions) flags(flags *flag.FlagSet) {
	flags.StringVar(&o.accel, "accel", "tcg", "what runs the machine's processors, as QEMU calls it: tcg, or kvm, which is faster where it works")
	flags.IntVar(&o.cuts, "cuts", 10, "how many times the power is cut in the middle of work")
	flags.BoolVar(&o.verbose, "v", false, "print everything that the gateway tells")
	flags.Uint64Var(&o.seed, "seed", 1, "of the moments at which it is")
	flags.StringVar(&o.update, "update", "", "instead of cutting the power, have holdfast install another system: good, which has to stay, or bad, which cannot be started: the former has to come back")
	flags.StringVar(&o.control, "control", "", "prove that this is found: agent (it does not start) or policy (there is none)")
	flags.StringVar(&o.disk, "disk", "", "a disk that was flashed, to be started in the place of the image; a copy is")
	flags.BoolVar(&o.fleet, "fleet", false, "instead of cutting the power, connect it to a fleet, and have that update the agent to a good and to a broken version")
	flags.DurationVar(&o.trial, "trial", 0, "how long a version is on trial there (default: as the gateway was shipped)")
	flags.StringVar(&o.inside, "inside", "", "instead of cutting the power, run tests on the gateway: service, driver, or both with a comma between")
	flags.StringVar(&o.tests, "tests", "", "only the tests whose names match, of those")
	flags.DurationVar(&o.idle, "idle", 0, "leave the gateway alone for so long and tell what it writes; before those tests, if there are any")
	flags.DurationVar(&o.within, "within", 30*time.Minute, "how long a start may take before it has failed")
}

// prove starts a copy of the image, again and again.
func (p *place) prove(ctx context.Context, o options) error {
	if o.proof.fleet {
		return p.proveFleet(ctx, o)
	}
	if o.proof.inside != "" || o.proof.idle > 0 {
		return p.proveInside(ctx, o)
	}
	disk := p.path("proof.img")
	defer os.Remove(disk)
	if err := p.arm(ctx, o, disk); err != nil {
		return err
	}
	m, err := p.ready(o, disk)
	if err != nil {
		return err
	}
	if o.proof.control != "" {
		return p.wantFound(ctx, o, m)
	}
	first, err := m.start(ctx, o, (*seen).over)
	if err != nil {
		return err
	}
	if o.proof.update != "" {
		return errors.Join(first.check(nil, p.name, systemAfter(o.proof.update)), first.judgeUpdate(p.name, o.proof.update))
	}
	if err := first.check(nil, p.name, "A"); err != nil {
		return err
	}
	first.print(os.Stdout)
	return m.cuts(ctx, o, first)
}

// ready is a machine with a disk, whose firmware has not written down anything yet.
func (p *place) ready(o options, disk string) (machine, error) {
	m := p.machine(o, disk)
	if err := os.Remove(m.console); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	vars, err := os.ReadFile(strings.Replace(m.firmware[0], "_CODE", "_VARS", 1))
	if err != nil {
		return m, edge.WithHint(fmt.Errorf("cannot read firmware: %w", err), "run build/provision/provision.sh --only "+group)
	}
	return m, rootfs.Write(m.firmware[1], vars, 0o644)
}

// start switches the machine on until enough was seen.
func (m machine) start(ctx context.Context, o options, enough func(*seen) bool) (*seen, error) {
	ctx, cancel := context.WithTimeout(ctx, o.proof.within)
	defer cancel()
	s := &seen{}
	err := m.on(ctx, func(t told) (bool, error) {
		if o.proof.verbose {
			t.print()
		}
		if err := s.add(t); err != nil {
			return false, err
		}
		return enough(s), nil
	})
	return s, err
}

// cuts cuts the power at moments that follow from the seed: every third one while the machine
// still starts, the others in the middle of work. After each the same gateway has to come back.
func (m machine) cuts(ctx context.Context, o options, first *seen) error {
	random := rand.New(rand.NewPCG(o.proof.seed, 0))
	for n := 1; n <= o.proof.cuts; n++ {
		work, early := 1+random.IntN(12), n%3 == 0
		cut, err := m.start(ctx, o, func(s *seen) bool { return early && s.ready > 0 || s.work >= work })
		if err != nil {
			return fmt.Errorf("cannot start after %d power cuts: %w", n-1, err)
		}
		when := fmt.Sprintf("in task %d", work)
		if early {
			when = "as it became ready"
		}
		fmt.Printf("gateway: power cut %d %s, %.1f s after power-on\n", n, when, cut.last.on.Seconds())
	}
	back, err := m.start(ctx, o, (*seen).over)
	if err != nil {
		return fmt.Errorf("cannot start after %d power cuts: %w", o.proof.cuts, err)
	}
	if err := back.check(first, m.name, "A"); err != nil {
		return fmt.Errorf("after %d power cuts: %w", o.proof.cuts, err)
	}
	back.print(os.Stdout)
	fmt.Printf("gateway: %s: it came back after each of %d power cuts, as the same, with the policy it had last\n", m.name, o.proof.cuts)
	return nil
}

// proofSize is the size of the proof's disk, in bytes, and grown what the data has at least
// to have of it, in KiB.
const (
	proofSize = 4 << 30
	grown     = 2 << 20
)

// arm makes the disk of the proof: the image, and on its boot partition what tells.
func (p *place) arm(ctx context.Context, o options, disk string) error {
	if err := p.copied(ctx, o, disk); err != nil {
		return err
	}
	folder := p.path("armed")
	defer os.RemoveAll(folder)
	if err := errors.Join(
		p.scripts(folder, "cuts"),
		p.second(ctx, o, filepath.Join(folder, "proof/policy.json")),
	); err != nil {
		return err
	}
	if err := p.armUpdate(ctx, o.proof.update, filepath.Join(folder, "proof/update.raucb")); err != nil {
		return err
	}
	words := p.proofWords()
	if o.proof.control == "agent" {
		words += " systemd.mask=holdfast.service"
	}
	if o.proof.control == "policy" {
		if err := p.ungovern(ctx, disk, o); err != nil {
			return err
		}
	}
	return p.tell(ctx, disk, folder, words)
}

// scripts puts into a folder what tells, and what follows once the gateway serves.
func (p *place) scripts(folder, then string) error {
	first, err := files.ReadFile("files/proof/proof.sh")
	if err != nil {
		return err
	}
	second, err := files.ReadFile("files/proof/" + then + ".sh")
	if err != nil {
		return err
	}
	task, err := os.ReadFile(filepath.Join(p.root, "testdata/digits/7.json"))
	if err != nil {
		return err
	}
	return errors.Join(
		rootfs.Write(filepath.Join(folder, "proof/proof.sh"), first, 0o644),
		rootfs.Write(filepath.Join(folder, "proof/then.sh"), second, 0o644),
		rootfs.Write(filepath.Join(folder, "proof/7.json"), task, 0o644),
	)
}

// ungovern gives a disk data that was begun without a factory policy.
func (p *place) ungovern(ctx context.Context, disk string, o options) error {
	folder := p.path("ungoverned")
	defer os.RemoveAll(folder)
	system := p.squashed()
	if err := rootfs.Complete(rootfs.Command(ctx, "unsquashfs", "-q", "-n", "-f", "-d", folder, system, seed), group); err != nil {
		return err
	}
	begun := filepath.Join(folder, seed)
	if err := errors.Join(os.Remove(filepath.Join(begun, "etc/holdfast/factory-policy.json")), rootfs.Write(filepath.Join(begun, ".seeded"), nil, 0o644)); err != nil {
		return err
	}
	image, err := p.dataOf(ctx, o, begun)
	if err != nil {
		return err
	}
	return p.disk(ctx, disk, p.parts(p.path("boot.img"), system, image))
}

// tell puts a folder onto the boot partition of a disk, and words into the loader's script.
func (p *place) tell(ctx context.Context, disk, folder, words string) error {
	at := fmt.Sprintf("%s@@%dM", disk, firstAt)
	old := filepath.Join(folder, "old.cfg")
	if err := mtools(ctx, "mcopy", "-n", "-i", at, "::/grub/grub.cfg", old); err != nil {
		return err
	}
	script, err := os.ReadFile(old)
	if err != nil {
		return err
	}
	const before = " rauc.slot=$one ro "
	if !bytes.Contains(script, []byte(before)) {
		return fmt.Errorf("cannot find where the loader says %q: %w", before, edge.ErrInvalid)
	}
	armed := filepath.Join(folder, "grub.cfg")
	if err := rootfs.Write(armed, bytes.ReplaceAll(script, []byte(before), []byte(before+words+" ")), 0o644); err != nil {
		return err
	}
	return errors.Join(
		mtools(ctx, "mcopy", "-o", "-i", at, armed, "::/grub/grub.cfg"),
		mtools(ctx, "mcopy", "-o", "-s", "-i", at, filepath.Join(folder, "proof"), "::/"),
	)
}

// mtools runs one of the programs that read and write such a partition without mounting it.
func mtools(ctx context.Context, name string, args ...string) error {
	cmd := rootfs.Command(ctx, name, args...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
	return rootfs.Complete(cmd, group)
}

// second makes the next version of the factory policy, which the gateway is given while it
// runs: after that, coming back with the first one would be losing something.
func (p *place) second(ctx context.Context, o options, to string) error {
	t, err := p.trust(ctx, o)
	if err != nil {
		return err
	}
	if !t.developer {
		return edge.WithHint(fmt.Errorf("cannot prove an image of others' keys: %w", edge.ErrInvalid), "the proof signs a policy itself")
	}
	source, err := files.ReadFile("files/policy.yaml")
	if err != nil {
		return err
	}
	next := strings.Replace(string(source), "version: 1", "version: 2", 1)
	yaml, built := p.path("second.yaml"), p.path("second.json")
	return errors.Join(
		rootfs.Write(yaml, []byte(next), 0o644),
		holdfast(ctx, "policy", "build", yaml, "--images", o.images, "--out", built),
		holdfast(ctx, "policy", "sign", built, "--key", filepath.Join(p.out, "keys/keys/policy-1.key"), "--root", t.root, "--out", to),
	)
}

// wantFound wants what is wrong with the machine to be found, and by the right name.
func (p *place) wantFound(ctx context.Context, o options, m machine) error {
	want := map[string]string{"agent": errAbsent.Error(), "policy": "in force, want factory"}[o.proof.control]
	if want == "" {
		return fmt.Errorf("cannot prove control %q: it is none of agent, policy: %w", o.proof.control, edge.ErrInvalid)
	}
	s, err := m.start(ctx, o, (*seen).over)
	if err == nil {
		err = s.check(nil, m.name, "A")
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		return fmt.Errorf("got %w of a machine that cannot serve, want %q: the proof sees nothing", err, want)
	}
	fmt.Printf("gateway: that was found, as it must be: %s\n", want)
	return nil
}

// decode reads JSON that a program of the gateway has printed.
func decode[T any](text string) (T, error) {
	var value T
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return value, fmt.Errorf("cannot read %.200q: %w", text, err)
	}
	return value, nil
}
