package rootfs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/build/rootfs"
	"holdfast/edge"
)

// TestWrite: what lies in a copy by links stays as it is where it was copied from.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	base, stage := filepath.Join(dir, "base"), filepath.Join(dir, "stage")
	if err := rootfs.Write(filepath.Join(base, "etc/name"), []byte("base\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(string) error{
		"Write":   func(to string) error { return rootfs.Write(to, []byte("stage\n"), 0o640) },
		"Symlink": func(to string) error { return rootfs.Symlink("/elsewhere", to) },
		"Link": func(to string) error {
			other := filepath.Join(dir, "other")
			if err := os.WriteFile(other, []byte("other\n"), 0o600); err != nil {
				return err
			}
			return rootfs.Link(other, to)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := exec.Command("cp", "--archive", "--link", base, stage).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			defer os.RemoveAll(stage)
			if err := put(filepath.Join(stage, "etc/name")); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(base, "etc/name")); err != nil || string(got) != "base\n" {
				t.Errorf("what it was copied from is %q, %v", got, err)
			}
		})
	}
}

func TestComplete(t *testing.T) {
	err := rootfs.Complete(rootfs.Command(t.Context(), "sh", "-c", "echo why; exit 3"), "vm")
	if err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("got %v, want its own words", err)
	}
	err = rootfs.Complete(rootfs.Command(t.Context(), "no-such-program"), "vm")
	if hint := edge.HintOf(err); !strings.HasSuffix(hint, "--only vm") {
		t.Errorf("got %v with hint %q", err, hint)
	}
}
