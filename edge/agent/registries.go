package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

const (
	// maxCertificates is some hundred authorities, more than any system trusts.
	maxCertificates = 1 << 20
	// maxPasswords is some thousand registries.
	maxPasswords = 256 << 10
	// passwordsCredential is what systemd calls the file of registries' passwords.
	passwordsCredential = "registry-passwords"
)

// registries says for a pull how registries are reached, by the configuration in force
// and the files it names as they are now.
func (a *Agent) registries() (say containerd.Registries, err error) {
	c := a.config.Load().Images
	say = containerd.Registries{Mirrors: c.Mirrors, Insecure: c.Insecure, Rate: int64(c.Rate)}
	if c.CA != "" {
		if say.CA, err = readRegular(c.CA, maxCertificates); err != nil {
			return say, edge.WithHint(fmt.Errorf("cannot read who vouches for registries: %w", err), "images.ca names the file")
		}
	}
	path := c.Passwords
	if folder := a.options.Getenv("CREDENTIALS_DIRECTORY"); path == "" && folder != "" {
		path = filepath.Join(folder, passwordsCredential)
	}
	if path == "" {
		return say, nil
	}
	text, err := readRegular(path, maxPasswords)
	if c.Passwords == "" && errors.Is(err, fs.ErrNotExist) {
		return say, nil // systemd was given none
	}
	if err != nil {
		return say, edge.WithHint(fmt.Errorf("cannot read passwords for registries: %w", err), "images.passwords names the file")
	}
	say.Logins, err = containerd.ParseLogins(text)
	return say, err
}
