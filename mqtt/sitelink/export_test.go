package sitelink

// What the tests look at beside the package's promises.

func Matches(filter, topic string) bool       { return matches(filter, topic) }
func Overlaps(a, b string) bool               { return overlaps(a, b) }
func Covers(wide, narrow string) bool         { return covers(wide, narrow) }
func Fill(reply, filter, topic string) string { return fill(reply, filter, topic) }
func Caught(filter, topic string) []string    { return caught(filter, topic) }
func Wildcards(filter string) string          { return wildcards(filter) }
