package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/build/packages/stamp"
	"holdfast/build/release/artefact"
	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/trust"
)

// errDiffers is a file that is not of this release.
var errDiffers = errors.New("is not of this release")

// checking is a release that is held against itself, and whom it has to be signed by.
type checking struct {
	folder, root string
	facts
	stamp    stamp.Version
	programs map[string]string // the sum of the agent for each kind of machine
}

// check holds a release against itself, and says who signed it.
func (o options) check(ctx context.Context, folder string, stdout io.Writer) error {
	c := checking{folder: folder, root: o.trust.root}
	if c.root == "" {
		c.root = filepath.Join(folder, rootFile)
	}
	if err := c.all(ctx); err != nil {
		return err
	}
	f, err := readFacts(folder)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: release %s, sequence %d, of commit %s: every file says the same, and %s names who signed\n", folder, f.Version, f.Sequence, f.Commit, c.root)
	if o.trust.root == "" {
		fmt.Fprintf(stdout, "  that root document came with it: give -root with one that you have from elsewhere\n")
	}
	f.warn(stdout)
	return nil
}

// all finds everything that is wrong. What was not signed is not looked into.
func (c checking) all(ctx context.Context) (err error) {
	if err := c.signed(); err != nil {
		return err
	}
	if c.facts, err = readFacts(c.folder); err != nil {
		return err
	}
	if c.stamp, err = c.stamped(); err != nil {
		return err
	}
	c.programs = map[string]string{}
	found := c.complete()
	for _, name := range c.Programs {
		m, err := machineOf(name)
		found = errors.Join(found, err, c.program(ctx, m), c.packages(ctx, m))
	}
	found = errors.Join(found, c.document(ctx), c.image(agentImage, agentProgram, c.Version), c.sample())
	for _, name := range c.Gateways {
		found = errors.Join(found, c.gateway(ctx, name))
	}
	return found
}

func (c checking) path(name string) string { return filepath.Join(c.folder, name) }

// signed holds the sums against their signature and the files against the sums.
func (c checking) signed() error {
	root, err := fleet.ReadRoot(c.root)
	if err != nil {
		return err
	}
	sums, err := os.ReadFile(c.path(sumsFile))
	if err != nil {
		return fmt.Errorf("cannot read sums: %w", err)
	}
	signature, err := os.ReadFile(c.path(signatureFile))
	if err != nil {
		return fmt.Errorf("cannot read signature: %w", err)
	}
	public, err := os.ReadFile(c.path(publicFile))
	if err != nil {
		return fmt.Errorf("cannot read public key: %w", err)
	}
	key, err := trust.DecodePublicKey(public)
	if err != nil {
		return fmt.Errorf("%s: %w", publicFile, err)
	}
	if !slices.Contains(root.Roles[trust.RoleRelease].KeyIDs, key.ID) || !ed25519.Verify(key.Public, sums, signature) {
		return fmt.Errorf("%s: %q names nobody for releases who signed it: %w", sumsFile, c.root, errDiffers)
	}
	are, err := sumsOf(c.folder)
	if err != nil {
		return err
	}
	if !bytes.Equal(are, sums) {
		return fmt.Errorf("%s differs from what lies beside it: %w:\n%s", sumsFile, errDiffers, strings.Join(differing(sums, are), "\n"))
	}
	return nil
}

// differing are the lines that only one of two texts has.
func differing(one, two []byte) (lines []string) {
	have := map[string]int{}
	for line := range strings.Lines(string(one)) {
		have[strings.TrimSpace(line)]++
	}
	for line := range strings.Lines(string(two)) {
		have[strings.TrimSpace(line)]--
	}
	for line, count := range have {
		if count != 0 {
			lines = append(lines, "  "+line)
		}
	}
	slices.Sort(lines)
	return lines
}

// complete finds files that are missing, and ones that nobody expects.
func (c checking) complete() error {
	want := []string{
		factsFile, sumsFile, signatureFile, publicFile, rootFile, edge.ReleaseFile, agentImage, sampleImage, "LICENSE",
	}
	for _, name := range c.Programs {
		want = append(want, edge.ArtifactFile("linux/"+name), termsFile(name), sampleBill(name))
		for _, file := range c.packageNames(name) {
			want = append(want, file)
		}
	}
	for _, name := range c.Gateways {
		want = append(want, gatewayFiles(name, c.DeveloperImages)...)
	}
	if len(c.Gateways) > 0 {
		want = append(want, keyringFile)
	}
	entries, err := os.ReadDir(c.folder)
	for _, entry := range entries {
		at := slices.Index(want, entry.Name())
		if at < 0 {
			err = errors.Join(err, fmt.Errorf("%s: nobody expects it: %w", entry.Name(), errDiffers))
			continue
		}
		want = slices.Delete(want, at, at+1)
	}
	for _, name := range want {
		err = errors.Join(err, fmt.Errorf("%s: it is missing", name))
	}
	return err
}

// same is an error where a file says something else than it has to.
func same(file, what, said, want string) error {
	if said == want {
		return nil
	}
	return fmt.Errorf("%s: its %s is %q, want %q: %w", file, what, said, want, errDiffers)
}

// holds compares what a file says of itself.
func (c checking) holds(file string, said artefact.Said, err error, want artefact.Said) error {
	if err != nil {
		return err
	}
	return errors.Join(
		same(file, "version", said.Version, want.Version),
		same(file, "architecture", said.Arch, want.Arch),
		same(file, "program", said.Program, want.Program),
	)
}

// program starts the agent.
func (c checking) program(ctx context.Context, m machine) error {
	file := m.program()
	said, err := artefact.Program(ctx, c.path(file), m.goarch)
	c.programs[m.name] = said.Program
	return c.holds(file, said, err, artefact.Said{Version: c.Version, Arch: "linux/" + m.goarch, Program: said.Program})
}

// packageNames are those that nfpm gives, by kind.
func (c checking) packageNames(name string) map[string]string {
	m, err := machineOf(name)
	if err != nil {
		return nil
	}
	return map[string]string{
		"deb":  "holdfast_" + c.stamp.Plain + "_" + m.deb + ".deb",
		"rpm":  "holdfast-" + c.stamp.Plain + "-1." + m.rpm + ".rpm",
		"apk":  "holdfast_" + c.stamp.Apk + "-r0_" + m.apk + ".apk",
		"bill": "holdfast_" + c.stamp.Plain + "_" + m.name + ".cdx.json",
	}
}

// packages hold the program that lies beside them.
func (c checking) packages(ctx context.Context, m machine) error {
	files, program := c.packageNames(m.name), c.programs[m.name]
	deb, debErr := artefact.Deb(ctx, c.path(files["deb"]))
	rpm, rpmErr := artefact.RPM(c.path(files["rpm"]))
	apk, apkErr := artefact.Apk(c.path(files["apk"]))
	bill, billErr := artefact.Bill(c.path(files["bill"]))
	return errors.Join(
		c.holds(files["deb"], deb, debErr, artefact.Said{Version: c.stamp.Plain, Arch: m.deb, Program: program}),
		c.holds(files["rpm"], rpm, rpmErr, artefact.Said{Version: c.stamp.Plain, Arch: m.rpm, Program: program}),
		c.holds(files["apk"], apk, apkErr, artefact.Said{Version: c.stamp.Apk + "-r0", Arch: m.apk, Program: program}),
		c.holds(files["bill"], bill, billErr, artefact.Said{Version: c.stamp.Plain, Program: program}),
	)
}

// document is what `holdfast update` reads, judged by the verb an operator would use.
func (c checking) document(ctx context.Context) error {
	out, err := heard(ctx, "release", "verify", c.folder, "--root", c.root, "-o", "json")
	if err != nil {
		return err
	}
	var verdict struct {
		Version            string
		Sequence           uint64
		Platforms, Missing []string
	}
	if err := json.Unmarshal(out, &verdict); err != nil {
		return fmt.Errorf("cannot read verdict: %w", err)
	}
	platforms := make([]string, 0, len(c.Programs))
	for _, name := range c.Programs {
		platforms = append(platforms, "linux/"+name)
	}
	slices.Sort(platforms)
	return errors.Join(
		same(edge.ReleaseFile, "version", verdict.Version, c.Version),
		same(edge.ReleaseFile, "sequence", fmt.Sprint(verdict.Sequence), fmt.Sprint(c.Sequence)),
		same(edge.ReleaseFile, "platforms", strings.Join(verdict.Platforms, " "), strings.Join(platforms, " ")),
		same(edge.ReleaseFile, "absent platforms", strings.Join(verdict.Missing, " "), ""),
	)
}
