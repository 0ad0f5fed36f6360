package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadOnlyMapping(t *testing.T) {
	for name, c := range map[string]struct {
		line     string
		from, to uintptr
		ours     bool
	}{
		"Code":     {"00400000-00c0b000 r-xp 00000000 08:01 131  /usr/bin/holdfast", 0x400000, 0xc0b000, true},
		"Constant": {"00c0b000-01700000 r--p 0080b000 08:01 131  /usr/bin/holdfast", 0xc0b000, 0x1700000, true},
		"Data":     {"01700000-01760000 rw-p 01300000 08:01 131  /usr/bin/holdfast", 0, 0, false},
		"Database": {"7f0000000000-7f0000008000 r--s 00000000 08:01 99  /var/lib/holdfast/state.db", 0, 0, false},
		"Nothing":  {"c000000000-c000400000 rw-p 00000000 00:00 0", 0, 0, false},
		"Garbage":  {"", 0, 0, false},
		"NoSpan":   {"x r-xp 0 0 0 /usr/bin/holdfast", 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			from, to, ours := readOnlyMapping(c.line, "/usr/bin/holdfast")
			if ours != c.ours || ours && (from != c.from || to != c.to) {
				t.Errorf("got %x-%x, %v; want %x-%x, %v", from, to, ours, c.from, c.to, c.ours)
			}
		})
	}
}

func TestTrimProgram(t *testing.T) {
	t.Run("GoesOnAfter", func(t *testing.T) {
		before := residentFile(t)
		if err := trimProgram("/proc/self/maps", "/proc/self/exe"); err != nil {
			t.Fatal(err)
		}
		if after := residentFile(t); after >= before {
			t.Errorf("%d KiB of files are resident, before it were %d; want less", after, before)
		}
	})
	t.Run("SaysWhatIsMissing", func(t *testing.T) {
		if err := trimProgram(filepath.Join(t.TempDir(), "none"), "/proc/self/exe"); err == nil {
			t.Error("no error without mappings")
		}
	})
}

// residentFile is how much this process holds of files, in KiB.
func residentFile(t *testing.T) (kib int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "RssFile:")
	if _, err := fmt.Sscan(rest, &kib); !found || err != nil {
		t.Fatalf("the kernel does not say how much of files is resident: %v", err)
	}
	return kib
}
