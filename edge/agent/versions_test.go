package agent

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
)

// versionsRig is what keeps versions, in a folder of its own.
type versionsRig struct {
	*versions
	log   bytes.Buffer
	state string
}

func newVersionsRig(t *testing.T) *versionsRig {
	t.Helper()
	r := &versionsRig{state: t.TempDir()}
	log := slog.New(slog.NewTextHandler(&r.log, nil))
	r.versions = newVersions(r.state, newWarnings(newChronicle(slog.New(slog.DiscardHandler))), log)
	return r
}

// kept is a version with everything a workload can say.
func kept() map[string]edge.Versions {
	good := edge.Workload{
		App: "line", Name: "digits", Image: image, Entrypoint: []string{}, Env: []string{"A=b"},
		Limits: edge.Limits{CPUs: 0.5, Memory: 64 << 20}, Secrets: []edge.Secret{{Name: "token", Version: "1f"}},
		Probes: edge.Probes{Readiness: &edge.Probe{Port: 80, Period: time.Second}},
		Update: edge.Update{OnFailure: edge.OnFailurePause, MaxFailed: 0.25, Canary: &edge.Canary{Share: 10, Slower: 1.5}},
		Serve:  &edge.Serve{Model: "digits", Endpoint: "unix:///run/model/model.sock", Cost: time.Millisecond},
	}
	return map[string]edge.Versions{"line/digits": {
		Good: &good, Trial: "ab", Begun: 2, Passed: true,
		Failed: []edge.FailedVersion{{Hash: "cd", Image: "x", Why: "it exited", At: time.Unix(1e9, 0).UTC(), Unstarted: true}},
	}}
}

func TestVersions_Run(t *testing.T) {
	t.Run("KeepsTheLatest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newVersionsRig(t)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx) }()
			r.Keep(map[string]edge.Versions{"line/other": {Trial: "x"}})
			r.Keep(kept())
			synctest.Wait()
			got := r.Read()
			if !reflect.DeepEqual(got, kept()) {
				t.Errorf("got %+v, want %+v", got, kept())
			}
			if hash, want := got["line/digits"].Good.SpecHash(), kept()["line/digits"].Good.SpecHash(); hash != want {
				t.Errorf("hash: got %s, want %s", hash, want)
			}
			r.Keep(map[string]edge.Versions{})
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if left, err := os.ReadDir(r.state); err != nil || len(left) > 0 {
				t.Errorf("got %v left of nothing, %v", left, err)
			}
		})
	})
	t.Run("TriesAgainWhereTheDiskIsFull", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newVersionsRig(t)
			inTheWay := draftOf(filepath.Join(r.state, versionsName))
			if err := os.MkdirAll(filepath.Join(inTheWay, "full"), 0o755); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx) }()
			r.Keep(kept())
			synctest.Wait()
			if all := r.warnings.All(); len(all) != 1 || all[0].Code != codeVersions || all[0].Remedy == "" {
				t.Errorf("warnings: got %+v, want %s", all, codeVersions)
			}
			if err := os.RemoveAll(inTheWay); err != nil {
				t.Fatal(err)
			}
			time.Sleep(keepAgain)
			synctest.Wait()
			if all := r.warnings.All(); len(all) > 0 || !reflect.DeepEqual(r.Read(), kept()) {
				t.Errorf("got %+v and warnings %+v, want it to be kept", r.Read(), all)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	})
}

func TestVersions_Read(t *testing.T) {
	for name, text := range map[string]string{
		"Damaged":      `{"workloads": {"line/digits": {"goo`,
		"OfAnother":    `{"workloads": {"line/digits": {"good": {"app": "line", "name": "other"}}}}`,
		"NotTheirKind": `{"workloads": {"line/digits": {"begun": "many"}}}`,
		"TooLarge":     strings.Repeat(" ", maxVersions) + "{}",
	} {
		t.Run(name, func(t *testing.T) {
			r := newVersionsRig(t)
			if err := os.WriteFile(r.path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := r.Read(); len(got) > 0 || !strings.Contains(r.log.String(), "versions-not-read") {
				t.Errorf("got %v and %q, want nothing, and word of it", got, r.log.String())
			}
		})
	}
	t.Run("None", func(t *testing.T) {
		r := newVersionsRig(t)
		if got := r.Read(); len(got) > 0 || r.log.Len() > 0 {
			t.Errorf("got %v and %q, want nothing", got, r.log.String())
		}
	})
	t.Run("OfALaterAgent", func(t *testing.T) {
		r := newVersionsRig(t)
		if err := os.WriteFile(r.path, []byte(`{"workloads": {"line/digits": {"trial": "ab", "lately": 1}}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := r.Read(); got["line/digits"].Trial != "ab" {
			t.Errorf("got %v, want what is understood", got)
		}
	})
}
