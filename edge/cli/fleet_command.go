package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/fleet/desk"
	"holdfast/edge/trust"
	"holdfast/mqtt"
)

// orderFlags are what a command says besides its verb, and what becomes of it.
type orderFlags struct {
	draft  desk.Draft
	labels []string
	keys   []string
	out    string
	root   string
	wait   time.Duration
}

func (d *door) fleetCommandVerb(f *fleetLink) *cobra.Command {
	var o orderFlags
	var v verbFlags
	cmd := &cobra.Command{
		Use:   "command (NODE | --group GROUP | --label NAME=VALUE) VERB [ARGUMENT…] --key KEY",
		Short: "Sign a command, send it, and wait for what becomes of it",
		Long: "Sign a command with private keys of the role command, send it, and wait for what becomes of it. The\n" +
			"same --id again sends the very same signed bytes, kept in the desk's folder, so it has one effect.\n" +
			"With --out the signed command is written to a file instead, for others to cosign and to send.\n\n" +
			verbHelp() + "\n" + commandCodes,
		Example: "  holdfast fleet command gw-1 restart line/digits --key keys/command-1.key\n" +
			"  holdfast fleet command gw-1 logs line/digits --lines 50 --key keys/command-1.key\n" +
			"  holdfast fleet command --group first drain --within 30s --key keys/command-1.key",
		Args: between(1, 512, "a node, a verb and its arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.read(cmd, args, d, v); err != nil {
				return err
			}
			return d.fleetCommand(cmd.Context(), f, o)
		},
	}
	o.add(cmd)
	v.add(cmd)
	return cmd
}

// commandCodes are the exit codes of a command, for people.
const commandCodes = "Exit codes: 0 succeeded, 1 failed, 4 refused, 6 expired, 7 indeterminate (a crash came between, and\n" +
	"the verb must not be repeated), 8 no answer in time, 9 superseded, 130 interrupted. Of a group, the\n" +
	"worst counts. A command without an answer is still out until it expires; what never reached the\n" +
	"broker is not kept."

func (o *orderFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.draft.Audience.Group, "group", "", "command all nodes of this group")
	flags.StringArrayVar(&o.labels, "label", nil, "command all nodes with this label, name=value; may be repeated")
	flags.StringVar(&o.draft.ID, "id", "", "name of the command (default: made up)")
	flags.DurationVar(&o.draft.Expires, "expires", 10*time.Minute, "not begun later than so long from now")
	flags.IntVar(&o.draft.MaxBoots, "max-boots", 1, "not begun after so many further boots of a node that has no clock")
	flags.Uint64Var(&o.draft.MinPolicy, "min-policy", 0, "only where this version of the policy, or a later one, is in force")
	flags.StringVar(&o.draft.Supersedes, "supersedes", "", "id of a command that this one ends")
	flags.StringArrayVar(&o.keys, "key", nil, "private key file; may be repeated. The first is the issuer's")
	flags.StringVar(&o.out, "out", "", "write the signed command here and send nothing")
	addCommandRoot(cmd, &o.root)
	addWait(cmd, &o.wait)
}

func addCommandRoot(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "root", "", "the fleet's signed root document: refuse, before anything is signed or sent, what nodes would not believe")
}

func addWait(cmd *cobra.Command, wait *time.Duration) {
	cmd.Flags().DurationVar(wait, "wait", -1, "how long to wait for answers; 0 does not wait (default: what the verb may take, and 30s)")
	cmd.Flags().Lookup("wait").DefValue = "0s" // so that the text alone says what is the default
}

// read takes the positional arguments: NODE VERB ARGUMENT…, without NODE where a group
// or labels are meant.
func (o *orderFlags) read(cmd *cobra.Command, args []string, d *door, v verbFlags) (err error) {
	if o.draft.Audience.Labels, err = parseLabels(o.labels); err != nil {
		return err
	}
	if o.draft.Audience.IsZero() {
		o.draft.Audience.Node, args = args[0], args[1:]
		if !mqtt.IsNode(o.draft.Audience.Node) {
			return usagef("%q is no name of a node", o.draft.Audience.Node)
		}
	}
	if len(args) == 0 {
		return edge.WithHint(usagef("which verb?"), cmd.CommandPath()+" --help lists the verbs")
	}
	o.draft.Verb = edge.Verb(args[0])
	if o.draft.Verb == edge.VerbCancel && len(args) == 2 {
		o.draft.Supersedes = args[1]
	}
	o.draft.Args, err = d.arguments(cmd, o.draft.Verb, args[1:], v)
	return err
}

func (d *door) fleetCommand(ctx context.Context, f *fleetLink, o orderFlags) error {
	keys, err := privateKeys(o.keys)
	if err != nil {
		return err
	}
	root, err := readFleetRoot(o.root)
	if err != nil {
		return err
	}
	if root != nil {
		if err := explainKeys(desk.CheckCommandKeys(root, keys...), root); err != nil {
			return err
		}
	}
	folder, err := f.folder()
	if err != nil {
		return err
	}
	envelope, again, err := folder.Sign(o.draft, time.Now(), keys...)
	if err != nil {
		return idTaken(err)
	}
	if o.out != "" {
		if err := fleet.Write(o.out, append(envelope, '\n')); err != nil {
			return err
		}
		return d.showCommand(o.out, envelope, root)
	}
	if again {
		fmt.Fprintf(d.Stderr, "command %s was signed before; the same bytes are sent again\n", o.draft.ID)
	}
	return d.sendCommand(ctx, f, envelope, root, o.wait)
}

// explainKeys says which keys would do.
func explainKeys(err error, root *trust.Root) error {
	if err == nil {
		return nil
	}
	return edge.WithHint(err, "the role command has the keys "+strings.Join(shorten(root.Roles[trust.RoleCommand].KeyIDs), ", "))
}

// needs tells how many signatures a verb lacks.
func needs(envelope []byte) error {
	command, opened, err := desk.OpenCommand(envelope)
	if err != nil {
		return err
	}
	if has, want := len(opened.Signatures), edge.Verbs()[command.Verb].Signatures; has < want {
		return edge.WithHint(fmt.Errorf("cannot send command %q: %s needs %d signatures, it has %d: %w", command.ID, command.Verb, want, has, edge.ErrInvalid),
			"give --key twice, or --out FILE, then `holdfast fleet cosign FILE --key KEY` and `holdfast fleet send FILE`")
	}
	return nil
}

// sendCommand sends what is signed, keeps it once it is out, and waits.
func (d *door) sendCommand(ctx context.Context, f *fleetLink, envelope []byte, root *trust.Root, wait time.Duration) error {
	if err := needs(envelope); err != nil {
		return err
	}
	if root != nil {
		if err := desk.CheckCommand(root, envelope); err != nil {
			return explainKeys(err, root)
		}
	}
	command, _, err := desk.OpenCommand(envelope)
	if err != nil {
		return err
	}
	if wait < 0 {
		wait = edge.Verbs()[command.Verb].Within + 30*time.Second
	}
	table, err := f.open()
	if err != nil {
		return err
	}
	order := desk.Order{Envelope: envelope, Wait: wait, Tell: d.tellAnswer}
	if order.Folder, err = f.folder(); err != nil {
		return err
	}
	fmt.Fprintf(d.progress(), "command %s: %s for %v\n", command.ID, command.Verb, command.Audience)
	answers, err := table.Send(ctx, order)
	if answers != nil && d.output == "json" {
		err = errors.Join(err, d.printer().JSON(answers))
	}
	switch {
	case errors.Is(err, context.Canceled):
		return interruptedCommand(command, answers)
	case err != nil:
		return idTaken(err)
	case wait == 0:
		fmt.Fprintf(d.progress(), "%s; %s\n", stillOut(command), askAgain(command))
		return nil
	}
	return answersVerdict(command, answers, wait)
}

// idTaken makes an id that another command has a mistake in usage.
func idTaken(err error) error {
	if errors.Is(err, edge.ErrExists) {
		return usageError{err}
	}
	return err
}

func (d *door) fleetSendVerb(f *fleetLink) *cobra.Command {
	var wait time.Duration
	var rootPath string
	cmd := &cobra.Command{
		Use:   "send FILE",
		Short: "Send a signed command and wait for what becomes of it",
		Long:  "Send a command that `fleet command --out` wrote, and wait for what becomes of it.\n\n" + commandCodes,
		Args:  exactly(1, "a signed command"),
		RunE: func(cmd *cobra.Command, args []string) error {
			envelope, err := readCommand(args[0])
			if err != nil {
				return err
			}
			root, err := readFleetRoot(rootPath)
			if err != nil {
				return err
			}
			return d.sendCommand(cmd.Context(), f, envelope, root, wait)
		},
	}
	addCommandRoot(cmd, &rootPath)
	addWait(cmd, &wait)
	return cmd
}

func readCommand(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > trust.MaxEnvelope) {
		err = fmt.Errorf("no regular file of at most %d bytes: %w", trust.MaxEnvelope, edge.ErrInvalid)
	}
	if err != nil {
		return nil, noFile(fmt.Errorf("cannot read command %q: %w", path, err), "name what `holdfast fleet command --out` wrote")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read command: %w", err)
	}
	envelope := []byte(strings.TrimSpace(string(text)))
	if _, _, err := desk.OpenCommand(envelope); err != nil {
		return nil, fmt.Errorf("cannot read command %q: %w", path, err)
	}
	return envelope, nil
}
