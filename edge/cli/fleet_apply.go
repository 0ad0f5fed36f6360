package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
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
	var proven, replace bool
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Bring a signed policy, or root document, to the nodes it is meant for, and wait for them",
		Long: "Bring a signed policy, or root document, to the nodes it is meant for: those of the site that belong\n" +
			"to its audience by what they said of themselves, narrowed down by --node, --group and --label. The\n" +
			"broker keeps a policy for nodes that are away, and, where nothing narrows it down, the desk's folder\n" +
			"for `fleet attend`. It is not sent at all if one of them has a later version, for nodes never go back,\n" +
			"or if a later one waits for it at the broker.\n" +
			"Exit code 0 only if every node reported it in force within --wait; 4 if a node refused it, took it\n" +
			"back, or has a later one; 8 if some have not answered; 130 if interrupted.",
		Args: exactly(1, "a signed document"),
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := to.wanted()
			if err != nil {
				return err
			}
			document, root, err := readForFleet(args[0], rootPath)
			if err != nil {
				return err
			}
			a := desk.Application{Document: document, To: wanted, Root: root, Replace: replace, Wait: wait, Proven: proven, Tell: d.tellApplied}
			return d.fleetApply(cmd.Context(), f, a)
		},
	}
	to.add(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 2*time.Minute, "how long to wait for the nodes; 0 does not wait")
	cmd.Flags().StringVar(&rootPath, "root", "", "refuse what this signed root document does not make nodes believe")
	cmd.Flags().BoolVar(&replace, "replace", false, "send it also where a later version waits for a node at the broker, which then never comes")
	cmd.Flags().BoolVar(&proven, "proven", false, "wait until the policy is no longer on trial")
	return cmd
}

// noFile makes a file that is not there, or not ours to read, a mistake in usage.
func noFile(err error, hint string) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return edge.WithHint(usageError{err}, hint)
	}
	return err
}

// readFleetRoot reads the root document by which things are checked; none where none is
// named.
func readFleetRoot(path string) (*trust.Root, error) {
	if path == "" {
		return nil, nil
	}
	root, err := fleet.ReadRoot(path)
	return root, noFile(err, "name the fleet's signed root document, such as root.json that `holdfast policy init` wrote")
}

func readForFleet(path, rootPath string) (*fleet.Document, *trust.Root, error) {
	document, err := fleet.ReadDocument(path)
	if err != nil {
		return nil, nil, noFile(err, "name what `holdfast policy sign` wrote")
	}
	root, err := readFleetRoot(rootPath)
	if err != nil {
		return nil, nil, err
	}
	err = desk.CheckDocument(document, root)
	if root != nil {
		err = explain(err, root, document.Role)
	}
	return document, root, err
}

func (d *door) fleetApply(ctx context.Context, f *fleetLink, a desk.Application) error {
	table, err := f.open()
	if err != nil {
		return err
	}
	if a.Folder, err = folderForAll(f, a); err != nil {
		return err
	}
	all, err := table.Apply(ctx, a)
	if all != nil && d.output == "json" {
		err = errors.Join(err, d.printer().JSON(all))
	}
	switch {
	case errors.Is(err, context.Canceled):
		return interruptedApply(a, all)
	case errors.Is(err, edge.ErrExists):
		return coded{ExitRefused, err}
	case err != nil:
		return err
	}
	fmt.Fprintf(d.progress(), "%s version %d: %s\n", a.Document.Name(), a.Document.Version(), desk.Tally(all))
	if a.Wait <= 0 {
		return nil
	}
	return appliedVerdict(a, all)
}

// interruptedApply says what an interrupted verb leaves behind.
func interruptedApply(a desk.Application, all []desk.Applied) error {
	if all == nil {
		return coded{ExitInterrupted, fmt.Errorf("interrupted: %s was not sent", a.Document.Name())}
	}
	err := fmt.Errorf("interrupted: %s version %d is on its way: %s", a.Document.Name(), a.Document.Version(), desk.Tally(all))
	return coded{ExitInterrupted, edge.WithHint(err, "the broker keeps a policy for its nodes; the same apply again waits for them")}
}

// folderForAll is where a document is kept for those who stand by for the fleet. One that
// is meant for some of its audience only is not theirs to spread.
func folderForAll(f *fleetLink, a desk.Application) (*desk.Folder, error) {
	if a.To.Node != "" || a.To.Group != "" || len(a.To.Labels) > 0 {
		return nil, nil
	}
	return f.folder()
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
