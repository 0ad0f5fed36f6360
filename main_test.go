package main

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/edge/agent"
)

// TestMain lets the scripts run this very program under the name holdfast. Its child
// that looks at a database is started by what the kernel calls it, without that name.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == agent.CheckVerb {
		main()
	}
	testscript.Main(m, map[string]func(){"holdfast": main})
}

// TestScripts runs every script as a person would type it. What needs containers
// is in build/e2e.
func TestScripts(t *testing.T) { testscript.Run(t, params("testdata/script")) }

func params(dir string) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               givePort,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":      exits,
			"eventually": eventually,
			"send":       send,
			"isjson":     isJSON,
		},
	}
}

// givePort tells a script in $PORT where it may listen on the loopback.
func givePort(env *testscript.Env) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	env.Setenv("PORT", port)
	return errors.Join(err, l.Close())
}

// TestScripts_Fail is the negative control: scripts that expect what is not so.
func TestScripts_Fail(t *testing.T) {
	for name, script := range map[string]string{
		"ExitCode":    "exits 0 holdfast --no-such-flag\n",
		"OtherCode":   "exits 3 holdfast --no-such-flag\n",
		"NoSuchWords": "exec holdfast version\nstdout 'holdfast from the future'\n",
		"Usage":       "exits holdfast version\n",
		"NoSignal":    "send STOP\n",
		"NoJSON":      "exec holdfast version\nisjson stdout\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "wrong.txtar"), []byte(script), 0o644); err != nil {
				t.Fatal(err)
			}
			var r recorder
			r.Run("script", func(t testscript.T) { testscript.RunT(t, params(dir)) })
			if !r.failed.Load() {
				t.Errorf("the script passed:\n%s", script)
			}
		})
	}
}

// recorder is a test that only remembers whether it failed.
type recorder struct{ failed atomic.Bool }

func (r *recorder) Skip(...any)   { goruntime.Goexit() }
func (r *recorder) Fatal(...any)  { r.FailNow() }
func (r *recorder) Log(...any)    {}
func (r *recorder) Parallel()     {}
func (r *recorder) Verbose() bool { return false }
func (r *recorder) FailNow() {
	r.failed.Store(true)
	goruntime.Goexit()
}

// Run runs a part to its end, on a goroutine that FailNow can end.
func (r *recorder) Run(_ string, part func(testscript.T)) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		part(r)
	}()
	<-ended
}

// exits runs a command and wants its exit code:
//
//	exits 2 holdfast --no-such-flag
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGUMENT…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	var exit *exec.ExitError
	if err = ts.Exec(args[1], args[2:]...); err != nil && !errors.As(err, &exit) {
		ts.Fatalf("cannot run %s: %v", args[1], err)
	}
	got := 0
	if exit != nil {
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// eventually runs a command again and again until it succeeds:
//
//	eventually holdfast status
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: eventually COMMAND ARGUMENT…")
	}
	const patience, pause = 20 * time.Second, 20 * time.Millisecond
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-timeout.C:
			ts.Fatalf("after %v it still ends with %v", patience, err)
		}
	}
}

// isJSON wants a file, or what the last command printed, to be one JSON document:
//
//	isjson stdout
func isJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] isjson FILE")
	}
	if json.Valid([]byte(ts.ReadFile(args[0]))) == neg {
		ts.Fatalf("%s is JSON: %v", args[0], neg)
	}
}

// send signals what runs in the background:
//
//	send TERM
func send(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "INT": syscall.SIGINT}
	if neg || len(args) != 1 || signals[args[0]] == nil {
		ts.Fatalf("usage: send TERM|HUP|INT")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(signals[args[0]]))
	}
}
