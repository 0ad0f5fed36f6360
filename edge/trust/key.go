package trust

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"holdfast/edge"
)

// Key is a public Ed25519 key that may sign.
type Key struct {
	ID     string
	Public ed25519.PublicKey
}

// keyDocument is a key as TUF writes it.
type keyDocument struct {
	KeyType string    `json:"keytype"`
	Scheme  string    `json:"scheme"`
	KeyVal  keyValues `json:"keyval"`
}

type keyValues struct {
	Public string `json:"public"` // hex, lower case
}

// ed25519Scheme is both the type and the scheme of every key here.
const ed25519Scheme = "ed25519"

// NewKey takes a public key, with the id TUF and DSSE tools give it: the SHA-256, in
// hex, of the key's canonical JSON. A key with which anybody can sign is refused.
func NewKey(public ed25519.PublicKey) (Key, error) {
	if err := checkPoint(public); err != nil {
		return Key{}, refuse(ReasonBadKey, "%v", err)
	}
	document, err := edge.CanonicalJSON(describe(public))
	if err != nil {
		return Key{}, err
	}
	sum := sha256.Sum256(document)
	return Key{ID: hex.EncodeToString(sum[:]), Public: public}, nil
}

func describe(public ed25519.PublicKey) keyDocument {
	return keyDocument{ed25519Scheme, ed25519Scheme, keyValues{hex.EncodeToString(public)}}
}

// key reads a key whose id the document claims.
func (d keyDocument) key(id string) (Key, error) {
	if d.KeyType != ed25519Scheme || d.Scheme != ed25519Scheme {
		return Key{}, refuse(ReasonBadKey, "key %q is not ed25519", id)
	}
	public, err := hex.DecodeString(d.KeyVal.Public)
	if err != nil {
		return Key{}, refuse(ReasonBadKey, "key %q is not hex", id)
	}
	key, err := NewKey(public)
	switch {
	case err != nil:
		return Key{}, err
	case key.ID != id || hex.EncodeToString(public) != d.KeyVal.Public:
		return Key{}, refuse(ReasonBadKey, "key %q is really %q", id, key.ID)
	}
	return key, nil
}

// GenerateKey makes a private key from 32 bytes of random, which is crypto/rand's
// Reader but in tests.
func GenerateKey(random io.Reader) (ed25519.PrivateKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("cannot generate key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// KeyOf is the public half of a private key.
func KeyOf(private ed25519.PrivateKey) (Key, error) {
	if len(private) != ed25519.PrivateKeySize {
		return Key{}, refuse(ReasonBadKey, "a private key of %d bytes", len(private))
	}
	own := ed25519.NewKeyFromSeed(private.Seed())
	if !own.Equal(private) {
		return Key{}, refuse(ReasonBadKey, "the halves of a private key do not belong together")
	}
	return NewKey(own.Public().(ed25519.PublicKey)) //nolint:errcheck // an Ed25519 key has an Ed25519 public half
}
