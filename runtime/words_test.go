package runtime

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWords(t *testing.T) {
	long := strings.Repeat("ä", maxWords)
	for text, want := range map[string]string{
		"":                           "",
		"\n \n":                      "",
		"one\n":                      "; its last words: one",
		"one\r\n\ntwo":               "; its last words: one | two",
		"1\n2\n3\n4\n5\n6\n":         "; its last words: 2 | 3 | 4 | 5 | 6",
		"\xff\xfe":                   "; its last words: ?",
		"before\n" + long + " end\n": "; its last words: …" + strings.Repeat("ä", (maxWords-4)/2) + " end",
	} {
		got := words(text)
		if got != want {
			t.Errorf("%.20q: got %q, want %q", text, got, want)
		}
		if !utf8.ValidString(got) || len(got) > maxWords+40 {
			t.Errorf("%.20q: got %d bytes", text, len(got))
		}
	}
}
