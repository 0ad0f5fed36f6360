package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/build/rootfs"
	"holdfast/build/vm/order"
)

// TestPlace_Stage puts a node and the checkout's data onto a copy of a small Debian: what is
// in the copy by links must not be changed where it came from.
func TestPlace_Stage(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	base, stage := filepath.Join(dir, "base"), filepath.Join(dir, "stage")
	if err := rootfs.Write(filepath.Join(base, "etc/hostname"), []byte("debian\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "--archive", "--link", base, stage).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	p := &place{root: root, base: base, work: dir}
	steps := trials()[:1]
	if err := p.putNode(t.Context(), stage, steps); err != nil {
		t.Fatal(err)
	}
	text := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := text("base/etc/hostname"); got != "debian\n" {
		t.Errorf("what is kept for the next run has become %q", got)
	}
	if got := text("stage/etc/hostname"); got != "vm\n" {
		t.Errorf("the machine is called %q", got)
	}
	var plan []order.Step
	if err := json.Unmarshal([]byte(text("stage"+order.Plan)), &plan); err != nil || len(plan) != 1 || plan[0].Name != steps[0].name {
		t.Errorf("got plan %+v, %v", plan, err)
	}
	for _, unit := range units {
		if _, err := os.Lstat(filepath.Join(stage, "etc/systemd/system/graphical.target.wants", unit)); err != nil {
			t.Error(err)
		}
		if !strings.Contains(text("stage/usr/lib/systemd/system/"+unit), "[Service]") {
			t.Errorf("%s is no service", unit)
		}
	}
}

// TestPlace_Open: one at a time works in a folder.
func TestPlace_Open(t *testing.T) {
	dir := t.TempDir()
	first, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := open(dir); err == nil {
		t.Error("two have the same folder")
		second.Close()
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
