package stamp_test

import (
	"os/exec"
	"testing"
	"time"

	"holdfast/build/packages/stamp"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestParse(t *testing.T) {
	for text, want := range map[string]stamp.Version{
		"v1.2.3":                   {"1.2.3", "1.2.3"},
		"1.2":                      {"1.2", "1.2"},
		"v1.2.3-14-gabcdef0":       {"1.2.3+14.gabcdef0", "1.2.3_git14"},
		"v1.2.3-14-gabcdef0-dirty": {"1.2.3+14.gabcdef0.dirty", "1.2.3_git14"},
		"v1.2.3-dirty":             {"1.2.3+0.dirty", "1.2.3_git0"},
		"abcdef0":                  {"0.0.0+20260102030405.gabcdef0", "0.0.0_git20260102030405"},
		"1234567":                  {"0.0.0+20260102030405.g1234567", "0.0.0_git20260102030405"},
		"abcdef0123-dirty":         {"0.0.0+20260102030405.gabcdef0123.dirty", "0.0.0_git20260102030405"},
	} {
		if got, err := stamp.Parse(text, at); got != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "dev", "v1.2.3 rm", "1.2.3-rc1", "../1.2.3", "v"} {
		if got, err := stamp.Parse(text, at); err == nil {
			t.Errorf("%q: got %v, want it refused", text, got)
		}
	}
}

// TestParse_Order asks dpkg which version is the later one.
func TestParse_Order(t *testing.T) {
	words := []string{"abcdef0", "v1.2.3", "v1.2.3-9-gfff0000", "v1.2.3-14-g0000000", "v1.2.4"}
	for i := range len(words) - 1 {
		earlier, err := stamp.Parse(words[i], at)
		if err != nil {
			t.Fatal(err)
		}
		later, err := stamp.Parse(words[i+1], at)
		if err != nil {
			t.Fatal(err)
		}
		if err := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", earlier.Plain, "lt", later.Plain).Run(); err != nil {
			t.Errorf("%s is not before %s: %v", earlier.Plain, later.Plain, err)
		}
		if exec.CommandContext(t.Context(), "dpkg", "--compare-versions", later.Plain, "lt", earlier.Plain).Run() == nil {
			t.Errorf("%s is before %s too: this check cannot fail", later.Plain, earlier.Plain)
		}
	}
}
