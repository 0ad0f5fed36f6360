package browser_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	goruntime "runtime"
	"testing"
	"time"
)

// only limits the checks to those whose names hold it, for whoever works on one.
var only = flag.String("only", "", "part of the name of the checks to make")

// inTime is how long the whole script may take.
const inTime = 3 * time.Minute

// finding is what the script says of one check.
type finding struct {
	Name   string   `json:"name"`
	OK     bool     `json:"ok"`
	Detail string   `json:"detail"`
	Notes  []string `json:"notes"`
	MS     int      `json:"ms"`
}

// need finds a program, or fails with what would bring it.
func need(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed: run build/provision/provision.sh --only test", names[0])
	return ""
}

// script is the node process that runs the checks.
func script(ctx context.Context, t testing.TB, env ...string) *exec.Cmd {
	t.Helper()
	chromium, node := need(t, "chromium", "chromium-browser"), need(t, "node", "nodejs")
	if !isThere("node_modules/playwright-core/package.json") {
		t.Fatal("build/browser/node_modules is not there: run build/provision/provision.sh --only test")
	}
	cmd := exec.CommandContext(ctx, node, "checks/run.mjs")
	cmd.Env = append(os.Environ(), append(env, "HOLDFAST_DIRECTOR="+direct(t).URL, "HOLDFAST_CHROMIUM="+chromium)...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

func TestPage_Browser(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), inTime)
	defer cancel()
	cmd := script(ctx, t, "HOLDFAST_ONLY="+*only)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for lines := json.NewDecoder(out); ; seen++ {
		var found finding
		if err := lines.Decode(&found); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the script says no JSON: %v\n%s", err, &stderr)
		}
		t.Run(found.Name, func(t *testing.T) { found.report(t) })
	}
	if err := cmd.Wait(); err != nil || seen == 0 {
		t.Fatalf("the script made %d checks and ended with %v\n%s", seen, err, &stderr)
	}
}

// report is one check as a test of its own.
func (f finding) report(t *testing.T) {
	for _, note := range f.Notes {
		t.Log(note)
	}
	t.Logf("%d ms", f.MS)
	if !f.OK {
		t.Error(f.Detail)
	}
}

// TestPage_Functions runs the tests of what needs no browser: the words of the headline,
// the clock, what is kept.
func TestPage_Functions(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), need(t, "node", "nodejs"), "--test", "--test-reporter=tap", "unit/")
	out, err := cmd.CombinedOutput()
	passed := bytes.Count(out, []byte("\nok "))
	t.Logf("%d tests passed", passed)
	if err != nil || passed < 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

// wall takes what a test would be told.
type wall struct {
	testing.TB
	said string
}

func (w *wall) Helper() {}

func (w *wall) Fatalf(format string, args ...any) {
	w.said = fmt.Sprintf(format, args...)
	goruntime.Goexit()
}

func TestNeed_Missing(t *testing.T) {
	w := &wall{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		need(w, "no-such-browser", "nor-this-one")
	}()
	<-done
	if want := "no-such-browser is not installed: run build/provision/provision.sh --only test"; w.said != want {
		t.Errorf("without a browser the test says %q, want %q", w.said, want)
	}
}
