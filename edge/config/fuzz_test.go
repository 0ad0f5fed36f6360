package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast/edge/config"
)

// FuzzLoad feeds files to the loader. Whatever comes in, it does not panic, and
// what it accepts it also accepts when its own values are given back as
// overrides, with nothing changed.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"/*.yaml", "/invalid/*.yaml"} {
		files, _ := filepath.Glob(samples + pattern)
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content)
		}
	}
	path := filepath.Join(f.TempDir(), "config.yaml")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		loaded, err := config.Load(config.Options{Path: path, Overrides: []string{"node.name=n"}})
		if err != nil {
			if loaded != nil {
				t.Error("got a configuration beside an error")
			}
			return
		}
		var overrides []string
		for _, v := range loaded.Origins() {
			overrides = append(overrides, v.Key+"="+v.Value)
		}
		again, err := config.Load(config.Options{DefaultPath: path + ".none", Overrides: overrides})
		if err != nil {
			t.Fatalf("own values are refused: %v", err)
		}
		if live, restart := config.Diff(loaded.Config, again.Config); live != nil || restart != nil {
			t.Errorf("values changed on the way: %q %q", live, restart)
		}
	})
}
