package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/build/vm/order"
)

// TestStandIn: in here a program is built by taking the one that was built before, found by
// the path of its package; everything else is refused.
func TestStandIn(t *testing.T) {
	dir := t.TempDir()
	built := filepath.Join(dir, "built")
	put := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(filepath.Join(built, "example/cmd/tool", order.Program), "the tool")
	put(filepath.Join(built, "example", order.Program), "the main program")
	put(filepath.Join(dir, "tree/go.mod"), "module example\n\ngo 1.26\n")
	put(filepath.Join(dir, "tree/cmd/x"), "")
	t.Chdir(filepath.Join(dir, "tree/cmd"))
	for name, c := range map[string]struct {
		args []string
		want string // empty: it is refused
	}{
		"Below":      {[]string{"build", "-trimpath", "-o", "OUT", "./tool"}, "the tool"},
		"ByPath":     {[]string{"build", "-o", "OUT", "-tags", "x", "example/cmd/tool"}, "the tool"},
		"Above":      {[]string{"build", "-o", "OUT", "../"}, "the main program"},
		"Root":       {[]string{"build", "-o", "OUT", "example"}, "the main program"},
		"NotBuilt":   {[]string{"build", "-o", "OUT", "./other"}, ""},
		"OtherVerb":  {[]string{"test", "-o", "OUT", "./tool"}, ""},
		"Nowhere":    {[]string{"build", "./tool"}, ""},
		"NoPackage":  {[]string{"build", "-trimpath", "-o", "OUT"}, ""},
		"NoArgument": {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "new", "program")
			args := slices.Clone(c.args)
			if at := slices.Index(args, "OUT"); at >= 0 {
				args[at] = out
			}
			err := standIn(args, built)
			got, _ := os.ReadFile(out) // none where it was refused
			if string(got) != c.want || (err != nil) != (c.want == "") {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
	t.Run("OutsideModules", func(t *testing.T) {
		t.Chdir("/")
		if err := standIn([]string{"build", "-o", filepath.Join(dir, "x"), "./tool"}, built); err == nil {
			t.Error("it found a package where there is no module")
		}
	})
}

// TestWorker_Run tells of programs that are well, fail, hang and are not there.
func TestWorker_Run(t *testing.T) {
	for name, c := range map[string]struct {
		words  []string
		within time.Duration
		code   int
		why    string
		lines  []string
	}{
		"Well":     {[]string{"sh", "-c", "echo one; echo two >&2"}, time.Minute, 0, "", []string{"one", "two"}},
		"Fails":    {[]string{"sh", "-c", "echo no; exit 7"}, time.Minute, 7, "exit status 7", []string{"no"}},
		"Hangs":    {[]string{"sh", "-c", "echo on; exec sleep 600"}, 300 * time.Millisecond, -1, "it was not over after 300ms", []string{"on"}},
		"NotThere": {[]string{"/does/not/exist"}, time.Minute, -1, "no such file", nil},
		"NoEnd":    {[]string{"sh", "-c", "printf abc"}, time.Minute, 0, "", []string{"abc"}},
	} {
		t.Run(name, func(t *testing.T) {
			var told bytes.Buffer
			w := worker{to: order.Teller{To: &told}}
			if err := w.run(context.Background(), order.Step{Name: "a", Dir: "/", Words: c.words, Within: c.within}); err != nil {
				t.Fatal(err)
			}
			if err := w.tell(order.Entry{Over: true}); err != nil {
				t.Fatal(err)
			}
			var lines []string
			var ran order.Ran
			err := order.Read(&told, func(e order.Entry) {
				if e.Line != "" && !strings.HasPrefix(e.Line, "journal: ") {
					lines = append(lines, e.Line)
				}
				if e.Ran != nil {
					ran = *e.Ran
				}
				if e.At <= 0 {
					t.Errorf("%+v bears no time", e)
				}
			})
			if err != nil || !slices.Equal(lines, c.lines) {
				t.Errorf("got %q, %v, want %q", lines, err, c.lines)
			}
			if ran.Code != c.code || !strings.Contains(ran.Why, c.why) {
				t.Errorf("got %+v, want code %d and %q", ran, c.code, c.why)
			}
		})
	}
}
