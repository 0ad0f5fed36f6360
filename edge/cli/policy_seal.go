package cli

import (
	"bytes"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/agent"
	"holdfast/edge/seal"
)

// sealedSecret is what a policy has to hold.
type sealedSecret struct {
	Name       string   `json:"name"`
	Sealed     string   `json:"sealed"`
	Recipients []string `json:"recipients"`
}

func (d *door) policySealVerb() *cobra.Command {
	var recipients []string
	var line bool
	cmd := &cobra.Command{
		Use:   "seal NAME --to PUBLIC-KEY",
		Short: "Encrypt a secret for nodes, as a policy holds it",
		Long: "Encrypt a secret for nodes, as a policy holds it: what is written goes below secrets in the\n" +
			"policy, where it can be read by those nodes alone. The value is read from standard input and\n" +
			"from nowhere else, so that it stands in no list of processes and no shell's history; nothing\n" +
			"is taken off it but, with --line, the line break at its end. `holdfast policy node-key` on a\n" +
			"node prints its public key.",
		Args: exactly(1, "what the services call the secret"),
		RunE: func(_ *cobra.Command, args []string) error {
			name := args[0]
			if !edge.IsName(name) {
				return usagef("cannot seal secret: %q cannot name one", name)
			}
			value, err := io.ReadAll(io.LimitReader(d.Stdin, edge.MaxSecret+2))
			if err != nil {
				return fmt.Errorf("cannot read secret: %w", err)
			}
			if line {
				value = bytes.TrimSuffix(bytes.TrimSuffix(value, []byte("\n")), []byte("\r"))
			}
			sealed, err := seal.Seal(value, recipients)
			if err != nil {
				return err
			}
			made := sealedSecret{Name: name, Sealed: sealed, Recipients: recipients}
			return d.show(made, func(p printer) error {
				_, err := fmt.Fprintf(p.out, "secrets:\n  %s: {sealed: %q}\n", name, sealed)
				return err
			})
		},
	}
	cmd.Flags().StringArrayVar(&recipients, "to", nil, "public key of a node that may read it; may be repeated")
	cmd.Flags().BoolVar(&line, "line", false, "leave the line break at the end of the input out")
	return cmd
}

// nodeKey is what may be known of a node's key.
type nodeKey struct {
	Public string `json:"public"`
	Made   bool   `json:"made"`
}

func (d *door) policyNodeKeyVerb() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "node-key",
		Short: "Print the public key that secrets are sealed for on this node; make the key if there is none",
		Long: "Print the public key that secrets are sealed for on this node. The private one lies in the state\n" +
			"folder (" + agent.NodeKeyName + "), readable by root alone; it is made when there is none, and never written over.\n" +
			"A node that loses it reads none of the secrets that were sealed for it.",
		Args: nothing,
		RunE: func(*cobra.Command, []string) error {
			loaded, err := flags.load(d.Process)
			if err != nil {
				return err
			}
			public, made, err := agent.NodeKey(loaded.Config.Paths.State)
			if err != nil {
				return err
			}
			if made {
				fmt.Fprintf(d.Stderr, "made the key of this node: %s/%s\n", loaded.Config.Paths.State, agent.NodeKeyName)
			}
			return d.show(nodeKey{public, made}, func(p printer) error {
				_, err := fmt.Fprintln(p.out, public)
				return err
			})
		},
	}
	flags.add(cmd)
	return cmd
}
