package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// newAdjustRig opens what is kept in a folder, as an agent does at its start.
func newAdjustRig(t *testing.T, dir string) (*adjustments, *warnings) {
	t.Helper()
	w := newWarnings(newChronicle(slog.New(slog.DiscardHandler)))
	a := newAdjustments(dir, w)
	a.Open()
	return a, w
}

func TestAdjustments_Set(t *testing.T) {
	dir := t.TempDir()
	a, _ := newAdjustRig(t, dir)
	now := time.Now()
	first, w := tenure{"sha256:1", now}, plain("line/digits", 2)
	set := func(n int) {
		t.Helper()
		if err := a.Set(t.Context(), first, w, n); err != nil {
			t.Fatal(err)
		}
	}
	wantOver := func(under tenure, n int, why string) {
		t.Helper()
		again, warned := newAdjustRig(t, dir)
		for _, kept := range []*adjustments{a, again} {
			if got := kept.Over(under, []edge.Workload{w})[0].Replicas; got != n || kept.Replicas(under, w) != n {
				t.Errorf("%s: got %d replicas, want %d", why, got, n)
			}
			if kept.Adjusted(under, w.Key()) != (n != 2) {
				t.Errorf("%s: got %t, want it told whether it is adjusted", why, kept.Adjusted(under, w.Key()))
			}
		}
		if all := warned.All(); len(all) > 0 {
			t.Errorf("%s: got warnings %v", why, all)
		}
	}
	wantOver(first, 2, "nothing kept")
	set(0)
	wantOver(first, 0, "stopped")
	wantOver(tenure{"sha256:2", now}, 2, "another policy")
	wantOver(tenure{"sha256:1", now.Add(time.Nanosecond)}, 2, "the same policy anew")
	if w.Replicas != 2 {
		t.Error("the policy's own workload was changed")
	}
	set(3)
	wantOver(first, 3, "scaled")
	t.Run("SameWritesNothing", func(t *testing.T) {
		before, err := os.Stat(a.path)
		if err != nil {
			t.Fatal(err)
		}
		set(3)
		if after, err := os.Stat(a.path); err != nil || !os.SameFile(before, after) {
			t.Errorf("got another file, %v", err)
		}
	})
	set(2)
	wantOver(first, 2, "as the policy says")
	set(0)
	second := tenure{"sha256:2", now}
	if err := a.Set(t.Context(), second, plain("line/more", 1), 4); err != nil {
		t.Fatal(err)
	}
	wantOver(second, 2, "what stood under the policy before is gone")
	wantOver(first, 2, "for good")
	if _, err := os.Stat(a.path + ".new"); err == nil {
		t.Error("the draft was left behind")
	}
}

func TestAdjustments_Open(t *testing.T) {
	under, w := tenure{"sha256:1", time.Unix(1, 5)}, plain("line/digits", 2)
	dir := t.TempDir()
	a, _ := newAdjustRig(t, dir)
	if err := a.Set(t.Context(), under, w, 0); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(a.path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"Empty":     "",
		"Truncated": string(sound[:len(sound)/2]),
		"Zeroes":    strings.Repeat("\x00", len(sound)),
		"Garbage":   "\xff\xfe",
		"Unknown":   strings.Replace(string(sound), `{`, `{"extra":1,`, 1),
		"Negative":  strings.Replace(string(sound), `:0}`, `:-1}`, 1),
		"TooMany":   strings.Replace(string(sound), `:0}`, `:99999999}`, 1),
		"TooLarge":  strings.Repeat(" ", maxAdjusted) + string(sound),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, adjustedName), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			a, warned := newAdjustRig(t, dir)
			if got := a.Replicas(under, w); got != 2 {
				t.Errorf("got %d replicas, want what the policy says", got)
			}
			if all := warned.All(); len(all) != 1 || all[0].Code != codeAdjustments || all[0].Remedy == "" {
				t.Errorf("got warnings %+v, want one with a remedy", all)
			}
			if err := a.Set(t.Context(), under, w, 1); err != nil || len(warned.All()) > 0 {
				t.Errorf("got %v and warnings %v once it is written anew", err, warned.All())
			}
		})
	}
	t.Run("DraftLeftByAPowerCut", func(t *testing.T) {
		if err := os.WriteFile(a.path+".new", sound[:7], 0o600); err != nil {
			t.Fatal(err)
		}
		again, warned := newAdjustRig(t, dir)
		if got := again.Replicas(under, w); got != 0 || len(warned.All()) > 0 {
			t.Errorf("got %d replicas and warnings %v, want what was kept before", got, warned.All())
		}
		if err := again.Set(t.Context(), under, w, 1); err != nil {
			t.Error(err)
		}
	})
	t.Run("NoneAtAll", func(t *testing.T) {
		var none *adjustments
		if got := none.Over(under, []edge.Workload{w})[0].Replicas; got != 2 {
			t.Errorf("got %d, want nothing adjusted", got)
		}
	})
}
