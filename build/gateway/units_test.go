package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestUnits_Verify lets systemd read the units. It must have nothing to say.
func TestUnits_Verify(t *testing.T) {
	names, err := fs.Glob(files, "files/root/usr/lib/systemd/system/*")
	if err != nil || len(names) == 0 {
		t.Fatalf("got units %q, %v", names, err)
	}
	dir := t.TempDir()
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if complaint := verify(t, dir, filepath.Base(name), string(text)); complaint != "" {
			t.Errorf("systemd says of %s:\n%s", name, complaint)
		}
		if !strings.HasSuffix(name, ".service") {
			continue
		}
		if verify(t, t.TempDir(), filepath.Base(name), strings.Replace(string(text), "Type=", "Tipe=", 1)) == "" {
			t.Errorf("systemd said nothing of a broken %s: this check cannot fail", name)
		}
	}
}

var command = regexp.MustCompile(`(?m)^(ExecStart=-?).*$`)

// verify returns systemd's complaints of a unit. What it starts is not installed where the
// tests run, so another program stands in for it.
func verify(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(command.ReplaceAllString(text, "${1}/bin/true")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", file)
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatalf("cannot run systemd-analyze: %v", err)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, name) { // of this unit: the machine's own are no matter of ours
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// TestScripts_Syntax: a mistake in one of these shows on a machine that nobody can log in to.
func TestScripts_Syntax(t *testing.T) {
	check := func(text string) error {
		cmd := exec.CommandContext(t.Context(), "sh", "-n")
		cmd.Stdin = strings.NewReader(text)
		return cmd.Run()
	}
	for _, name := range []string{"files/start/init", "files/proof/proof.sh", "files/root/usr/lib/gateway/console"} {
		text, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(string(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if check(string(text)+"\nif\n") == nil {
			t.Errorf("%s with a mistake passed: this check cannot fail", name)
		}
	}
}
