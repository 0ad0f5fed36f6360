package trust

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
)

// Sign puts a payload into an envelope signed by each of the keys. A payload no node
// would look at is refused here already.
func Sign(payloadType string, payload []byte, keys ...ed25519.PrivateKey) ([]byte, error) {
	return (&Envelope{PayloadType: payloadType, Payload: payload}).sign(keys)
}

// Cosign adds signatures to an envelope others have signed, so that the keys of one
// role never need be in one place. Read what you sign: Open shows it. A key that has
// signed already signs anew.
func Cosign(envelope []byte, keys ...ed25519.PrivateKey) ([]byte, error) {
	opened, err := Open(envelope)
	if err != nil {
		return nil, fmt.Errorf("cannot cosign envelope: %w", err)
	}
	return opened.sign(keys)
}

func (e *Envelope) sign(keys []ed25519.PrivateKey) ([]byte, error) {
	if !isPayloadType(e.PayloadType) {
		return nil, fmt.Errorf("cannot sign document: %w", refuse(ReasonWrongType, "%q is not a kind of document", e.PayloadType))
	}
	message := PAE(e.PayloadType, e.Payload)
	for _, private := range keys {
		key, err := KeyOf(private)
		if err != nil {
			return nil, fmt.Errorf("cannot sign document: %w", err)
		}
		e.Signatures = slices.DeleteFunc(e.Signatures, func(s Signature) bool { return s.KeyID == key.ID })
		sig := base64.StdEncoding.EncodeToString(ed25519.Sign(private, message))
		e.Signatures = append(e.Signatures, Signature{KeyID: key.ID, Sig: sig})
	}
	envelope, err := e.encode()
	if err != nil {
		return nil, fmt.Errorf("cannot sign document: %w", err)
	}
	if _, err := Open(envelope); err != nil {
		return nil, fmt.Errorf("cannot sign document: %w", err)
	}
	return envelope, nil
}

func isPayloadType(payloadType string) bool {
	return payloadType == TypeConfirmation || slices.ContainsFunc(Roles[:], func(r Role) bool { return r.PayloadType() == payloadType })
}
