package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// described is what `git describe --tags --always --dirty` says: a tag, how many commits
// since, and the commit. Where there is no tag there is the commit alone.
var described = regexp.MustCompile(`^(?:v?(\d+(?:\.\d+)+)(?:-(\d+)-g([0-9a-f]+))?|([0-9a-f]{6,}))(-dirty)?$`)

// version is one version as each kind of package has to write it: all of them put a later
// one after an earlier.
type version struct {
	plain string // deb and rpm
	apk   string // which knows no plus sign and no letters but its own
}

// parseVersion reads what git says, or a version given by hand. Where no commit has a tag
// versions follow the time of the commit.
func parseVersion(text string, at time.Time) (version, error) {
	m := described.FindStringSubmatch(text)
	if m == nil {
		return version{}, fmt.Errorf("cannot read version %q: it is neither numbers with dots nor what git describe says", text)
	}
	number, since, after, commit, dirty := m[1], m[2], m[3], m[4], strings.Replace(m[5], "-", ".", 1)
	stamp := at.UTC().Format("20060102150405")
	switch {
	case commit != "":
		return version{"0.0.0+" + stamp + ".g" + commit + dirty, "0.0.0_git" + stamp}, nil
	case since != "":
		return version{number + "+" + since + ".g" + after + dirty, number + "_git" + since}, nil
	case dirty != "":
		return version{number + "+0" + dirty, number + "_git0"}, nil
	}
	return version{number, number}, nil
}
