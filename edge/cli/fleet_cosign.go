package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/fleet/desk"
	"holdfast/edge/trust"
)

func (d *door) fleetCosignVerb() *cobra.Command {
	var keys []string
	var rootPath string
	cmd := &cobra.Command{
		Use:   "cosign FILE --key KEY",
		Short: "Add a signature to a command that `fleet command --out` wrote",
		Long: "Add a signature to a command that `fleet command --out` wrote. What it says is printed, and then it is\n" +
			"signed without a question: to read it first, leave --key away.",
		Args: exactly(1, "a signed command"),
		RunE: func(_ *cobra.Command, args []string) error {
			envelope, err := readCommand(args[0])
			if err != nil {
				return err
			}
			root, err := readFleetRoot(rootPath)
			if err != nil {
				return err
			}
			return d.cosign(args[0], envelope, root, keys)
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "private key file; may be repeated")
	addCommandRoot(cmd, &rootPath)
	return cmd
}

// cosign says what is going to be signed, then signs it.
func (d *door) cosign(path string, envelope []byte, root *trust.Root, keys []string) error {
	if len(keys) == 0 {
		if err := d.showCommand(path, envelope, root); err != nil {
			return err
		}
		return edge.WithHint(usagef("nothing was signed: no --key is given"), "name a private key of the role command")
	}
	private, err := privateKeys(keys)
	if err != nil {
		return err
	}
	if root != nil {
		if err := explainKeys(desk.CheckCommandKeys(root, private...), root); err != nil {
			return err
		}
		if _, err := desk.CommandSigners(root, envelope); err != nil {
			return explainKeys(fmt.Errorf("cannot cosign %q: %w", path, err), root)
		}
	}
	if err := printOrder(printer{out: d.progress()}, "going to sign", envelope); err != nil {
		return err
	}
	signed, err := desk.CosignCommand(envelope, private...)
	if errors.Is(err, edge.ErrExists) {
		return edge.WithHint(usageError{err}, "the other signature must be by another key")
	}
	if err != nil {
		return err
	}
	if err := fleet.Write(path, append(signed, '\n')); err != nil {
		return err
	}
	return d.showCommand(path, signed, root)
}

// showCommand says what a signed command would do, and who signed it.
func (d *door) showCommand(path string, envelope []byte, root *trust.Root) error {
	command, opened, err := desk.OpenCommand(envelope)
	if err != nil {
		return err
	}
	signers, err := signerWords(opened, envelope, root)
	if err != nil {
		return err
	}
	return d.show(command, func(p printer) error {
		if err := printOrder(p, path, envelope); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.out, "  %s needs %d signatures; signed by %s\n", command.Verb, edge.Verbs()[command.Verb].Signatures, signers)
		return err
	})
}

// signerWords says whose signatures are there. Without a root nobody knows whether they
// fit, nor whose keys they are.
func signerWords(opened *trust.Envelope, envelope []byte, root *trust.Root) (string, error) {
	if root != nil {
		signers, err := desk.CommandSigners(root, envelope)
		return strings.Join(shorten(signers), ", "), err
	}
	var named []string
	for _, s := range opened.Signatures {
		named = append(named, s.KeyID)
	}
	return printable(strings.Join(shorten(named), ", ")) + " (unchecked: name --root)", nil
}

// printOrder says what a command would do.
func printOrder(p printer, what string, envelope []byte) error {
	command, _, err := desk.OpenCommand(envelope)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s: command %s: %s for %v, until %s\n", what, command.ID, command.Verb, command.Audience, command.Expires.Format(time.RFC3339))
	if len(command.Args) > 0 {
		fmt.Fprintf(p.out, "  %s\n", printable(string(command.Args)))
	}
	return nil
}
