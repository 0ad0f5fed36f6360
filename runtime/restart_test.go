package runtime

import (
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

func TestRecord_delay(t *testing.T) {
	now := time.Unix(1e9, 0)
	var r record
	bounds := []time.Duration{0, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond}
	for i, bound := range bounds {
		r = r.failed(now, 0)
		if got := r.delay(1); got != bound {
			t.Errorf("end %d: got at most %v, want %v", i+1, got, bound)
		}
		if got := r.delay(0); got != 0 {
			t.Errorf("end %d: got at least %v, want full jitter from 0", i+1, got)
		}
	}
	for range 1000 {
		r = r.failed(now, stableAfter-1)
	}
	if got := r.delay(1); got != backoffCap {
		t.Errorf("after a thousand: got %v, want %v", got, backoffCap)
	}
	if got := r.failed(now, stableAfter).delay(1); got != 0 {
		t.Errorf("after a stable run: got %v, want 0", got)
	}
	if got := delayStart(1, 1); got != 400*time.Millisecond {
		t.Errorf("first failed start: got %v, want 400ms", got)
	}
	if got := delayStart(1000, 1); got != backoffCap {
		t.Errorf("a thousand failed starts: got %v, want %v", got, backoffCap)
	}
}

func TestRecord_looping(t *testing.T) {
	start := time.Unix(1e9, 0)
	table := map[string]struct {
		every time.Duration
		ends  int
		want  bool
	}{
		"Once":        {0, 1, false},
		"Twice":       {0, 2, false},
		"ThriceQuick": {29 * time.Second, 3, true},
		"ThriceSlow":  {30 * time.Second, 3, false},
		"ManySlow":    {40 * time.Second, 100, false},
		"ManyQuick":   {time.Second, 100, true},
	}
	for name, c := range table {
		t.Run(name, func(t *testing.T) {
			var r record
			at := start
			for i := range c.ends {
				at = start.Add(time.Duration(i) * c.every)
				r = r.failed(at, 0)
			}
			if got := r.looping(at); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if r.looping(at) && r.looping(r.calmAt()) {
				t.Error("at the end of its window: got looping, want calm")
			}
		})
	}
}

func TestRestarts(t *testing.T) {
	fine, failed := &edge.Exit{}, &edge.Exit{Code: 1}
	signalled, starved := &edge.Exit{Signal: "SIGSEGV"}, &edge.Exit{OOM: true}
	table := []struct {
		policy edge.RestartPolicy
		exit   *edge.Exit
		want   bool
	}{
		{"", fine, true}, {edge.RestartAlways, fine, true}, {edge.RestartAlways, failed, true}, {edge.RestartAlways, nil, true},
		{edge.RestartOnFailure, fine, false}, {edge.RestartOnFailure, failed, true}, {edge.RestartOnFailure, signalled, true},
		{edge.RestartOnFailure, starved, true}, {edge.RestartOnFailure, nil, true},
		{edge.RestartNo, failed, false}, {edge.RestartNo, fine, false}, {edge.RestartNo, nil, true},
	}
	for _, c := range table {
		if got := restarts(c.policy, c.exit); got != c.want {
			t.Errorf("%q after %v: got %v, want %v", c.policy, c.exit, got, c.want)
		}
	}
}

func TestSeenEnd(t *testing.T) {
	table := map[string]struct {
		exit edge.Exit
		want bool
	}{
		"Fine":        {edge.Exit{}, true},
		"Failed":      {edge.Exit{Code: 1}, true},
		"Unknown":     {edge.Exit{Code: 255}, false},
		"At":          {edge.Exit{Code: 255, At: time.Unix(1e9, 0)}, true},
		"Signalled":   {edge.Exit{Code: 255, Signal: "SIGKILL"}, true},
		"OutOfMemory": {edge.Exit{Code: 255, OOM: true}, true},
	}
	for name, c := range table {
		t.Run(name, func(t *testing.T) {
			if got := seenEnd(&c.exit) != nil; got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if seenEnd(nil) != nil {
		t.Error("of none: got an end, want none")
	}
}

func TestNewID(t *testing.T) {
	table := map[string]struct{ app, name, want string }{
		"Plain":    {"shop", "till", "shop-till-"},
		"Odd":      {"my_shop.eu", "--till--", "my-shop-eu-till-"},
		"Nothing":  {"é", "", "instance-"},
		"VeryLong": {strings.Repeat("x", 200), "till", strings.Repeat("x", maxIDStem) + "-"},
	}
	for name, c := range table {
		t.Run(name, func(t *testing.T) {
			w := edge.Workload{App: c.app, Name: c.name}
			a, b := newID(w), newID(w)
			if !strings.HasPrefix(a, c.want) || len(a) != len(c.want)+6 {
				t.Errorf("got %q, want %q and six digits", a, c.want)
			}
			if a == b {
				t.Errorf("got %q twice", a)
			}
		})
	}
}
