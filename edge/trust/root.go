package trust

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"holdfast/edge"
)

// RootKind is the kind a root document names.
const RootKind = "Root"

// maxKeys bounds a root document; checking a key costs more than reading it.
const maxKeys = 64

// maxVersion is the largest number every reader of JSON keeps exact.
const maxVersion = 1<<53 - 1

// Root says which keys hold which role. Whoever holds one never changes it.
type Root struct {
	Version uint64
	Keys    map[string]Key // by id
	Roles   map[Role]Grant
}

// Grant is who may sign for a role: any Threshold of the keys together. A key may
// hold several roles.
type Grant struct {
	KeyIDs      []string `json:"keyids"`
	Threshold   int      `json:"threshold"`
	Description string   `json:"description,omitempty"` // for people: who holds the keys
}

// rootDocument is a root as it is signed. Keys and roles are written as TUF does.
type rootDocument struct {
	APIVersion string                 `json:"apiVersion"`
	Kind       string                 `json:"kind"`
	Version    uint64                 `json:"version"`
	Keys       map[string]keyDocument `json:"keys"`
	Roles      map[Role]Grant         `json:"roles"`
}

// NewRoot makes a root document of keys and grants.
func NewRoot(version uint64, keys []Key, roles map[Role]Grant) (*Root, error) {
	r := &Root{Version: version, Keys: map[string]Key{}, Roles: maps.Clone(roles)}
	for _, key := range keys {
		r.Keys[key.ID] = key
	}
	payload, err := r.Encode()
	if err != nil {
		return nil, err
	}
	return DecodeRoot(payload)
}

// Encode writes the root in its canonical form: the payload to sign.
func (r *Root) Encode() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("cannot encode root: %w", err)
	}
	document := rootDocument{edge.APIVersion, RootKind, r.Version, map[string]keyDocument{}, r.Roles}
	for id, key := range r.Keys {
		document.Keys[id] = describe(key.Public)
	}
	return edge.CanonicalJSON(document)
}

// DecodeRoot reads the payload of a root document. Roles it does not know are left
// out, as are keys no known role needs to have. Every error is a *Refusal.
func DecodeRoot(payload []byte) (*Root, error) {
	var document rootDocument
	bounds := edge.JSONBounds{Size: MaxPayload, Depth: edge.MaxPolicyDepth}
	if _, err := edge.DecodeJSON(payload, bounds, &document); err != nil {
		return nil, refuseText(err, "root", ReasonBadDocument)
	}
	if document.APIVersion != edge.APIVersion || document.Kind != RootKind {
		return nil, refuse(ReasonBadDocument, "root: %q of %q is not %s of %s", document.Kind, document.APIVersion, RootKind, edge.APIVersion)
	}
	if len(document.Keys) > maxKeys {
		return nil, refuse(ReasonBadDocument, "root: %d keys, %d are allowed", len(document.Keys), maxKeys)
	}
	r := &Root{Version: document.Version, Keys: map[string]Key{}, Roles: map[Role]Grant{}}
	for _, role := range slices.Sorted(maps.Keys(document.Roles)) {
		grant := document.Roles[role]
		if role.PayloadType() == "" {
			continue // of a newer version
		}
		r.Roles[role] = grant
		for _, id := range grant.KeyIDs {
			if err := r.add(id, document.Keys); err != nil {
				return nil, err
			}
		}
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

// add takes over a key that some role needs.
func (r *Root) add(id string, keys map[string]keyDocument) error {
	document, found := keys[id]
	if !found {
		return refuse(ReasonBadDocument, "root: there is no key %q", id)
	}
	key, err := document.key(id)
	if err != nil {
		return err
	}
	r.Keys[id] = key
	return nil
}

// check finds what no root may say.
func (r *Root) check() error {
	if r.Version < 1 || r.Version > maxVersion {
		return refuse(ReasonBadDocument, "root: version %d", r.Version)
	}
	if _, assigned := r.Roles[RoleRoot]; !assigned {
		return refuse(ReasonBadDocument, "root: nobody holds the role root")
	}
	for _, role := range slices.Sorted(maps.Keys(r.Roles)) {
		if err := r.checkGrant(role); err != nil {
			return err
		}
	}
	return nil
}

func (r *Root) checkGrant(role Role) error {
	grant := r.Roles[role]
	seen := map[string]bool{}
	for _, id := range grant.KeyIDs {
		key, found := r.Keys[id]
		switch {
		case !found || len(key.Public) != ed25519.PublicKeySize || key.ID != id:
			return refuse(ReasonBadDocument, "root: there is no key %q", id)
		case seen[id]:
			return refuse(ReasonBadDocument, "root: role %q names key %q twice", role, id)
		}
		seen[id] = true
	}
	if grant.Threshold < 1 || grant.Threshold > len(seen) {
		return refuse(ReasonBadDocument, "root: role %q wants %d of %d keys", role, grant.Threshold, len(seen))
	}
	return nil
}

// holds tells whether a key holds a role.
func (r *Root) holds(role Role, id string) bool {
	return slices.Contains(r.Roles[role].KeyIDs, id)
}

// KeySet identifies who holds a role: the SHA-256, in hex, of the ids of its keys in
// order. It changes when a key comes or goes, not with the threshold.
func (r *Root) KeySet(role Role) string {
	sum := sha256.New()
	for _, id := range slices.Sorted(slices.Values(r.Roles[role].KeyIDs)) {
		sum.Write([]byte(id + "\n")) // a hash does not fail
	}
	return hex.EncodeToString(sum.Sum(nil))
}
