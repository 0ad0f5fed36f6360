package edge

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"path"
	"slices"
	"strconv"
)

// Secret is a file that a container finds a secret in. The workload only names it: the
// value comes from the policy, sealed for the node, or from the node itself, and is
// part of no document that anybody keeps.
type Secret struct {
	Name string `json:"name"`
	// Path is where the file lies inside the container; empty: in SecretsFolder, under
	// the secret's name.
	Path string `json:"path,omitempty"`
	// Mode is what may be done with the file, which belongs to the instance's user;
	// zero: only that user may read it.
	Mode FileMode `json:"mode,omitempty"`
	// Version tells one value of the secret from another, to the node alone: an
	// instance is replaced when it changes. No policy holds it.
	Version string `json:"version,omitempty"`
}

const (
	// SecretsFolder is where Compose puts secrets.
	SecretsFolder = "/run/secrets"
	// MaxSecret bounds a value: a key or a chain of certificates has a few KiB. It lies
	// in memory that is not the instance's own.
	MaxSecret = 64 << 10
	// ownerReads is the mode of a secret that asks for none.
	ownerReads FileMode = 0o400
	// readable are the bits a secret may have: nobody writes to one.
	readable FileMode = 0o555
)

// Target is where the secret lies inside the container.
func (s Secret) Target() string { return cmp.Or(s.Path, path.Join(SecretsFolder, s.Name)) }

// Permissions is what may be done with the secret's file.
func (s Secret) Permissions() FileMode { return cmp.Or(s.Mode, ownerReads) }

// FileMode is what may be done with a file, as chmod writes it: 0440.
type FileMode uint32

// String writes the mode in octal.
func (m FileMode) String() string { return fmt.Sprintf("%#04o", uint32(m)) }

// MarshalText writes the mode in octal.
func (m FileMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the mode.
func (m *FileMode) UnmarshalText(text []byte) error {
	bits, err := strconv.ParseUint(string(text), 8, 9)
	if err != nil {
		return fmt.Errorf("%s is not a file mode such as 0440: %w", quoteShort(string(text)), ErrInvalid)
	}
	*m = FileMode(bits)
	return nil
}

// SealedSecret is a secret in a policy: only the nodes it was sealed for can read it.
type SealedSecret struct {
	Sealed string `json:"sealed"` // an age file, in base64
}

// Sealed is a secret of the policy that nobody but its nodes can read; false when the
// policy holds none of that name.
func (p *Policy) Sealed(name string) (SealedSecret, bool) {
	if p == nil {
		return SealedSecret{}, false
	}
	sealed, held := p.Secrets[name]
	return sealed, held
}

func (p *Policy) checkSecrets(c *checker) {
	for _, name := range sorted(p.Secrets) {
		c.require(IsName(name), "secrets."+name, nameRule)
		raw, err := base64.StdEncoding.DecodeString(p.Secrets[name].Sealed)
		c.require(err == nil && len(raw) > 0, "secrets."+name+".sealed", "is not what `holdfast policy seal` writes")
	}
	for i, name := range p.Security.Secrets {
		c.require(IsName(name), fmt.Sprintf("security.secrets[%d]", i), nameRule)
	}
}

// secrets looks at what a workload is told in confidence. What the policy itself holds
// it hands out; a secret of the node it has to name.
func (a *admission) secrets(w Workload) {
	for i, secret := range w.Secrets {
		_, held := a.policy.Sealed(secret.Name)
		a.require(held || slices.Contains(a.policy.Security.Secrets, secret.Name), ControlSecrets, fmt.Sprintf("secrets[%d].name", i),
			"secret "+quoteShort(secret.Name)+" of the node", "security.secrets: ["+secret.Name+"]")
	}
}

// checkSecrets looks at where secrets are put; taken are the places that are gone.
func (w Workload) checkSecrets(c *checker, at string, taken map[string]bool) {
	for i, secret := range w.Secrets {
		here := fmt.Sprintf("%ssecrets[%d].", at, i)
		target := secret.Target()
		c.require(IsName(secret.Name), here+"name", nameRule)
		c.require(isPlainPath(target), here+"path", quoteShort(target)+" is not an absolute path without . and ..")
		c.require(!isKernels(target) && target != SecretsFolder, here+"path", quoteShort(target)+" cannot be mounted over")
		c.require(!taken[target], here+"path", quoteShort(target)+" is taken already")
		c.require(secret.Mode&^readable == 0, here+"mode", secret.Mode.String()+" must only let it be read, as 0440 does")
		taken[target] = true
	}
}

// secretShape is what of a secret an instance is made from.
type secretShape struct {
	Name    string   `json:"name"`
	Path    string   `json:"path"`
	Mode    FileMode `json:"mode"`
	Version string   `json:"version,omitempty"`
}

func secretShapes(secrets []Secret) []secretShape {
	var shapes []secretShape
	for _, s := range secrets {
		shapes = append(shapes, secretShape{s.Name, s.Target(), s.Permissions(), s.Version})
	}
	return shapes
}
