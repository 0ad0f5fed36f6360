package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/build/vm/order"
)

// emulating is a machine whose emulator is a script. It gets QEMU's arguments and has its
// standard output taken for what comes out of the machine's port.
func emulating(t *testing.T, script string) machine {
	t.Helper()
	dir := t.TempDir()
	emulator := filepath.Join(dir, "emulator")
	if err := os.WriteFile(emulator, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return machine{emulator: emulator, kernel: "kernel", disk: "disk", console: filepath.Join(dir, "console.log"), scratch: dir, accel: "tcg"}
}

const (
	passes = `echo '{"Step":"cgroups","Line":"--- PASS: TestMachine_Cgroups (0.1s)"}'
echo '{"Step":"cgroups","Ran":{"Code":0}}'
`
	fails = `echo '{"Step":"cgroups","Line":"    x_test.go:1: cgroups are not of the second version alone"}'
echo '{"Step":"cgroups","Line":"--- FAIL: TestMachine_Cgroups (0.1s)"}'
echo '{"Step":"cgroups","Ran":{"Code":1,"Why":"exit status 1"}}'
`
	over = `echo '{"Over":true}'
`
)

// result runs a machine and says what a caller would be told.
func result(ctx context.Context, m machine, control bool) error {
	told, steps := newLedger(io.Discard, false), []trial{{name: "cgroups"}}
	failed := m.run(ctx, told)
	if control {
		return errors.Join(failed, told.wantFound())
	}
	return errors.Join(failed, told.failed(steps))
}

func TestMachine_Run(t *testing.T) {
	for name, c := range map[string]struct {
		script  string
		control bool
		want    []string // nothing: it is well
	}{
		"Well":           {passes + over, false, nil},
		"Fails":          {fails + over, false, []string{"step cgroups failed: exit status 1"}},
		"EndsEarly":      {passes + "echo 'Kernel panic' >&2", false, []string{order.ErrCutOff.Error(), "QEMU says", "Kernel panic"}},
		"TestsNothing":   {`echo '{"Step":"cgroups","Ran":{"Code":0}}'` + "\n" + over, false, []string{"step cgroups has run no test"}},
		"RunsNothing":    {over, false, []string{"step cgroups was not run to its end"}},
		"EndsBadly":      {passes + over + "exit 3", false, []string{"exit status 3"}},
		"Rubbish":        {"echo hello; exec sleep 600", false, []string{`cannot read "hello"`}},
		"ControlFound":   {fails + over, true, nil},
		"ControlUnfound": {passes + over, true, []string{"these tests see nothing"}},
		"ControlOther":   {strings.ReplaceAll(fails, "second version", "kind") + over, true, []string{"these tests see nothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := result(t.Context(), emulating(t, c.script), c.control)
			if (err != nil) != (c.want != nil) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q in it", err, want)
				}
			}
		})
	}
	t.Run("NoEmulator", func(t *testing.T) {
		m := emulating(t, "")
		m.emulator = filepath.Join(t.TempDir(), "none")
		if err := result(t.Context(), m, false); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}

// TestMachine_Interrupted: a machine that hangs is ended with whoever started it.
func TestMachine_Interrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := emulating(t, `echo $$ > "$TMPDIR/pid"; echo '{"Step":"cgroups","Line":"=== RUN"}'; exec sleep 600`)
	ended := make(chan error, 1)
	go func() { ended <- m.run(ctx, newLedger(cancelling{cancel}, false)) }()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	text, err := os.ReadFile(filepath.Join(m.scratch, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("got %v of the machine's process, want it to be gone", err)
	}
}

// cancelling ends what is under way as soon as anything of it is printed.
type cancelling struct{ cancel context.CancelFunc }

func (c cancelling) Write(p []byte) (int, error) {
	c.cancel()
	return len(p), nil
}

// TestLedger_Prints: of what passes a line is shown, of what fails everything.
func TestLedger_Prints(t *testing.T) {
	var shown strings.Builder
	l := newLedger(&shown, false)
	l.begin(time.Now())
	for _, line := range []string{
		"=== RUN   TestA", "    a_test.go:1: said by A", "    a_test.go:2: figure: 7 ms", "--- PASS: TestA (0.1s)", "    --- PASS: TestA/Part (0.1s)",
		"=== RUN   TestB", "    b_test.go:1: said by B", "--- FAIL: TestB (0.1s)", "FAIL",
	} {
		l.add(order.Entry{Step: "one", Line: line})
	}
	l.add(order.Entry{Step: "one", Ran: &order.Ran{Code: 1, Why: "exit status 1"}})
	l.sum()
	for want, there := range map[string]bool{
		"said by A": false, "7 ms": true, "--- PASS: TestA (": true, "TestA/Part": false, "said by B": true, "--- FAIL: TestB": true,
		"FAILED, exit status 1": true, "2 passed, 1 failed": true,
	} {
		if got := strings.Contains(shown.String(), want); got != there {
			t.Errorf("%q is shown: %v, want %v, in\n%s", want, got, there, shown.String())
		}
	}
}

func TestChosen(t *testing.T) {
	for name, c := range map[string]struct {
		o    options
		want int
	}{
		"All":     {options{steps: "."}, len(trials())},
		"One":     {options{steps: "^driver$"}, 1},
		"None":    {options{steps: "drive-in"}, 0},
		"Wrong":   {options{steps: "("}, 0},
		"Control": {options{steps: ".", control: true}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			steps, err := chosen(c.o)
			if len(steps) != c.want || (err != nil) != (c.want == 0) {
				t.Errorf("got %d steps, %v, want %d", len(steps), err, c.want)
			}
		})
	}
}
