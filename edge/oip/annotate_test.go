package oip_test

import (
	"encoding/json"
	"errors"
	"testing"

	"holdfast/edge"
	"holdfast/edge/oip"
)

func TestAnnotate(t *testing.T) {
	var notes oip.Notes
	notes.Int("queue_us", 12)
	notes.Text("route", "local")
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
			got, err := oip.Annotate(edge.Payload{Body: []byte(c.in)}, notes)
			if err != nil || string(got.Body) != c.want {
				t.Errorf("got %s, %v\nwant %s", got.Body, err, c.want)
			}
		})
		t.Run(name+"WithTail", func(t *testing.T) {
			in := edge.Payload{Body: []byte(c.in + "\x00{raw"), HeaderLength: len(c.in)}
			got, err := oip.Annotate(in, notes)
			if err != nil || string(got.Body) != c.want+"\x00{raw" || got.HeaderLength != len(c.want) {
				t.Errorf("got %q with header %d, %v", got.Body, got.HeaderLength, err)
			}
		})
	}
	t.Run("NothingToSay", func(t *testing.T) {
		got, err := oip.Annotate(edge.Payload{Body: []byte(`{"outputs":[]}`)}, oip.Notes{})
		var answer oip.InferResponse
		if err != nil || json.Unmarshal(got.Body, &answer) != nil {
			t.Errorf("got %s, %v", got.Body, err)
		}
	})
}

func TestAnnotate_RefusesWhatIsNoAnswer(t *testing.T) {
	for _, in := range []string{"", "garbage", `{}`, `{"outputs":{}}`, `{"outputs":[]`, `{"outputs":[]}{}`, `[]`, `{"parameters":1,"outputs":[]}`} {
		if got, err := oip.Annotate(edge.Payload{Body: []byte(in)}, oip.Notes{}); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("%q: got %s, %v", in, got.Body, err)
		}
	}
	if _, err := oip.Annotate(edge.Payload{Body: []byte(`{}`), HeaderLength: 9}, oip.Notes{}); !errors.Is(err, edge.ErrInvalid) {
		t.Errorf("header beyond body: got %v", err)
	}
}

func TestNotes(t *testing.T) {
	var notes oip.Notes
	notes.Text("plain", "digits-lite_2.1")
	notes.Text("odd", "a\"b\\c\n\u00fc\xff")
	notes.Int("least", -1<<63)
	notes.Bool("yes", true)
	got, err := oip.Annotate(edge.Payload{Body: []byte(`{"outputs":[]}`)}, notes)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Parameters struct {
			Plain, Odd string
			Least      int64
			Yes        bool
		}
	}
	if err := json.Unmarshal(got.Body, &answer); err != nil {
		t.Fatalf("%s: %v", got.Body, err)
	}
	p := answer.Parameters
	if p.Plain != "digits-lite_2.1" || p.Odd != "a\"b\\c\n\u00fc\ufffd" || p.Least != -1<<63 || !p.Yes {
		t.Errorf("got %+v", p)
	}
}
