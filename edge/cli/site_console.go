package cli

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/agent"
	"holdfast/edge/config"
	"holdfast/edge/site"
)

func (d *door) siteConsoleVerb() *cobra.Command {
	var folders *site.Folders
	var out string
	cmd := &cobra.Command{
		Use:   "console",
		Short: "Write what the node's console shows: who it is, what governs it, and how to set it up",
		Long: "Write what the node's console shows: who it is, what governs it, its addresses, and how to set it up. It is\n" +
			"printed, and with --issue written to a file that agetty shows above its prompt; where that changes,\n" +
			"agetty is asked to show it anew.",
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := site.Console(d.standing(cmd.Context(), *folders))
			fmt.Fprint(d.Stdout, text)
			if out == "" {
				return nil
			}
			return showIssue(cmd.Context(), out, []byte("\n"+text+"\n"))
		},
	}
	folders = siteFolders(cmd)
	cmd.Flags().StringVar(&out, "issue", "", "also write it here, such as /run/issue.d/holdfast.issue")
	return cmd
}

// standing asks the agent, and without one the files that it will read.
func (d *door) standing(ctx context.Context, folders site.Folders) site.Standing {
	s := site.Standing{Version: d.Version, Addresses: ownAddresses()}
	s.Report, _ = site.ReadReport(folders.State) // one that cannot be read says nothing
	s.Node, _ = os.Hostname()
	loaded, err := config.Load(config.Options{DefaultPath: filepath.Join(folders.Etc, "config.yaml")})
	if err == nil {
		s.Node = loaded.Config.Node.Name
	}
	s.Key, _, _ = agent.NodeKey(folders.State) // a state folder that takes no key has none to show
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	status, answered := d.client().Status(ctx)
	switch {
	case answered == nil:
		s.Node, s.Governs = status.Node, governs(status.Policy)
		if status.Link != nil {
			s.Link = phaseWords(*status.Link, time.Now())
		}
	case err != nil:
		s.Governs = "nothing yet: the configuration is wrong (holdfast config check)"
	default:
		s.Governs = willGovern(loaded.Config, folders.State)
	}
	return s
}

func governs(r edge.PolicyReport) string {
	switch {
	case !r.Governed:
		return "a Compose file: this node trusts no fleet"
	case r.Name == "":
		return "no policy yet: nothing is allowed to run"
	}
	return fmt.Sprintf("policy %s version %d (%s)", r.Name, r.Version, r.State)
}

// willGovern says what the agent will be governed by, as far as its files tell.
func willGovern(c config.Config, state string) string {
	trusted := agent.ReadTrust(c.Policy, state)
	switch {
	case trusted.Root != nil && len(trusted.Factory) > 0:
		return "a signed policy (the agent is not up yet)"
	case trusted.Governs():
		return "signed policies (the agent is not up yet)"
	}
	return "a Compose file: this node trusts no fleet (the agent is not up yet)"
}

// ownAddresses are those by which the machine can be reached.
func ownAddresses() (all []string) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, one := range interfaces {
		addresses, err := one.Addrs()
		if err != nil {
			continue
		}
		for _, address := range addresses {
			if ip, _, err := net.ParseCIDR(address.String()); err == nil && ip.IsGlobalUnicast() {
				all = append(all, one.Name+" "+address.String())
			}
		}
	}
	return all
}

// showIssue writes the file where it differs, and has the prompts shown anew.
func showIssue(ctx context.Context, path string, text []byte) error {
	if before, err := os.ReadFile(path); err == nil && bytes.Equal(before, text) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot make folder: %w", err)
	}
	draft := path + ".new"
	if err := os.WriteFile(draft, text, 0o644); err != nil {
		return fmt.Errorf("cannot write issue: %w", err)
	}
	if err := os.Rename(draft, path); err != nil {
		return fmt.Errorf("cannot write issue: %w", err)
	}
	if reload, err := exec.LookPath("agetty"); err == nil && filepath.Dir(path) == "/run/issue.d" {
		_ = exec.CommandContext(ctx, reload, "--reload").Run() // without one the next prompt shows it
	}
	return nil
}
