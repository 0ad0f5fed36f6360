package cli_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"holdfast/edge/cli"
)

func TestDescribe_Verbs(t *testing.T) {
	root := cli.Describe()
	var paths []string
	var walk func(cli.Verb)
	walk = func(v cli.Verb) {
		paths = append(paths, v.Path)
		if v.Short == "" || !strings.HasPrefix(v.Usage, v.Path) {
			t.Errorf("%s: got %q, used as %q", v.Path, v.Short, v.Usage)
		}
		for _, below := range v.Verbs {
			walk(below)
		}
	}
	walk(root)
	for _, want := range []string{"holdfast", "holdfast run", "holdfast policy sign", "holdfast completion bash"} {
		if !slices.Contains(paths, want) {
			t.Errorf("got verbs %q, want %q among them", paths, want)
		}
	}
	i := slices.IndexFunc(root.Flags, func(f cli.Flag) bool { return f.Name == "output" })
	if i < 0 {
		t.Fatalf("got flags %v, want output among them", root.Flags)
	}
	if got, want := root.Flags[i], (cli.Flag{Name: "output", Short: "o", Wants: "string", Default: "table", Doc: "how to print: table or json"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestDescribe_Page: every verb has its place on the page of the command line.
func TestDescribe_Page(t *testing.T) {
	page, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range cli.Describe().Verbs {
		if word := strings.TrimPrefix(v.Path, "holdfast "); !strings.Contains(string(page), "`"+word) && !strings.Contains(string(page), "`"+word+"`") {
			t.Errorf("docs/cli.md does not speak of %q", v.Path)
		}
	}
}
