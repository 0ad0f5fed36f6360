package oip_test

import (
	"encoding/json"
	"errors"
	"testing"

	"holdfast/edge"
	"holdfast/edge/oip"
)

func TestAnnotate(t *testing.T) {
	params := map[string]any{"queue_us": 12, "route": "local"}
	cases := map[string]struct{ in, want string }{
		"None":     {`{"outputs":[]}`, `{"parameters":{"queue_us":12,"route":"local"},"outputs":[]}`},
		"Empty":    {`{"outputs":[],"parameters":{ }}`, `{"outputs":[],"parameters":{"queue_us":12,"route":"local"}}`},
		"Null":     {`{"parameters":null,"outputs":[]}`, `{"parameters":{"queue_us":12,"route":"local"},"outputs":[]}`},
		"Kept":     {`{"parameters":{"a\u0062": 1 },"outputs":[]}`, `{"parameters":{"queue_us":12,"route":"local","ab":1},"outputs":[]}`},
		"Replaced": {`{"parameters":{"route":"x","b":[{}]},"outputs":[]}`, `{"parameters":{"queue_us":12,"route":"local","b":[{}]},"outputs":[]}`},
		"Spaces":   {` { "outputs" : [ ] } `, ` {"parameters":{"queue_us":12,"route":"local"}, "outputs" : [ ] } `},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := oip.Annotate(edge.Payload{Body: []byte(c.in)}, params)
			if err != nil || string(got.Body) != c.want {
				t.Errorf("got %s, %v\nwant %s", got.Body, err, c.want)
			}
		})
		t.Run(name+"WithTail", func(t *testing.T) {
			in := edge.Payload{Body: []byte(c.in + "\x00{raw"), HeaderLength: len(c.in)}
			got, err := oip.Annotate(in, params)
			if err != nil || string(got.Body) != c.want+"\x00{raw" || got.HeaderLength != len(c.want) {
				t.Errorf("got %q with header %d, %v", got.Body, got.HeaderLength, err)
			}
		})
	}
	t.Run("NothingToSay", func(t *testing.T) {
		got, err := oip.Annotate(edge.Payload{Body: []byte(`{"outputs":[]}`)}, nil)
		var answer oip.InferResponse
		if err != nil || json.Unmarshal(got.Body, &answer) != nil {
			t.Errorf("got %s, %v", got.Body, err)
		}
	})
}

func TestAnnotate_RefusesWhatIsNoAnswer(t *testing.T) {
	for _, in := range []string{"", "garbage", `{}`, `{"outputs":{}}`, `{"outputs":[]`, `{"outputs":[]}{}`, `[]`, `{"parameters":1,"outputs":[]}`} {
		if got, err := oip.Annotate(edge.Payload{Body: []byte(in)}, nil); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("%q: got %s, %v", in, got.Body, err)
		}
	}
	if _, err := oip.Annotate(edge.Payload{Body: []byte(`{}`), HeaderLength: 9}, nil); !errors.Is(err, edge.ErrInvalid) {
		t.Errorf("header beyond body: got %v", err)
	}
}
