package cli

import (
	"crypto/ed25519"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/trust"
)

func (d *door) policySignVerb() *cobra.Command {
	var keys []string
	var out, rootPath string
	cmd := &cobra.Command{
		Use:   "sign FILE --key KEY",
		Short: "Sign a built document, or add signatures to one that is signed",
		Long: "Sign a built document, or add signatures to one that is signed, so that the keys of one role\n" +
			"need never be in one place. Read what you sign: `holdfast policy show FILE`. With --root the\n" +
			"result must be one that nodes believe; without, that is not looked at. Without --out the signed\n" +
			"document goes to standard output.",
		Args: exactly(1, "a document that `holdfast policy build` or `sign` wrote"),
		RunE: func(_ *cobra.Command, args []string) error {
			envelope, err := signDocument(args[0], keys)
			if err != nil {
				return err
			}
			if rootPath != "" {
				if err := verifySigned(rootPath, envelope); err != nil {
					return err
				}
			}
			if out == "" {
				_, err = fmt.Fprintf(d.Stdout, "%s\n", envelope)
				return err
			}
			if err := fleet.Write(out, append(envelope, '\n')); err != nil {
				return err
			}
			return d.showWritten(out, envelope)
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "private key file; may be repeated")
	cmd.Flags().StringVar(&out, "out", "", "write the signed document here")
	cmd.Flags().StringVar(&rootPath, "root", "", "refuse to write what this root document does not make nodes believe")
	return cmd
}

func signDocument(path string, keyFiles []string) ([]byte, error) {
	if len(keyFiles) == 0 {
		return nil, edge.WithHint(usagef("cannot sign: no --key is given"), "name a private key file, such as keys/policy-1.key")
	}
	document, err := fleet.ReadDocument(path)
	if err != nil {
		return nil, err
	}
	var keys []ed25519.PrivateKey
	for _, file := range keyFiles {
		key, err := fleet.ReadPrivateKey(file)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return document.Sign(keys...)
}

func verifySigned(rootPath string, envelope []byte) error {
	root, err := fleet.ReadRoot(rootPath)
	if err != nil {
		return err
	}
	document, err := fleet.OpenDocument(envelope)
	if err != nil {
		return err
	}
	_, err = document.Verify(root)
	return explain(err, root, document.Role)
}

// explain adds to a refusal what would satisfy the root.
func explain(err error, root *trust.Root, role trust.Role) error {
	grant := root.Roles[role]
	switch trust.ReasonOf(err) {
	case trust.ReasonThreshold, trust.ReasonUnknownKey, trust.ReasonWrongRole, trust.ReasonBadSignature:
		return edge.WithHint(err, fmt.Sprintf("the role %s needs %d of the keys %s; add one with `holdfast policy sign`",
			role, grant.Threshold, strings.Join(shorten(grant.KeyIDs), ", ")))
	}
	return err
}

// verdict is what verify found.
type verdict struct {
	Kind      trust.Role `json:"kind"`
	Name      string     `json:"name"`
	Version   uint64     `json:"version"`
	Audience  string     `json:"audience,omitempty"`
	Root      uint64     `json:"rootVersion"`
	Threshold int        `json:"threshold"`
	Signers   []string   `json:"signers"`
}

func (d *door) policyVerifyVerb() *cobra.Command {
	var rootPath string
	cmd := &cobra.Command{
		Use:   "verify FILE --root ROOT",
		Short: "Tell whether nodes that trust a root document believe a signed document, and who signed it",
		Long: "Tell whether nodes that trust a root document believe a signed document, and who signed it.\n" +
			"A root document must be that one itself or its successor. Exit code 2 if it is not believed.",
		Args: exactly(1, "a signed document"),
		RunE: func(_ *cobra.Command, args []string) error {
			if rootPath == "" {
				return edge.WithHint(usagef("cannot verify: no --root is given"), "name the fleet's root.json")
			}
			root, err := fleet.ReadRoot(rootPath)
			if err != nil {
				return err
			}
			document, err := fleet.ReadDocument(args[0])
			if err != nil {
				return err
			}
			verified, err := document.Verify(root)
			if err != nil {
				return explain(err, root, document.Role)
			}
			v := verdict{
				Kind: document.Role, Name: document.Name(), Version: document.Version(), Root: root.Version,
				Threshold: root.Roles[document.Role].Threshold, Signers: verified.Signers,
			}
			if document.Policy != nil {
				v.Audience = document.Policy.Metadata.Audience.String()
			}
			return d.show(v, func(p printer) error { return printVerdict(p, v) })
		},
	}
	cmd.Flags().StringVar(&rootPath, "root", "", "the signed root document nodes trust")
	return cmd
}

func printVerdict(p printer, v verdict) error {
	fmt.Fprintf(p.out, "%s version %d", v.Name, v.Version)
	if v.Audience != "" {
		fmt.Fprintf(p.out, ", for %s", v.Audience)
	}
	fmt.Fprintf(p.out, ": believed under root version %d, %d of at least %d signatures by the role %s\n",
		v.Root, len(v.Signers), v.Threshold, v.Kind)
	for _, signer := range v.Signers {
		fmt.Fprintf(p.out, "  %s\n", signer)
	}
	return nil
}
