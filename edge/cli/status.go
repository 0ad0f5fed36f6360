package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
)

func (d *door) statusVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how the node is: tasks on time, workloads, warnings",
		Args:  nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			status, err := d.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			if d.output == "json" {
				return d.printer().JSON(status)
			}
			tasks, err := d.client().Tasks(cmd.Context())
			if err != nil {
				return err
			}
			return printStatus(d.printer(), status, tasks, time.Now())
		},
	}
}

func printStatus(p printer, s edge.Status, tasks []edge.TaskView, now time.Time) error {
	fmt.Fprintf(p.out, "%s  holdfast %s  process %d (%s)  up %s\n", s.Node, s.Version, s.PID, size(s.Vitals.AgentRSS), coarse(now.Sub(s.Started)))
	if words := agentWords(s.Agent, now); words != "" {
		fmt.Fprintln(p.out, "agent"+words)
	}
	if s.System != nil {
		fmt.Fprintln(p.out, systemWords(*s.System))
	}
	if s.Draining {
		fmt.Fprintln(p.out, "drained: no new task is taken; `holdfast undrain` ends that")
	}
	fmt.Fprintf(p.out, "containerd %s  cpu %.0f%%  memory %s of %s  disk free %s\n",
		daemonWords(s.Containerd), 100*s.Vitals.CPU, size(s.Vitals.MemoryUsed), size(s.Vitals.MemoryTotal),
		size(s.Vitals.DiskFree))
	fmt.Fprintln(p.out, healthWords(s.Health))
	fmt.Fprintln(p.out, policyWords(s.Policy))
	if s.SiteFile != nil {
		fmt.Fprintln(p.out, siteFileWords(*s.SiteFile))
	}
	if s.Link != nil {
		fmt.Fprintln(p.out, linkWords(*s.Link, now))
	}
	if s.Site != nil {
		fmt.Fprintln(p.out, siteWords(*s.Site, now))
	}
	if s.Inbox != nil {
		fmt.Fprintln(p.out, inboxWords(*s.Inbox))
	}
	for _, u := range s.Upstreams {
		fmt.Fprintln(p.out, upstreamWords(u, now))
	}
	fmt.Fprintln(p.out)
	printWarnings(p, s.Warnings, now)
	printQueue(p, s.Scheduler)
	if err := p.Table(classRows(s.Scheduler)); err != nil {
		return err
	}
	fmt.Fprintln(p.out)
	if len(s.Tenants) > 0 {
		if err := p.Table(tenantRows(s.Tenants)); err != nil {
			return err
		}
		fmt.Fprintln(p.out)
	}
	if err := p.Table(modelRows(s.Scheduler)); err != nil {
		return err
	}
	fmt.Fprintln(p.out)
	if err := p.Table(workloadRows(s.Workloads)); err != nil {
		return err
	}
	if err := printTools(p, s.Workloads); err != nil {
		return err
	}
	printGivenUp(p, tasks)
	return nil
}

// policyWords says which policy governs, how old it is, who signed it, and what is
// left of its lease.
func policyWords(r edge.PolicyReport) string {
	switch {
	case !r.Governed:
		return "policy none: nothing is trusted here, the workloads come from a Compose file"
	case r.Name == "":
		return "policy none: nothing is allowed"
	}
	words := fmt.Sprintf("policy %s version %d (%s)  in force for %s\nsigned by %s under root %d", printable(r.Name), r.Version, r.State,
		coarse(r.Age), strings.Join(shorten(r.Signers), ", "), r.Root)
	words += fmt.Sprintf("\nlease %s of %s and %d of %d boots left", coarse(r.LeaseLeft), coarse(r.Lease.Duration()), r.LeaseBoots, r.Lease.Boots)
	if r.Trial {
		words += "  (on trial)"
	}
	if !r.Kept {
		words += "  (in memory only)"
	}
	return words
}

func daemonWords(r edge.DaemonReport) string {
	switch {
	case !r.Connected && r.Error == "":
		return "not connected yet"
	case !r.Connected:
		return "not connected (" + printable(r.Error) + ")"
	}
	return r.Version
}

func printWarnings(p printer, warnings []edge.Warning, now time.Time) {
	for _, w := range warnings {
		fmt.Fprintf(p.out, "warning %s: %s: %s (since %s)\n", w.Code, printable(w.Subject), printable(w.Detail), ago(w.Since, now))
		if w.Remedy != "" {
			fmt.Fprintf(p.out, "  remedy: %s\n", printable(w.Remedy))
		}
	}
	if len(warnings) > 0 {
		fmt.Fprintln(p.out)
	}
}

// classRows count what became of tasks. Outcomes that none has had are left out, but for the
// three that most nodes see: that keeps the table within 80 columns.
func classRows(q edge.QueueReport) ([]string, [][]string) {
	head := []string{"CLASS", "WAITING", "SUBMITTED"}
	var shown []edge.Outcome
	for _, outcome := range edge.Outcomes {
		had := slices.ContainsFunc(q.Classes, func(c edge.ClassReport) bool { return c.Settled[outcome.String()] > 0 })
		if had || outcome <= edge.Refused {
			shown = append(shown, outcome)
			head = append(head, strings.ToUpper(outcome.String()))
		}
	}
	head = append(head, "ON TIME")
	var rows [][]string
	for _, c := range q.Classes {
		row := []string{c.Class.String(), fmt.Sprint(c.Waiting), fmt.Sprint(c.Submitted)}
		for _, outcome := range shown {
			row = append(row, fmt.Sprint(c.Settled[outcome.String()]))
		}
		rows = append(rows, append(row, onTimeWords(c)))
	}
	return head, rows
}

func onTimeWords(c edge.ClassReport) string {
	share, known := c.OnTime()
	if !known {
		return ""
	}
	return fmt.Sprintf("%.2f%%", 100*share)
}

func tenantRows(tenants []edge.TenantReport) ([]string, [][]string) {
	var rows [][]string
	for _, t := range tenants {
		tokens := ""
		if t.Rate != (edge.Rate{}) {
			tokens = fmt.Sprintf("%d of %d", t.Tokens, t.Burst)
		}
		if t.Shut {
			tokens = "shut out"
		}
		rows = append(rows, []string{t.Tenant, fmt.Sprint(t.Submitted), fmt.Sprint(t.OverQuota), fmt.Sprint(t.Denied), unlessZero(t.Rate), tokens})
	}
	return []string{"TENANT", "SUBMITTED", "OVER QUOTA", "DENIED", "RATE", "LEFT"}, rows
}

// healthWords says how well the node is, and what of.
func healthWords(h edge.HealthReport) string {
	words := fmt.Sprintf("health %.0f of 100", h.Score)
	if h.Low {
		words += ", below what the policy wants"
	}
	if h.ErrorRate > 0 {
		words += fmt.Sprintf("  %.1f%% of tasks failed or late", h.ErrorRate)
	}
	if h.Latency > 0 {
		words += fmt.Sprintf("  answered in %v", h.Latency.Round(10*time.Microsecond))
	}
	return words
}
