package sitelink

import "strings"

// matches tells whether a topic falls under a filter, as MQTT 3.1.1 has it: topics
// that begin with $ are not meant by a wildcard at the beginning.
func matches(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && (filter == "#" || strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false
	}
	for {
		want, restWanted, moreWanted := strings.Cut(filter, "/")
		have, rest, more := strings.Cut(topic, "/")
		switch {
		case want == "#":
			return true
		case want != "+" && want != have:
			return false
		case !more && moreWanted:
			return restWanted == "#" // a/# means a as well
		case !more || !moreWanted:
			return more == moreWanted
		}
		filter, topic = restWanted, rest
	}
}

// overlaps tells whether some topic falls under both filters.
func overlaps(a, b string) bool {
	one, other := strings.Split(a, "/"), strings.Split(b, "/")
	for i := 0; ; i++ {
		switch {
		case i == len(one) && i == len(other):
			return true
		case i < len(one) && one[i] == "#", i < len(other) && other[i] == "#":
			return !beginsWithDollar(one, other)
		case i == len(one) || i == len(other):
			return false
		case one[i] != other[i] && one[i] != "+" && other[i] != "+":
			return false
		case i == 0 && beginsWithDollar(one, other):
			return false
		}
	}
}

// beginsWithDollar tells whether one of two filters is about $-topics only, which the
// other does not mean.
func beginsWithDollar(one, other []string) bool {
	wild := func(level string) bool { return level == "+" || level == "#" }
	return strings.HasPrefix(one[0], "$") && wild(other[0]) || strings.HasPrefix(other[0], "$") && wild(one[0])
}

// covers tells whether every topic under the narrow filter falls under the wide one.
func covers(wide, narrow string) bool {
	a, b := strings.Split(wide, "/"), strings.Split(narrow, "/")
	if beginsWithDollar(a, b) {
		return false
	}
	if narrow == "#" && wide == "+/#" { // no topic has no level
		return true
	}
	for i := range a {
		switch {
		case a[i] == "#":
			return true
		case i == len(b):
			return false
		case b[i] == "#", a[i] != "+" && a[i] != b[i]:
			return false
		}
	}
	return len(a) == len(b)
}

// wildcards lists the wild levels of a filter in order.
func wildcards(filter string) string {
	var wild []byte
	for level := range strings.SplitSeq(filter, "/") {
		if level == "+" || level == "#" {
			wild = append(wild, level[0])
		}
	}
	return string(wild)
}

// fill puts into the wild levels of reply what stood in those of filter when topic
// came. Their wildcards are the same, and topic falls under filter.
func fill(reply, filter, topic string) string {
	if !strings.ContainsAny(reply, "+#") {
		return reply
	}
	found := caught(filter, topic)
	levels := strings.Split(reply, "/")
	for i, level := range levels {
		if level != "+" && level != "#" {
			continue
		}
		if len(found) == 0 { // a/# matched a: there is nothing for the # of the reply
			levels = levels[:i]
			break
		}
		levels[i], found = found[0], found[1:]
	}
	return strings.Join(levels, "/")
}

// caught returns what stands in a topic where the filter is wild.
func caught(filter, topic string) (found []string) {
	have := strings.Split(topic, "/")
	for i, level := range strings.Split(filter, "/") {
		switch {
		case level == "+":
			found = append(found, have[i])
		case level == "#" && i < len(have):
			found = append(found, strings.Join(have[i:], "/"))
		}
	}
	return found
}
