package tty_test

import (
	"slices"
	"testing"

	"holdfast/edge/tty"
)

// keys are all that a text holds.
func keys(t *testing.T, text string, ended bool) (found []tty.Key, left string) {
	t.Helper()
	rest := []byte(text)
	for {
		key, more, whole := tty.Parse(rest, ended)
		if !whole {
			return found, string(rest)
		}
		if len(more) >= len(rest) {
			t.Fatalf("%q takes nothing of %q", key, rest)
		}
		found, rest = append(found, key), more
	}
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		text  string
		ended bool
		want  []tty.Key
		left  string
	}{
		{"q?", false, []tty.Key{"q", "?"}, ""},
		{"\t\x03", false, []tty.Key{"tab", "ctrl+c"}, ""},
		{"\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[H\x1b[F\x1b[Z", false, []tty.Key{"up", "down", "pgup", "pgdown", "home", "end", "shift+tab"}, ""},
		{"\x1b", false, nil, "\x1b"},
		{"\x1b", true, []tty.Key{"esc"}, ""},
		{"\x1b[", false, nil, "\x1b["},
		{"\x1b[1;5", false, nil, "\x1b[1;5"},
		{"\x1b[1;5Aq", false, []tty.Key{"", "q"}, ""},
		{"\x1bq", false, []tty.Key{"esc", "q"}, ""},
		{"检", false, []tty.Key{"检"}, ""},
		{"\xe6\xa3", false, nil, "\xe6\xa3"},
		{"\x1a\r", false, []tty.Key{"", ""}, ""},
	} {
		got, left := keys(t, test.text, test.ended)
		if !slices.Equal(got, test.want) || left != test.left {
			t.Errorf("%q holds %q and leaves %q, want %q and %q", test.text, got, left, test.want, test.left)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\x1b[1;5A\x1b[[A\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, left := keys(t, string(text), true); left != "" {
			t.Errorf("%q is left, though no more comes", left)
		}
	})
}
