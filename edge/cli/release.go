package cli

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/fleet"
)

func (d *door) releaseVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "release",
		Short: "Make, sign and verify releases of the agent itself",
		Long: "Make, sign and verify releases of the agent itself. A release is a folder: a signed document,\n" +
			edge.ReleaseFile + ", and a program for each platform, " + edge.ArtifactFile("linux/amd64") + " and its like.\n" +
			"Put it on a web server that nodes reach, or on a stick. These verbs work on files at the\n" +
			"operator's desk.",
		Args: nothing,
	}
	cmd.AddCommand(d.releaseBuildVerb(), d.releaseSignVerb(), d.releaseVerifyVerb())
	return cmd
}

func (d *door) releaseBuildVerb() *cobra.Command {
	var words fleet.ReleaseWords
	var notes, out string
	cmd := &cobra.Command{
		Use:   "build FOLDER --version VERSION --sequence N",
		Short: "Write the document of a release from the programs in a folder",
		Long: "Write the document of a release from the programs in a folder, to be signed. The version is what\n" +
			"the programs say of themselves; a node that finds another one refuses them. The sequence is what\n" +
			"counts: a node never goes back to a lower one. Without --out it is written into the folder, as\n" +
			edge.ReleaseFile + ".",
		Args: exactly(1, "a folder of programs"),
		RunE: func(_ *cobra.Command, args []string) error {
			if notes != "" {
				text, err := d.readSource(notes)
				if err != nil {
					return err
				}
				words.Notes = strings.TrimSpace(string(text))
			}
			_, payload, err := fleet.BuildRelease(args[0], words)
			if err != nil {
				return err
			}
			if out == "" {
				out = filepath.Join(args[0], edge.ReleaseFile)
			}
			if err := fleet.Write(out, append(payload, '\n')); err != nil {
				return err
			}
			return d.showWritten(out, payload)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&words.Version, "version", "", "what the programs say of themselves (holdfast version)")
	flags.Uint64Var(&words.Sequence, "sequence", 0, "number of the release, higher than of any before")
	flags.Uint64Var(&words.Replaces, "replaces", 0, "lowest sequence it may take the place of; 0: any, and what a node was flashed with")
	flags.StringVar(&notes, "notes", "", "file with what there is to say of it; - reads standard input")
	flags.StringVar(&out, "out", "", "write the document here")
	return cmd
}

// releaseSignVerb is that of policies, which signs any document.
func (d *door) releaseSignVerb() *cobra.Command {
	cmd := d.policySignVerb()
	cmd.Short = "Sign the document of a release, or add signatures to one that is signed"
	cmd.Long = "Sign the document of a release, or add signatures to one that is signed, so that the keys of the\n" +
		"role release need never be in one place. With --root the result must be one that nodes believe.\n" +
		"Without --out the signed document goes to standard output."
	cmd.Args = exactly(1, "a document that `holdfast release build` or `sign` wrote")
	return cmd
}

// releaseVerdict is what verify found.
type releaseVerdict struct {
	Version   string   `json:"version"`
	Sequence  uint64   `json:"sequence"`
	Replaces  uint64   `json:"replaces,omitempty"`
	Digest    string   `json:"digest"` // what policies and commands name it by
	Root      uint64   `json:"rootVersion"`
	Signers   []string `json:"signers"`
	Platforms []string `json:"platforms"` // whose program lies beside the document, and is the right one
	Missing   []string `json:"missing,omitempty"`
	Notes     string   `json:"notes,omitempty"`
}

func (d *door) releaseVerifyVerb() *cobra.Command {
	var rootPath string
	cmd := &cobra.Command{
		Use:   "verify FOLDER --root ROOT",
		Short: "Tell whether nodes that trust a root document believe a release, and the digest to name it by",
		Long: "Tell whether nodes that trust a root document believe a release, whether the programs beside it\n" +
			"are those it names, and the digest by which policies and commands name it. Exit code 2 if it is\n" +
			"not believed.",
		Args: exactly(1, "a release folder, or its document"),
		RunE: func(_ *cobra.Command, args []string) error {
			if rootPath == "" {
				return edge.WithHint(usagef("cannot verify: no --root is given"), "name the fleet's root.json")
			}
			v, err := verifyRelease(args[0], rootPath)
			if err != nil {
				return err
			}
			return d.show(v, func(p printer) error { return printRelease(p, v) })
		},
	}
	cmd.Flags().StringVar(&rootPath, "root", "", "the signed root document nodes trust")
	return cmd
}

func verifyRelease(path, rootPath string) (*releaseVerdict, error) {
	root, err := fleet.ReadRoot(rootPath)
	if err != nil {
		return nil, err
	}
	document, err := readRelease(path)
	if err != nil {
		return nil, err
	}
	release := document.Release
	verified, err := document.Verify(root)
	if err != nil {
		return nil, explain(err, root, document.Role)
	}
	v := &releaseVerdict{
		Version: release.Version, Sequence: release.Sequence, Replaces: release.Replaces, Notes: release.Notes,
		Digest: document.Digest(), Root: root.Version, Signers: verified.Signers,
	}
	if v.Platforms, err = fleet.CheckRelease(release, filepath.Dir(releaseDocument(path))); err != nil {
		return nil, err
	}
	for _, platform := range slices.Sorted(maps.Keys(release.Artifacts)) {
		if !slices.Contains(v.Platforms, platform) {
			v.Missing = append(v.Missing, platform)
		}
	}
	return v, nil
}

// releaseDocument is the document that a folder, or the path itself, stands for.
func releaseDocument(path string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return filepath.Join(path, edge.ReleaseFile)
	}
	return path
}

func printRelease(p printer, v *releaseVerdict) error {
	fmt.Fprintf(p.out, "release %s, sequence %d: believed under root version %d, signed by %s\n",
		v.Version, v.Sequence, v.Root, strings.Join(shorten(v.Signers), " and "))
	if len(v.Platforms) > 0 {
		fmt.Fprintf(p.out, "  programs: %s\n", strings.Join(v.Platforms, ", "))
	}
	if len(v.Missing) > 0 {
		fmt.Fprintf(p.out, "  not in this folder: %s\n", strings.Join(v.Missing, ", "))
	}
	_, err := fmt.Fprintf(p.out, "  release: %s\n", v.Digest)
	return err
}
