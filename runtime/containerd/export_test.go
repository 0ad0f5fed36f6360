package containerd

import (
	"bytes"
	"context"
	"time"

	"holdfast/edge"
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
	return guise{uid: [4]uint32{uid, uid, uid, uid}, noNewPrivs: true, seccomp: seccompFiltered, ownPIDs: true}
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

// Heard is what the daemon says of one instance, or of a stranger.
type Heard struct {
	Kind     edge.InstanceEventKind
	Exit     edge.Exit
	Stranger bool
}

// Tell returns what a driver tells of what it heard, of one instance it has seen.
func Tell(heard []Heard) []edge.InstanceEvent {
	seen, at := make(roster), time.Unix(1, 0)
	seen.enroll("ours", map[string]string{labelWorkload: "test/prog"})
	seen.enroll("theirs", map[string]string{"other": "label"})
	var told []edge.InstanceEvent
	for _, event := range heard {
		id := "ours"
		if event.Stranger {
			id = "theirs"
		}
		switch event.Kind {
		case edge.InstanceStarted:
			told = append(told, seen.started(id, at)...)
		case edge.InstanceOutOfMemory:
			told = append(told, seen.starved(id, at)...)
		case edge.InstanceExited:
			told = append(told, seen.exited(id, at, event.Exit)...)
		case edge.InstanceRemoved:
			told = append(told, seen.removed(id, at)...)
		default:
			told = append(told, seen.simple(id, at, event.Kind)...)
		}
	}
	return told
}

// MaxBacklog is how many events wait for a slow listener.
const MaxBacklog = maxBacklog

// Backlog holds events for a slow listener.
type Backlog struct{ *backlog }

// NewBacklog is an empty one.
func NewBacklog() Backlog { return Backlog{newBacklog()} }

// Put adds an event.
func (b Backlog) Put(event edge.InstanceEvent) { b.put(event) }

// Drain tells events until ctx ends.
func (b Backlog) Drain(ctx context.Context, emit func(edge.InstanceEvent)) { b.drain(ctx, emit) }
