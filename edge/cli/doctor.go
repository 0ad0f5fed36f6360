package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/edge/agent"
	"holdfast/edge/host"
)

var errUnwell = errors.New("something is wrong with this node")

func (d *door) doctorVerb() *cobra.Command {
	var flags configFlags
	var repair bool
	var containerd string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check this machine for what the agent needs, and say what to do about what is missing",
		Long: "Check this machine for what the agent needs, and say what to do about what is missing.\n\n" +
			"With --repair it does what is safe itself, and says what it did: it makes folders, removes what was\n" +
			"left half written, brings damaged databases back, and gives a containerd whose metadata cannot be\n" +
			"read new metadata, with every image that lies whole on disk. Stop containerd before.",
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := flags.load(d.Process)
			if err != nil {
				return err
			}
			doctor := agent.Doctor{Config: loaded.Config, Built: d.Built, Getenv: d.Getenv, ContainerdConfig: containerd}
			if repair {
				return d.repair(cmd, doctor)
			}
			findings := doctor.Examine(cmd.Context())
			if err := d.show(findings, func(p printer) error { return printFindings(p, findings) }); err != nil {
				return err
			}
			return health(findings)
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&repair, "repair", false, "do what is safe about what is wrong")
	cmd.Flags().StringVar(&containerd, "containerd-config", "", "containerd's configuration (default /etc/containerd/config.toml)")
	return cmd
}

// health is an error when anything fails.
func health(findings []host.Finding) error {
	for _, f := range findings {
		if f.Level == host.LevelFail {
			return errUnwell
		}
	}
	return nil
}

// repaired is what a repair has to say.
type repaired struct {
	Before []host.Finding  `json:"before"`
	Repair []agent.Mending `json:"repair"`
	After  []host.Finding  `json:"after"`
}

func (d *door) repair(cmd *cobra.Command, doctor agent.Doctor) error {
	ctx := cmd.Context()
	said := repaired{Before: doctor.Examine(ctx), Repair: doctor.Repair(ctx)}
	said.After = doctor.Examine(ctx)
	if err := d.show(said, func(p printer) error { return printRepair(p, said) }); err != nil {
		return err
	}
	for _, m := range said.Repair {
		if m.Failed != "" {
			return errUnwell
		}
	}
	return health(said.After)
}

// printRepair shows of the findings before only what was wrong.
func printRepair(p printer, said repaired) error {
	var wrong []host.Finding
	for _, f := range said.Before {
		if f.Level != host.LevelOK {
			wrong = append(wrong, f)
		}
	}
	fmt.Fprintln(p.out, "Before:")
	if err := printFindings(p, wrong); err != nil {
		return err
	}
	fmt.Fprintln(p.out, "Repair:")
	if len(said.Repair) == 0 {
		fmt.Fprintln(p.out, "      nothing that could be done from here")
	}
	for _, m := range said.Repair {
		if m.Failed == "" {
			fmt.Fprintf(p.out, "done  %-18s  %s\n", m.Code, printable(m.Did))
			continue
		}
		fmt.Fprintf(p.out, "fail  %-18s  %s\n", m.Code, printable(m.Failed))
		if m.Remedy != "" {
			fmt.Fprintf(p.out, "      remedy: %s\n", m.Remedy)
		}
	}
	fmt.Fprintln(p.out, "After:")
	return printFindings(p, said.After)
}

func printFindings(p printer, findings []host.Finding) error {
	for _, f := range findings {
		if _, err := fmt.Fprintf(p.out, "%-4s  %-18s  %s\n", f.Level, f.Code, printable(f.Subject+" "+f.Detail)); err != nil {
			return err
		}
		if f.Remedy != "" {
			fmt.Fprintf(p.out, "      remedy: %s\n", f.Remedy)
		}
	}
	return nil
}
