package agent

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"holdfast/edge"
	"holdfast/edge/seal"
)

// NodeKeyName is the file of the node's private key in the state folder, by which it
// opens what a policy holds sealed.
const NodeKeyName = "node.key"

const (
	// secretsName is the folder of the node's own secrets in the state folder.
	secretsName = "secrets"
	// credentialPrefix is before the names of secrets among systemd's credentials.
	credentialPrefix = "secret-"
	// nodeKeyCredential is the node's private key among systemd's credentials.
	nodeKeyCredential = "node-key"
	// versionKeyName is the file of the key by which versions of secrets are told apart.
	versionKeyName = "secret-versions.key"
	versionKeySize = 32
	// maxNodeKey is far above the three lines of a key file.
	maxNodeKey = 4096
	// secretsEvery is how late a secret may be seen that was changed on the node. It
	// costs a look at as many small files as workloads name.
	secretsEvery = 5 * time.Second
)

// keychain finds the secrets that workloads name, and has instances replaced whose
// secrets changed: it passes on what should run with the version of each secret, a
// digest by a key of the node's own that tells nothing to others.
//
// A policy's own secret comes before the node's of the same name, also when it cannot
// be opened: another value in its place would be a silent mistake.
type keychain struct {
	state       string // the state folder
	credentials string // systemd's folder of credentials; empty: there is none
	policy      func() *edge.Policy
	apply       func([]edge.Workload)

	mu       sync.Mutex // guards what follows; held while small files of the node are read
	open     bool       // the state folder is ours
	key      []byte     // nil until a version is asked for
	versions map[string]string
	wanted   []edge.Workload // what should run, without versions
	waiting  bool            // it is passed on once the state folder is ours
	passed   []edge.Workload // what was applied last
}

// Desire says what should run.
func (k *keychain) Desire(workloads []edge.Workload) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted = slices.Clone(workloads)
	k.waiting = !k.open && slices.ContainsFunc(workloads, namesSecrets)
	k.passLocked()
}

func namesSecrets(w edge.Workload) bool { return len(w.Secrets) > 0 }

// Open lets the keychain use the state folder, and passes on what waited for that.
func (k *keychain) Open() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open = true
	if k.waiting {
		k.waiting = false
		k.passLocked()
	}
}

func (k *keychain) passLocked() {
	if k.waiting {
		return
	}
	k.passed = k.stampLocked(k.wanted)
	k.apply(k.passed)
}

// Run looks for secrets that changed until ctx ends.
func (k *keychain) Run(ctx context.Context) error {
	ticker := time.NewTicker(secretsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			k.Look()
		}
	}
}

// Look passes on what should run if a secret of it has changed.
func (k *keychain) Look() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.waiting || !slices.ContainsFunc(k.wanted, namesSecrets) {
		return
	}
	if now := k.stampLocked(k.wanted); !slices.EqualFunc(now, k.passed, sameVersions) {
		k.passed = now
		k.apply(now)
	}
}

func sameVersions(a, b edge.Workload) bool { return slices.Equal(a.Secrets, b.Secrets) }

// stampLocked gives each secret the version of its value. One that cannot be read now
// keeps the version it had: what runs was told it and is well.
func (k *keychain) stampLocked(workloads []edge.Workload) []edge.Workload {
	stamped := slices.Clone(workloads)
	for i, w := range stamped {
		stamped[i].Secrets = slices.Clone(w.Secrets)
		for j, secret := range w.Secrets {
			if value, err := k.find(secret.Name); err == nil {
				k.versions[secret.Name], _ = k.versionLocked(secret.Name, value) // without a key there are no versions, and Value says so
			}
			stamped[i].Secrets[j].Version = k.versions[secret.Name]
		}
	}
	return stamped
}

// versionLocked tells values of one secret apart.
func (k *keychain) versionLocked(name string, value []byte) (string, error) {
	if k.key == nil {
		key, err := keepKey(filepath.Join(k.state, versionKeyName))
		if err != nil {
			return "", err
		}
		k.key = key
	}
	sum := hmac.New(sha256.New, k.key)
	fmt.Fprintf(sum, "%d:%s", len(name), name)
	sum.Write(value)
	const enough = 16 // bytes; nobody looks for two values alike
	return hex.EncodeToString(sum.Sum(nil)[:enough]), nil
}

// keepKey reads a random key, which is made when there is none. Where it is lost
// instances with secrets are replaced once.
func keepKey(path string) ([]byte, error) {
	key, err := readRegular(path, versionKeySize)
	if err == nil && len(key) == versionKeySize {
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, edge.ErrInvalid) {
		return nil, fmt.Errorf("cannot read key of secrets' versions: %w", err)
	}
	key = make([]byte, versionKeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("cannot make key of secrets' versions: %w", err)
	}
	if err := replaceFile(path, key); err != nil {
		return nil, fmt.Errorf("cannot keep key of secrets' versions: %w", err)
	}
	return key, nil
}

// Value is what a secret holds. Where that is not of the version that was applied, the
// new one is applied, so that the instance that asks is replaced by one of that version.
func (k *keychain) Value(secret edge.Secret) ([]byte, error) {
	value, err := k.find(secret.Name)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	version, err := k.versionLocked(secret.Name, value)
	k.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if version != secret.Version {
		k.Look()
	}
	return value, nil
}

// find reads a secret from where it comes.
func (k *keychain) find(name string) ([]byte, error) {
	if !edge.IsName(name) {
		return nil, fmt.Errorf("it cannot be named so: %w", edge.ErrInvalid)
	}
	if sealed, held := k.policy().Sealed(name); held {
		return k.unseal(sealed)
	}
	if k.credentials != "" {
		value, err := readRegular(filepath.Join(k.credentials, credentialPrefix+name), edge.MaxSecret)
		if !errors.Is(err, fs.ErrNotExist) {
			return value, err
		}
	}
	path := filepath.Join(k.state, secretsName, name)
	value, err := readPrivate(path, edge.MaxSecret)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, edge.WithHint(fmt.Errorf("neither the policy nor the node has it: %w", edge.ErrNotFound),
			fmt.Sprintf("seal it into the policy with `holdfast policy seal %s`, or write it to %s, readable by root alone", name, path))
	}
	return value, err
}

// unseal opens a secret of the policy by the node's key.
func (k *keychain) unseal(sealed edge.SealedSecret) ([]byte, error) {
	text, err := k.nodeKey()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, edge.WithHint(fmt.Errorf("the policy holds it sealed, and this node has no key: %w", edge.ErrNotFound),
			"make one with `holdfast policy node-key`, and seal the secret for what that prints")
	}
	if err != nil {
		return nil, err
	}
	key, err := seal.ParseIdentity(text)
	if err != nil {
		return nil, fmt.Errorf("cannot use the key of this node: %w", err)
	}
	value, err := key.Open(sealed.Sealed)
	if err != nil {
		return nil, fmt.Errorf("cannot open what the policy holds: %w", err)
	}
	return value, nil
}

// nodeKey is systemd's credential, else the file in the state folder.
func (k *keychain) nodeKey() ([]byte, error) {
	if k.credentials != "" {
		text, err := readRegular(filepath.Join(k.credentials, nodeKeyCredential), maxNodeKey)
		if !errors.Is(err, fs.ErrNotExist) {
			return text, err
		}
	}
	return readPrivate(filepath.Join(k.state, NodeKeyName), maxNodeKey)
}

// readPrivate reads a file that only root may read, in a folder that nobody else may
// write to: what others read is no secret, and what others write is theirs. It is not
// empty, for an empty file is one that was not written yet.
func readPrivate(path string, most int64) ([]byte, error) {
	for _, place := range []struct {
		path string
		bits fs.FileMode
	}{{filepath.Dir(path), 0o022}, {path, 0o077}} {
		info, err := os.Stat(place.path)
		if err != nil {
			return nil, err
		}
		if open := info.Mode().Perm() & place.bits; open != 0 || !isOwn(info) {
			return nil, edge.WithHint(fmt.Errorf("others than root can reach %q (mode %04o): %w", place.path, info.Mode().Perm(), edge.ErrInvalid),
				"chown root:root, and chmod 700 the folder and 600 the file; if others had access, replace the secret")
		}
	}
	text, err := readRegular(path, most)
	if err == nil && len(text) == 0 {
		err = fmt.Errorf("%q is empty: %w", path, edge.ErrInvalid)
	}
	return text, err
}

// replaceFile writes a file for root alone, whole or not at all.
func replaceFile(path string, content []byte) error {
	draft, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = draft.Write(content)
	err = errors.Join(err, draft.Chmod(0o600), draft.Sync(), draft.Close())
	if err == nil {
		err = os.Rename(draft.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(draft.Name()))
	}
	return nil
}

// NodeKey gives the public key of the node whose state folder this is, and makes its
// private key when there is none. A key that is there is never written over.
func NodeKey(state string) (recipient string, made bool, err error) {
	path := filepath.Join(state, NodeKeyName)
	text, err := readPrivate(path, maxNodeKey)
	if errors.Is(err, fs.ErrNotExist) {
		made = true
		text, err = makeNodeKey(path)
	}
	if err != nil {
		return "", false, fmt.Errorf("cannot read node key: %w", err)
	}
	key, err := seal.ParseIdentity(bytes.TrimSpace(text))
	if err != nil {
		return "", false, fmt.Errorf("cannot read node key %q: %w", path, err)
	}
	return key.Recipient(), made, nil
}

// isOwn tells whether a file belongs to root, or to whoever runs the agent.
func isOwn(info fs.FileInfo) bool {
	owner, known := info.Sys().(*syscall.Stat_t)
	return known && (owner.Uid == 0 || int(owner.Uid) == os.Geteuid())
}

func makeNodeKey(path string) ([]byte, error) {
	key, err := seal.Generate()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = file.Write(key.Text())
	if err = cmp.Or(err, file.Sync()); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(path))
	}
	return key.Text(), file.Close()
}
