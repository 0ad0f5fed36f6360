package policycache

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/edge/boltfile"
	"holdfast/edge/trust"
)

// state is everything that is kept. It is a value: what changes it makes a copy.
type state struct {
	epoch    string
	needFull bool
	roots    [][]byte // envelopes that lead from the flashed root to the newest
	slots    map[string]slot
	force    force
	floors   trust.Floors
	equal    string // digest of the policy whose version is the floor
	clock    trust.Clock
	lease    trust.Lease
	boot     boot
	refused  map[string]Refused // by digest
}

// slot is one of the two places of a policy.
type slot struct {
	envelope []byte
	root     uint64 // version it was accepted under
}

// The names of the slots, and of the files after "policy.".
var slotNames = [...]string{"A", "B"}

// force says which policy is in force.
type force struct {
	Slot    string    `json:"slot,omitempty"` // empty: factory, or none
	Origin  Origin    `json:"origin"`
	Version uint64    `json:"version,omitempty"`
	Digest  string    `json:"digest,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Trial   *Trial    `json:"trial,omitempty"` // nil: it has proven itself, or has nothing before it
}

// boot is the point up to which boot time has been counted.
type boot struct {
	ID string        `json:"id"`
	Up time.Duration `json:"upNs"`
}

// Refused is a policy that was in force, failed to apply, and is not taken again.
type Refused struct {
	Version uint64    `json:"version"`
	Digest  string    `json:"digest"`
	Why     string    `json:"why"`
	At      time.Time `json:"at"`
}

// maxRefused bounds the list of policies that failed; the oldest go first. The
// version floor keeps those out all the same.
const maxRefused = 16

// newEpoch names a new history.
func newEpoch() string {
	raw := make([]byte, 8)
	rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}

func (s state) clone() state {
	s.roots = slices.Clone(s.roots)
	s.slots = maps.Clone(s.slots)
	s.refused = maps.Clone(s.refused)
	return s
}

// remember adds a policy to those that failed.
func (s *state) remember(r Refused) {
	if s.refused == nil {
		s.refused = map[string]Refused{}
	}
	s.refused[r.Digest] = r
	for len(s.refused) > maxRefused {
		oldest := slices.MinFunc(slices.Collect(maps.Values(s.refused)), func(a, b Refused) int { return a.At.Compare(b.At) })
		delete(s.refused, oldest.Digest)
	}
}

// encode writes the state as records.
func (s state) encode() (boltfile.Records, error) {
	r := boltfile.Records{
		"meta/epoch":    []byte(s.epoch),
		"meta/needFull": strconv.AppendBool(nil, s.needFull),
		"trust/equal":   []byte(s.equal),
	}
	for i, envelope := range s.roots {
		r[fmt.Sprintf("root/%016d", i)] = envelope
	}
	for name, slot := range s.slots {
		r["slot."+name+"/envelope"] = slot.envelope
		r["slot."+name+"/root"] = strconv.AppendUint(nil, slot.root, 10)
	}
	values := map[string]any{
		"force/policy": s.force, "trust/floors": s.floors, "trust/clock": s.clock,
		"trust/lease": s.lease, "trust/boot": s.boot,
	}
	for digest, refused := range s.refused {
		values["refused/"+digest] = refused
	}
	for name, value := range values {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("cannot encode state %q: %w", name, err)
		}
		r[name] = text
	}
	return r, nil
}

// decode reads records of this schema.
func decode(r boltfile.Records) (state, error) {
	s := state{
		epoch:    string(r["meta/epoch"]),
		needFull: string(r["meta/needFull"]) == "true",
		equal:    string(r["trust/equal"]),
		slots:    map[string]slot{},
		refused:  map[string]Refused{},
	}
	var problems []error
	parse := func(name string, into any) {
		if err := json.Unmarshal(r[name], into); err != nil {
			problems = append(problems, fmt.Errorf("%w: %s: %v", boltfile.ErrDamaged, name, err))
		}
	}
	parse("force/policy", &s.force)
	parse("trust/floors", &s.floors)
	parse("trust/clock", &s.clock)
	parse("trust/lease", &s.lease)
	parse("trust/boot", &s.boot)
	for _, name := range slices.Sorted(maps.Keys(r)) {
		bucket, key, _ := strings.Cut(name, "/")
		switch bucket {
		case "root":
			s.roots = append(s.roots, r[name])
		case "refused":
			var refused Refused
			parse(name, &refused)
			s.refused[key] = refused
		}
	}
	for _, name := range slotNames {
		envelope, found := r["slot."+name+"/envelope"]
		if !found {
			continue
		}
		root, err := strconv.ParseUint(string(r["slot."+name+"/root"]), 10, 64)
		if err != nil {
			problems = append(problems, fmt.Errorf("%w: slot %s: %v", boltfile.ErrDamaged, name, err))
		}
		s.slots[name] = slot{envelope, root}
	}
	return s, errors.Join(problems...)
}
