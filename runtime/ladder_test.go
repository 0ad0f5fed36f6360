package runtime_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/runtime/fake"
)

func TestSupervisor_Ladder(t *testing.T) {
	pool := func(h *house) edge.Pool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.pools[0]
	}
	for name, c := range map[string]struct {
		change func(*edge.Serve)
		want   bool
	}{
		"Variants": {func(s *edge.Serve) { s.Variants = []string{"digits-lite"} }, true},
		"Exact":    {func(s *edge.Serve) { s.Variants, s.Exact = []string{"digits-lite"}, true }, false},
		"Alone":    {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *fake.Driver) {
				h := serving(t, d, 1, c.change, nil)
				if got := pool(h).Ladder; got != c.want {
					t.Errorf("ladder: got %v, want %v", got, c.want)
				}
			})
		})
	}
	t.Run("OtherTensors", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Serve = func(w edge.Workload, _ string) http.Handler {
				return &fake.Model{Names: w.Serve.Models(), Metadata: func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, `{"name":"`+r.PathValue("model")+`","inputs":[{"name":"`+r.PathValue("model")+`","datatype":"FP32","shape":[1]}],"outputs":[]}`)
				}}
			}
			h := newHouse(t, d)
			w := modelServer("digits", 1)
			w.Serve.Variants = []string{"digits-lite"}
			h.sup.Apply([]edge.Workload{w})
			settle(time.Minute)
			if got := pool(h); got.Lanes != 1 || got.Ladder {
				t.Errorf("pool: got %+v, want a lane and no ladder", got)
			}
		})
	})
}
