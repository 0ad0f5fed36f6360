package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/fleet"
)

func (d *door) policyDiffVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "diff [RUNNING] NEW",
		Short: "Explain what a node that runs one policy would change under another",
		Long: "Explain what a node that runs one policy would change under another; with one file, what this\n" +
			"node would. Files may be signed or not; signatures are not looked at. Exit code 0 whether\n" +
			"they differ or not.",
		Args: between(1, 2, "one or two built policies, signed or not"),
		RunE: func(cmd *cobra.Command, args []string) error {
			next, err := readPolicy(args[len(args)-1])
			if err != nil {
				return err
			}
			running, err := d.running(cmd.Context(), args[:len(args)-1])
			if err != nil {
				return err
			}
			return d.showChanges(running, next.Policy)
		},
	}
}

// running is the policy of the file named, else of the node.
func (d *door) running(ctx context.Context, named []string) (*edge.Policy, error) {
	if len(named) > 0 {
		document, err := readPolicy(named[0])
		if err != nil {
			return nil, err
		}
		return document.Policy, nil
	}
	view, err := d.client().Policy(ctx)
	if err != nil {
		return nil, err
	}
	return policyOf(view)
}

// policyOf reads the policy of a node; nil when it has none.
func policyOf(view edge.PolicyView) (*edge.Policy, error) {
	if view.Document == nil {
		return nil, edge.WithHint(fmt.Errorf("the node has no policy to compare with: %w", edge.ErrNotFound), "name the policy it would run instead")
	}
	policy, err := edge.DecodePolicy(view.Document)
	if err != nil {
		return nil, fmt.Errorf("cannot read policy of the node: %w", err)
	}
	return policy, nil
}

func (d *door) showChanges(from, to *edge.Policy) error {
	changes, err := fleet.Diff(from, to)
	if err != nil {
		return err
	}
	return d.show(changes, func(p printer) error { return printChanges(p, changes) })
}

func printChanges(p printer, changes []fleet.Change) error {
	if len(changes) == 0 {
		_, err := fmt.Fprintln(p.out, "nothing changes")
		return err
	}
	for _, change := range changes {
		fmt.Fprintf(p.out, "%s %s: %s\n", marks()[change.Kind], printable(strings.TrimSpace(change.What+" "+change.Name)), change.Effect)
		for _, field := range change.Fields {
			fmt.Fprintf(p.out, "    %s: %s\n", printable(field.Field), fieldWords(field))
		}
	}
	return nil
}

func marks() map[fleet.ChangeKind]string {
	return map[fleet.ChangeKind]string{fleet.Added: "+", fleet.Removed: "-", fleet.Changed: "~"}
}

func fieldWords(field fleet.FieldChange) string {
	from, to := cmp.Or(field.From, "(not said)"), cmp.Or(field.To, "(not said)")
	if field.From == "" {
		return printable(to)
	}
	return printable(from + " → " + to)
}
