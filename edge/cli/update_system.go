package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/edge"
)

func (d *door) updateSystemVerb() *cobra.Command {
	var wanted edge.SystemPolicy
	var restart string
	var again bool
	cmd := &cobra.Command{
		Use:   "update-system BUNDLE [VERSION]",
		Short: "Have RAUC install another version of this machine's whole system, and start it",
		Long: "Hand a RAUC bundle, a file of this machine or on a web server, to `rauc install`, which believes those\n" +
			"whose certificates are in the keyring of /etc/rauc/system.conf. Then tasks end, and the machine starts\n" +
			"anew in it. `holdfast status` says afterwards whether it runs, or the former system came back; a version\n" +
			"that did not stay is not installed a second time, but with --again.",
		Example: "  holdfast update-system /media/stick/gateway-7.raucb\n" +
			"  holdfast update-system https://releases.example/gateway-7.raucb 7 --digest sha256:…",
		Args: between(1, 2, "a bundle, and perhaps its version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := systemWanted(wanted, restart, args)
			if err != nil {
				return err
			}
			bytes := d.progressOf("fetching")
			to, err := d.client().UpdateSystem(cmd.Context(), wanted, again, func(p edge.Progress) {
				switch {
				case p.Unit == "percent":
					fmt.Fprintf(d.progress(), "%3d %%  %s\n", p.Done, printable(p.Note))
				case p.Note != "":
					fmt.Fprintln(d.progress(), printable(p.Note))
				default:
					bytes(p.Done, p.Total)
				}
			})
			if err != nil {
				return err
			}
			return d.show(to, func(p printer) error {
				_, err := fmt.Fprintln(p.out, systemUpdateWords(to))
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&wanted.Digest, "digest", "", "digest of the bundle, sha256:…; needed for one on a web server")
	flags.StringVar(&restart, "restart", "", restartUsage)
	flags.BoolVar(&again, "again", false, "install a version anew that did not stay here before")
	return cmd
}

// restartUsage says what --restart is for.
const restartUsage = "now, or later to leave the restart of the machine to others (default: now)"

// systemWanted reads a bundle of this machine or of a web server.
func systemWanted(wanted edge.SystemPolicy, restart string, args []string) (edge.SystemPolicy, error) {
	wanted.Bundle, wanted.Restart = args[0], edge.SystemRestart(restart)
	if len(args) > 1 {
		wanted.Version = args[1]
	}
	if !strings.Contains(wanted.Bundle, "://") {
		var err error
		if wanted.Bundle, err = filepath.Abs(wanted.Bundle); err != nil {
			return wanted, usageError{err}
		}
	}
	if err := wanted.Check(); err != nil {
		return wanted, usageError{err}
	}
	return wanted, nil
}

// systemUpdateWords say what became of a request to update the system.
func systemUpdateWords(to edge.SystemUpdate) string {
	version, slot := printable(to.Version), printable(to.Slot)
	switch {
	case to.Runs:
		return fmt.Sprintf("version %s of the system runs already, from %s", version, slot)
	case to.Restarting:
		return fmt.Sprintf("version %s is installed in %s, and the machine starts anew in it; then `holdfast status` says what runs", version, slot)
	}
	return fmt.Sprintf("version %s is installed in %s, and runs after the next start of the machine", version, slot)
}

// systemWords say how the whole system stands.
func systemWords(r edge.SystemReport) string {
	words := "system"
	if r.Version != "" {
		words += "  version " + printable(r.Version)
	}
	if r.Slot != "" {
		words += "  from " + printable(r.Slot)
	}
	if r.Trouble != "" {
		words += "  " + printable(r.Trouble)
	}
	switch r.Phase {
	case "":
	case edge.SystemFetching:
		words += "  fetching"
		if r.Total > 0 {
			words += fmt.Sprintf(" %s of %s", size(uint64(r.Done)), size(uint64(r.Total)))
		}
	case edge.SystemInstalling:
		words += fmt.Sprintf("  installing version %s: %d %%", printable(r.Wanted), r.Done)
	case edge.SystemRestarting:
		words += "  the machine starts anew in version " + printable(r.Wanted)
	case edge.SystemConfirming:
		words += "  new, waits to be called good"
	}
	switch {
	case r.Waiting != "" && r.Phase == "":
		words += fmt.Sprintf("  version %s runs after the next start of the machine", printable(r.Waiting))
	case r.Last != nil && !r.Last.Runs && r.Phase == "":
		words += fmt.Sprintf("  version %s did not stay", printable(r.Last.Version))
	}
	return words
}

// updateSystemArgs name a bundle by where the nodes find it.
func updateSystemArgs(_ *door, args []string, v verbFlags) (map[string]any, error) {
	wish := edge.SystemPolicy{Bundle: args[0], Digest: v.digest, Restart: edge.SystemRestart(v.restart)}
	object := map[string]any{"bundle": wish.Bundle}
	if len(args) > 1 {
		wish.Version = args[1]
	}
	if v.bandwidth != "" {
		var err error
		if wish.Bandwidth, err = edge.ParseSize(v.bandwidth); err != nil {
			return nil, usageError{err}
		}
		object["bandwidth"] = wish.Bandwidth.String()
	}
	if err := wish.Check(); err != nil {
		return nil, usageError{err}
	}
	for name, value := range map[string]string{"version": wish.Version, "digest": wish.Digest, "restart": string(wish.Restart)} {
		if value != "" {
			object[name] = value
		}
	}
	if v.again {
		object["again"] = true
	}
	return object, nil
}
