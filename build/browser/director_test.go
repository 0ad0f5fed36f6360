package browser_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"holdfast/edge"
)

// director opens scenes for the script and lets it turn their knobs.
type director struct {
	t              testing.TB
	binary, server func() string // of the agent and of the sample model; they wait until it is built

	mu   sync.Mutex // guards what follows
	sets map[string]set
	last int
}

// set is what a scene is played on.
type set interface {
	url() string
	do(verb string) (any, error)
	close()
}

// direct serves the script until the test ends.
func direct(t testing.TB) *httptest.Server {
	t.Helper()
	d := &director{t: t, binary: compile(t, "holdfast"), server: compile(t, "holdfast/build/sample/server"), sets: map[string]set{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /open/{scene}", d.open)
	mux.HandleFunc("POST /do/{set}/{verb}", d.do)
	mux.HandleFunc("POST /close/{set}", func(_ http.ResponseWriter, r *http.Request) { d.strike(r.PathValue("set")) })
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.Close()
		for name := range d.sets {
			d.strike(name)
		}
	})
	return server
}

// strike takes a set down.
func (d *director) strike(name string) {
	d.mu.Lock()
	s := d.sets[name]
	delete(d.sets, name)
	d.mu.Unlock()
	if s != nil {
		s.close()
	}
}

func (d *director) open(w http.ResponseWriter, r *http.Request) {
	s, err := d.build(r.PathValue("scene"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	d.mu.Lock()
	d.last++
	name := strconv.Itoa(d.last)
	d.sets[name] = s
	d.mu.Unlock()
	reply(w, map[string]string{"url": s.url(), "set": name})
}

func (d *director) build(scene string) (set, error) {
	switch scene {
	case "agent":
		return startAgent(d.t, d.binary())
	case "line":
		return d.line()
	}
	play, known := scenes()[scene]
	if !known {
		return nil, fmt.Errorf("there is no scene %q", scene)
	}
	return newStage(d.t, play), nil
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	// The script has gone, or reads it.
	_ = json.NewEncoder(w).Encode(v)
}

func (d *director) line() (set, error) {
	l, err := startLine(d.t, d.binary(), d.server())
	if err != nil && l != nil {
		l.close()
	}
	return l, err
}

// do turns a knob of a set.
func (d *director) do(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	s := d.sets[r.PathValue("set")]
	d.mu.Unlock()
	if s == nil {
		http.Error(w, "there is no such set", http.StatusNotFound)
		return
	}
	answer, err := s.do(r.PathValue("verb"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	reply(w, answer)
}

func (s *stage) url() string { return s.front.URL }

func (s *stage) do(verb string) (any, error) {
	knob, known := knobs()[verb]
	if !known {
		return nil, fmt.Errorf("a stage has no knob %q", verb)
	}
	return knob(s), nil
}

// knobs are what a script can do to a stage.
func knobs() map[string]func(s *stage) any {
	locked := func(do func(s *stage) any) func(s *stage) any {
		return func(s *stage) any {
			s.mu.Lock()
			defer s.mu.Unlock()
			return do(s)
		}
	}
	step := func(by time.Duration) func(s *stage) any {
		return locked(func(s *stage) any {
			s.shift += by
			return by.String()
		})
	}
	return map[string]func(s *stage) any{
		"forward": step(time.Hour),
		"back":    step(-2 * time.Hour),
		"freeze":  locked(func(s *stage) any { s.frozen = true; return true }),
		"thaw":    locked(func(s *stage) any { s.frozen = false; return true }),
		"refuse":  locked(func(s *stage) any { s.refuses = http.StatusServiceUnavailable; return true }),
		"admit":   locked(func(s *stage) any { s.refuses = 0; return true }),
		"did":     locked(func(s *stage) any { return s.did }),
		"streams": locked(func(s *stage) any { return s.streams }),
		"drop":    func(s *stage) any { s.front.CloseClientConnections(); return true },
		"event": locked(func(s *stage) any {
			s.happen(edge.EventUpstreamLost, "plant", "the script says so")
			return true
		}),
		"restart": func(s *stage) any {
			s.mu.Lock()
			s.pid++
			s.started = time.Now()
			s.sim = newSim(time.Now(), s.sim.slots, s.sim.loads)
			s.mu.Unlock()
			s.front.CloseClientConnections()
			return true
		},
	}
}
