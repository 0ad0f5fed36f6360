package top

// section is a part of a view. Where there is too little room, it shows its first lines.
type section struct {
	lines []line
	least int // lines that it is to have before others have more than theirs
	rank  int // who has the room first: the lowest
}

// layout gives the sections their room, and returns the lines there is room for.
func layout(sections []section, height int, mark string) []line {
	given := shares(sections, height)
	var lines []line
	for i, s := range sections {
		shown := s.lines[:given[i]]
		lines = append(lines, shown...)
		if hidden := len(s.lines) - len(shown); hidden > 0 && len(shown) > 1 {
			last := append(line(nil), lines[len(lines)-1]...)
			last.add(Faint, "  %s %d more", mark, hidden)
			lines[len(lines)-1] = last
		}
	}
	return lines
}

// shares is how many lines each section has: in order of rank first the least, then one more
// each in turn.
func shares(sections []section, height int) []int {
	given := make([]int, len(sections))
	order := byRank(sections)
	for _, i := range order {
		given[i] = min(sections[i].least, len(sections[i].lines), height)
		height -= given[i]
	}
	for again := true; again && height > 0; {
		again = false
		for _, i := range order {
			if height > 0 && given[i] < len(sections[i].lines) {
				given[i]++
				height--
				again = true
			}
		}
	}
	return given
}

func byRank(sections []section) []int {
	order := make([]int, len(sections))
	for i := range order {
		order[i] = i
	}
	for i := range order { // a dozen
		for j := i; j > 0 && sections[order[j]].rank < sections[order[j-1]].rank; j-- {
			order[j], order[j-1] = order[j-1], order[j]
		}
	}
	return order
}
