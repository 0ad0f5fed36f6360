package policycache

import "holdfast/edge/boltfile"

// databaseName is the file of everything that is kept.
const databaseName = "state.db"

// maxDatabase bounds all of state.db.
const maxDatabase = 8 << 20

// The tree of state.db, schema 1.
//
//	meta
//	  schema      "1"; this and the seal belong to boltfile
//	  seal
//	  epoch       hex; drawn anew whenever history was lost
//	  needFull    "true" until the fleet was told everything since the epoch began
//	root
//	  %016d       envelopes of the roots that followed the flashed one, in order
//	slot.A        one of two policies, as in the file policy.A; a bucket of its own, so
//	  envelope    that the other is not rewritten with it
//	  root        the version of the root it was accepted under
//	slot.B        the same
//	force
//	  policy      JSON: which of them is in force, since when
//	trust
//	  floors, clock, lease, boot, equal
//	              JSON of the values of that name in state
//	refused
//	  <digest>    JSON: a policy that failed to apply, and why
const schemaVersion = 1

// Layout says what state.db holds, for whoever checks it.
func Layout() boltfile.Layout {
	return boltfile.Layout{
		Schema:   schemaVersion,
		Buckets:  []string{"root", "slot.A", "slot.B", "force", "trust", "refused"},
		MaxBytes: maxDatabase,
		Check: func(r boltfile.Records) error {
			_, err := decode(r)
			return err
		},
	}
}
