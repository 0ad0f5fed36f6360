package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/site"
)

func (d *door) siteVerb() *cobra.Command {
	cmd := group(&cobra.Command{Use: "site", Short: "Set a gateway up by a file on its boot partition"})
	cmd.AddCommand(d.siteApplyVerb(), d.siteCheckVerb(), d.siteConsoleVerb(), d.siteExampleVerb())
	return cmd
}

// siteFolders are where things are on a gateway, each to be named otherwise.
func siteFolders(cmd *cobra.Command) *site.Folders {
	f := new(site.Folders)
	flags := cmd.Flags()
	flags.StringVar(&f.Boot, "boot", "/boot/holdfast", "the boot partition, where "+site.Name+" lies")
	flags.StringVar(&f.Etc, "etc", filepath.Dir(config.DefaultPath), "folder of the configuration")
	flags.StringVar(&f.State, "state", config.Default().Paths.State, "folder of what must survive a power cut")
	return f
}

func (d *door) siteApplyVerb() *cobra.Command {
	var folders *site.Folders
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Apply the site file on the boot partition, once, and remove its secrets from there",
		Long: "Apply the site file on the boot partition, once, and remove its secrets from there. What is begun and cut\n" +
			"off is finished the next time. A file that is wrong changes nothing: what is wrong is printed, written\n" +
			"beside the file as " + site.ErrorsName + ", and shown by `holdfast status`; the exit code is 0,\n" +
			"because the gateway is to start all the same. Images in the folder images are moved to the node's stock.",
		Args: nothing,
		RunE: func(*cobra.Command, []string) error { return d.applySite(*folders) },
	}
	folders = siteFolders(cmd)
	cmd.Flags().StringVar(&folders.Network, "network", "/etc/systemd/network", "folder of systemd-networkd's files")
	cmd.Flags().StringVar(&folders.Time, "time", "/etc/systemd/timesyncd.conf.d", "folder of systemd-timesyncd's files")
	return cmd
}

func (d *door) applySite(folders site.Folders) error {
	applier := site.New(site.Options{Folders: folders, Check: checkSiteConfig, Now: time.Now, SetClock: setClock})
	outcome, err := applier.Apply()
	moved, moveErr := applier.MoveImages()
	for _, note := range outcome.Notes {
		fmt.Fprintf(d.Stderr, "note: %s\n", printable(note))
	}
	if moveErr != nil {
		fmt.Fprintf(d.Stderr, "note: %s\n", printable(moveErr.Error()))
	}
	if err != nil {
		return err
	}
	return d.show(outcome.Report, func(p printer) error { return printSite(p, outcome, moved) })
}

func printSite(p printer, outcome site.Outcome, moved []string) error {
	for _, name := range moved {
		fmt.Fprintf(p.out, "moved image %s to the stock\n", printable(name))
	}
	switch refused := outcome.Refused; {
	case refused != nil:
		fmt.Fprintf(p.out, "%s is wrong and was not applied; the node goes on with what it had\n", printable(refused.File))
		for _, fault := range refused.Faults {
			fmt.Fprintf(p.out, "  %s\n", printable(fault.String()))
		}
	case outcome.Done:
		fmt.Fprintf(p.out, "applied %s\n", printable(outcome.Applied.File))
		for _, path := range outcome.Applied.Files {
			fmt.Fprintf(p.out, "  wrote %s\n", path)
		}
	default:
		fmt.Fprintln(p.out, "there is no site file to apply")
	}
	for _, name := range outcome.Left {
		fmt.Fprintf(p.out, "the secrets in %s could not be removed from the boot partition\n", printable(name))
	}
	return nil
}

// checkSiteConfig reads a configuration as the agent would. The environment of the agent's
// unit is not known here.
func checkSiteConfig(path string) (found []site.ConfigFault) {
	_, err := config.Load(config.Options{Path: path})
	problems := config.Problems(err)
	for _, p := range problems {
		found = append(found, site.ConfigFault{Where: p.Where(), Key: p.Key, Detail: p.Detail, Remedy: p.Remedy})
	}
	if err != nil && len(problems) == 0 {
		found = append(found, site.ConfigFault{Detail: err.Error()})
	}
	return found
}

func setClock(to time.Time) error {
	at := unix.NsecToTimeval(to.UnixNano())
	return unix.Settimeofday(&at)
}

func (d *door) siteCheckVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a site file, and the files beside it that it names; exit code 2 if anything is wrong",
		Args:  exactly(1, "a site file"),
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := readSite(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(d.Stdout, "%s is valid: %s\n", printable(file.Name), printable(file.Summary()))
			return err
		},
	}
}

// readSite reads and checks a site file where there is no node.
func readSite(path string) (*site.File, error) {
	file, err := site.Read(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, usageError{err}
	}
	if err == nil {
		err = file.CheckAlone(checkSiteConfig)
	}
	if err != nil {
		return nil, edge.WithHint(err, "`holdfast site example` prints one with everything in it")
	}
	return file, nil
}

func (d *door) siteExampleVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "example",
		Short: "Print a site file that has everything in it, as comments",
		Args:  nothing,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(d.Stdout, site.Example())
			return err
		},
	}
}
