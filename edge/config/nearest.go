package config

import "strings"

// nearest finds the key a person most likely meant by an unknown one: the least
// edits away, or the only one that ends in the same name.
func nearest(key string, known []string) string {
	const longestKey = 64 // twice the longest key there is; more is no typing error
	if len(key) > longestKey {
		return ""
	}
	best, bestDistance := "", len(lastPart(key))/3+2
	for _, candidate := range known {
		if d := distance(strings.ToLower(key), strings.ToLower(candidate)); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	if best != "" {
		return best
	}
	return sameEnd(key, known)
}

func sameEnd(key string, known []string) string {
	found := ""
	for _, candidate := range known {
		if lastPart(candidate) == lastPart(key) {
			if found != "" {
				return ""
			}
			found = candidate
		}
	}
	return found
}

func lastPart(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// distance counts the letters to insert, drop, replace or swap with their
// neighbour to get from a to b (optimal string alignment).
func distance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row := rows[0], rows[1], rows[2]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		rows[0], rows[1], rows[2] = above, row, before
	}
	return rows[1][len(b)]
}
