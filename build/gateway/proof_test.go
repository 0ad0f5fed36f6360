package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// emulating is a machine whose emulator is a script, what it prints is what a gateway tells.
func emulating(t *testing.T, script string) machine {
	t.Helper()
	dir := t.TempDir()
	emulator := filepath.Join(dir, "emulator")
	if err := os.WriteFile(emulator, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return machine{arch: arches()[0], emulator: emulator, disk: "disk", console: filepath.Join(dir, "console.log"), accel: "tcg"}
}

// settles is what a gateway that is well tells.
const settles = `echo "9.1 began 3000000"
echo "12.5 ready 12000000"
echo '13 unanswered there is no model yet'
echo '15.5 answer {"outputs":[{"data":[7]}]}'
echo '16 status {"policy":{"governed":true,"name":"factory","version":1},"containerd":{"connected":true}}'
echo "16 memory 1000000 700000"
echo "16 machine 0123 gateway-0123 A"
echo "16 data ext4 2900000 1"
echo "16 failed "
echo "17 applied 0 policy factory version 2 is in force"
echo "17 settled"
`

func TestMachine_Start(t *testing.T) {
	o := options{proof: proofOptions{within: time.Minute}}
	for name, c := range map[string]struct {
		script string
		want   string // empty: it is well
	}{
		"Well":        {settles + "exec sleep 600", ""},
		"Ends":        {"echo '1 began 1'; echo oops >&2", errEnded.Error()},
		"Rubbish":     {"echo hello; exec sleep 600", `cannot read "hello"`},
		"NoAgent":     {"echo '1 absent holdfast'; exec sleep 600", errAbsent.Error()},
		"NoPolicy":    {strings.Replace(settles, "factory", "other", 1), "in force, want factory version 1"},
		"NoAnswer":    {strings.Replace(settles, "[7]", "[1]", 1), "no answer"},
		"NoDaemon":    {strings.Replace(settles, `"connected":true`, `"connected":false`, 1), "containerd does not answer"},
		"InMemory":    {strings.Replace(settles, "ext4", "tmpfs", 1), `data is kept on "tmpfs`},
		"NotGrown":    {strings.Replace(settles, "2900000", "253920", 1), "want ext4 of more than"},
		"UnitFailed":  {strings.Replace(settles, "failed ", "failed x.service", 1), "units have failed"},
		"Unapplied":   {strings.Replace(settles, "applied 0", "applied 1", 1), "the policy that was applied"},
		"Uninstalled": {"echo '9 installing no room'; echo '9 installing ended 1'; exec sleep 600", "the other system was not installed: no room; ended 1"},
		"OtherSystem": {strings.Replace(settles, " A", " B", 1), "it runs system"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := emulating(t, c.script).start(t.Context(), o, (*seen).over)
			if err == nil {
				err = s.check(nil, "amd64", "A")
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("Interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := emulating(t, "echo '1 began 1'; exec sleep 600").start(ctx, o, func(*seen) bool { cancel(); return false })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	})
}

// TestSeen_Check: after the cuts the same gateway has to be there, with the policy it had last.
func TestSeen_Check(t *testing.T) {
	o := options{proof: proofOptions{within: time.Minute}}
	first, err := emulating(t, settles).start(t.Context(), o, (*seen).over)
	if err != nil {
		t.Fatal(err)
	}
	if first.kernel != 3*time.Second || first.ready != 12*time.Second || first.memory != [2]int{1000000, 700000} {
		t.Errorf("got %+v", first)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"Same":     {`"version":1`, `"version":2`, ""},
		"Older":    {"", "", "want factory version 2"},
		"Stranger": {"machine 0123", "machine 4567", "it is another machine"},
	} {
		t.Run(name, func(t *testing.T) {
			later, err := emulating(t, strings.Replace(settles, c.old, c.new, 1)).start(t.Context(), o, (*seen).over)
			if err != nil {
				t.Fatal(err)
			}
			if err = later.check(first, "amd64", "A"); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestSeen_JudgeUpdate: whether another system stays is what the agent says after the machine
// has started anew, not what was said while it was installed.
func TestSeen_JudgeUpdate(t *testing.T) {
	const stayed = `{"version":"another","slot":"B","last":{"version":"another","runs":true}}`
	const back = `{"version":"1","slot":"A","last":{"version":"another","runs":false,"why":"w"},"rejected":[{"version":"another","why":"w"}]}`
	for name, c := range map[string]struct{ update, slot, system, want string }{
		"Stays":    {goodSystem, "B", stayed, ""},
		"Back":     {badSystem, "A", back, ""},
		"Silent":   {goodSystem, "B", "null", "does not say"},
		"Untried":  {goodSystem, "B", `{"version":"1","slot":"A"}`, "does not say"},
		"Lost":     {goodSystem, "B", back, "want version another to run: true"},
		"Kept":     {badSystem, "A", stayed, "want version another to run: false"},
		"Forgiven": {badSystem, "A", strings.Replace(back, `,"rejected":[{"version":"another","why":"w"}]`, "", 1), "got rejected []"},
	} {
		t.Run(name, func(t *testing.T) {
			script := "echo '9 installing 99 %'; echo '9 installing ended 0'\n" + strings.Replace(settles, `"policy"`, `"system":`+c.system+`,"policy"`, 1)
			script = strings.Replace(script, "gateway-0123 A", "gateway-0123 "+c.slot, 1)
			s, err := emulating(t, script).start(t.Context(), options{proof: proofOptions{within: time.Minute}}, (*seen).over)
			if err != nil {
				t.Fatal(err)
			}
			err = errors.Join(s.check(nil, "amd64", systemAfter(c.update)), s.judgeUpdate("amd64", c.update))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestPlace_Trust: a developer's keys are made once, and with them the same policy again;
// what was given is taken whole or not at all.
func TestPlace_Trust(t *testing.T) {
	dir := t.TempDir()
	p := &place{arch: arches()[0], out: dir, work: dir}
	images, err := filepath.Abs("../../testdata")
	if err != nil {
		t.Fatal(err)
	}
	given := options{rootDocument: "r", policy: "p", keyring: "k", images: images}
	if got, err := p.trust(t.Context(), given); err != nil || got.developer || got.root != "r" || got.keyring != "k" {
		t.Errorf("got %+v, %v", got, err)
	}
	given.keyring = ""
	if _, err := p.trust(t.Context(), given); !errors.Is(err, edge.ErrInvalid) {
		t.Errorf("got %v, want %v: nobody could ever update such a gateway", err, edge.ErrInvalid)
	}
}
