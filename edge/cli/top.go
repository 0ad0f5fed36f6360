package cli

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/top"
	"holdfast/edge/tty"
)

func (d *door) topVerb() *cobra.Command {
	var ascii bool
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the node: what is wrong, tasks in their lanes, workloads, events",
		Long: "Watch the node in a terminal until q is pressed; ? lists the keys. It goes on when the agent is restarted.\n" +
			"Without colour where NO_COLOR is set, and in plain ASCII where the locale is not UTF-8.",
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return d.top(cmd.Context(), top.Look{Colour: d.Getenv("NO_COLOR") == "", ASCII: ascii || !d.speaksUTF8()})
		},
	}
	cmd.Flags().BoolVar(&ascii, "ascii", false, "draw with letters that every terminal has")
	return cmd
}

// speaksUTF8 tells whether the locale says that the terminal does.
func (d *door) speaksUTF8() bool {
	locale := strings.ToLower(cmp.Or(d.Getenv("LC_ALL"), d.Getenv("LC_CTYPE"), d.Getenv("LANG")))
	return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
}

// top shows the node until its user, or ctx, ends it.
func (d *door) top(ctx context.Context, look top.Look) (err error) {
	if d.output == "json" {
		return edge.WithHint(usagef("top draws on a terminal and has no JSON"), "`holdfast status -o json` is the same in one document")
	}
	if term := d.Getenv("TERM"); term == "" || term == "dumb" {
		return edge.WithHint(usagef("a terminal of kind %q cannot be drawn on", term), "`holdfast status` prints the same once, `holdfast events -f` goes on")
	}
	// Whether there is an agent at all is said as every verb says it.
	client := d.client()
	if _, err := client.Vitals(ctx); err != nil {
		return err
	}
	terminal, err := tty.Open(d.Stdin, d.Stdout)
	if err != nil {
		return edge.WithHint(usageError{err}, "top needs a terminal to draw on; `holdfast status` prints the same once")
	}
	screen := newScreen(terminal, client, look)
	err = screen.run(ctx)
	if closed := terminal.Close(); err == nil {
		err = closed
	}
	return err
}
