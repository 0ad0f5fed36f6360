package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"holdfast/build/packages/sbom"
	"holdfast/edge"
)

// The sample model has a version of its own, which its image's name ends with.
const (
	sampleImage   = "digits.oci.tar"
	sampleVersion = "1"
	sampleProgram = "/server"
	agentImage    = "holdfast.oci.tar"
	agentProgram  = "/usr/bin/holdfast"
	keyringFile   = "holdfast-gateway-keyring.pem"
)

// make makes a release: it has its name when it is whole, signed and checked.
func (o options) make(ctx context.Context, stdout io.Writer) (err error) {
	f, err := o.ready(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return fmt.Errorf("cannot make folder: %w", err)
	}
	half, err := os.MkdirTemp(o.out, ".half-")
	if err != nil {
		return fmt.Errorf("cannot make folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(half)) }()
	if o.trust, err = o.trust.orDeveloper(ctx, o.dist("gateway", "keys")); err != nil {
		return err
	}
	f.DeveloperSigned, f.DeveloperImages = o.trust.developer, o.trust.developer && len(f.Gateways) > 0
	if err := o.gather(ctx, f, half); err != nil {
		return err
	}
	if err := o.trust.sign(ctx, half, f); err != nil {
		return err
	}
	if err := (checking{folder: half, root: o.trust.root}).all(ctx); err != nil {
		return fmt.Errorf("what was made is no release: %w", err)
	}
	if err := errors.Join(os.Chmod(half, 0o755), os.Rename(half, o.folder())); err != nil {
		return fmt.Errorf("cannot keep release: %w", err)
	}
	return o.tell(f, stdout)
}

// gather takes what the other tools have made.
func (o options) gather(ctx context.Context, f facts, to string) error {
	names := map[string]string{"LICENSE": filepath.Join(o.checkout, "LICENSE")}
	for _, name := range []string{sampleImage, agentImage} {
		names[name] = o.dist("images", name)
	}
	packages, err := filepath.Glob(o.dist("packages", "holdfast*"))
	if err != nil {
		return err
	}
	for _, file := range packages {
		names[filepath.Base(file)] = file
	}
	for _, name := range f.Gateways {
		for _, file := range gatewayFiles(name, f.DeveloperImages) {
			names[file] = o.dist("gateway", file)
		}
		names[keyringFile] = o.trust.keyring
	}
	for name, from := range names {
		if err := copyFile(from, filepath.Join(to, name), 0o644); err != nil {
			return err
		}
	}
	for _, name := range f.Programs {
		if err := o.gatherProgram(ctx, f, name, to); err != nil {
			return err
		}
	}
	return nil
}

// gatewayFiles are those of one kind of gateway. Who has the key signs bundles elsewhere.
func gatewayFiles(name string, bundle bool) []string {
	stem := "holdfast-gateway-" + name
	files := []string{stem + ".img.sha256"}
	for _, end := range []string{".img.zst", ".squashfs", ".cdx.json"} {
		files = append(files, stem+end, stem+end+".sha256")
	}
	if bundle {
		files = append(files, stem+".raucb")
	}
	return files
}

// gatherProgram takes the agent for one kind of machine, and writes under which terms its
// modules may be handed on, and what the sample model's server is made of.
func (o options) gatherProgram(ctx context.Context, f facts, name, to string) error {
	m, err := machineOf(name)
	if err != nil {
		return err
	}
	program := filepath.Join(to, m.program())
	if err := copyFile(o.dist(m.program()), program, 0o755); err != nil {
		return err
	}
	cache, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE").Output()
	if err != nil {
		return fmt.Errorf("cannot find Go's module cache: %w", err)
	}
	modules := strings.TrimSpace(string(cache))
	terms, err := sbom.Terms(program, modules)
	if err != nil {
		return err
	}
	doc, err := sbom.Describe(sbom.Options{
		Program: o.dist("images", "server-"+name), Version: sampleVersion, At: time.Unix(f.Epoch, 0), Cache: modules, License: "Apache-2.0",
	})
	if err != nil {
		return err
	}
	doc.Metadata.Component.Name = "digits"
	text, err := doc.Encode()
	if err != nil {
		return err
	}
	return errors.Join(put(filepath.Join(to, termsFile(name)), []byte(terms)), put(filepath.Join(to, sampleBill(name)), text))
}

func termsFile(name string) string  { return "third-party_" + name + ".txt" }
func sampleBill(name string) string { return "digits_" + sampleVersion + "_" + name + ".cdx.json" }

func copyFile(from, to string, mode os.FileMode) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return edge.WithHint(fmt.Errorf("cannot gather: %w", err), "make release builds it")
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("cannot gather: %w", err)
	}
	_, err = io.Copy(target, source)
	if err := errors.Join(err, target.Close(), os.Chmod(to, mode)); err != nil {
		return fmt.Errorf("cannot gather %q: %w", from, err)
	}
	return nil
}
