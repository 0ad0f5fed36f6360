package sitelink_test

import (
	"slices"
	"strings"
	"testing"

	"holdfast/mqtt/sitelink"
)

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "a/b", false}, {"a/b", "a", false},
		{"+", "a", true}, {"+", "a/b", false}, {"+/+", "a/b", true}, {"+/+", "/a", true}, {"+", "/a", false},
		{"#", "a/b/c", true}, {"a/#", "a", true}, {"a/#", "a/", true}, {"a/#", "a/b/c", true}, {"a/#", "ab", false},
		{"a/+/c", "a/b/c", true}, {"a/+/c", "a//c", true}, {"a/+/c", "a/c", false}, {"a/+/#", "a/b", true}, {"a/+/#", "a", false},
		{"#", "$SYS/x", false}, {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true},
	} {
		if got := sitelink.Matches(c.filter, c.topic); got != c.want {
			t.Errorf("matches(%q, %q) is %v, want %v", c.filter, c.topic, got, c.want)
		}
	}
}

// TestFilters_Agree holds overlaps and covers against the topics themselves: all of up
// to four levels over a small alphabet, which is one level and one letter more than
// the filters have.
func TestFilters_Agree(t *testing.T) {
	topics := product([]string{"a", "b", "$s", "z"}, 4)
	var filters []string
	for _, f := range product([]string{"a", "b", "$s", "+", "#"}, 3) {
		if i := strings.IndexByte(f, '#'); i < 0 || i == len(f)-1 {
			filters = append(filters, f)
		}
	}
	overlapping, covering := 0, 0
	for _, a := range filters {
		for _, b := range filters {
			both, all := false, true
			for _, topic := range topics {
				inA, inB := sitelink.Matches(a, topic), sitelink.Matches(b, topic)
				both = both || inA && inB
				all = all && (inA || !inB)
			}
			if got := sitelink.Overlaps(a, b); got != both {
				t.Errorf("overlaps(%q, %q) is %v, want %v", a, b, got, both)
			}
			if got := sitelink.Covers(a, b); got != all {
				t.Errorf("covers(%q, %q) is %v, want %v", a, b, got, all)
			}
			if both {
				overlapping++
			}
			if all {
				covering++
			}
		}
	}
	if overlapping < 1000 || covering < 500 { // the control: both answers occur
		t.Errorf("%d of %d pairs overlap and %d cover: too few to prove anything", overlapping, len(filters)*len(filters), covering)
	}
}

// product lists all texts of one to most levels.
func product(levels []string, most int) (all []string) {
	last := []string{""}
	for range most {
		var next []string
		for _, head := range last {
			for _, level := range levels {
				next = append(next, strings.TrimPrefix(head+"/"+level, "/"))
			}
		}
		all = append(all, next...)
		last = next
	}
	return all
}

func TestFill(t *testing.T) {
	for _, c := range []struct{ reply, filter, topic, want string }{
		{"verdict", "a/+", "a/1", "verdict"},
		{"out/+", "a/+", "a/1", "out/1"},
		{"+/out/+", "+/in/+", "x/in/y", "x/out/y"},
		{"out/#", "a/#", "a/b/c", "out/b/c"},
		{"out/#", "a/#", "a", "out"},
		{"out/+/#", "+/a/#", "1/a/2/3", "out/1/2/3"},
		{"out/+", "a/+", "a/", "out/"},
	} {
		if got := sitelink.Fill(c.reply, c.filter, c.topic); got != c.want {
			t.Errorf("fill(%q, %q, %q) is %q, want %q", c.reply, c.filter, c.topic, got, c.want)
		}
	}
}

func TestWildcards(t *testing.T) {
	if got := sitelink.Wildcards("+/a/+/#"); got != "++#" {
		t.Errorf("wildcards are %q, want ++#", got)
	}
	if !slices.Equal(sitelink.Caught("+/a/#", "x/a/y/z"), []string{"x", "y/z"}) {
		t.Errorf("caught %q, want x and y/z", sitelink.Caught("+/a/#", "x/a/y/z"))
	}
}
