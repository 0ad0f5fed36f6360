package mqtt_test

import (
	"testing"

	"holdfast/mqtt"
)

func TestMerge(t *testing.T) {
	for _, test := range []struct{ name, from, patch, want string }{ // of RFC 7396, appendix A, what concerns objects
		{"Replaces", `{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{"Adds", `{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{"Removes", `{"a":"b"}`, `{"a":null}`, `{}`},
		{"RemovesOne", `{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{"ArrayByText", `{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{"TextByArray", `{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{"Inside", `{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{"ArraysWhole", `{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{"NullOfNothing", `{"e":1}`, `{"a":1,"x":null}`, `{"a":1,"e":1}`},
		{"NewObjectDropsNull", `{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := mqtt.Merge([]byte(test.from), []byte(test.patch))
			if err != nil || string(got) != test.want {
				t.Errorf("Merge = %s, %v, want %s", got, err, test.want)
			}
		})
	}
	for _, bad := range []string{``, `null`, `[]`, `1`, `{"a":`, `{"a":1,"a":2}`} {
		if got, err := mqtt.Merge([]byte(bad), []byte(`{}`)); err == nil {
			t.Errorf("Merge to %q = %s, want an error", bad, got)
		}
		if got, err := mqtt.Merge([]byte(`{}`), []byte(bad)); err == nil {
			t.Errorf("Merge of %q = %s, want an error", bad, got)
		}
	}
}

func TestDiff(t *testing.T) {
	for _, test := range []struct{ name, from, to, want string }{
		{"Nothing", `{"a":{"b":1}}`, `{"a":{"b":1}}`, `{}`},
		{"Deep", `{"a":{"b":1,"c":2}}`, `{"a":{"b":1,"c":3}}`, `{"a":{"c":3}}`},
		{"Gone", `{"a":1,"b":{"c":1}}`, `{"b":{}}`, `{"a":null,"b":{"c":null}}`},
		{"OtherKind", `{"a":{"b":1}}`, `{"a":7}`, `{"a":7}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := mqtt.Diff([]byte(test.from), []byte(test.to))
			if err != nil || string(got) != test.want {
				t.Errorf("Diff = %s, %v, want %s", got, err, test.want)
			}
		})
	}
	if got, err := mqtt.Diff([]byte(`{}`), []byte(`{"a":{"b":null}}`)); err == nil {
		t.Errorf("Diff = %s, want an error: no patch can say null", got)
	}
}

// FuzzDiff: what Diff says, Merge does.
func FuzzDiff(f *testing.F) {
	f.Add(`{"a":{"b":1,"c":[1,2]},"d":"x"}`, `{"a":{"c":[2]},"e":{"f":{}}}`)
	f.Add(`{"a":{}}`, `{"a":1.50}`)
	f.Fuzz(func(t *testing.T, from, to string) {
		patch, err := mqtt.Diff([]byte(from), []byte(to))
		if err != nil {
			return
		}
		got, err := mqtt.Merge([]byte(from), patch)
		if err != nil {
			t.Fatalf("Merge of %s: %v", patch, err)
		}
		want, err := mqtt.Merge([]byte(to), []byte(`{}`))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s with %s = %s, want %s (%v)", from, patch, got, want, err)
		}
	})
}
