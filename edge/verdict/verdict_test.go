package verdict_test

import (
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/verdict"
)

// TestVerdict_Settle: a verdict says by which way its answer came, by which model and version, and why.
func TestVerdict_Settle(t *testing.T) {
	answer := edge.Payload{Body: []byte(`{"model_name":"m","outputs":[{"name":"y","datatype":"INT32","shape":[1],"data":[3]}]}`)}
	for name, c := range map[string]struct {
		settled edge.Settlement
		says    string
	}{
		"ByTheModel": {
			edge.Settlement{Answer: edge.Answer{Model: "m", Version: "1", Route: edge.AnsweredLocally, Payload: answer}},
			`"outcome":"completed","class":"urgent","route":"local","version":"1","queueUs"`,
		},
		"ByAVariant": {
			edge.Settlement{
				RouteWhy: edge.WhyDeadlineNear, VariantWhy: edge.WhyLoad,
				Answer: edge.Answer{Model: "m-small", Version: "2", Route: edge.AnsweredLocally, Payload: answer},
			},
			`"route":"local","routeWhy":"deadline-near","variant":"m-small","variantWhy":"load","version":"2"`,
		},
		"Elsewhere": {
			edge.Settlement{
				RouteWhy: edge.WhyNoTime, VariantWhy: edge.WhyRoute,
				Answer: edge.Answer{Model: "m-large", Route: edge.AnsweredUpstream, Payload: answer},
			},
			`"route":"upstream","routeWhy":"no-time","variant":"m-large","variantWhy":"route"`,
		},
		"NotAtAll": {
			edge.Settlement{Outcome: edge.Failed, Err: edge.ErrModel},
			`"outcome":"failed","class":"urgent","queueUs"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.settled.Task = edge.Task{ID: "t", Model: "m"}
			v := verdict.Verdict{Model: "m"}
			v.Settle(c.settled)
			if got := string(v.Encode(1 << 20)); !strings.Contains(got, c.says) {
				t.Errorf("got %s, want %s", got, c.says)
			}
		})
	}
}
