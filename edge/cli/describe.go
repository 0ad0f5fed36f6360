package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"holdfast/edge"
)

// Verb describes one verb of the command line, for who writes manual pages and references.
type Verb struct {
	Path  string // with the program: holdfast policy sign
	Usage string // the line of its arguments
	Short string // in one line
	Long  string // what more there is to say; empty where there is nothing
	Flags []Flag // its own, by their names; of the program itself those that every verb has
	Verbs []Verb // below it, by their names
}

// Flag describes one flag.
type Flag struct {
	Name    string
	Short   string // its letter, if it has one
	Wants   string // what kind of value; empty where it takes none
	Default string // empty where that says nothing
	Doc     string
}

// Describe tells all verbs there are.
func Describe() Verb {
	root := (&door{}).root()
	root.InitDefaultCompletionCmd()
	return describe(root)
}

func describe(cmd *cobra.Command) Verb {
	v := Verb{
		Path: cmd.CommandPath(), Usage: cmd.UseLine(), Short: cmd.Short, Long: strings.TrimSpace(cmd.Long),
		Flags: flagsOf(cmd),
	}
	for _, below := range cmd.Commands() {
		if below.IsAvailableCommand() {
			v.Verbs = append(v.Verbs, describe(below))
		}
	}
	edge.SortStable(v.Verbs, func(a, b Verb) int { return strings.Compare(a.Path, b.Path) })
	return v
}

func flagsOf(cmd *cobra.Command) []Flag {
	var found []Flag
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		wants, doc := pflag.UnquoteUsage(f)
		flag := Flag{Name: f.Name, Short: f.Shorthand, Wants: wants, Doc: doc}
		if !slices.Contains([]string{"", "false", "0", "0s", "[]"}, f.DefValue) {
			flag.Default = f.DefValue
		}
		found = append(found, flag)
	})
	return found
}
