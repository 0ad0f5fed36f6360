package containerd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// wavering is an image whose layer comes in several pieces.
func wavering() pack {
	p := testImage()
	p.files = map[string]string{"ballast": strings.Repeat("holdfast", 256<<10)}
	return p
}

// cut sends the part of a layer that a request asks for, up to where it stops.
func cut(w http.ResponseWriter, req *http.Request, content []byte, until int) {
	var from int
	if _, err := fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-", &from); err == nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	}
	_, _ = w.Write(content[from:max(from, until)])
	_ = http.NewResponseController(w).Flush()
}

// TestDriver_Pull_GoesOn breaks a pull off in a layer, as the death of an agent does,
// and goes on with another driver.
func TestDriver_Pull_GoesOn(t *testing.T) {
	for name, ranges := range map[string]bool{"FromWhereItBroke": true, "RangeIgnored": false} {
		t.Run(name, func(t *testing.T) {
			r, ref := serveImage(t, wavering())
			sum, layer := r.layer()
			half := len(layer) / 2
			dying, die := context.WithCancel(t.Context())
			defer die()
			r.misbehave = func(w http.ResponseWriter, req *http.Request, content []byte) bool {
				switch {
				case !bytes.Equal(content, layer):
					return false
				case req.Header.Get("Range") == "":
					cut(w, req, content, half)
					<-req.Context().Done()
				case ranges:
					return false
				default:
					_, _ = w.Write(content)
				}
				return true
			}
			n := newEmptyNode(t)
			_, first, err := n.Pull(dying, ref, func(done, _ int64) {
				if done >= int64(half) {
					die()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v, want %v", err, context.Canceled)
			}
			r.requests()
			_, second, err := n.again(t).Pull(t.Context(), ref, nil)
			if err != nil {
				t.Fatal(err)
			}
			asked := r.requests()
			if len(asked) != 1 || !strings.Contains(asked[0], sum+" bytes=") {
				t.Errorf("got requests %q, want the rest of the layer and nothing else", asked)
			}
			twice := first + second - r.size()
			if most := int64(1 << 20); ranges && twice > most || !ranges && twice < int64(half)-most {
				t.Errorf("got %d bytes fetched twice of a layer of %d", twice, len(layer))
			}
			w := behave("sleep")
			w.Image = ref
			n.start(t, w, "one")
		})
	}
}

// TestDriver_Pull_Insists has a registry that breaks off again and again.
func TestDriver_Pull_Insists(t *testing.T) {
	r, ref := serveImage(t, wavering())
	_, layer := r.layer()
	breaks := 0
	r.misbehave = func(w http.ResponseWriter, req *http.Request, content []byte) bool {
		if !bytes.Equal(content, layer) || breaks == 12 {
			return false
		}
		breaks++
		if breaks%3 == 0 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		cut(w, req, content, breaks*len(layer)/16)
		panic(http.ErrAbortHandler)
	}
	n := newEmptyNode(t)
	n.opts.PullPause = time.Millisecond
	var told []int64
	_, fetched, err := n.again(t).Pull(t.Context(), ref, func(done, _ int64) { told = append(told, done) })
	if err != nil {
		t.Fatal(err)
	}
	if breaks != 12 {
		t.Errorf("got %d breaks, want 12", breaks)
	}
	if twice := fetched - r.size(); twice > 12*(1<<20) {
		t.Errorf("got %d bytes fetched twice", twice)
	}
	if !slices.IsSorted(told) {
		t.Errorf("got progress that goes back: %v", told)
	}
	t.Run("InVain", func(t *testing.T) {
		r, ref := serveImage(t, wavering())
		_, layer := r.layer()
		r.misbehave = func(w http.ResponseWriter, req *http.Request, content []byte) bool {
			if bytes.Equal(content, layer) {
				cut(w, req, content, 100)
				panic(http.ErrAbortHandler)
			}
			return false
		}
		if _, _, err := n.again(t).Pull(t.Context(), ref, nil); !errors.Is(err, edge.ErrUnavailable) || edge.HintOf(err) == "" {
			t.Errorf("got %v with hint %q, want %v and one", err, edge.HintOf(err), edge.ErrUnavailable)
		}
		if asked := len(r.requests()); asked < 5 || asked > 10 {
			t.Errorf("got %d requests, want some and then the end of patience", asked)
		}
	})
	t.Run("AskedToWait", func(t *testing.T) {
		r, ref := serveImage(t, testImage())
		busy := true
		r.misbehave = func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			if !busy {
				return false
			}
			busy = false
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		begun := time.Now()
		if _, _, err := n.again(t).Pull(t.Context(), ref, nil); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < time.Second {
			t.Errorf("asked again after %v, want what the registry asked for", took)
		}
	})
}

// TestDriver_Pull_WrongRemains goes on from what was a lie, which only shows at the end.
func TestDriver_Pull_WrongRemains(t *testing.T) {
	r, ref := serveImage(t, wavering())
	_, layer := r.layer()
	lie := bytes.Repeat([]byte{'x'}, len(layer))
	first := true
	r.misbehave = func(w http.ResponseWriter, req *http.Request, content []byte) bool {
		if !bytes.Equal(content, layer) || !first {
			return false
		}
		first = false
		cut(w, req, lie, len(layer)/2)
		panic(http.ErrAbortHandler)
	}
	n := newEmptyNode(t)
	n.opts.PullPause = time.Millisecond
	if _, _, err := n.again(t).Pull(t.Context(), ref, nil); err != nil {
		t.Fatalf("got %v, want the layer fetched anew", err)
	}
	w := behave("sleep")
	w.Image = ref
	n.start(t, w, "one")
}

// TestDriver_Pull_BadLayer pulls images whose layers are not what their configuration
// says, though every digest fits.
func TestDriver_Pull_BadLayer(t *testing.T) {
	for name, p := range map[string]pack{
		"NoArchive": {platforms: testImage().platforms, damageLayer: true},
		"OtherDiff": {platforms: testImage().platforms, otherDiff: true},
	} {
		t.Run(name, func(t *testing.T) {
			n := newEmptyNode(t)
			_, ref := serveImage(t, p)
			_, _, err := n.Pull(t.Context(), ref, nil)
			if !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("got %v, want %v", err, edge.ErrInvalid)
			}
			n.wantBare(t)
		})
	}
}

// wantBare wants the store to hold no image, and nothing of any.
func (n *node) wantBare(t testing.TB) {
	t.Helper()
	for _, kind := range []string{"images", "content", "snapshots", "leases"} {
		args := []string{kind, "list"}
		if kind != "snapshots" {
			args = append(args, "--quiet")
		}
		lines := strings.Split(strings.TrimSpace(n.ctr(t.Context(), args...)), "\n")
		left := slices.DeleteFunc(lines, func(line string) bool {
			return line == "" || line == "holdfast" || strings.HasPrefix(line, "KEY")
		})
		if len(left) > 0 {
			t.Errorf("left behind, %s: %q", kind, left)
		}
	}
}
