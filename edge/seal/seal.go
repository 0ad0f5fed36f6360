// Package seal encrypts a secret for the nodes that may read it.
//
// It owns the choice of the format: age files with X25519 recipients, one stanza for
// each node, in base64 so that a policy can hold them.
//
// # Promises
//
// Only the private key of a recipient opens what was sealed; who changed a byte of it
// opens nothing. How many recipients there are can be seen, not who they are.
//
// # Concurrency
//
// Nothing is kept. All functions may be called from any goroutine.
//
// # Failure
//
// What cannot be opened is edge.ErrInvalid, for asking again does not help. No error
// holds a part of a key or of a secret.
//
// # Testing
//
// Sealing and opening are held against each other and against the age tool's own
// format; whatever bytes come, Open answers.
package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"

	"holdfast/edge"
)

// Identity is the private key of a node.
type Identity struct{ key *age.X25519Identity }

// Generate makes a new one.
func Generate() (Identity, error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return Identity{}, fmt.Errorf("cannot generate node key: %w", err)
	}
	return Identity{key}, nil
}

// ParseIdentity reads the text of a key file: comments, and one key.
func ParseIdentity(text []byte) (Identity, error) {
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := age.ParseX25519Identity(line)
		if err != nil {
			break // its words may hold the line
		}
		return Identity{key}, nil
	}
	return Identity{}, fmt.Errorf("it is no key of a node: %w", edge.ErrInvalid)
}

// Text is what a key file holds.
func (i Identity) Text() []byte {
	return fmt.Appendf(nil, "# The private key of this node. Whoever reads it can open what is sealed for the node.\n# public: %s\n%s\n", i.Recipient(), i.key)
}

// Recipient is the public half, which may be known to anybody.
func (i Identity) Recipient() string { return i.key.Recipient().String() }

// Seal encrypts a value for the holders of these keys.
func Seal(value []byte, recipients []string) (string, error) {
	if len(value) == 0 || len(value) > edge.MaxSecret {
		return "", fmt.Errorf("cannot seal secret: it has %d bytes, not 1 to %d: %w", len(value), edge.MaxSecret, edge.ErrInvalid)
	}
	if len(recipients) == 0 {
		return "", fmt.Errorf("cannot seal secret: no node may open it: %w", edge.ErrInvalid)
	}
	var keys []age.Recipient
	for i, text := range recipients {
		key, err := age.ParseX25519Recipient(text)
		if err != nil {
			return "", edge.WithHint(fmt.Errorf("cannot seal secret: recipient %d is no public key of a node: %w", i+1, edge.ErrInvalid),
				"`holdfast policy node-key` on the node prints it; it begins with age1")
		}
		keys = append(keys, key)
	}
	var out bytes.Buffer
	to, err := age.Encrypt(&out, keys...)
	if err == nil {
		_, err = to.Write(value)
		err = errors.Join(err, to.Close())
	}
	if err != nil {
		return "", fmt.Errorf("cannot seal secret: %w", err)
	}
	return base64.StdEncoding.EncodeToString(out.Bytes()), nil
}

// Open decrypts what was sealed for this node.
func (i Identity) Open(sealed string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, fmt.Errorf("it is not in base64: %w", edge.ErrInvalid)
	}
	from, err := age.Decrypt(bytes.NewReader(raw), i.key)
	var stranger *age.NoIdentityMatchError
	if errors.As(err, &stranger) {
		return nil, edge.WithHint(fmt.Errorf("it is sealed for other nodes: %w", edge.ErrInvalid),
			"seal it for "+i.Recipient()+" too, and apply the policy that holds it")
	}
	if err != nil {
		return nil, fmt.Errorf("it is damaged: %w", edge.ErrInvalid)
	}
	value, err := io.ReadAll(io.LimitReader(from, edge.MaxSecret+1))
	if err != nil || len(value) > edge.MaxSecret || len(value) == 0 {
		return nil, fmt.Errorf("it is damaged, or no secret of 1 to %d bytes: %w", edge.MaxSecret, edge.ErrInvalid)
	}
	return value, nil
}
