package edge_test

import (
	"cmp"
	"slices"
	"testing"

	"holdfast/edge"
)

// TestSortStable: what compares as equal keeps its order.
func TestSortStable(t *testing.T) {
	type pair struct{ key, place int }
	list := []pair{{3, 0}, {1, 1}, {2, 2}, {1, 3}, {3, 4}, {1, 5}}
	edge.SortStable(list, func(a, b pair) int { return cmp.Compare(a.key, b.key) })
	if want := []pair{{1, 1}, {1, 3}, {1, 5}, {2, 2}, {3, 0}, {3, 4}}; !slices.Equal(list, want) {
		t.Errorf("got %v, want %v", list, want)
	}
}
