package trust

import (
	"crypto/ed25519"
	"slices"
)

// Verified is a document that was believed.
type Verified struct {
	Payload []byte
	Signers []string // ids of the keys whose signatures fit, in order
	Role    Role
}

// Verify opens an envelope and believes its payload if enough distinct keys of the
// role signed it as a document of that role. Every error is a *Refusal.
//
// Signatures by keys the role does not have are passed over, but count against
// MaxSignatures; one that names no key counts as such. Several by one key count once.
func Verify(root *Root, role Role, envelope []byte) (*Verified, error) {
	if root == nil {
		return nil, refuse(ReasonNoRoot, "there is no root document")
	}
	opened, err := Open(envelope)
	if err != nil {
		return nil, err
	}
	return root.verify(role, opened)
}

func (r *Root) verify(role Role, opened *Envelope) (*Verified, error) {
	return r.verifyAs(role, role.PayloadType(), opened)
}

// verifyAs is for the roles that sign more than one kind of document.
func (r *Root) verifyAs(role Role, want string, opened *Envelope) (*Verified, error) {
	grant, assigned := r.Roles[role]
	switch {
	case want == "" || opened.PayloadType != want:
		return nil, refuse(ReasonWrongType, "signed as %q, not as %q", opened.PayloadType, want)
	case !assigned || grant.Threshold < 1:
		return nil, refuse(ReasonRoleUnassigned, "root version %d gives the role %q to nobody", r.Version, role)
	}
	count := r.count(role, opened)
	if len(count.signers) < grant.Threshold {
		return nil, count.refusal(role, grant.Threshold)
	}
	slices.Sort(count.signers)
	return &Verified{Payload: opened.Payload, Signers: count.signers, Role: role}, nil
}

// tally is what became of the signatures of one envelope.
type tally struct {
	signers   []string
	bad       int // by keys of the role, and did not fit
	otherRole int // by keys that hold other roles
}

func (r *Root) count(role Role, opened *Envelope) tally {
	var t tally
	message := PAE(opened.PayloadType, opened.Payload)
	for i, signature := range opened.Signatures {
		key, known := r.Keys[signature.KeyID]
		switch {
		case !known:
		case !r.holds(role, key.ID):
			t.otherRole++
		case slices.Contains(t.signers, key.ID):
		case len(key.Public) == ed25519.PublicKeySize && ed25519.Verify(key.Public, message, opened.sigs[i]):
			t.signers = append(t.signers, key.ID)
		default:
			t.bad++
		}
	}
	return t
}

// refusal names the most telling reason why the count fell short.
func (t tally) refusal(role Role, threshold int) error {
	switch {
	case t.bad > 0:
		return refuse(ReasonBadSignature, "%d signatures by keys of the role %q do not fit", t.bad, role)
	case len(t.signers) > 0:
		return refuse(ReasonThreshold, "%d of the %d keys the role %q needs signed", len(t.signers), threshold, role)
	case t.otherRole > 0:
		return refuse(ReasonWrongRole, "signed by keys that do not hold the role %q", role)
	default:
		return refuse(ReasonUnknownKey, "signed by no key of the root document")
	}
}
