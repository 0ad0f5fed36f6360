package config_test

import (
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
)

func TestSize_Parse(t *testing.T) {
	for text, want := range map[string]config.Size{
		"0": 0, "1024": 1024, "5B": 5, "1K": 1024, "1Ki": 1024, "1KiB": 1024,
		"16MiB": 16 << 20, "64M": 64 << 20, "2G": 2 << 30, "1TiB": 1 << 40, "1.5GiB": 3 << 29, "0.5K": 512,
		"8388607TiB": 8388607 << 40,
	} {
		if got, err := config.ParseSize(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "K", "-1", "+1", "1MB", "1mb", "1 MiB", "1e3", "0x10", "NaN", "Inf", "1.5", "1.5B", ".5K", "5.K", "1iB", "1KK", "8388608TiB", "9999999999999999999", "99999999999.9TiB", "1MiB ", "1_000"} {
		if got, err := config.ParseSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestDuration_Parse(t *testing.T) {
	for text, want := range map[string]string{"100ms": "100ms", "60s": "1m", "90m": "1h30m", "2h": "2h", "0": "0s", "1m1s": "1m1s", "10h0m5s": "10h0m5s"} {
		got, err := edge.ParseDuration(text)
		if err != nil || got.String() != want {
			t.Errorf("%q: got %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "-1s", "1d", "1 s", "s"} {
		if got, err := edge.ParseDuration(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func FuzzSize(f *testing.F) {
	for _, text := range []string{"16MiB", "64M", "1.5GiB", "-1", "1e9", "9223372036854775807"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := config.ParseSize(text)
		if err != nil {
			return
		}
		if again, err := config.ParseSize(size.String()); err != nil || again != size || size < 0 {
			t.Errorf("%q: got %d, which reads back as %d, %v", text, size, again, err)
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, text := range []string{"100ms", "1h30m", "0", "1h0m0.5s", "2540400h10m10.000000000s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := edge.ParseDuration(text)
		if err != nil {
			return
		}
		if again, err := edge.ParseDuration(d.String()); err != nil || again != d || time.Duration(d) < 0 {
			t.Errorf("%q: got %v, which reads back as %v, %v", text, d, again, err)
		}
	})
}
