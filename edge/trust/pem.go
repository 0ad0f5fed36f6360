package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// The names of PEM blocks, as every other tool writes them.
const (
	pemPrivate = "PRIVATE KEY" // PKCS #8
	pemPublic  = "PUBLIC KEY"  // SubjectPublicKeyInfo
)

// EncodePrivateKey writes a private key as a PEM file of PKCS #8, which openssl
// reads too. The file is not encrypted: who can read it can sign.
func EncodePrivateKey(private ed25519.PrivateKey) ([]byte, error) {
	if _, err := KeyOf(private); err != nil {
		return nil, fmt.Errorf("cannot encode private key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("cannot encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: der}), nil
}

// DecodePrivateKey reads what EncodePrivateKey or openssl wrote.
func DecodePrivateKey(file []byte) (ed25519.PrivateKey, error) {
	der, err := onlyBlock(file, pemPrivate)
	if err != nil {
		return nil, fmt.Errorf("cannot decode private key: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		// The parser's own words may quote the key.
		return nil, fmt.Errorf("cannot decode private key: %w", refuse(ReasonBadKey, "not PKCS #8"))
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("cannot decode private key: %w", refuse(ReasonBadKey, "not an Ed25519 key"))
	}
	return private, nil
}

// EncodePublicKey writes a public key as a PEM file.
func EncodePublicKey(key Key) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public)
	if err != nil {
		return nil, fmt.Errorf("cannot encode public key %q: %w", key.ID, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: der}), nil
}

// DecodePublicKey reads a public key and refuses one nobody may use.
func DecodePublicKey(file []byte) (Key, error) {
	der, err := onlyBlock(file, pemPublic)
	if err != nil {
		return Key{}, fmt.Errorf("cannot decode public key: %w", err)
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return Key{}, fmt.Errorf("cannot decode public key: %w", refuse(ReasonBadKey, "%v", err))
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return Key{}, fmt.Errorf("cannot decode public key: %w", refuse(ReasonBadKey, "not an Ed25519 key"))
	}
	return NewKey(public)
}

// onlyBlock takes a file that holds one block of the wanted kind and nothing after it.
func onlyBlock(file []byte, kind string) ([]byte, error) {
	block, rest := pem.Decode(file)
	switch {
	case block == nil:
		return nil, refuse(ReasonBadKey, "not a PEM file")
	case block.Type != kind:
		return nil, refuse(ReasonBadKey, "a %q where a %q should be", block.Type, kind)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, refuse(ReasonBadKey, "data after the key")
	}
	return block.Bytes, nil
}
