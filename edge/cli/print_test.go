package cli

import (
	"strings"
	"testing"
	"time"
)

func TestCoarse(t *testing.T) {
	for _, c := range []struct {
		in   time.Duration
		want string
	}{
		{1234 * time.Nanosecond, "1µs"},
		{1234567, "1.2ms"},
		{1500 * time.Millisecond, "1.5s"},
		{10*time.Minute + 20*time.Second, "10m20s"},
		{47*time.Hour + 5*time.Minute, "47h05m"},
		{49 * time.Hour, "2d1h"},
		{-2 * time.Second, "-2s"},
	} {
		if got := coarse(c.in); got != c.want {
			t.Errorf("coarse(%d) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestSize(t *testing.T) {
	for in, want := range map[uint64]string{0: "0B", 1023: "1023B", 1536: "1.5KiB", 16 << 20: "16.0MiB", 1 << 62: "4.0EiB"} {
		if got := size(in); got != want {
			t.Errorf("size(%d) = %q, want %q", in, got, want)
		}
	}
}

func TestPrinter_Table(t *testing.T) {
	t.Run("ForeignTextCannotBreakTheLines", func(t *testing.T) {
		var out strings.Builder
		if err := (printer{out: &out}).Table([]string{"A", "B"}, [][]string{{"x\ny\x1b[31m", ""}}); err != nil {
			t.Fatal(err)
		}
		if got, want := out.String(), "A          B\nx y [31m   -\n"; strings.Count(got, "\n") != 2 || strings.ContainsRune(got, 0x1b) {
			t.Errorf("table = %q, want about %q", got, want)
		}
	})
}
