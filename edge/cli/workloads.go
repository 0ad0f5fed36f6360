package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
)

func (d *door) workloadsVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "workloads",
		Short: "List what should run and what does",
		Args:  nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			workloads, err := d.client().Workloads(cmd.Context())
			if err != nil {
				return err
			}
			return d.show(workloads, func(p printer) error {
				if err := p.Table(instanceRows(workloads, time.Now())); err != nil {
					return err
				}
				if err := printTools(p, workloads); err != nil {
					return err
				}
				printUpdates(p, workloads, time.Now())
				return nil
			})
		},
	}
	cmd.AddCommand(d.restartVerb())
	return cmd
}

func (d *door) restartVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "restart WORKLOAD|INSTANCE",
		Short: "Restart a workload, or one instance of it",
		Args:  exactly(1, "a workload (app/name) or an instance"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.client().Restart(cmd.Context(), args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(d.Stdout, "restarting %s\n", args[0])
			return err
		},
	}
}

// workloadRows is the short list of status.
func workloadRows(views []edge.WorkloadView) ([]string, [][]string) {
	var rows [][]string
	for _, v := range views {
		restarts := 0
		for _, i := range v.Instances {
			restarts += i.Restarts
		}
		rows = append(rows, []string{
			v.Workload.Key(), shortImage(v.Workload.Image),
			fmt.Sprintf("%d of %d%s%s", v.Ready, v.Workload.Replicas, adjustedMark(v), updateMark(v)), fmt.Sprint(restarts),
		})
	}
	return []string{"WORKLOAD", "IMAGE", "READY", "RESTARTS"}, rows
}

// adjustedMark says that a command, and not the policy, set how many there are.
func adjustedMark(v edge.WorkloadView) string {
	if v.Adjusted {
		return " (by command)"
	}
	return ""
}

func instanceRows(views []edge.WorkloadView, now time.Time) ([]string, [][]string) {
	var rows [][]string
	for _, v := range views {
		for _, i := range v.Instances {
			rows = append(rows, []string{
				v.Workload.Key(), i.ID, string(i.State), fmt.Sprint(i.PID), ago(i.Started, now),
				fmt.Sprint(i.Restarts), usageWords(i.Usage), i.Where(), i.Detail,
			})
		}
		if len(v.Instances) == 0 && v.OneShot == nil {
			rows = append(rows, []string{v.Workload.Key(), "", "none", "", "", "", "", "", ""})
		}
	}
	return []string{"WORKLOAD", "INSTANCE", "STATE", "PID", "STARTED", "RESTARTS", "MEMORY", "REACHED AT", "DETAIL"}, rows
}

// printTools says how many containers stand ready for the tasks of tools.
func printTools(p printer, views []edge.WorkloadView) error {
	var rows [][]string
	for _, v := range views {
		if o := v.OneShot; o != nil {
			rows = append(rows, []string{v.Workload.Key(), fmt.Sprintf("%d of %d", o.Warm, o.Most), fmt.Sprint(o.Busy), fmt.Sprint(o.Runs), fmt.Sprint(o.Cold)})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(p.out)
	return p.Table([]string{"ONE-SHOT", "STAND READY", "AT WORK", "TASKS", "FOUND NONE"}, rows)
}

func usageWords(u *edge.Usage) string {
	if u == nil {
		return ""
	}
	return size(u.Memory)
}
