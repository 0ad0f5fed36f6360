package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestFreshLines(t *testing.T) {
	words := strings.Fields
	for _, test := range []struct {
		printed, lines string
		want           int
	}{
		{"a b c", "a b c", 0},
		{"a b c", "a b c d e", 2},
		{"a b c", "b c d", 1},
		{"a b c", "x y", 2},
		{"", "x y", 2},
		{"a b c", "", 0},
		{"t t t", "t t t t", 0}, // alike: not printed twice
		{"s t t", "s t t t", 1},
		{"a b a b", "a b a b a", 1},
	} {
		if got := freshLines(words(test.printed), words(test.lines)); got != test.want {
			t.Errorf("after %q %d of %q are new, want %d", test.printed, got, test.lines, test.want)
		}
	}
}

func TestLogCopy_Print(t *testing.T) {
	// However a restart parts the output, it is printed whole and once.
	var whole []string
	for i := range 40 {
		whole = append(whole, fmt.Sprintf("line %d", i%7*i))
	}
	text := strings.Join(whole, "\n") + "\n"
	first, last := strings.Index(text, "\n"+whole[10]), strings.Index(text, "\n"+whole[30])
	for cut := first; cut < last; cut++ {
		var out strings.Builder
		c := logCopy{out: &out}
		c.write([]byte(text[:cut]))
		c.print(whole[10:30])
		c.print(whole[25:])
		if got := out.String(); got != text {
			t.Fatalf("cut at %d it is\n%s\nwant\n%s", cut, got, text)
		}
	}
}

func TestLineCutter(t *testing.T) {
	var c lineCutter
	var lines []string
	for _, piece := range []string{"a", "b\nc", "\n\n", strings.Repeat("x", maxLogLine+1), "d\n"} {
		lines = append(lines, c.add([]byte(piece))...)
	}
	want := []string{"ab", "c", "", strings.Repeat("x", maxLogLine+1), "d"}
	if !slices.Equal(lines, want) {
		t.Errorf("the lines are %d: %.60q", len(lines), lines)
	}
}
