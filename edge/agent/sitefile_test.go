package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge/config"
	"holdfast/edge/site"
)

func TestAgent_HeedSiteFile(t *testing.T) {
	state := t.TempDir()
	report := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(state, "site"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(state, "site", "report.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := &Agent{options: Options{Log: slog.New(slog.DiscardHandler)}}
	a.config.Store(&config.Config{Paths: config.Paths{State: state}})
	a.warnings = newWarnings(newChronicle(a.options.Log))

	a.heedSiteFile()
	if a.siteFile.Load() != nil || len(a.warnings.All()) != 0 {
		t.Errorf("got %+v and %v on a node without a report", a.siteFile.Load(), a.warnings.All())
	}
	report(`{"applied":{"file":"holdfast-site.yaml","at":"2026-11-22T08:00:00Z"},
		"refused":{"file":"holdfast-site.yaml.txt","faults":[{"line":3,"detail":"a"},{"detail":"b"},{"detail":"c"},{"detail":"d"}]},"left":["gw.key"]}`)
	a.heedSiteFile()
	got := a.siteFile.Load()
	if got == nil || got.File != site.Name || got.Refused != site.Name+".txt" || len(got.Faults) != 4 {
		t.Errorf("got %+v", got)
	}
	all := a.warnings.All()
	if len(all) != 2 || all[0].Remedy == "" || all[1].Remedy == "" {
		t.Fatalf("got %v, want both warnings", all)
	}
	for _, w := range all {
		if w.Code == codeSiteFile && w.Detail != "holdfast-site.yaml.txt was not applied: line 3: a | b | c | and 1 more" ||
			w.Code == codeSiteSecrets && !strings.HasSuffix(w.Detail, ": gw.key") {
			t.Errorf("got %+v", w)
		}
	}
	report(`{"applied":{"file":"holdfast-site.yaml","at":"2026-11-22T09:00:00Z"}}`)
	a.heedSiteFile()
	if left := a.warnings.All(); len(left) != 0 {
		t.Errorf("got %v, want none after it was corrected", left)
	}
}
