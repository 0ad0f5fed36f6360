package edge

import "sort"

// SortStable sorts a short list. It is the one sort for lists of structures, in the place of
// slices.SortStableFunc, of which the compiler makes some 20 KiB anew for each kind of element.
func SortStable[T any](list []T, compare func(a, b T) int) {
	sort.SliceStable(list, func(i, j int) bool { return compare(list[i], list[j]) < 0 })
}
