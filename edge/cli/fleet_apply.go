package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge/fleet"
	"holdfast/edge/fleet/desk"
	"holdfast/edge/trust"
)

// wantedFlags narrow down which nodes are meant.
type wantedFlags struct {
	node, group string
	labels      []string
}

func (w *wantedFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.node, "node", "", "only this node")
	cmd.Flags().StringVar(&w.group, "group", "", "only nodes of this group")
	cmd.Flags().StringArrayVar(&w.labels, "label", nil, "only nodes with this label, name=value; may be repeated")
}

func (w *wantedFlags) wanted() (desk.Wanted, error) {
	labels, err := parseLabels(w.labels)
	return desk.Wanted{Node: w.node, Group: w.group, Labels: labels}, err
}

func parseLabels(texts []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, text := range texts {
		name, value, found := strings.Cut(text, "=")
		if !found || name == "" {
			return nil, usagef("cannot read label %q: want name=value", text)
		}
		labels[name] = value
	}
	if len(labels) == 0 {
		return nil, nil
	}
	return labels, nil
}

func (d *door) fleetApplyVerb(f *fleetLink) *cobra.Command {
	var to wantedFlags
	var wait time.Duration
	var rootPath string
	var proven bool
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Bring a signed policy, or root document, to the nodes it is meant for, and wait for them",
		Long: "Bring a signed policy, or root document, to the nodes it is meant for: those of the site that belong\n" +
			"to its audience by what they said of themselves, narrowed down by --node, --group and --label. The\n" +
			"broker keeps a policy for nodes that are away, and, where nothing narrows it down, the desk's folder\n" +
			"for `fleet attend`. Exit code 0 only if every node reported it in force within --wait; 4 if a node refused it or took it back; 8 if\n" +
			"some have not answered.",
		Args: exactly(1, "a signed document"),
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := to.wanted()
			if err != nil {
				return err
			}
			document, err := readForFleet(args[0], rootPath)
			if err != nil {
				return err
			}
			a := desk.Application{Document: document, To: wanted, Wait: wait, Proven: proven, Tell: d.tellApplied}
			return d.fleetApply(cmd.Context(), f, a)
		},
	}
	to.add(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 2*time.Minute, "how long to wait for the nodes; 0 does not wait")
	cmd.Flags().StringVar(&rootPath, "root", "", "refuse what this signed root document does not make nodes believe")
	cmd.Flags().BoolVar(&proven, "proven", false, "wait until the policy is no longer on trial")
	return cmd
}

func readForFleet(path, rootPath string) (*fleet.Document, error) {
	document, err := fleet.ReadDocument(path)
	if err != nil {
		return nil, err
	}
	var root *trust.Root
	if rootPath != "" {
		if root, err = fleet.ReadRoot(rootPath); err != nil {
			return nil, err
		}
	}
	err = desk.CheckDocument(document, root)
	if root != nil {
		err = explain(err, root, document.Role)
	}
	return document, err
}

func (d *door) fleetApply(ctx context.Context, f *fleetLink, a desk.Application) error {
	table, err := f.open()
	if err != nil {
		return err
	}
	if err := keepForAll(f, a); err != nil {
		return err
	}
	all, err := table.Apply(ctx, a)
	if all != nil && d.output == "json" {
		err = errors.Join(err, d.printer().JSON(all))
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(d.progress(), "%s version %d: %s\n", a.Document.Name(), a.Document.Version(), desk.Tally(all))
	if a.Wait <= 0 {
		return nil
	}
	return appliedVerdict(a, all)
}

// keepForAll keeps a document for those who stand by for the fleet. One that is meant for
// some of its audience only is not theirs to spread.
func keepForAll(f *fleetLink, a desk.Application) error {
	if a.To.Node != "" || a.To.Group != "" || len(a.To.Labels) > 0 {
		return nil
	}
	folder, err := f.folder()
	if err != nil {
		return err
	}
	return folder.KeepDocument(a.Document)
}

// appliedVerdict is the exit code: a refusal is said before a silence.
func appliedVerdict(a desk.Application, all []desk.Applied) error {
	silent := desk.Outstanding(all)
	for _, one := range silent {
		if one.Final() {
			return coded{ExitRefused, fmt.Errorf("%s version %d is not in force on %d of %d nodes; %s: %s", a.Document.Name(), a.Document.Version(), len(silent), len(all), one.Node, one.Stage)}
		}
	}
	if len(silent) > 0 {
		return coded{ExitNoAnswer, fmt.Errorf("%s version %d is not reported in force by %d of %d nodes after %v", a.Document.Name(), a.Document.Version(), len(silent), len(all), a.Wait)}
	}
	return nil
}

func (d *door) tellApplied(a desk.Applied) {
	words := fmt.Sprintf("%s  %s", a.Node, a.Stage)
	if a.Has != 0 {
		words += fmt.Sprintf(" (version %d in force)", a.Has)
	}
	if a.Why != "" {
		words += ": " + a.Why
	}
	fmt.Fprintln(d.progress(), printable(words))
}
