package trust

import (
	"errors"
	"fmt"
	"slices"

	"holdfast/edge"
)

// Bounds of a command. In base64, with its signatures, it fits a frame of 64 KiB.
const (
	MaxCommand   = 40 << 10
	commandDepth = 16 // the command, its args, and what a verb may be given: lists in lists
)

// AcceptCommand is the one gate a command passes: signed by as many keys as its verb
// demands, its issuer among them, readable, and meant for this node. Every error is a
// *Refusal, and *Verified comes back as soon as there is one.
//
// With an error a command comes back only where the fleet is to be told of it: the
// document was verified, is meant for this node, and has an id a reply can name. Of
// such a command nothing else is to be believed: whoever carries an envelope can take
// signatures out of it, so what was refused today may come whole tomorrow.
func AcceptCommand(root *Root, node edge.Identity, envelope []byte) (*edge.Command, *Verified, error) {
	verified, err := Verify(root, RoleCommand, envelope)
	if err != nil {
		return nil, nil, err
	}
	command := &edge.Command{}
	bounds := edge.JSONBounds{Size: MaxCommand, Depth: commandDepth}
	_, unread := edge.DecodeJSON(verified.Payload, bounds, command)
	if err := checkAddressed(command, node, unread); err != nil {
		return nil, verified, err
	}
	switch conduct, known := edge.Verbs()[command.Verb]; {
	case unread != nil:
		err = refuse(ReasonBadDocument, "command %s: %v", command.ID, unread)
	case !known:
		err = refuse(ReasonUnknownVerb, "command %s: this version does not know the verb %.40q", command.ID, command.Verb)
	default:
		err = checkCommand(command, conduct, verified.Signers)
	}
	return command, verified, err
}

// checkAddressed refuses what cannot be answered: what is no command, has no id, or is
// meant for others.
func checkAddressed(c *edge.Command, node edge.Identity, unread error) error {
	var text *edge.JSONError
	switch {
	case errors.As(unread, &text):
		return refuseText(unread, "command", ReasonBadDocument)
	case c.APIVersion != edge.APIVersion || c.Kind != edge.CommandKind:
		return refuse(ReasonBadDocument, "%.40q of %.40q is not %s of %s", c.Kind, c.APIVersion, edge.CommandKind, edge.APIVersion)
	case !edge.IsName(c.ID):
		return refuse(ReasonBadDocument, "command: id %.80q is no name", c.ID)
	}
	if err := c.Audience.Check(); err != nil {
		return refuse(ReasonBadDocument, "command %s: %v", c.ID, err)
	}
	return CheckAudience(c.Audience, node)
}

// checkCommand refuses what a command says, and who says it.
func checkCommand(c *edge.Command, conduct edge.Conduct, signers []string) error {
	if err := c.Check(); err != nil {
		return refuse(ReasonBadDocument, "%v", err)
	}
	switch {
	case !slices.Contains(signers, c.Issuer):
		return refuse(ReasonIssuer, "command %s: its issuer %.80q did not sign it", c.ID, c.Issuer)
	case len(signers) < conduct.Signatures:
		return refuse(ReasonTooFewSignatures, "command %s: %d keys signed, %s needs %d", c.ID, len(signers), c.Verb, conduct.Signatures)
	}
	return nil
}

// EncodeCommand writes a command in its canonical form: the payload to sign as
// TypeCommand. The version and kind are filled in.
func EncodeCommand(c edge.Command) ([]byte, error) {
	c.APIVersion, c.Kind, c.Expires = edge.APIVersion, edge.CommandKind, c.Expires.UTC()
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("cannot encode command %q: %w", c.ID, err)
	}
	payload, err := edge.CanonicalJSON(c)
	if err == nil {
		err = edge.CheckJSON(payload, edge.JSONBounds{Size: MaxCommand, Depth: commandDepth})
	}
	if err != nil {
		return nil, fmt.Errorf("cannot encode command %q: %w", c.ID, err)
	}
	return payload, nil
}
