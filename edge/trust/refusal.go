package trust

import (
	"errors"
	"fmt"

	"holdfast/edge"
)

// Reason is why a document is not believed, in a form programs can branch on and
// status and replies show.
type Reason string

// What is wrong with the bytes, found before any cryptography. The shape of a JSON
// text is refused with the reasons of edge.JSONReason, which read the same.
const (
	ReasonTooLarge          = Reason(edge.JSONTooLarge)
	ReasonTooDeep           = Reason(edge.JSONTooDeep)
	ReasonDuplicateKey      = Reason(edge.JSONDuplicate)
	ReasonBadNumber         = Reason(edge.JSONNumber)
	ReasonBadEncoding       = Reason(edge.JSONEncoding)
	ReasonTrailingData      = Reason(edge.JSONTrailing)
	ReasonBadSyntax         = Reason(edge.JSONSyntax)
	ReasonBadEnvelope       = Reason("bad_envelope")        // JSON, but not an envelope
	ReasonBadBase64         = Reason("bad_base64")          // not base64, or a second spelling of the same bytes
	ReasonNoSignatures      = Reason("no_signatures")       // nobody signed
	ReasonTooManySignatures = Reason("too_many_signatures") // more than MaxSignatures
)

// Who signed what.
const (
	ReasonWrongType      = Reason("wrong_type")       // signed as another kind of document
	ReasonNoRoot         = Reason("no_root")          // there is nothing to believe anybody by
	ReasonRoleUnassigned = Reason("role_unassigned")  // the root gives the role to nobody
	ReasonUnknownKey     = Reason("unknown_key")      // no signature names a key of the root
	ReasonWrongRole      = Reason("wrong_role")       // signed by keys of other roles
	ReasonBadSignature   = Reason("bad_signature")    // a signature does not fit
	ReasonThreshold      = Reason("threshold_missed") // too few keys signed
	ReasonBadKey         = Reason("bad_key")          // a public key nobody may use
)

// What a well-signed document says.
const (
	ReasonBadDocument = Reason("bad_document")   // its payload does not say what it must
	ReasonRollback    = Reason("rollback")       // older than what was accepted before
	ReasonVersionGap  = Reason("version_gap")    // a root that skips versions
	ReasonAudience    = Reason("wrong_audience") // meant for other nodes
	ReasonNonce       = Reason("wrong_nonce")    // answers another question
	ReasonNode        = Reason("wrong_node")     // answers another node
	ReasonUnknownVerb = Reason("unknown_verb")   // a command this version cannot carry out
	ReasonIssuer      = Reason("wrong_issuer")   // a command whose issuer is not among its signers

	// ReasonTooFewSignatures: enough for the role, too few for what the command asks.
	ReasonTooFewSignatures = Reason("too_few_signatures")
)

// Refusal is a document that is not believed.
type Refusal struct {
	Reason Reason
	Detail string // for people
}

// Error says the reason and the detail.
func (r *Refusal) Error() string {
	if r.Detail == "" {
		return string(r.Reason)
	}
	return string(r.Reason) + ": " + r.Detail
}

// Unwrap makes every refusal edge.ErrInvalid: the same bytes will not do better.
func (r *Refusal) Unwrap() error { return edge.ErrInvalid }

// ReasonOf finds the reason in an error chain, or nothing.
func ReasonOf(err error) Reason {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return ""
}

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// refuseText turns what edge finds in a text into a refusal: broken JSON by its own
// reason, anything else by the one given.
func refuseText(err error, what string, otherwise Reason) *Refusal {
	var text *edge.JSONError
	if errors.As(err, &text) {
		return refuse(Reason(text.Reason), "%s: %v", what, text)
	}
	return refuse(otherwise, "%s: %v", what, err)
}
