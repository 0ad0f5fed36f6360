package trust

import (
	"encoding/base64"
	"strconv"
	"strings"

	"holdfast/edge"
)

// Bounds of what is looked at.
const (
	// MaxPayload is the largest document there is, a policy.
	MaxPayload = edge.MaxPolicy
	// MaxSignatures is twice what a careful fleet needs: five keys, old and new.
	MaxSignatures = 16
	// MaxEnvelope holds the largest payload in base64 and all signatures.
	MaxEnvelope = (MaxPayload+2)/3*4 + MaxSignatures*256 + 512
	// envelopeDepth: the envelope, its list, a signature; one level for what others add.
	envelopeDepth = 4
)

// Signature is one signature of an envelope. The key id is a hint for choosing the
// key and is itself not signed.
type Signature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"` // base64
}

// wire is the envelope as DSSE v1 writes it.
type wire struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"` // base64
	Signatures  []Signature `json:"signatures"`
}

// Envelope is an opened envelope whose signatures nobody has looked at. It is for
// showing; only Verify says whether to believe it.
type Envelope struct {
	PayloadType string
	Payload     []byte
	Signatures  []Signature

	sigs [][]byte // decoded, as Signatures
}

// Open reads an envelope and judges its shape and its payload's, without any
// cryptography. Every error is a *Refusal.
func Open(envelope []byte) (*Envelope, error) {
	var w wire
	if _, err := edge.DecodeJSON(envelope, edge.JSONBounds{Size: MaxEnvelope, Depth: envelopeDepth}, &w); err != nil {
		return nil, refuseText(err, "envelope", ReasonBadEnvelope)
	}
	switch {
	case w.PayloadType == "" || w.Payload == "":
		return nil, refuse(ReasonBadEnvelope, "payload or payloadType is missing")
	case len(w.Signatures) == 0:
		return nil, refuse(ReasonNoSignatures, "nobody signed")
	case len(w.Signatures) > MaxSignatures:
		return nil, refuse(ReasonTooManySignatures, "%d signatures, %d are allowed", len(w.Signatures), MaxSignatures)
	}
	payload, err := decodeBase64(w.Payload, "payload")
	if err != nil {
		return nil, err
	}
	if err := edge.CheckJSON(payload, edge.JSONBounds{Size: MaxPayload, Depth: edge.MaxPolicyDepth}); err != nil {
		return nil, refuseText(err, "payload", ReasonBadDocument)
	}
	e := &Envelope{PayloadType: w.PayloadType, Payload: payload, Signatures: w.Signatures}
	for _, signature := range w.Signatures {
		sig, err := decodeBase64(signature.Sig, "signature")
		if err != nil {
			return nil, err
		}
		e.sigs = append(e.sigs, sig)
	}
	return e, nil
}

// decodeBase64 takes the standard or the URL alphabet, as DSSE demands, and of each
// only the one spelling an encoder gives: padded, no line breaks, no loose bits.
func decodeBase64(text, what string) ([]byte, error) {
	encoding := base64.StdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.URLEncoding
	}
	if strings.ContainsAny(text, "\r\n") { // the decoder would pass over them
		return nil, refuse(ReasonBadBase64, "%s: holds a line break", what)
	}
	raw, err := encoding.Strict().DecodeString(text)
	if err != nil {
		return nil, refuse(ReasonBadBase64, "%s: %v", what, err)
	}
	return raw, nil
}

// encode writes an envelope in its canonical form.
func (e *Envelope) encode() ([]byte, error) {
	return edge.CanonicalJSON(wire{
		PayloadType: e.PayloadType,
		Payload:     base64.StdEncoding.EncodeToString(e.Payload),
		Signatures:  e.Signatures,
	})
}

// PAE is DSSE's pre-authentication encoding, the bytes that are signed:
// "DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload, lengths in bytes.
func PAE(payloadType string, payload []byte) []byte {
	const most = len("DSSEv1    ") + 2*20 // a length has at most 20 digits
	out := make([]byte, 0, most+len(payloadType)+len(payload))
	out = append(out, "DSSEv1 "...)
	out = strconv.AppendInt(out, int64(len(payloadType)), 10)
	out = append(out, ' ')
	out = append(out, payloadType...)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(len(payload)), 10)
	out = append(out, ' ')
	return append(out, payload...)
}
