package pages

import (
	"regexp"
	"slices"
	"strings"

	"holdfast/edge/cli"
)

var (
	// called is a command as pages show it: after a prompt, at the start of a line of code, or in a span.
	called = regexp.MustCompile("(?m)(?:^(?:    |)(?:[$#] )?|`|\\| |&& |; |do )(?:dist/)?holdfast((?: [^`|;&\n]*)?)")
	flag   = regexp.MustCompile(`(?:^|[\s\[])(--[a-z][a-z-]*)`)
	word   = regexp.MustCompile(`^[a-z][a-z-]*$`)
)

// Misused are the commands of a page whose verb or flag the program does not have.
func Misused(page string, program cli.Verb) (wrong []string) {
	for _, match := range called.FindAllStringSubmatch(page, -1) {
		line, _, _ := strings.Cut(match[1], "  #")
		if why := misuse(strings.Fields(line), flag.FindAllStringSubmatch(line, -1), program); why != "" {
			wrong = append(wrong, "holdfast"+line+": "+why)
		}
	}
	return wrong
}

// misuse says what is wrong with one command, or nothing.
func misuse(words []string, flags [][]string, program cli.Verb) string {
	verb, shared := program, program.Flags // those of the verbs above hold below
	for _, w := range words {
		below, found := verbBelow(verb, w)
		if !found {
			if word.MatchString(w) && len(verb.Verbs) > 0 && verb.Path == program.Path {
				return "there is no verb " + w
			}
			break
		}
		verb = below
		shared = append(slices.Clone(shared), verb.Flags...)
	}
	for _, f := range flags {
		if name := strings.TrimPrefix(f[1], "--"); name != "help" && !hasFlag(verb, name) && !hasFlag(cli.Verb{Flags: shared}, name) {
			return verb.Path + " has no " + f[1]
		}
	}
	return ""
}

func verbBelow(verb cli.Verb, name string) (cli.Verb, bool) {
	for _, below := range verb.Verbs {
		if below.Path == verb.Path+" "+name {
			return below, true
		}
	}
	return cli.Verb{}, false
}

// hasFlag tells whether a verb, or one below it, takes a flag.
func hasFlag(verb cli.Verb, name string) bool {
	for _, f := range verb.Flags {
		if f.Name == name {
			return true
		}
	}
	for _, below := range verb.Verbs {
		if hasFlag(below, name) {
			return true
		}
	}
	return false
}
