package fleet

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// Document is a policy, a release or a root document from a file, in an envelope or bare.
type Document struct {
	Role    trust.Role
	Payload []byte
	Policy  *edge.Policy  // for RolePolicy
	Root    *trust.Root   // for RoleRoot
	Release *edge.Release // for RoleRelease
	// Envelope is what the file held if it is signed; nil for a bare payload. Nobody
	// has looked at its signatures.
	Envelope *trust.Envelope

	raw []byte
}

// ReadDocument reads a document, signed or not. That it can be read says nothing about
// whether to believe it.
func ReadDocument(path string) (*Document, error) {
	raw, err := readFile(path, trust.MaxEnvelope)
	if err != nil {
		return nil, fmt.Errorf("cannot read document: %w", err)
	}
	document, err := OpenDocument(raw)
	if err != nil {
		return nil, fmt.Errorf("cannot read document %q: %w", path, err)
	}
	return document, nil
}

// OpenDocument is ReadDocument of bytes at hand.
func OpenDocument(raw []byte) (*Document, error) {
	var head struct {
		PayloadType string `json:"payloadType"`
		Kind        string `json:"kind"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, edge.WithHint(fmt.Errorf("it is not JSON: %w", edge.ErrInvalid),
			"name what `holdfast policy build` or `sign` wrote; YAML has to be built first")
	}
	document := &Document{Payload: bytes.TrimSpace(raw), raw: raw, Role: roleOf(kindType(head.Kind))}
	if head.PayloadType != "" {
		envelope, err := trust.Open(raw)
		if err != nil {
			return nil, err
		}
		document.Envelope, document.Payload, document.Role = envelope, envelope.Payload, roleOf(envelope.PayloadType)
	}
	if err := document.decode(); err != nil {
		return nil, err
	}
	return document, nil
}

func (d *Document) decode() (err error) {
	switch d.Role {
	case trust.RolePolicy:
		d.Policy, err = edge.DecodePolicy(d.Payload)
	case trust.RoleRoot:
		d.Root, err = trust.DecodeRoot(d.Payload)
	case trust.RoleRelease:
		d.Release, err = edge.DecodeRelease(d.Payload)
	default:
		err = edge.WithHint(fmt.Errorf("it is neither a policy nor a release nor a root document: %w", edge.ErrInvalid),
			"name what `holdfast policy build`, `release build` or `sign` wrote")
	}
	return err
}

func kindType(kind string) string {
	switch kind {
	case edge.PolicyKind:
		return trust.TypePolicy
	case trust.RootKind:
		return trust.TypeRoot
	case edge.ReleaseKind:
		return trust.TypeRelease
	}
	return ""
}

func roleOf(payloadType string) trust.Role {
	for _, role := range trust.Roles {
		if role.PayloadType() == payloadType {
			return role
		}
	}
	return ""
}

// Signed is the signed document as a node takes it; nil when nobody signed it.
func (d *Document) Signed() []byte {
	if d.Envelope == nil {
		return nil
	}
	return d.raw
}

// Version is the version the document has of its kind; of a release its sequence.
func (d *Document) Version() uint64 {
	switch {
	case d.Root != nil:
		return d.Root.Version
	case d.Release != nil:
		return d.Release.Sequence
	}
	return d.Policy.Metadata.Version
}

// Digest names what is signed, whoever signs it.
func (d *Document) Digest() string {
	sum := sha256.Sum256(d.Payload)
	return digestPrefix + hex.EncodeToString(sum[:])
}

// Name names the document for people.
func (d *Document) Name() string {
	switch {
	case d.Root != nil:
		return "root document"
	case d.Release != nil:
		return "release " + d.Release.Version
	}
	return "policy " + d.Policy.Metadata.Name
}

// Claimed lists the ids of the keys that seem to have signed.
func (d *Document) Claimed() []string {
	var ids []string
	if d.Envelope != nil {
		for _, signature := range d.Envelope.Signatures {
			ids = append(ids, signature.KeyID)
		}
	}
	return ids
}

// Sign puts the document into an envelope, or adds signatures to the one it is in.
func (d *Document) Sign(keys ...ed25519.PrivateKey) ([]byte, error) {
	if d.Envelope != nil {
		return trust.Cosign(d.raw, keys...)
	}
	return trust.Sign(d.Role.PayloadType(), d.Payload, keys...)
}

// Verify believes the document if enough keys of the root signed it. A root document
// must be that root itself or its successor.
func (d *Document) Verify(root *trust.Root) (*trust.Verified, error) {
	if d.Envelope == nil {
		return nil, edge.WithHint(fmt.Errorf("cannot verify %s: it is not signed: %w", d.Name(), edge.ErrInvalid),
			"sign it with: holdfast policy sign --key FILE")
	}
	verified, err := trust.Verify(root, d.Role, d.raw)
	if err != nil {
		return nil, fmt.Errorf("cannot verify %s: %w", d.Name(), err)
	}
	if d.Root != nil {
		if err := d.follows(root); err != nil {
			return nil, fmt.Errorf("cannot verify %s: %w", d.Name(), err)
		}
	}
	return verified, nil
}

// follows tells a successor, or the very same document, from any other.
func (d *Document) follows(root *trust.Root) error {
	if d.Root.Version != root.Version {
		_, err := trust.NextRoot(root, d.raw)
		return err
	}
	trusted, err := root.Encode()
	if err != nil {
		return err
	}
	this, err := d.Root.Encode()
	if err == nil && !bytes.Equal(trusted, this) {
		err = fmt.Errorf("another document of version %d: %w", root.Version, edge.ErrInvalid)
	}
	return err
}

// ReadRoot reads the root document an operator trusts because it is his own.
func ReadRoot(path string) (*trust.Root, error) {
	raw, err := readFile(path, trust.MaxEnvelope)
	if err != nil {
		return nil, fmt.Errorf("cannot read root document: %w", err)
	}
	root, err := trust.FirstRoot(raw)
	if err != nil {
		return nil, edge.WithHint(fmt.Errorf("cannot trust root document %q: %w", path, err),
			"name the signed root document, such as root.json that `holdfast policy init` wrote")
	}
	return root, nil
}
