package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPages_AreWhatTheProgramSays(t *testing.T) {
	t.Chdir("../..")
	for path, text := range generated() {
		if err := update(path, text, true); err != nil {
			t.Error(err)
		}
	}
}

func TestUpdate(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("# Head\n"+begin+"old\n"+end+"tail\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := update(page, "new\n", true); !errors.Is(err, errDrift) {
		t.Errorf("check of a page that drifted = %v, want %v", err, errDrift)
	}
	if err := update(page, "new\n", false); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(text), "# Head\n"+begin+"new\n"+end+"tail\n"; got != want {
		t.Errorf("page = %q, want %q", got, want)
	}
	if err := update(page, "new\n", true); err != nil {
		t.Errorf("check of a true page = %v", err)
	}
	if err := os.WriteFile(page, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := update(page, "new\n", false); err == nil || !strings.Contains(err.Error(), "no place") {
		t.Errorf("page without marks = %v, want an error", err)
	}
}
