package policycache

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/edge/trust"
)

// Status is the store at one moment. Nobody changes it.
type Status struct {
	Snapshot   *Snapshot      `json:"policy"`
	State      Origin         `json:"state"`
	Root       uint64         `json:"root"` // newest version followed
	Epoch      string         `json:"epoch"`
	NeedFull   bool           `json:"needFull"`
	Kept       bool           `json:"kept"` // false: memory only
	ClockFloor time.Time      `json:"clockFloor"`
	Clock      trust.Clock    `json:"-"`                 // as of the last tick
	Trusted    *trust.Root    `json:"-"`                 // the newest root document: whom the node believes
	Refused    []Refused      `json:"refused,omitempty"` // failed to apply, oldest first
	Warnings   []edge.Warning `json:"warnings,omitempty"`
}

// Status tells how the store is. Before Open it is empty.
func (s *Store) Status() Status {
	if status := s.status.Load(); status != nil {
		return *status
	}
	return Status{Snapshot: s.Snapshot(), State: OriginNone}
}

// The codes of warnings.
const (
	warnNone       = "policy-none"          // nothing can be verified, nothing is allowed
	warnFactory    = "policy-factory"       // the factory policy is not believed
	warnRolledBack = "policy-rolled-back"   // the newest failed to apply
	warnLease      = "policy-lease-ended"   // too long without proof of the fleet
	warnWithheld   = "policy-withheld"      // the fleet has a newer one than reaches us
	warnRecovered  = "state-recovered"      // the last commit was dropped
	warnRebuilt    = "state-rebuilt"        // the database was lost
	warnFailed     = "state-storage-failed" // memory only
	warnReadOnly   = "state-read-only"      // memory only, as the disk is
	warnNewer      = "state-newer"          // memory only, hands off the database
)

func (s *Store) has(code string) bool {
	_, raised := s.warnings[code]
	return raised
}

// warn raises a warning once; it is logged once.
func (s *Store) warn(code, subject, detail, remedy string) {
	since := s.state.clock.Now(s.options.Wall())
	if before, raised := s.warnings[code]; raised {
		since = before.Since
	} else {
		s.options.Log.Warn("warning raised", "code", code, "subject", subject, "detail", detail)
	}
	s.warnings[code] = edge.Warning{Code: code, Subject: subject, Detail: detail, Remedy: remedy, Since: since}
}

// settled ends a warning.
func (s *Store) settled(code string) {
	if s.has(code) {
		delete(s.warnings, code)
		s.options.Log.Info("warning cleared", "code", code)
	}
}

func (s *Store) restore(before map[string]edge.Warning) {
	for code, warning := range before {
		if _, raised := s.warnings[code]; !raised {
			s.warnings[code] = warning
		}
	}
}

func cloneWarnings(from map[string]edge.Warning) map[string]edge.Warning { return maps.Clone(from) }

// warnStorage says that, and why, nothing is kept.
func (s *Store) warnStorage(code string, why error) {
	s.lost = why
	s.warn(code, s.options.Dir, fmt.Sprintf("nothing is kept on disk: %v", why),
		cmp.Or(edge.HintOf(s.storageError(why)), "look at the disk"))
}

func (s *Store) warnRollback(failed Refused) {
	s.warn(warnRolledBack, fmt.Sprint(failed.Version), "policy failed to apply: "+failed.Why, "apply a corrected policy under a higher version")
}

// report says what the ladder went through.
func (s *Store) report(at boltfile.Found, before bool) {
	path := s.path(databaseName)
	const quarantined = "none needed; " + databaseName + boltfile.Quarantine + " holds the damaged file"
	switch at.Rung {
	case boltfile.Older:
		s.warn(warnRecovered, path, fmt.Sprintf("the last commit was damaged and dropped: %v", at.Why), quarantined)
	case boltfile.Lost:
		s.warn(warnRebuilt, path, fmt.Sprintf("the database was damaged and built anew: %v", at.Why), quarantined)
	case boltfile.Absent:
		if before && s.writable {
			s.warn(warnRebuilt, path, "the database was gone and built anew", "none needed")
		}
	case boltfile.Newer:
		s.lost = at.Why
		s.warn(warnNewer, path, fmt.Sprintf("nothing is kept on disk: %v", at.Why), "start the newer version again, or move the database away")
	case boltfile.ReadOnly:
		why := at.Why
		if why == nil {
			why = s.lost // it was opened for reading because the folder could not be claimed
		}
		s.warnStorage(warnReadOnly, why)
	case boltfile.Failed:
		s.warnStorage(warnFailed, at.Why)
		s.retry = s.retry.failed()
	}
}

// settleWithheld compares what the fleet said it has with what reached us.
func (s *Store) settleWithheld() {
	if s.heard == nil {
		return
	}
	policy, root := s.heard.Withheld(s.state.floors.Of(s.newest(), trust.RolePolicy), s.newest().Version)
	if !policy && !root {
		s.settled(warnWithheld)
		return
	}
	s.warn(warnWithheld, s.options.Identity.Node,
		fmt.Sprintf("the fleet has policy version %d and root version %d", s.heard.PolicyVersion, s.heard.RootVersion),
		"see what lies between the node and its fleet")
}

// show publishes the state to readers.
func (s *Store) show() {
	snapshot := s.snapshot()
	if snapshot.Ended && snapshot.Policy != nil {
		s.warn(warnLease, s.options.Identity.Node, "the lease has ended without a sign of the fleet", "connect the node, or apply a policy with a longer lease")
	} else {
		s.settled(warnLease)
	}
	byAge := func(a, b Refused) int { return a.At.Compare(b.At) }
	byCode := func(a, b edge.Warning) int { return cmp.Compare(a.Code, b.Code) }
	s.status.Store(&Status{
		Snapshot: snapshot, State: snapshot.State(), Root: s.newest().Version,
		Epoch: s.state.epoch, NeedFull: s.state.needFull, Kept: s.file.IsOpen(),
		ClockFloor: s.state.clock.Floor(), Clock: s.state.clock, Trusted: s.newest(),
		Refused:  slices.SortedFunc(maps.Values(s.state.refused), byAge),
		Warnings: slices.SortedFunc(maps.Values(s.warnings), byCode),
	})
	s.publish(snapshot, snapshot.differs(s.Snapshot()))
}

func (s *Store) snapshot() *Snapshot {
	snapshot := &Snapshot{Origin: OriginNone, Lease: s.state.lease, Root: s.newest().Version}
	if in := s.current; in != nil {
		meta := in.policy.Metadata
		snapshot.Policy, snapshot.Origin, snapshot.Name, snapshot.Version = in.policy, in.origin, meta.Name, meta.Version
		snapshot.Digest, snapshot.Signers, snapshot.Root = in.digest, in.signers, in.root
		snapshot.Since = s.state.force.Since
		snapshot.Ended = s.state.lease.State() == trust.LeaseDegraded
		if s.proven != nil {
			snapshot.Trial, snapshot.Proven = s.state.force.Trial, s.proven.policy
		}
	}
	return snapshot
}
