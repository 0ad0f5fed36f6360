package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/scheduler"
)

const ms = time.Millisecond

// learntOf is a model whose runs took so many milliseconds.
func learntOf(model string, took ...time.Duration) scheduler.ModelEstimates {
	e := scheduler.ModelEstimates{Model: model, Fastest: time.Hour}
	for _, run := range took {
		e.Runs = append(e.Runs, run*ms)
		e.Fastest = min(e.Fastest, run*ms)
	}
	return e
}

// estimatesRig is what keeps estimates, and what is learnt and served meanwhile.
type estimatesRig struct {
	*estimates
	log bytes.Buffer

	mu     sync.Mutex // guards what follows
	now    []scheduler.ModelEstimates
	served map[string]string
}

// learn changes what the node has learnt.
func (r *estimatesRig) learn(now ...scheduler.ModelEstimates) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = now
}

// serve changes what the node serves.
func (r *estimatesRig) serve(images map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.served = images
}

func (r *estimatesRig) images() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.served
}

func (r *estimatesRig) learnt() []scheduler.ModelEstimates {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func newEstimatesRig(t *testing.T, path string) *estimatesRig {
	t.Helper()
	r := &estimatesRig{served: map[string]string{"a": "a:1", "b": "b:1"}}
	r.estimates = &estimates{
		path: path, log: slog.New(slog.NewTextHandler(&r.log, nil)),
		images: r.images, learnt: r.learnt,
	}
	return r
}

func estimatesPath(t *testing.T) string { return filepath.Join(t.TempDir(), estimatesName) }

func wantModels(t *testing.T, got []scheduler.ModelEstimates, want ...string) {
	t.Helper()
	var names []string
	for _, e := range got {
		names = append(names, e.Model)
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("got estimates of %q, want of %q", names, want)
	}
}

func TestEstimates_Read(t *testing.T) {
	path := estimatesPath(t)
	first := newEstimatesRig(t, path)
	first.learn(learntOf("a", 20, 21, 22), learntOf("b", 50), learntOf("gone", 5))
	wantModels(t, first.Read(nil)) // there is no file yet
	first.keep(true)
	t.Run("Again", func(t *testing.T) {
		got := newEstimatesRig(t, path).Read(nil)
		wantModels(t, got, "a", "b") // what is not served any more is not kept
		if len(got) > 0 && (len(got[0].Runs) != 3 || got[0].Fastest != 20*ms) {
			t.Errorf("got %+v", got[0])
		}
	})
	t.Run("AnotherImage", func(t *testing.T) {
		r := newEstimatesRig(t, path)
		wantModels(t, r.Read(map[string]string{"a": "a:2", "b": "b:1"}), "b")
		if !strings.Contains(r.log.String(), "estimates-outdated") {
			t.Errorf("the log says %s", r.log.String())
		}
	})
	for name, text := range map[string]string{
		"NoJSON": "{", "Empty": "", "Huge": strings.Repeat(" ", maxEstimates+1), "OfAnotherKind": `{"models":[{"image":3}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			bad := estimatesPath(t)
			if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			r := newEstimatesRig(t, bad)
			wantModels(t, r.Read(nil))
			if !strings.Contains(r.log.String(), "estimates-not-read") {
				t.Errorf("the log says %s", r.log.String())
			}
		})
	}
	t.Run("SomeCannotBe", func(t *testing.T) {
		bad := estimatesPath(t)
		never := learntOf("b", 50)
		never.Runs[0] = -1
		text, err := json.Marshal(estimatesFile{[]keptEstimates{{"b:1", never}, {"a:1", learntOf("a", 7)}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(bad, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r := newEstimatesRig(t, bad)
		wantModels(t, r.Read(nil), "a")
		if !strings.Contains(r.log.String(), "estimates-not-believed") {
			t.Errorf("the log says %s", r.log.String())
		}
	})
	t.Run("Pipe", func(t *testing.T) {
		r := newEstimatesRig(t, t.TempDir()) // a folder, and so no file
		wantModels(t, r.Read(nil))
	})
}

// TestEstimates_Run counts the writes of a day: nothing goes to flash unless something
// has moved.
func TestEstimates_Run(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEstimatesRig(t, estimatesPath(t))
		r.learn(learntOf("a", 20, 21, 22, 20, 21, 22, 20, 21))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		written := func(after time.Duration) bool {
			t.Helper()
			if err := os.Remove(r.path); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			time.Sleep(after)
			synctest.Wait()
			_, err := os.Stat(r.path)
			return err == nil
		}
		if written(estimatesEvery - 1) {
			t.Error("written before its time")
		}
		if !written(time.Minute) {
			t.Error("what was learnt first is not written")
		}
		r.learn(learntOf("a", 21, 20, 22, 20, 21, 22, 20, 22))
		if written(24 * time.Hour) {
			t.Error("written though nothing has moved")
		}
		r.learn(learntOf("a", 31, 30, 32, 30, 31, 32, 30, 32))
		if !written(estimatesEvery) {
			t.Error("a model became slower, and that is not written")
		}
		r.serve(map[string]string{"a": "a:2"})
		if !written(estimatesEvery) {
			t.Error("a model has another image, and that is not written")
		}
		r.learn(learntOf("a", 32, 30, 32, 30, 31, 32, 30, 32))
		if written(24 * time.Hour) {
			t.Error("written though nothing has moved")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := newEstimatesRig(t, r.path).Read(nil); len(got) != 1 || got[0].Runs[0] != 32*ms {
			t.Errorf("got %v after the end, want the latest", got)
		}
	})
}

func TestEstimates_KeepFails(t *testing.T) {
	r := newEstimatesRig(t, filepath.Join(t.TempDir(), "none", estimatesName))
	r.learn(learntOf("a", 20))
	r.keep(false)
	if !strings.Contains(r.log.String(), "estimates-not-kept") {
		t.Errorf("the log says %s", r.log.String())
	}
	if err := os.Mkdir(filepath.Dir(r.path), 0o700); err != nil {
		t.Fatal(err)
	}
	r.keep(false) // the disk is back, and nothing was taken for kept
	wantModels(t, newEstimatesRig(t, r.path).Read(nil), "a")
}

func TestImagesOf(t *testing.T) {
	got := imagesOf([]edge.Workload{{Image: "plain:1"}, {Image: "m:1", Serve: &edge.Serve{Model: "m", Variants: []string{"m-lite"}}}})
	if len(got) != 2 || got["m"] != "m:1" || got["m-lite"] != "m:1" {
		t.Errorf("got %v", got)
	}
}

func FuzzReadEstimates(f *testing.F) {
	f.Add([]byte(`{"models":[{"image":"a:1","estimates":{"model":"a","fastestNs":20000000,"runsNs":[20000000]}}]}`))
	f.Add([]byte(`{}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, estimatesName)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r := newEstimatesRig(t, path)
		good := r.Read(nil)
		if again, err := scheduler.CheckEstimates(good); err != nil || len(again) != len(good) {
			t.Errorf("%d of %d can be believed: %v", len(again), len(good), err)
		}
	})
}
