package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTester_Run has programs that do not do, and one that does.
func TestTester_Run(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{name: "Well", script: `echo '{"version":"1.1","policy":"sha256:ab"}'`},
		{name: "NotAReport", script: `echo hello`, want: "no report"},
		{name: "SaysNothing", script: `exit 0`, want: "no report"},
		{name: "Fails", script: `echo noise >&2; echo 'holdfast: cannot open: damaged' >&2; exit 1`, want: "holdfast: cannot open: damaged"},
		{name: "Killed", script: `kill -9 $$`, want: "killed"},
		{name: "Hangs", script: `exec tail -f /dev/null`, want: "did not end within"},
		{name: "LeavesAChild", script: `tail -f /dev/null & exit 1`, want: "exit status 1"},
		{name: "Floods", script: `yes | head -c 1000000; exit 1`, want: "exit status 1"},
		{name: "Environment", script: `[ -z "$NOTIFY_SOCKET$HOLDFAST_SLOT" ] && [ "$KEPT" = yes ] && echo '{"version":"1.1","policy":"sha256:ab"}'`},
		{name: "Arguments", script: `[ "$*" = "selftest --state /copy --set a=b" ] && echo '{"version":"1.1","policy":"sha256:ab"}'`},
	} {
		t.Run(c.name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "program")
			if err := os.WriteFile(program, []byte("#!/bin/sh\n"+c.script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			r := newTester(Options{
				Flags:   []string{"--set", "a=b"},
				Environ: []string{"PATH=" + os.Getenv("PATH"), "KEPT=yes", "NOTIFY_SOCKET=/run/x", "HOLDFAST_SLOT=a"},
			})
			if c.name == "Hangs" {
				r.within = 200 * time.Millisecond
			}
			said, err := r.run(t.Context(), program, "/copy")
			switch {
			case c.want == "" && (err != nil || said != SelfTested{Version: "1.1", Policy: "sha256:ab"}):
				t.Errorf("it says %+v, %v", said, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("TakesMemory", func(t *testing.T) {
		program := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(program, []byte("#!/bin/sh\nexec tail -f /dev/null\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		r := newTester(Options{Environ: os.Environ()})
		r.memory = 1 << 10 // which every program has
		if _, err := r.run(t.Context(), program, "/copy"); err == nil || !strings.Contains(err.Error(), "bytes of memory") {
			t.Errorf("got %v", err)
		}
	})
}
