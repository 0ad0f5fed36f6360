// Package stamp reads what git says of a commit as the version of what is made from it, and
// writes it as each kind of package has to.
//
// It promises that a later commit is a later version to dpkg, rpm and apk alike.
//
// # Concurrency
//
// One function, which keeps nothing.
//
// # Failure
//
// Words that are neither numbers with dots nor what git describe says are an error: they
// would go into names of files and into packages that no other version follows.
//
// # Testing
//
// dpkg is asked which version is the later one.
package stamp

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// described is what `git describe --tags --always --dirty` says: a tag, how many commits
// since, and the commit. Where there is no tag there is the commit alone.
var described = regexp.MustCompile(`^(?:v?(\d+(?:\.\d+)+)(?:-(\d+)-g([0-9a-f]+))?|([0-9a-f]{6,}))(-dirty)?$`)

// Version is one version as each kind of package has to write it: all of them put a later
// one after an earlier.
type Version struct {
	Plain string // deb and rpm
	Apk   string // which knows no plus sign and no letters but its own
}

// Parse reads what git says, or a version given by hand. Where no commit has a tag
// versions follow the time of the commit.
func Parse(text string, at time.Time) (Version, error) {
	m := described.FindStringSubmatch(text)
	if m == nil {
		return Version{}, fmt.Errorf("cannot read version %q: it is neither numbers with dots nor what git describe says", text)
	}
	number, since, after, commit, dirty := m[1], m[2], m[3], m[4], strings.Replace(m[5], "-", ".", 1)
	stamp := at.UTC().Format("20060102150405")
	switch {
	case commit != "":
		return Version{"0.0.0+" + stamp + ".g" + commit + dirty, "0.0.0_git" + stamp}, nil
	case since != "":
		return Version{number + "+" + since + ".g" + after + dirty, number + "_git" + since}, nil
	case dirty != "":
		return Version{number + "+0" + dirty, number + "_git0"}, nil
	}
	return Version{number, number}, nil
}
