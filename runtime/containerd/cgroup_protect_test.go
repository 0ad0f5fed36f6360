package containerd_test

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast/runtime/containerd"
)

// TestProtect: cgroups above instances are left what those have set aside, tenant by tenant;
// `make vm` has the kernel's own word for it.
func TestProtect(t *testing.T) {
	top := t.TempDir()
	low := func(folder string) string { return filepath.Join(top, folder, "memory.low") }
	for folder, text := range map[string]string{
		"": "0", "a-1": "4096", "a-2": "0", "@vision": "8192", "@vision/b-1": "1024", "@vision/b-2": "512", "@empty": "0",
	} {
		if err := os.MkdirAll(filepath.Join(top, folder), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(low(folder), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(sum uint64, all, vision string) {
		t.Helper()
		for folder := range map[string]bool{"": true, "@vision": true} { // as the kernel does, which keeps nothing of what was longer
			if err := os.Truncate(low(folder), 0); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(low(folder), []byte("1"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := containerd.Protect(top); got != sum {
			t.Errorf("got %d, want %d", got, sum)
		}
		wantText(t, low(""), all)
		wantText(t, low("@vision"), vision)
	}
	want(5632, "5632", "1536")
	if err := os.RemoveAll(filepath.Join(top, "@vision/b-1")); err != nil {
		t.Fatal(err)
	}
	want(4608, "4608", "512")
	wantText(t, low("a-1"), "4096\n") // what an instance has is the runtime's to write
	if got := containerd.Protect(filepath.Join(top, "nothing")); got != 0 {
		t.Errorf("got %d of a cgroup that is gone", got)
	}
}
