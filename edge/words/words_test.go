package words_test

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode"

	"holdfast/edge/words"
)

func TestSpan(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "12µs": 12 * time.Microsecond, "34.1ms": 34123 * time.Microsecond, "4.2s": 4210 * time.Millisecond,
		"2m03s": 123 * time.Second, "3h04m": 184 * time.Minute, "3d1h": 73 * time.Hour, "-4.2s": -4210 * time.Millisecond,
	} {
		if got := words.Span(d); got != want {
			t.Errorf("%v is %q, want %q", int64(d), got, want)
		}
	}
	if got := words.Span(math.MinInt64); !strings.HasPrefix(got, "-") {
		t.Errorf("the least duration is %q", got)
	}
}

func TestAgo(t *testing.T) {
	now := time.Unix(1000, 0)
	if got := words.Ago(time.Time{}, now); got != "-" {
		t.Errorf("no instant is %q ago", got)
	}
	if got := words.Ago(now.Add(-time.Minute), now); got != "1m00s ago" {
		t.Errorf("a minute is %q", got)
	}
}

func TestSize(t *testing.T) {
	for want, n := range map[string]uint64{"0B": 0, "1023B": 1023, "1.0KiB": 1024, "1.5MiB": 3 << 19, "16.0EiB": math.MaxUint64} {
		if got := words.Size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain":            "plain",
		"\x1b[2Jred\x07":   " [2Jred ",
		"\u009b31m":        " 31m",
		"line\nother\r":    "line other ",
		"a\u202eb\u2066c":  "abc",
		"检测\u2028x":        "检测 x",
		"bad\xffbyte\x9b!": "bad\ufffdbyte\ufffd!",
	} {
		if got := words.Printable(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestWidth(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "abc": 3, "检测": 4, "가나": 4, "e\u0301": 1, "ｆｕ": 4, "█░▁": 3, "…●": 2, "😀": 2, "カナ": 4,
	} {
		if got := words.Width(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, test := range []struct {
		text    string
		columns int
		want    string
	}{
		{"abcdef", 6, "abcdef"}, {"abcdef", 5, "abcd…"}, {"检测模型", 5, "检测…"}, {"检测模型", 6, "检测…"}, {"abc", 1, "…"}, {"abc", 0, ""},
	} {
		if got := words.Cut(test.text, test.columns, "…"); got != test.want {
			t.Errorf("%q in %d columns is %q, want %q", test.text, test.columns, got, test.want)
		}
	}
	if got := words.Pad("检", 4); got != "检  " {
		t.Errorf("padded it is %q", got)
	}
	if got := words.ASCII("a检█b"); got != "a???b" {
		t.Errorf("in ASCII it is %q", got)
	}
}

func TestFold(t *testing.T) {
	for _, test := range []struct {
		text    string
		columns int
		want    string
	}{
		{"", 5, ""}, {"one", 5, "one"}, {"one two three", 7, "one two|three"}, {"one two three", 8, "one two|three"},
		{"abcdefgh", 3, "abc|def|gh"}, {"检测模型", 5, "检测|模型"}, {"a b", 0, "a|b"},
	} {
		if got := strings.Join(words.Fold(test.text, test.columns), "|"); got != test.want {
			t.Errorf("%q in %d columns is %q, want %q", test.text, test.columns, got, test.want)
		}
	}
}

func FuzzFold(f *testing.F) {
	f.Add("检测 \u0301 b", 3)
	f.Fuzz(func(t *testing.T, text string, columns int) {
		columns = min(max(columns, 2), 200)
		text = words.Printable(text)
		lines := words.Fold(text, columns)
		for _, line := range lines {
			if words.Width(line) > columns {
				t.Errorf("%q takes more than %d columns", line, columns)
			}
		}
		if got, want := strings.ReplaceAll(strings.Join(lines, ""), " ", ""), strings.ReplaceAll(text, " ", ""); got != want {
			t.Errorf("%q is left of %q", got, want)
		}
	})
}

func FuzzCut(f *testing.F) {
	f.Add("检测\x1b[2J\u202e", 3)
	f.Fuzz(func(t *testing.T, text string, columns int) {
		columns = min(max(columns, 0), 200)
		got := words.Cut(words.Printable(text), columns, "…")
		if width := words.Width(got); width > columns {
			t.Errorf("%q takes %d columns, want at most %d", got, width, columns)
		}
		if strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("%q holds a control character", got)
		}
	})
}
