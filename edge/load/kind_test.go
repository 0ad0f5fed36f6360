package load_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/load"
)

func TestParseKind(t *testing.T) {
	const ms = time.Millisecond
	for text, want := range map[string]load.Kind{
		"u19=urgent:50ms-100ms:0.25:19ms": {Model: "u19", Rows: 1, Class: edge.Urgent, Shortest: 50 * ms, Longest: 100 * ms, Share: 0.25, Work: 19 * ms},
		"digits*64=batch:5s:3":            {Model: "digits", Rows: 64, Class: edge.Batch, Shortest: 5000 * ms, Longest: 5000 * ms, Share: 3},
	} {
		got, err := load.ParseKind(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "m", "m=urgent", "m=urgent:50ms", "=urgent:50ms:1", "m=vip:50ms:1", "m=urgent:soon:1", "m=urgent:50ms-soon:1",
		"m=urgent:0s:1", "m=urgent:100ms-50ms:1", "m=urgent:25h:1", "m=urgent:50ms:0", "m=urgent:50ms:-1", "m=urgent:50ms:NaN", "m=urgent:50ms:half",
		"m=urgent:50ms:1:0s", "m=urgent:50ms:1:long", "m=urgent:50ms:1:1s:2", "m*0=urgent:50ms:1", "m*many=urgent:50ms:1", "m*70000=urgent:50ms:1",
	} {
		if k, err := load.ParseKind(text); !errors.Is(err, edge.ErrInvalid) || edge.HintOf(err) == "" {
			t.Errorf("%q: %+v, %v", text, k, err)
		}
	}
}

func FuzzParseKind(f *testing.F) {
	for _, k := range append(load.Servers(), load.Digits()...) {
		f.Add(k.String())
	}
	f.Add("m*3=batch:1ns-24h:1e-9:1h")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := load.ParseKind(text)
		if err != nil {
			return
		}
		again, err := load.ParseKind(k.String())
		if err != nil || again != k {
			t.Errorf("%q is %+v, written as %q, which is %+v, %v", text, k, k.String(), again, err)
		}
	})
}

func TestReadMix(t *testing.T) {
	kinds, err := load.ReadMix(strings.NewReader("# a mix\n\nm=urgent:50ms:1 # most\nn*2=batch:1m:2\n"))
	if err != nil || len(kinds) != 2 || kinds[0].Model != "m" || kinds[1].Rows != 2 {
		t.Errorf("%+v, %v", kinds, err)
	}
	for _, text := range []string{"", "# nothing\n", "m=urgent:50ms:1\nsoup\n", strings.Repeat("m", 1<<17)} {
		if _, err := load.ReadMix(strings.NewReader(text)); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestSuits(t *testing.T) {
	names := func(kinds []load.Kind) (names []string) {
		for _, k := range kinds {
			names = append(names, k.Model)
		}
		return names
	}
	if got := load.Suits(append(names(load.Servers()), "more")); len(got) != len(load.Servers()) || got[0].Work == 0 {
		t.Errorf("burners get %v", got)
	}
	if got := load.Suits([]string{"digits-lite", "digits"}); len(got) != len(load.Digits()) {
		t.Errorf("digits get %v", got)
	}
	if got := load.Suits([]string{"u19", "digits"}); got != nil {
		t.Errorf("half of each gets %v", got)
	}
}
