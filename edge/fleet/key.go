package fleet

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"holdfast/edge"
	"holdfast/edge/trust"
)

const (
	// PublicSuffix is added to the name of a private key's file.
	PublicSuffix = ".pub"
	// maxKeyFile is far above the 119 bytes of a private key in PEM.
	maxKeyFile = 16 << 10
)

// Keygen writes a new private key that only its owner can read, and beside it the
// public key under the same name with PublicSuffix. It never writes over a file. The
// private key is not encrypted. random is crypto/rand's Reader but in tests.
func Keygen(path string, random io.Reader) (trust.Key, error) {
	private, err := trust.GenerateKey(random)
	if err != nil {
		return trust.Key{}, err
	}
	key, err := trust.KeyOf(private)
	if err != nil {
		return trust.Key{}, err
	}
	secret, err := trust.EncodePrivateKey(private)
	if err != nil {
		return trust.Key{}, err
	}
	public, err := trust.EncodePublicKey(key)
	if err != nil {
		return trust.Key{}, err
	}
	if err := create(path, secret, 0o600); err != nil {
		return trust.Key{}, err
	}
	if err := create(path+PublicSuffix, public, 0o644); err != nil {
		return trust.Key{}, errors.Join(err, os.Remove(path)) // nobody has seen it yet
	}
	return key, nil
}

// create writes a file that was not there, and flushes it: a key that is lost is a
// fleet that is lost.
func create(path string, content []byte, mode fs.FileMode) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return edge.WithHint(fmt.Errorf("cannot write %q: %w", path, edge.ErrExists), "choose another name; nothing is written over")
	}
	if err != nil {
		return fmt.Errorf("cannot write file: %w", err)
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			os.Remove(path)
		}
	}()
	if _, err := file.Write(content); err != nil {
		return fmt.Errorf("cannot write file: %w", err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("cannot write file: %w", err)
	}
	return nil
}

// Write puts a document into a file, over an older one, whole or not at all.
func Write(path string, content []byte) error {
	draft, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("cannot write document: %w", err)
	}
	_, err = draft.Write(content)
	err = errors.Join(err, draft.Chmod(0o644), draft.Sync(), draft.Close())
	if err == nil {
		err = os.Rename(draft.Name(), path)
	}
	if err != nil {
		os.Remove(draft.Name())
		return fmt.Errorf("cannot write document %q: %w", path, err)
	}
	return nil
}

// ReadPrivateKey reads a key to sign with. One that others can read is refused, as it
// may be theirs by now.
func ReadPrivateKey(path string) (ed25519.PrivateKey, error) {
	content, err := readFile(path, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read private key: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read private key: %w", err)
	}
	if open := info.Mode().Perm() & 0o077; open != 0 && isPrivate(content) {
		return nil, edge.WithHint(fmt.Errorf("cannot use private key %q: others can read it (mode %04o): %w", path, info.Mode().Perm(), edge.ErrInvalid),
			"chmod 600 "+path+"; if others had access, replace the key")
	}
	key, err := trust.DecodePrivateKey(content)
	if err != nil {
		return nil, edge.WithHint(fmt.Errorf("cannot use private key %q: %w", path, err), "make one with: holdfast policy keygen FILE")
	}
	return key, nil
}

// ReadPublicKey reads a public key.
func ReadPublicKey(path string) (trust.Key, error) {
	content, err := readFile(path, maxKeyFile)
	if err != nil {
		return trust.Key{}, fmt.Errorf("cannot read public key: %w", err)
	}
	if isPrivate(content) {
		return trust.Key{}, edge.WithHint(fmt.Errorf("cannot read public key %q: it is a private key: %w", path, edge.ErrInvalid),
			"name "+path+PublicSuffix)
	}
	key, err := trust.DecodePublicKey(content)
	if err != nil {
		return trust.Key{}, fmt.Errorf("cannot read public key %q: %w", path, err)
	}
	return key, nil
}
