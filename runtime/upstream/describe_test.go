package upstream_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/runtime/upstream"
)

const description = `{"name":"large","versions":["3"],"platform":"","inputs":[{"name":"x","datatype":"FP32","shape":[-1,64]}],"outputs":[]}`

// plant is a server that says what its one model takes.
type plant struct {
	pipes
	told   atomic.Int32 // for the model
	silent atomic.Bool
}

func (p *plant) answer(w http.ResponseWriter, r *http.Request) {
	switch {
	case p.silent.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.Method == http.MethodGet && r.URL.Path == "/v2/models/large":
		p.told.Add(1)
		fmt.Fprint(w, description)
	case strings.HasSuffix(r.URL.Path, "/infer"):
		answering(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func TestRouter_Model(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plant{}
		p.other = p.answer
		defer p.cut()
		r := upstream.NewRouter()
		run(t, r)
		err := r.Follow(map[string]upstream.Route{"far": {Upstream: "hq", Model: "large"}, "none": {Upstream: "hq"}},
			[]upstream.Options{{Name: "hq", URL: "http://hq", Dial: p.dial}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, known := r.Model("other"); known {
			t.Error("a model is known that no route leads to")
		}
		if got := r.Models(); len(got) != 2 || got[0] != "far" {
			t.Errorf("models = %v", got)
		}
		p.silent.Store(true)
		if meta, up, known := r.Model("far"); meta.Name != "" || !up || !known {
			t.Errorf("before it was asked: %+v, %v, %v", meta, up, known)
		}
		synctest.Wait()
		p.silent.Store(false)
		r.Model("far")
		synctest.Wait()
		if p.told.Load() != 0 {
			t.Error("it is asked again at once")
		}
		time.Sleep(11 * time.Second)
		r.Model("far")
		synctest.Wait()
		meta, _, _ := r.Model("far")
		if meta.Name != "far" || len(meta.Inputs) != 1 || meta.Inputs[0].Name != "x" || meta.Versions[0] != "3" {
			t.Errorf("meta = %+v", meta)
		}
		for range 100 {
			time.Sleep(time.Minute / 12)
			r.Model("far")
		}
		synctest.Wait()
		if got := p.told.Load(); got != 1 {
			t.Errorf("it was asked %d times in 9 minutes", got)
		}
		time.Sleep(2 * time.Minute)
		r.Model("far")
		synctest.Wait()
		if got := p.told.Load(); got != 2 {
			t.Errorf("it was asked %d times in 11 minutes, want 2", got)
		}
		if meta, _, _ := r.Model("none"); meta.Name != "" {
			t.Errorf("what the upstream does not know takes %+v", meta)
		}
		if reports := r.Reports(); reports[0].State != edge.UpstreamUp || reports[0].Asked != 0 {
			t.Errorf("to describe is to be counted: %+v", reports)
		}
	})
}
