package desk

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// CheckCommand finds what no node that trusts a root would take: too few signatures of
// keys of the role command, its issuer's missing, or signatures that do not fit.
func CheckCommand(root *trust.Root, envelope []byte) error {
	command, _, err := OpenCommand(envelope)
	if err != nil {
		return err
	}
	a := command.Audience
	node := edge.Identity{Node: a.Node, Labels: a.Labels}
	if a.Group != "" {
		node.Groups = []string{a.Group}
	}
	if _, _, err := trust.AcceptCommand(root, node, envelope); err != nil {
		return fmt.Errorf("command %q would be refused by nodes that trust root version %d: %w", command.ID, root.Version, err)
	}
	return nil
}

// CheckCommandKeys tells whether all keys have the role command in a root.
func CheckCommandKeys(root *trust.Root, keys ...ed25519.PrivateKey) error {
	for _, private := range keys {
		key, err := trust.KeyOf(private)
		if err != nil {
			return err
		}
		if !slices.Contains(root.Roles[trust.RoleCommand].KeyIDs, key.ID) {
			return fmt.Errorf("cannot sign command: key %.12s does not have the role command in root version %d: %w", key.ID, root.Version, edge.ErrInvalid)
		}
	}
	return nil
}

// CommandSigners are the keys of the role command whose signatures fit.
func CommandSigners(root *trust.Root, envelope []byte) ([]string, error) {
	roles := maps.Clone(root.Roles)
	grant := roles[trust.RoleCommand]
	grant.Threshold = 1 // each counts, also where more are needed
	roles[trust.RoleCommand] = grant
	lenient := *root
	lenient.Roles = roles
	verified, err := trust.Verify(&lenient, trust.RoleCommand, envelope)
	if err != nil {
		return nil, err
	}
	return verified.Signers, nil
}

// CosignCommand adds signatures to a command. A key that has signed already is
// edge.ErrExists: nobody counts twice.
func CosignCommand(envelope []byte, keys ...ed25519.PrivateKey) ([]byte, error) {
	_, opened, err := OpenCommand(envelope)
	if err != nil {
		return nil, err
	}
	signed := map[string]bool{}
	for _, s := range opened.Signatures {
		signed[s.KeyID] = true
	}
	for _, private := range keys {
		key, err := trust.KeyOf(private)
		if err != nil {
			return nil, err
		}
		if signed[key.ID] {
			return nil, fmt.Errorf("cannot cosign: key %.12s has signed already: %w", key.ID, edge.ErrExists)
		}
		signed[key.ID] = true
	}
	return trust.Cosign(envelope, keys...)
}
