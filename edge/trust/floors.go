package trust

import "maps"

// Floor is the highest version accepted for a role, and whose word that was.
type Floor struct {
	Version uint64 `json:"version"`
	KeySet  string `json:"keySet"` // Root.KeySet of the role at the time
}

// Floors are the floors of all roles: the memory that makes going back impossible.
// They are a value; Raise gives a new one.
type Floors map[Role]Floor

// Of is the lowest version a role's documents may have, 0 when any may. A floor
// counts only as long as the role's keys are those it was raised under: whoever
// stole a key can sign version 9,007,199,254,740,991, and must not by that shut out
// everything his successors sign. The root's own floor always counts: roots advance
// by one, so nobody can run ahead, and a stale root must not vouch for itself. Check
// it before any other.
func (f Floors) Of(root *Root, role Role) uint64 {
	floor := f[role]
	if role != RoleRoot && floor.KeySet != root.KeySet(role) {
		return 0
	}
	return floor.Version
}

// Check refuses a version below the floor. The same version again is no refusal, for
// every start loads it again.
func (f Floors) Check(root *Root, role Role, version uint64) error {
	if floor := f.Of(root, role); version < floor {
		return refuse(ReasonRollback, "%s version %d, version %d was accepted before", role, version, floor)
	}
	return nil
}

// Raise gives the floors after a document was accepted; a lower version changes
// nothing.
func (f Floors) Raise(root *Root, role Role, version uint64) Floors {
	if version <= f.Of(root, role) {
		return f
	}
	raised := maps.Clone(f)
	if raised == nil {
		raised = Floors{}
	}
	raised[role] = Floor{Version: version, KeySet: root.KeySet(role)}
	return raised
}
