package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

func TestCompare(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a, b, c, d := file("a", "program"), file("b", "program"), file("c", "Program"), file("d", "in "+dir)
	if sum, err := compare(a, b, dir); err != nil || len(sum) != 64 {
		t.Errorf("got %q, %v, want the sum of both", sum, err)
	}
	if _, err := compare(a, c, dir); !errors.Is(err, errDiffers) {
		t.Errorf("got %v for others, want them told apart", err)
	}
	if _, err := compare(d, d, dir); !errors.Is(err, errDiffers) {
		t.Errorf("got %v for a program with a path in it, want that told", err)
	}
	if _, err := compare(a, filepath.Join(dir, "none"), dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that it is missing", err)
	}
}

// TestCompare_Control: what keeps paths out of programs is what this command would find
// missing.
func TestCompare_Control(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() { panic(1) }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	build := func(flags ...string) string {
		out := filepath.Join(dir, "program")
		cmd := exec.CommandContext(t.Context(), "go", slices.Concat([]string{"build", "-buildvcs=false", "-o", out}, flags, []string{source})...)
		cmd.Env = append(without(os.Environ(), "GOFLAGS"), "GOFLAGS=")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return out
	}
	trimmed := build("-trimpath", "-ldflags=-s -w -buildid=")
	if _, err := compare(trimmed, trimmed, dir); err != nil {
		t.Errorf("got %v with -trimpath, want no path in it", err)
	}
	full := build()
	if _, err := compare(full, full, dir); !errors.Is(err, errDiffers) {
		t.Errorf("got %v without -trimpath, want the path found: this check cannot fail", err)
	}
}
