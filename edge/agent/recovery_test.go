package agent

import (
	"slices"
	"testing"
	"time"

	"holdfast/edge"
)

func TestRecoveries_Heed(t *testing.T) {
	const ready, exited, stopped = edge.EventInstanceReady, edge.EventInstanceExited, edge.EventInstanceStopped
	type step struct {
		kind     edge.EventKind
		instance string
		at       int // seconds
	}
	cases := map[string]struct {
		steps []step
		want  []time.Duration
	}{
		"Crash":          {[]step{{ready, "a", 0}, {exited, "a", 10}, {ready, "b", 13}}, []time.Duration{3 * time.Second}},
		"FirstStart":     {[]step{{ready, "a", 0}, {ready, "b", 5}}, nil},
		"Stopped":        {[]step{{ready, "a", 0}, {stopped, "a", 10}, {ready, "b", 13}}, nil},
		"SecondTry":      {[]step{{ready, "a", 0}, {exited, "a", 10}, {exited, "b", 12}, {ready, "c", 15}, {ready, "d", 99}}, []time.Duration{5 * time.Second}},
		"TwoAtOnce":      {[]step{{ready, "a", 0}, {ready, "b", 0}, {exited, "a", 10}, {exited, "b", 11}, {ready, "c", 12}, {ready, "d", 14}}, []time.Duration{2 * time.Second, 3 * time.Second}},
		"NotReadyBefore": {[]step{{exited, "a", 10}, {ready, "b", 13}}, nil},
		"OtherPlan":      {[]step{{ready, "a", 0}, {exited, "a", 10}, {edge.EventAgentReloaded, "", 11}, {ready, "b", 13}}, nil},
		"Flicker":        {[]step{{ready, "a", 0}, {ready, "b", 0}, {exited, "a", 10}, {ready, "b", 12}, {ready, "c", 15}}, []time.Duration{5 * time.Second}},
		"Again":          {[]step{{ready, "a", 0}, {exited, "a", 1}, {ready, "b", 2}, {exited, "b", 5}, {ready, "c", 9}}, []time.Duration{time.Second, 4 * time.Second}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []time.Duration
			r := newRecoveries(func(took time.Duration) { got = append(got, took) })
			began := time.Now()
			for _, s := range c.steps {
				r.Heed(edge.Event{Kind: s.kind, Subject: s.instance, At: began.Add(time.Duration(s.at) * time.Second), Facts: map[string]string{"workload": "line/digits"}})
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	t.Run("OtherWorkload", func(t *testing.T) {
		r := newRecoveries(func(took time.Duration) { t.Errorf("got %v", took) })
		for kind, of := range map[edge.EventKind]string{ready: "a/x", exited: "a/y"} {
			r.Heed(edge.Event{Kind: kind, Subject: of, Facts: map[string]string{"workload": of}})
		}
	})
}
