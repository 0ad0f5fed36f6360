package trust

import (
	"fmt"
	"time"

	"holdfast/edge"
)

// FreshnessKind is the kind a freshness token names.
const FreshnessKind = "Freshness"

// minNonce makes guessing the next nonce, to have its answer signed beforehand,
// hopeless: 16 characters of hex are 64 bits, of base64 96.
const minNonce = 16

// Token is the fleet's answer to a node's question: it is there, at that time, and
// these are the newest versions it has for the node.
type Token struct {
	Nonce         string
	Node          string
	Time          time.Time
	PolicyVersion uint64
	RootVersion   uint64

	verified bool
}

// tokenDocument is a token as it is signed.
type tokenDocument struct {
	APIVersion    string    `json:"apiVersion"`
	Kind          string    `json:"kind"`
	Nonce         string    `json:"nonce"`
	Node          string    `json:"node"`
	Time          time.Time `json:"time"`
	PolicyVersion uint64    `json:"policyVersion"`
	RootVersion   uint64    `json:"rootVersion"`
}

// Encode writes the token in its canonical form: the payload to sign.
func (t Token) Encode() ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("cannot encode freshness token: %w", err)
	}
	return edge.CanonicalJSON(tokenDocument{
		edge.APIVersion, FreshnessKind, t.Nonce, t.Node, t.Time.UTC(), t.PolicyVersion, t.RootVersion,
	})
}

// VerifyFreshness believes a token that the freshness role signed as the answer to
// this node's own nonce. Every error is a *Refusal.
func VerifyFreshness(root *Root, envelope []byte, nonce, node string) (*Token, error) {
	verified, err := Verify(root, RoleFreshness, envelope)
	if err != nil {
		return nil, err
	}
	token, err := decodeToken(verified.Payload)
	switch {
	case err != nil:
		return nil, err
	case token.Nonce != nonce: // and no token has an empty one
		return nil, refuse(ReasonNonce, "answers %q, not what this node asked", token.Nonce)
	case token.Node != node:
		return nil, refuse(ReasonNode, "answers node %q, not %q", token.Node, node)
	}
	token.verified = true
	return token, nil
}

func decodeToken(payload []byte) (*Token, error) {
	var document tokenDocument
	bounds := edge.JSONBounds{Size: MaxPayload, Depth: edge.MaxPolicyDepth}
	if _, err := edge.DecodeJSON(payload, bounds, &document); err != nil {
		return nil, refuseText(err, "freshness token", ReasonBadDocument)
	}
	if document.APIVersion != edge.APIVersion || document.Kind != FreshnessKind {
		return nil, refuse(ReasonBadDocument, "freshness token: %q of %q is not %s of %s",
			document.Kind, document.APIVersion, FreshnessKind, edge.APIVersion)
	}
	token := &Token{
		Nonce: document.Nonce, Node: document.Node, Time: document.Time,
		PolicyVersion: document.PolicyVersion, RootVersion: document.RootVersion,
	}
	if err := token.check(); err != nil {
		return nil, err
	}
	return token, nil
}

// check finds what no token may say.
func (t *Token) check() error {
	switch {
	case len(t.Nonce) < minNonce || len(t.Nonce) > 128:
		return refuse(ReasonBadDocument, "freshness token: a nonce of %d characters", len(t.Nonce))
	case !edge.IsName(t.Node):
		return refuse(ReasonBadDocument, "freshness token: %q is not a node", t.Node)
	case t.Time.IsZero():
		return refuse(ReasonBadDocument, "freshness token: no time")
	case t.PolicyVersion > maxVersion || t.RootVersion > maxVersion:
		return refuse(ReasonBadDocument, "freshness token: no such version")
	}
	return nil
}

// Withheld tells what somebody between fleet and node keeps back: the fleet has a
// newer version than the node holds.
func (t *Token) Withheld(policyVersion, rootVersion uint64) (policy, root bool) {
	return t.PolicyVersion > policyVersion, t.RootVersion > rootVersion
}
