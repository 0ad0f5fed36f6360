package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/compose"
	"holdfast/edge/fleet"
	"holdfast/edge/trust"
)

func (d *door) policyVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Write, sign, compare and apply policies",
		Long: "Write, sign, compare and apply policies. These verbs work on files at the operator's desk;\n" +
			"only apply, and diff and show without the name of a file, talk to the agent of this node, and\n" +
			"node-key works on the node's own state folder.",
		Args: nothing,
	}
	cmd.AddCommand(
		d.policyInitVerb(), d.policyKeygenVerb(), d.policyBuildVerb(), d.policySignVerb(),
		d.policyVerifyVerb(), d.policyShowVerb(), d.policyDiffVerb(), d.policyApplyVerb(),
		d.policySealVerb(), d.policyNodeKeyVerb(),
	)
	return cmd
}

func (d *door) policyKeygenVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make an Ed25519 key: the private one in FILE, the public one in FILE.pub",
		Long: "Make an Ed25519 key: the private one in FILE, readable by its owner only, and the public\n" +
			"one in FILE.pub. The private key is not encrypted: whoever can read the file can sign.\n" +
			"Keep it on an encrypted medium that is not always plugged in. Both are PEM as openssl\n" +
			"writes it. Nothing is written over.",
		Args: exactly(1, "a file that is not there yet"),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := fleet.Keygen(args[0], rand.Reader)
			if err != nil {
				return err
			}
			made := fleet.MadeKey{ID: key.ID, File: args[0]}
			return d.show(made, func(p printer) error {
				_, err := fmt.Fprintf(p.out, "key %s\n  private: %s (not encrypted; keep it to yourself)\n  public:  %s\n",
					key.ID, args[0], args[0]+fleet.PublicSuffix)
				return err
			})
		},
	}
}

func (d *door) policyInitVerb() *cobra.Command {
	var given []string
	cmd := &cobra.Command{
		Use:   "init FOLDER",
		Short: "Begin a fleet: keys, signed root document, first policy",
		Long: "Begin a fleet in FOLDER, which must be empty or not there: private and public keys of every\n" +
			"role, the root document as it is written (root.yaml) and signed (root.json), and a policy to\n" +
			"begin from (policy.yaml). Without --quorum two of three keys speak for the root and one key for\n" +
			"each other role. Private keys are not encrypted; move those of the root to separate media\n" +
			"before the first node trusts them.",
		Args: exactly(1, "a folder that is empty or not there"),
		RunE: func(cmd *cobra.Command, args []string) error {
			quorums := fleet.DefaultQuorums()
			for _, text := range given {
				role, quorum, err := fleet.ParseQuorum(text)
				if err != nil {
					return err
				}
				quorums[role] = quorum
			}
			made, err := fleet.Init(cmd.Context(), args[0], quorums, rand.Reader)
			if err != nil {
				return err
			}
			return d.show(made, func(p printer) error { return printMade(p, made) })
		},
	}
	cmd.Flags().StringArrayVar(&given, "quorum", nil, "how many keys of a role must sign, for example --quorum policy=2/3; may be repeated")
	return cmd
}

func printMade(p printer, made *fleet.Made) error {
	var rows [][]string
	for _, key := range made.Keys {
		rows = append(rows, []string{string(key.Role), short(key.ID), key.File})
	}
	if err := p.Table([]string{"ROLE", "KEY", "PRIVATE KEY FILE"}, rows); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "\nwrote %s\n", strings.Join(made.Files, ", "))
	_, err := fmt.Fprintln(p.out, "private keys are not encrypted: move those of the root to separate media")
	return err
}

// pinFlags say what images are.
type pinFlags struct{ images, folders []string }

func (f *pinFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.images, "image", nil, "what an image is, name=sha256:…; may be repeated")
	cmd.Flags().StringArrayVar(&f.folders, "images", nil, "folder of OCI archives and layouts whose digests count; may be repeated")
}

func (f *pinFlags) pins() (fleet.Pins, error) {
	pins := fleet.Pins{}
	for _, folder := range f.folders {
		if err := pins.AddFolder(folder); err != nil {
			return nil, err
		}
	}
	for _, image := range f.images {
		if err := pins.Add(image); err != nil {
			return nil, err
		}
	}
	return pins, nil
}

func (d *door) policyBuildVerb() *cobra.Command {
	var pins pinFlags
	var out, running string
	cmd := &cobra.Command{
		Use:   "build FILE",
		Short: "Build the document to sign from a policy, or a root document, written as YAML",
		Long: "Build the document to sign from a policy, or a root document, written as YAML; - reads standard\n" +
			"input. Compose projects below apps are resolved with this shell's environment, and images pinned\n" +
			"by digest: as they are written, by --image, or by the archives of --images. Nothing is fetched.\n" +
			"Without --out the document goes to standard output. With --check RUNNING nothing is written there;\n" +
			"what a node that runs RUNNING would change is explained instead.",
		Args: exactly(1, "a YAML file, or -"),
		RunE: func(cmd *cobra.Command, args []string) error {
			built, err := d.buildPolicy(cmd.Context(), args[0], pins)
			if err != nil {
				return err
			}
			if out != "" {
				if err := fleet.Write(out, append(built.Payload, '\n')); err != nil {
					return err
				}
			}
			switch {
			case running != "":
				return d.checkAgainst(running, built)
			case out != "":
				return d.showWritten(out, built.Payload)
			}
			_, err = fmt.Fprintf(d.Stdout, "%s\n", built.Payload)
			return err
		},
	}
	pins.add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "write the document here")
	cmd.Flags().StringVar(&running, "check", "", "explain what would change under the policy in this file, signed or not")
	return cmd
}

func (d *door) buildPolicy(ctx context.Context, path string, flags pinFlags) (*fleet.Built, error) {
	pins, err := flags.pins()
	if err != nil {
		return nil, err
	}
	content, err := d.readSource(path)
	if err != nil {
		return nil, err
	}
	built, err := fleet.Build(ctx, fleet.Source{Path: path, Content: content, Environ: d.Environ, Pins: pins})
	if err != nil {
		return nil, err
	}
	for _, note := range built.Notes {
		fmt.Fprintf(d.Stderr, "note: %v\n", note)
	}
	return built, nil
}

// readSource reads a YAML file, bounded one byte above what is taken, so that a larger
// one is refused as such.
func (d *door) readSource(path string) ([]byte, error) {
	source := d.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, usagef("cannot read policy: %w", err)
		}
		defer file.Close()
		source = file
	}
	content, err := io.ReadAll(io.LimitReader(source, compose.MaxFile+1))
	if err != nil {
		return nil, usagef("cannot read policy: %w", err)
	}
	return content, nil
}

func (d *door) checkAgainst(path string, built *fleet.Built) error {
	if built.Policy == nil {
		return usagef("cannot check: %q holds no policy but a root document", path)
	}
	running, err := readPolicy(path)
	if err != nil {
		return err
	}
	return d.showChanges(running.Policy, built.Policy)
}

// readPolicy reads a document that must be a policy.
func readPolicy(path string) (*fleet.Document, error) {
	document, err := fleet.ReadDocument(path)
	if err != nil {
		return nil, err
	}
	if document.Policy == nil {
		return nil, fmt.Errorf("cannot read document %q: it is a %s, not a policy: %w", path, document.Name(), edge.ErrInvalid)
	}
	return document, nil
}

// written is what became of a document.
type written struct {
	File     string     `json:"file"`
	Kind     trust.Role `json:"kind"`
	Name     string     `json:"name"`
	Version  uint64     `json:"version"`
	Audience string     `json:"audience,omitempty"`
	Bytes    int        `json:"bytes"`
	KeyIDs   []string   `json:"keyids,omitempty"`
}

func (d *door) showWritten(path string, raw []byte) error {
	document, err := fleet.OpenDocument(raw)
	if err != nil {
		return err
	}
	w := written{
		File: path, Kind: document.Role, Name: document.Name(), Version: document.Version(),
		Bytes: len(document.Payload), KeyIDs: document.Claimed(),
	}
	if document.Policy != nil {
		w.Audience = document.Policy.Metadata.Audience.String()
	}
	return d.show(w, func(p printer) error {
		fmt.Fprintf(p.out, "wrote %s: %s version %d", path, w.Name, w.Version)
		if w.Audience != "" {
			fmt.Fprintf(p.out, ", for %s", w.Audience)
		}
		fmt.Fprintf(p.out, ", %d of %d bytes", w.Bytes, trust.MaxPayload)
		signed := ", not signed"
		if len(w.KeyIDs) > 0 {
			signed = ", signed by " + strings.Join(shorten(w.KeyIDs), " and ")
		}
		_, err := fmt.Fprintln(p.out, signed)
		return err
	})
}

func shorten(ids []string) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = printable(short(id))
	}
	return out
}
