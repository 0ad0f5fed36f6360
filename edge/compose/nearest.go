package compose

import (
	"maps"
	"slices"
	"strings"
)

// nearest finds the honoured key a person most likely meant: the one the fewest
// edits away, if those are few.
func nearest(name string, r rule) string {
	return Nearest(name, slices.Sorted(maps.Keys(r.below)))
}

// Nearest finds the one of the names a person most likely meant, or none.
func Nearest(name string, names []string) string {
	const longestKey = 40 // no honoured key has half of it
	if len(name) > longestKey {
		return ""
	}
	best, bestDistance := "", len(name)/3+2
	for _, candidate := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(candidate)); d < bestDistance && candidate != each {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance counts the letters to insert, drop or replace to get from a to b
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost = 1 + min(diagonal, row[j-1], row[j])
			}
			diagonal, row[j] = row[j], cost
		}
	}
	return row[len(b)]
}
