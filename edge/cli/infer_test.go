package cli

import (
	"encoding/json"
	"testing"

	"holdfast/edge/oip"
)

// TestAnswerWords: a person reads which way the answer came, by which model and version, and why.
func TestAnswerWords(t *testing.T) {
	for _, c := range []struct{ notes, want string }{
		{
			`{"class":"urgent","deadline_met":true,"slack_us":75000,"queue_us":40,"compute_us":1500,"route":"local","version":"1"}`,
			"urgent: on time, 75ms left (waited 40µs, computed 1.5ms, local, version 1)",
		},
		{
			`{"class":"normal","deadline_met":false,"slack_us":-5,"queue_us":40,"compute_us":1500,"route":"local","route_why":"upstream-down","variant":"small","variant_why":"load"}`,
			"normal: late (waited 40µs, computed 1.5ms, local: upstream-down, by small: load)",
		},
		{
			`{"class":"batch","deadline_met":true,"queue_us":40,"compute_us":1500,"route":"upstream","route_why":"no-time"}`,
			"batch: no deadline (waited 40µs, computed 1.5ms, upstream: no-time)",
		},
	} {
		var p oip.Parameters
		if err := json.Unmarshal([]byte(c.notes), &p); err != nil {
			t.Fatal(err)
		}
		if got := answerWords(p); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
