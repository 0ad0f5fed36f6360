package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
)

func (d *door) tasksVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tasks",
		Short: "List running and waiting tasks in order of their turn, then those that settled lately",
		Args:  nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tasks, err := d.client().Tasks(cmd.Context())
			if err != nil {
				return err
			}
			return d.show(tasks, func(p printer) error { return p.Table(taskRows(tasks)) })
		},
	}
	cmd.AddCommand(d.cancelVerb())
	return cmd
}

func (d *door) cancelVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel TASK",
		Short: "Give a waiting or running task up",
		Args:  exactly(1, "a task id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.client().CancelTask(cmd.Context(), args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(d.Stdout, "cancelled %s\n", args[0])
			return err
		},
	}
}

func taskRows(tasks []edge.TaskView) ([]string, [][]string) {
	var rows [][]string
	for _, t := range tasks {
		rows = append(rows, []string{
			t.ID, t.Model, t.Class.String(), t.State, relativeDeadline(t),
			coarse(t.Queue), coarse(t.Compute), slackWords(t), t.Reason,
		})
	}
	return []string{"TASK", "MODEL", "CLASS", "STATE", "DEADLINE", "QUEUE", "COMPUTE", "SLACK", "REASON"}, rows
}

// relativeDeadline is the deadline as its caller asked for it.
func relativeDeadline(t edge.TaskView) string {
	if t.Deadline.IsZero() {
		return "none"
	}
	return coarse(t.Deadline.Sub(t.Arrived).Round(time.Microsecond))
}

func slackWords(t edge.TaskView) string {
	if t.Deadline.IsZero() {
		return ""
	}
	return coarse(t.Slack)
}
