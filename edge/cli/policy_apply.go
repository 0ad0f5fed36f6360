package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/fleet"
)

func (d *door) policyApplyVerb() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "apply FILE...",
		Short: "Bring this node signed root documents and a signed policy",
		Long: "Bring this node signed root documents and a signed policy, in the order they are named. What a\n" +
			"policy changes is explained first. It is in force when the node has it on disk twice; then its\n" +
			"workloads are waited for. A policy that fails to apply is taken back by the node, and exit code 1\n" +
			"says so.",
		Args: between(1, 16, "signed documents"),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, path := range args {
				if err := d.applyDocument(cmd.Context(), path, wait); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", time.Minute, "how long to wait for the workloads of a policy; 0 does not wait")
	return cmd
}

func (d *door) applyDocument(ctx context.Context, path string, wait time.Duration) error {
	document, err := fleet.ReadDocument(path)
	if err != nil {
		return err
	}
	if document.Release != nil {
		return edge.WithHint(fmt.Errorf("cannot apply %q: it is a release of the agent: %w", path, edge.ErrInvalid), "holdfast update FOLDER")
	}
	if document.Envelope == nil {
		return edge.WithHint(fmt.Errorf("cannot apply %q: it is not signed: %w", path, edge.ErrInvalid), "sign it with `holdfast policy sign`")
	}
	if document.Policy != nil {
		if err := d.explain(ctx, document.Policy); err != nil {
			return err
		}
	}
	report, err := d.client().ApplyPolicy(ctx, document.Signed())
	if err != nil {
		return err
	}
	if document.Policy == nil {
		_, err = fmt.Fprintf(d.progress(), "root version %d is followed\n", document.Version())
	} else {
		_, err = fmt.Fprintf(d.progress(), "policy %s version %d is in force\n", report.Name, report.Version)
	}
	if err == nil && document.Policy != nil && wait > 0 {
		report, err = d.awaitPolicy(ctx, report, wait)
	}
	return errors.Join(err, d.showReport(report))
}

// progress is where a person is told what happens meanwhile.
func (d *door) progress() io.Writer {
	if d.output == "json" {
		return d.Stderr
	}
	return d.Stdout
}

// explain tells what the node will change. A node without a policy has nothing to
// compare with.
func (d *door) explain(ctx context.Context, next *edge.Policy) error {
	view, err := d.client().Policy(ctx)
	if err != nil || view.Document == nil {
		return err
	}
	running, err := policyOf(view)
	if err != nil {
		return err
	}
	changes, err := fleet.Diff(running, next)
	if err != nil {
		return err
	}
	return printChanges(printer{out: d.progress()}, changes)
}

// lookEvery is how often a waiting verb asks the agent.
const lookEvery = 100 * time.Millisecond

// awaitPolicy waits until every workload of the policy is as it says, or the node has
// taken the policy back.
func (d *door) awaitPolicy(ctx context.Context, applied edge.PolicyReport, wait time.Duration) (edge.PolicyReport, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		status, err := d.client().Status(ctx)
		switch {
		case ctx.Err() != nil:
			return applied, fmt.Errorf("the workloads of policy version %d are not all ready after %v; see holdfast status", applied.Version, wait)
		case err != nil:
			return applied, err
		case status.Policy.Digest != applied.Digest:
			return status.Policy, takenBack(applied, status.Policy)
		case !status.Containerd.Connected:
			_, err := fmt.Fprintln(d.progress(), "containerd does not answer; the workloads are started when it does")
			return status.Policy, err
		case settled(status.Workloads):
			return status.Policy, failedAlone(applied, status.Workloads)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

func takenBack(applied, now edge.PolicyReport) error {
	if now.FailedVersion != applied.Version {
		return fmt.Errorf("policy version %d was replaced by version %d", applied.Version, now.Version)
	}
	return edge.WithHint(
		fmt.Errorf("policy version %d failed to apply and was taken back, version %d is in force: %s", applied.Version, now.Version, now.FailedWhy),
		"correct it and give it a higher version")
}

// failedAlone is an error where a workload failed in the version of the policy, and the
// policy stays.
func failedAlone(applied edge.PolicyReport, workloads []edge.WorkloadView) error {
	var failed []string
	for _, v := range workloads {
		if v.Update != nil && v.Update.Why != "" {
			failed = append(failed, v.Workload.Key()+": "+updateWords(*v.Update, time.Now()))
		}
	}
	if failed == nil {
		return nil
	}
	return edge.WithHint(
		fmt.Errorf("policy version %d is in force, and of its workloads not all are well: %s", applied.Version, strings.Join(failed, "; ")),
		"correct them in a higher version")
}

// settled tells whether what should run does, as it should, and nothing else but what is
// tried beside it for a while.
func settled(workloads []edge.WorkloadView) bool {
	return !slices.ContainsFunc(workloads, func(v edge.WorkloadView) bool {
		hash := v.Workload.SpecHash()
		other := slices.ContainsFunc(v.Instances, func(i edge.InstanceView) bool { return i.Running && i.SpecHash != hash && !v.IsCanary(i) })
		return v.Ready < v.Workload.Replicas || other
	})
}

func (d *door) showReport(report edge.PolicyReport) error {
	if d.output != "json" {
		return nil
	}
	return d.printer().JSON(report)
}
