package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/edge"
)

func TestVerbs_Import(t *testing.T) {
	r := newVerbRig(t)
	_, err := r.do(t, edge.VerbImport, `{"name":"digits.tar"}`)
	wantNo(t, err, "not_found", "not in the images folder")
	if !strings.Contains(edge.HintOf(err), r.folder) {
		t.Errorf("got hint %q, want the folder", edge.HintOf(err))
	}
	if err := os.WriteFile(filepath.Join(r.folder, "digits.tar"), make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := r.do(t, edge.VerbImport, `{"name":"digits.tar"}`)
	want(t, got, err, digestOf("1"))
	if r.store.read != 1000 || !slices.Equal(r.store.causes, []string{"command c1"}) {
		t.Errorf("got %d bytes read for %q", r.store.read, r.store.causes)
	}
	if len(r.told) != 1 || r.told[0] != (edge.Progress{Done: 1000, Total: 1000, Unit: "bytes", Note: "looking through"}) {
		t.Errorf("got progress %+v", r.told)
	}
	r.store.denied = &edge.Refusal{Reason: edge.ReasonDenied, Detail: "the lease has ended"}
	_, err = r.do(t, edge.VerbImport, `{"name":"digits.tar"}`)
	wantNo(t, err, "denied", "lease")
}

func TestVerbs_Pull(t *testing.T) {
	r := newVerbRig(t, plain("line/digits", 1))
	ref := "line.example/digits@" + digestOf("2")
	got, err := r.do(t, edge.VerbPull, `{"image":"`+ref+`"}`)
	want(t, got, err, digestOf("2"), `"fetched":700`)
	if len(r.told) == 0 || r.told[0] != (edge.Progress{Done: 300, Total: 700, Unit: "bytes"}) {
		t.Errorf("got progress %+v", r.told)
	}
	got, err = r.do(t, edge.VerbPull, `{"image":"`+ref+`"}`)
	want(t, got, err, `"fetched":0`)
	r.store.denied = &edge.Refusal{Reason: edge.ReasonDenied, Detail: "the lease has ended"}
	_, err = r.do(t, edge.VerbPull, `{"image":"`+ref+`"}`)
	wantNo(t, err, "denied", "lease")
	r.store.denied = nil
	t.Run("NotOfThePolicy", func(t *testing.T) {
		p := edge.Policy{Security: edge.SecurityPolicy{Images: edge.ImagePolicy{Allow: []string{"line.example/*"}}}}
		if err := r.apply(2, p, plain("line/digits", 1)); err != nil {
			t.Fatal(err)
		}
		_, err := r.do(t, edge.VerbPull, `{"image":"other.example/digits@`+digestOf("3")+`"}`)
		wantNo(t, err, "denied", "none of security.images.allow")
		got, err := r.do(t, edge.VerbPull, `{"image":"line.example/digits:2@`+digestOf("3")+`"}`)
		want(t, got, err, `"fetched":700`)
	})
}

func TestVerbs_Prune(t *testing.T) {
	pinned := func(key string, digit string, replicas int) edge.Workload {
		w := plain(key, replicas)
		w.Image = "line.example/" + digit + "@" + digestOf(digit)
		return w
	}
	r := newVerbRig(t, pinned("line/before", "2", 0))
	r.hall.supply = func(context.Context, *edge.Policy) error { return nil }
	if err := r.apply(2, edge.Policy{}, pinned("line/now", "3", 1), pinned("line/idle", "4", 0)); err != nil {
		t.Fatal(err)
	}
	r.awaitRunning(t, "line/now", 1)
	r.store.used = []string{digestOf("5")}
	for _, digit := range []string{"1", "2", "3", "4", "5", "6"} {
		r.store.held = append(r.store.held, edge.Image{Name: "name-" + digit, Digest: digestOf(digit)})
	}
	r.store.held = append(r.store.held, edge.Image{Name: "another-6", Digest: digestOf("6")}, edge.Image{Name: "another-3", Digest: digestOf("3")})
	got, err := r.do(t, edge.VerbPrune, "")
	want(t, got, err, `"name-1"`, `"name-6"`, `"another-6"`, `"freed":2000`, `"kept":5`)
	if want := []string{digestOf("1"), digestOf("6")}; !slices.Equal(r.store.removed, want) {
		t.Errorf("got %q removed, want %q", r.store.removed, want)
	}
	got, err = r.do(t, edge.VerbPrune, "{}")
	want(t, got, err, `"images":[]`, `"freed":0`, `"kept":5`)

	t.Run("Proven", func(t *testing.T) { // the one before stays what a rollback goes to
		r.hall.trial.until = r.hall.trial.until.AddDate(-1, 0, 0)
		r.hall.prove(t.Context())
		if r.hall.report().Trial {
			t.Fatal("the policy is still on trial")
		}
		got, err := r.do(t, edge.VerbPrune, "")
		want(t, got, err, `"images":[]`)
		got, err = r.do(t, edge.VerbRollback, "")
		want(t, got, err, `"version":1`)
	})
	t.Run("CannotTell", func(t *testing.T) {
		r.store.removed = nil
		r.store.down = edge.ErrUnavailable
		_, err := r.do(t, edge.VerbPrune, "")
		wantNo(t, err, "unavailable", "which images are needed")
		if r.store.removed != nil {
			t.Errorf("got %q removed all the same", r.store.removed)
		}
	})
	t.Run("WhilePolicyComes", func(t *testing.T) {
		r.governor.taking.inside <- struct{}{}
		defer r.governor.taking.leave()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.doIn(ctx, edge.VerbPrune, ""); !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("got %v, want to wait for the policy", err)
		}
	})
}

func TestReferences_Has(t *testing.T) {
	held := edge.Image{Name: "docker.io/library/redis:7", Digest: digestOf("7")}
	latest := edge.Image{Name: "docker.io/line/digits:latest", Digest: digestOf("8")}
	for ref, of := range map[string]edge.Image{
		digestOf("7"): held, "docker.io/library/redis:7": held, "redis:7": held, "library/redis:7": held,
		"x@" + digestOf("7"): held, "line/digits": latest, "digits:latest": latest,
	} {
		if !(references{"other", ref}).has(of) {
			t.Errorf("%q does not need %s", ref, of.Name)
		}
	}
	for _, ref := range []string{"", "redis", "redis:6", "edis:7", digestOf("1"), "docker.io/library/redis:7@" + digestOf("1")} {
		if (references{ref}).has(held) {
			t.Errorf("%q needs %s", ref, held.Name)
		}
	}
}
