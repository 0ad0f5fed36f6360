package trust

import (
	"fmt"

	"holdfast/edge"
)

// TypeConfirmation is what confirmations are signed as. They belong to the role
// freshness, whose keys are online: it is the fleet that says what it keeps.
const TypeConfirmation = "application/vnd.holdfast.confirmation+json"

// Bounds of a confirmation.
const (
	maxConfirmation   = 4 << 10 // it has some 200 bytes
	confirmationDepth = 4
	epochDigits       = 16 // of an epoch, hexadecimal
)

// VerifyConfirmation believes the fleet's word about what it keeps of this node's
// streams. It may be an old one, said again; being cumulative that does no harm. Every
// error is a *Refusal.
func VerifyConfirmation(root *Root, envelope []byte, node string) (*edge.Confirmation, error) {
	if root == nil {
		return nil, refuse(ReasonNoRoot, "there is no root document")
	}
	opened, err := Open(envelope)
	if err != nil {
		return nil, err
	}
	verified, err := root.verifyAs(RoleFreshness, TypeConfirmation, opened)
	if err != nil {
		return nil, err
	}
	c := &edge.Confirmation{}
	bounds := edge.JSONBounds{Size: maxConfirmation, Depth: confirmationDepth}
	if _, err := edge.DecodeJSON(verified.Payload, bounds, c); err != nil {
		return nil, refuseText(err, "confirmation", ReasonBadDocument)
	}
	if err := checkConfirmation(c); err != nil {
		return nil, err
	}
	if c.Node != node {
		return nil, refuse(ReasonNode, "confirms node %q, not %q", c.Node, node)
	}
	return c, nil
}

// EncodeConfirmation writes a confirmation in its canonical form: the payload to sign
// as TypeConfirmation. The version and kind are filled in.
func EncodeConfirmation(c edge.Confirmation) ([]byte, error) {
	c.APIVersion, c.Kind = edge.APIVersion, edge.ConfirmationKind
	if err := checkConfirmation(&c); err != nil {
		return nil, fmt.Errorf("cannot encode confirmation: %w", err)
	}
	return edge.CanonicalJSON(c)
}

func checkConfirmation(c *edge.Confirmation) error {
	switch {
	case c.APIVersion != edge.APIVersion || c.Kind != edge.ConfirmationKind:
		return refuse(ReasonBadDocument, "confirmation: %.40q of %.40q is not %s of %s",
			c.Kind, c.APIVersion, edge.ConfirmationKind, edge.APIVersion)
	case !edge.IsName(c.Node):
		return refuse(ReasonBadDocument, "confirmation: %.80q is not a node", c.Node)
	case !isEpoch(c.Epoch):
		return refuse(ReasonBadDocument, "confirmation: %.40q is not an epoch", c.Epoch)
	case c.Seq > maxVersion:
		return refuse(ReasonBadDocument, "confirmation: no such number %d", c.Seq)
	}
	return nil
}

func isEpoch(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(text) == epochDigits
}
