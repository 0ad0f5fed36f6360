package containerd_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestDriver_Pull_AtOnce has several want the same image.
func TestDriver_Pull_AtOnce(t *testing.T) {
	r, ref := serveImage(t, wavering())
	n := newEmptyNode(t)
	var wanting sync.WaitGroup
	got := make(chan int64, 5) // one for each
	for range 5 {
		wanting.Go(func() {
			_, fetched, err := n.Pull(t.Context(), ref, nil)
			if err != nil {
				t.Error(err)
			}
			got <- fetched
		})
	}
	wanting.Wait()
	close(got)
	var all int64
	for fetched := range got {
		all += fetched
	}
	if all != r.size() {
		t.Errorf("got %d bytes fetched by all, want the %d of the image", all, r.size())
	}
}

// TestDriver_RemoveImages_BrokenPull lets go of what a pull has left that broke off, and
// of nothing of one that is under way.
func TestDriver_RemoveImages_BrokenPull(t *testing.T) {
	r, ref := serveImage(t, wavering())
	_, layer := r.layer()
	came := make(chan struct{})
	more := make(chan struct{})
	r.misbehave = func(w http.ResponseWriter, req *http.Request, content []byte) bool {
		if !bytes.Equal(content, layer) {
			return false
		}
		cut(w, req, content, len(content)/2)
		select {
		case came <- struct{}{}:
		case <-req.Context().Done():
		}
		select {
		case <-more:
			_, _ = w.Write(content[len(content)/2:])
		case <-req.Context().Done():
		}
		return true
	}
	n := newEmptyNode(t)
	begin := func(ctx context.Context) chan error {
		ended := make(chan error, 1)
		go func() {
			_, _, err := n.Pull(ctx, ref, nil)
			ended <- err
		}()
		<-came
		return ended
	}
	dying, die := context.WithCancel(t.Context())
	defer die()
	ended := begin(dying)
	die()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if left := n.ctr(t.Context(), "leases", "list", "--quiet"); !strings.Contains(left, "-pull-") {
		t.Fatalf("got leases %q, want one of the pull", left)
	}
	if _, err := n.RemoveImages(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	n.wantBare(t)
	if left := n.ctr(t.Context(), "content", "active"); strings.Contains(left, "blob-") {
		t.Errorf("half a layer is left: %s", left)
	}
	ended = begin(t.Context())
	if _, err := n.RemoveImages(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	close(more)
	if err := <-ended; err != nil {
		t.Errorf("got %v from a pull while others were removed", err)
	}
}
