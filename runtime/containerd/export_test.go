package containerd

import (
	"bytes"
	"context"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/client"
	"golang.org/x/sys/unix"

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
	PinnedName  = pinnedName
)

// Outcome waits for the end of a task that a client knows, or brings it about.
func (d *Driver) Outcome(ctx context.Context, tasks tasks.TasksClient, id string) (edge.Exit, error) {
	c, err := client.New("", client.WithServices(client.WithTaskClient(tasks)))
	if err != nil {
		return edge.Exit{}, err
	}
	return d.outcome(ctx, c, id)
}

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

// TokenAddress reads where a registry on the loopback has its tokens.
func TokenAddress(challenge string) (string, error) {
	driver := &Driver{opts: Options{PullStall: time.Second}}
	list, err := driver.reach("127.0.0.1:5000/line/prog")
	if err != nil {
		return "", err
	}
	return list[0].tokenAddress(challenge)
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

// Found is what remains of an instance, in numbers.
type Found struct{ Shims, Errands, Members, Groups int }

// Measures say what is done about it.
type Measures struct {
	Members, Groups, Done bool
	Shims                 unix.Signal
}

// Settling decides what is done next about what was found.
func Settling(f Found, waited, patience time.Duration, refused bool) Measures {
	m := settling(remains{
		shims: make([]int, f.Shims), errands: make([]int, f.Errands), members: make([]int, f.Members),
		groups: make([]string, f.Groups),
	}, progress{waited: waited, patience: patience, refused: refused})
	return Measures{Members: m.members, Groups: m.groups, Done: m.done, Shims: m.shims}
}

// Bounds of settling.
const (
	ShimWithin = shimWithin
	TermWithin = termWithin
)

// Condemned are the strays of two looks.
func Condemned(before, now []string) []string { return condemned(before, now) }

// Without are those that are not known.
func Without(ids, known []string) []string { return without(ids, known) }

// ParseHelper returns the instance a command line serves, and whether as an errand.
func ParseHelper(cmdline, namespace string) (id, address string, errand, ours bool) {
	h, address, ours := parseHelper(cmdline, namespace)
	return h.id, address, h.errand, ours
}

// Hands keep starting and sweeping apart.
type Hands struct{ hands }

// Start announces a start.
func (h *Hands) Start(id string) error { return h.start(id) }

// Started ends it.
func (h *Hands) Started(id string) { h.started(id) }

// Sweep announces a sweep.
func (h *Hands) Sweep(id string) bool { return h.sweep(id) }

// Swept ends it.
func (h *Hands) Swept(id string) { h.swept(id) }
