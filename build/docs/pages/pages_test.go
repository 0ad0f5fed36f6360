package pages_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/build/docs/pages"
	"holdfast/edge/cli"
)

// tree writes files below a folder of the test's own.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestBroken(t *testing.T) {
	root := tree(t, map[string]string{
		"docs/a.md": strings.Join([]string{
			"# One `thing`, and two", "## Same", "## Same", "[b](b.md) [b](b.md#x) [self](#one-thing-and-two) [again](#same-1)",
			"[out](https://example.org/x.md) `[no](link.md)` ![p](p.svg)", "```", "[no](link.md)", "# no heading", "```", "[zh](b.md#第一步)",
		}, "\n"),
		"docs/b.md":  "## X\n## 第一步\n",
		"docs/p.svg": "",
	})
	if broken, err := pages.Broken(root, "docs"); err != nil || broken != nil {
		t.Errorf("Broken = %q, %v where all is well", broken, err)
	}
	for _, link := range []string{"[x](c.md)", "[x](b.md#y)", "[x](#no-heading)", "![x](q.svg)", `<img src="q.svg">`, "[x](../docs/c.md#x)"} {
		root := tree(t, map[string]string{"docs/a.md": "# A\n```\n# No heading\n```\n" + link, "docs/b.md": "# X\n"})
		if broken, err := pages.Broken(root, "docs"); err != nil || len(broken) != 1 {
			t.Errorf("Broken = %q, %v for %s", broken, err, link)
		}
	}
}

func TestCodes(t *testing.T) {
	root := tree(t, map[string]string{
		"edge/a.go":      "package a\nconst (\n\twarnOne = \"it-is-one\"\n\tcodeTwo = \"is-two\"\n\twarnWord = \"word\"\n)\ntype EventKind string\nconst EventA EventKind = \"a-began\"\n",
		"edge/a_test.go": "package a\nconst warnTest = \"not-this\"\n",
		"mqtt/b.go":      "package b\nvar _ = []mqtt.Cause{mqtt.Refused, mqtt.NotYetValid}\n",
		"edge/host/c.go": "package c\nfunc f() { const code = \"clock\"; _ = finding(\"kernel\", 1, 2); _ = Finding{Code: \"runc\"} }\n",
	})
	for _, of := range []struct {
		what string
		read func(string) ([]string, error)
		want string
	}{
		{"warnings", pages.Warnings, "is-two it-is-one link-not-yet-valid link-refused"},
		{"events", pages.Events, "a-began"},
		{"findings", pages.Findings, "clock kernel runc"},
	} {
		if got, err := of.read(root); err != nil || strings.Join(got, " ") != of.want {
			t.Errorf("%s = %q, %v, want %s", of.what, got, err, of.want)
		}
	}
	documented := pages.Documented("| code | |\n|---|---|\n| `a-b`, `c` | `not-this` |\ntext `nor-this` | x\n")
	if !documented["a-b"] || !documented["c"] || len(documented) != 2 {
		t.Errorf("Documented = %v", documented)
	}
}

func TestBlocks(t *testing.T) {
	page := "```sh\na\n```\ntext\n```text\nb\n```\n```sh\nc\nd\n```\nheld by `TestA_B`, `Test`, TestC\n"
	if got := pages.Blocks(page, "sh"); !slices.Equal(got, []string{"a\n", "c\nd\n"}) {
		t.Errorf("Blocks = %q", got)
	}
	if got := pages.Tests(page); !slices.Equal(got, []string{"TestA_B"}) {
		t.Errorf("Tests = %q", got)
	}
}

func TestMisused(t *testing.T) {
	program := cli.Verb{Path: "holdfast", Flags: []cli.Flag{{Name: "output"}}, Verbs: []cli.Verb{
		{Path: "holdfast status"},
		{Path: "holdfast policy", Verbs: []cli.Verb{{Path: "holdfast policy sign", Flags: []cli.Flag{{Name: "key"}}}}},
	}}
	for _, right := range []string{
		"`holdfast status --output json`", "    $ holdfast policy sign FILE --key K", "```sh\nholdfast policy sign a --key b && holdfast status\n```",
		"`holdfast policy` `sign --key`", "what holdfast does --quickly", "`holdfast policy sign`: a --flag outside",
	} {
		if wrong := pages.Misused(right, program); wrong != nil {
			t.Errorf("%q is found wrong with %q", wrong, right)
		}
	}
	for _, bad := range []string{
		"`holdfast stats`", "    $ holdfast policy sign FILE --keys K", "```sh\nholdfast status --json\n```", "    # holdfast policy sing FILE --quorum 1", "true || `holdfast stop`",
	} {
		if pages.Misused(bad, program) == nil {
			t.Errorf("nothing is found wrong with %q", bad)
		}
	}
}
