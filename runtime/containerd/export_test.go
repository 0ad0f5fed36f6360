package containerd

import (
	"bytes"
	"context"
	"time"
)

// What the tests, from outside the package, hold against tables and fuzz.
var (
	Judge       = judge
	DecodeExit  = decodeExit
	UsageOf     = usageOf
	Spellings   = spellings
	ParseSignal = parseSignal
	Verify      = verify
	Endpoint    = endpointPath
	MergeEnv    = mergeEnv
	FindAccount = findAccount
	Keyed       = keyed
	Outlive     = outlive
)

type (
	Verdict = verdict
	Guise   = guise
	Account = account
)

const (
	VerdictFail  = verdictFail
	VerdictRetry = verdictRetry
	VerdictLook  = verdictLook
)

// NewGuise is what a hardened process of a user looks like.
func NewGuise(uid uint32) Guise {
	return guise{uid: [4]uint32{uid, uid, uid, uid}, noNewPrivs: true, seccomp: seccompFiltered}
}

// NewAccount is a user for comparison.
func NewAccount(uid, gid uint32, groups ...uint32) Account {
	return account{uid: uid, gid: gid, groups: groups}
}

// CheckArchive looks through an archive without importing it.
func CheckArchive(archive []byte) error {
	found, err := survey(context.Background(), bytes.NewReader(archive))
	if err != nil {
		return err
	}
	_, err = found.checkImages()
	return err
}

// ParseGuise reads a status file.
func ParseGuise(text []byte) (Guise, error) {
	got, _, err := parseGuise(text)
	return got, err
}

// LogPace returns the time to the next look at logs, look by look.
func LogPace(limit int64, longest time.Duration) func(sizes map[string]int64, now time.Time) time.Duration {
	g := growth{limit: limit, longest: longest}
	return g.next
}
