package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"holdfast/build/rootfs"
	"holdfast/edge"
	"holdfast/edge/cli"
)

// notice is shown at every start of a gateway that anybody with this checkout's dist could
// command.
const notice = "gateway: this image trusts a developer's keys, made with it. It is not for production.\n"

// trusted is what a gateway believes when it leaves the factory.
type trusted struct {
	root, policy string // files
	keyring      string // of whole systems
	developer    bool
}

// trust takes what was given, or makes a developer's keys, once.
func (p *place) trust(ctx context.Context, o options) (trusted, error) {
	if o.rootDocument != "" || o.policy != "" {
		if o.rootDocument == "" || o.policy == "" || o.keyring == "" {
			return trusted{}, fmt.Errorf("cannot make image: -root-document, -factory-policy and -keyring belong together: %w", edge.ErrInvalid)
		}
		return trusted{root: o.rootDocument, policy: o.policy, keyring: o.keyring}, nil
	}
	keys := filepath.Join(p.out, "keys")
	if _, err := os.Stat(filepath.Join(keys, "root.json")); errors.Is(err, fs.ErrNotExist) {
		if err := holdfast(ctx, "policy", "init", keys); err != nil {
			return trusted{}, err
		}
	}
	t := trusted{
		root: filepath.Join(keys, "root.json"), policy: p.path("factory-policy.json"),
		keyring: filepath.Join(keys, "system.pem"), developer: true,
	}
	if err := p.sign(ctx, o, keys, t); err != nil {
		return trusted{}, err
	}
	return t, p.certify(ctx, keys)
}

// sign makes the factory policy: with the same keys it is the same one, byte for byte.
func (p *place) sign(ctx context.Context, o options, keys string, t trusted) error {
	text, err := files.ReadFile("files/policy.yaml")
	if err != nil {
		return err
	}
	source, built := p.path("policy.yaml"), p.path("policy.json")
	if err := rootfs.Write(source, text, 0o644); err != nil {
		return err
	}
	return errors.Join(
		holdfast(ctx, "policy", "build", source, "--images", o.images, "--out", built),
		holdfast(ctx, "policy", "sign", built, "--key", filepath.Join(keys, "keys/policy-1.key"), "--root", t.root, "--out", t.policy),
	)
}

// certify makes the developer's certificate for whole systems, once.
func (p *place) certify(ctx context.Context, keys string) error {
	if _, err := os.Stat(filepath.Join(keys, "system.pem")); err == nil {
		return nil
	}
	key, certificate, err := newCertificate(rand.Reader)
	if err != nil {
		return err
	}
	return errors.Join(
		rootfs.Write(filepath.Join(keys, "keys/system.key"), key, 0o600),
		rootfs.Write(filepath.Join(keys, "system.pem"), certificate, 0o644),
		ctx.Err(),
	)
}

// holdfast runs a verb of the program in here.
func holdfast(ctx context.Context, args ...string) error {
	var said bytes.Buffer
	if code := cli.Main(ctx, cli.Process{Args: args, Stdout: &said, Stderr: &said}); code != cli.ExitOK {
		return fmt.Errorf("cannot run holdfast %s: %s", args, &said)
	}
	return nil
}

// putFactory puts what the gateway trusts, and its first model, where the data begins from.
func (p *place) putFactory(ctx context.Context, stage string, o options) error {
	t, err := p.trust(ctx, o)
	if err != nil {
		return err
	}
	for name, from := range map[string]string{
		seed + "/etc/holdfast/trust/root.json":       t.root,
		seed + "/etc/holdfast/factory-policy.json":   t.policy,
		seed + "/lib/holdfast/images/digits.oci.tar": filepath.Join(o.images, "digits.oci.tar"),
		"etc/rauc/keyring.pem":                       t.keyring,
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("cannot put %q: %w", name, err)
		}
		if err := rootfs.Write(filepath.Join(stage, name), text, 0o644); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(stage, seed, "lib/holdfast"), 0o750); err != nil || !t.developer {
		return err
	}
	fmt.Printf("gateway: it trusts the developer's keys in %s: not for production\n", filepath.Join(p.out, "keys"))
	return rootfs.Write(filepath.Join(stage, "usr/share/gateway/notice"), []byte(notice), 0o644)
}
