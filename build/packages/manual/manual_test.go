package manual_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/build/packages/manual"
	"holdfast/edge/cli"
)

var day = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// read has man format a page, and returns what it shows and what it complains of.
func read(t *testing.T, page manual.Page) (shown, complaints string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), page.File())
	if err := os.WriteFile(file, []byte(page.Text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "groff", "-man", "-Tutf8", "-Kutf8", "-ww", "-rLL=120n", "-P-cbou", file)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("cannot run groff (run: make provision): %v\n%s", err, &stderr)
	}
	return stdout.String(), stderr.String()
}

// TestPages_OfTheProgram: man has nothing to say against them, and each verb is on one.
func TestPages_OfTheProgram(t *testing.T) {
	root := cli.Describe()
	pages := manual.Pages(root, "1.2.3", day)
	if got, want := len(pages), len(root.Verbs)+1; got != want {
		t.Fatalf("got %d pages, want %d", got, want)
	}
	for i, page := range pages {
		shown, complaints := read(t, page)
		if complaints != "" {
			t.Errorf("%s: %s", page.File(), complaints)
		}
		verb := root
		if i > 0 {
			verb = root.Verbs[i-1]
		}
		for _, below := range verb.Verbs {
			if !strings.Contains(strings.Join(strings.Fields(shown), " "), below.Path) {
				t.Errorf("%s does not speak of %q", page.File(), below.Path)
			}
		}
	}
}

// TestPages_Hostile: texts that look like requests are shown as they are.
func TestPages_Hostile(t *testing.T) {
	odd := `.so /etc/passwd \n(x "quoted" 'single' -- it's ½ ~^` + "`"
	pages := manual.Pages(cli.Verb{
		Path: "tool", Usage: "tool [flags]", Short: odd, Long: odd,
		Flags: []cli.Flag{{Name: "odd", Short: "o", Wants: "a.b", Default: `\`, Doc: odd}},
	}, "1", day)
	shown, complaints := read(t, pages[0])
	if complaints != "" {
		t.Errorf("man says: %s", complaints)
	}
	if got := strings.Count(strings.Join(strings.Fields(shown), " "), odd); got != 3 {
		t.Errorf("got the text %d times, want thrice, in\n%s", got, shown)
	}
}

// TestPages_Control: the formatter does complain of what is wrong.
func TestPages_Control(t *testing.T) {
	_, complaints := read(t, manual.Page{Name: "broken", Text: ".TH X 8\n.nosuchrequest\n"})
	if complaints == "" {
		t.Error("nothing was said about a broken page: this check cannot fail")
	}
}
