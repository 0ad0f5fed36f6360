package cli

import (
	"time"

	"holdfast/edge"
)

// siteFileWords says which file the node was set up by.
func siteFileWords(r edge.SiteFileReport) string {
	words := "set up by nobody yet"
	if r.File != "" {
		words = "set up by " + printable(r.File) + " on " + r.Applied.UTC().Format(time.DateTime) + " UTC"
	}
	if r.Refused != "" {
		words += "; a wrong " + printable(r.Refused) + " waits to be corrected"
	}
	return words
}
