package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/build/release/artefact"
	"holdfast/edge"
	"holdfast/edge/cli"
	"holdfast/edge/fleet"
	"holdfast/edge/trust"
)

// The names of what is signed, and of what it is verified by. Who has them from the same
// place as the files has no proof of anything but that nothing broke on the way.
const (
	sumsFile      = "SHA256SUMS"
	signatureFile = "SHA256SUMS.sig"
	publicFile    = "release.pem"
	rootFile      = "root.json"
)

// trusted is whose keys sign, and whom the gateways trust.
type trusted struct {
	keys      []string // files of private keys of the role release
	root      string
	policy    string
	keyring   string
	developer bool
}

// check finds keys that do not belong together.
func (t trusted) check(gateways bool) error {
	switch {
	case len(t.keys) == 0 && (t.root != "" || t.policy != "" || t.keyring != ""):
		return edge.WithHint(fmt.Errorf("cannot release: nodes would trust given documents, and nobody would sign for them: %w", edge.ErrInvalid),
			"give KEY too: a private key of the role release")
	case len(t.keys) > 0 && t.root == "":
		return edge.WithHint(fmt.Errorf("cannot release: KEY is given without ROOT: %w", edge.ErrInvalid), "give the root document that names the key")
	case len(t.keys) > 0 && gateways && (t.policy == "" || t.keyring == ""):
		return edge.WithHint(fmt.Errorf("cannot release: gateways' images would trust a developer's keys: %w", edge.ErrInvalid),
			"give FACTORY_POLICY and KEYRING, or IMAGES= for none")
	case len(t.keys) == 0:
		return nil
	}
	_, err := t.first()
	return err
}

// first is the key that signs the sums, which the root document has to name.
func (t trusted) first() (ed25519.PrivateKey, error) {
	root, err := fleet.ReadRoot(t.root)
	if err != nil {
		return nil, err
	}
	private, err := fleet.ReadPrivateKey(t.keys[0])
	if err != nil {
		return nil, err
	}
	key, err := trust.KeyOf(private)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(root.Roles[trust.RoleRelease].KeyIDs, key.ID) {
		return nil, fmt.Errorf("cannot sign with %q: %q does not name it for releases: %w", t.keys[0], t.root, edge.ErrInvalid)
	}
	return private, nil
}

// orDeveloper takes what was given, or a developer's keys, made once: those that `make image`
// gives gateways to trust.
func (t trusted) orDeveloper(ctx context.Context, keys string) (trusted, error) {
	if len(t.keys) > 0 {
		return t, nil
	}
	if _, err := os.Stat(filepath.Join(keys, rootFile)); errors.Is(err, fs.ErrNotExist) {
		if err := holdfast(ctx, "policy", "init", keys); err != nil {
			return t, err
		}
	}
	return trusted{
		keys: []string{filepath.Join(keys, "keys", "release-1.key")}, root: filepath.Join(keys, rootFile),
		keyring: filepath.Join(keys, "system.pem"), developer: true,
	}, nil
}

// sign writes the release that nodes take, the facts, the sums of all and their signature.
func (t trusted) sign(ctx context.Context, folder string, f facts) error {
	private, err := t.first()
	if err != nil {
		return err
	}
	key, err := trust.KeyOf(private)
	if err != nil {
		return err
	}
	public, err := trust.EncodePublicKey(key)
	if err != nil {
		return err
	}
	root, err := os.ReadFile(t.root)
	if err != nil {
		return fmt.Errorf("cannot read root document: %w", err)
	}
	if err := errors.Join(f.write(folder), put(filepath.Join(folder, publicFile), public), put(filepath.Join(folder, rootFile), root)); err != nil {
		return err
	}
	if err := t.signDocument(ctx, folder, f); err != nil {
		return err
	}
	sums, err := sumsOf(folder)
	if err != nil {
		return err
	}
	return errors.Join(
		put(filepath.Join(folder, sumsFile), sums),
		put(filepath.Join(folder, signatureFile), ed25519.Sign(private, sums)),
	)
}

// signDocument writes what `holdfast update` reads, as an operator would.
func (t trusted) signDocument(ctx context.Context, folder string, f facts) error {
	document := filepath.Join(folder, edge.ReleaseFile)
	_, payload, err := fleet.BuildRelease(folder, fleet.ReleaseWords{Version: f.Version, Sequence: f.Sequence, Replaces: f.Replaces, Notes: f.Notes})
	if err != nil {
		return err
	}
	if err := put(document, append(payload, '\n')); err != nil {
		return err
	}
	words := []string{"release", "sign", document, "--root", t.root, "--out", document}
	for _, key := range t.keys {
		words = append(words, "--key", key)
	}
	return errors.Join(holdfast(ctx, words...), os.Chmod(document, 0o644))
}

// signAnew signs a release that somebody else has built: nothing of it may have changed since.
func (o options) signAnew(ctx context.Context, folder string, stdout io.Writer) error {
	if len(o.trust.keys) == 0 || o.trust.root == "" {
		return fmt.Errorf("cannot sign: -key and -root are needed: %w", edge.ErrInvalid)
	}
	if err := (checking{folder: folder, root: filepath.Join(folder, rootFile)}).all(ctx); err != nil {
		return fmt.Errorf("cannot sign what is no release: %w", err)
	}
	f, err := readFacts(folder)
	if err != nil {
		return err
	}
	f.DeveloperSigned = false
	if err := o.trust.sign(ctx, folder, f); err != nil {
		return err
	}
	return o.check(ctx, folder, stdout)
}

// sumsOf are the sums of all files of a release but themselves, as sha256sum writes them.
func sumsOf(folder string) ([]byte, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("cannot sum: %w", err)
	}
	var sums bytes.Buffer
	for _, entry := range entries {
		if entry.Name() == sumsFile || entry.Name() == signatureFile {
			continue
		}
		if !entry.Type().IsRegular() {
			return nil, fmt.Errorf("cannot sum %q: it is no regular file: %w", entry.Name(), edge.ErrInvalid)
		}
		sum, err := artefact.Sum(filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, entry.Name())
	}
	return sums.Bytes(), nil
}

// holdfast runs a verb of the program in here.
func holdfast(ctx context.Context, args ...string) error {
	_, err := heard(ctx, args...)
	return err
}

// heard is what it prints.
func heard(ctx context.Context, args ...string) ([]byte, error) {
	var said, complaints bytes.Buffer
	if code := cli.Main(ctx, cli.Process{Args: args, Stdout: &said, Stderr: &complaints}); code != cli.ExitOK {
		return nil, fmt.Errorf("cannot run holdfast %s: %s", strings.Join(args, " "), strings.TrimSpace(complaints.String()))
	}
	return said.Bytes(), nil
}
