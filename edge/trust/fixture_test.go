package trust_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"testing"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// private makes a key from one byte. No document of the world is signed with it.
func private(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(append(make([]byte, ed25519.SeedSize-1), seed))
}

func public(t testing.TB, seed byte) trust.Key {
	t.Helper()
	key, err := trust.KeyOf(private(seed))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// The keys of the fleet in these tests, by the role they hold. Of the policy's three
// two must sign; the freshness key also signs commands.
const (
	rootA, rootB, rootC       = 1, 2, 3
	policyA, policyB, policyC = 11, 12, 13
	freshKey                  = 21
	releaseKey                = 31
	stranger                  = 99
)

func rootOf(t testing.TB, version uint64, roots, policies []byte) *trust.Root {
	t.Helper()
	grant := func(threshold int, seeds ...byte) trust.Grant {
		g := trust.Grant{Threshold: threshold}
		for _, seed := range seeds {
			g.KeyIDs = append(g.KeyIDs, public(t, seed).ID)
		}
		return g
	}
	var keys []trust.Key
	for _, seed := range append(append([]byte{freshKey, releaseKey}, roots...), policies...) {
		keys = append(keys, public(t, seed))
	}
	root, err := trust.NewRoot(version, keys, map[trust.Role]trust.Grant{
		trust.RoleRoot:      grant(2, roots...),
		trust.RolePolicy:    grant(min(2, len(policies)), policies...),
		trust.RoleCommand:   grant(1, freshKey),
		trust.RoleFreshness: grant(1, freshKey),
		trust.RoleRelease:   grant(1, releaseKey),
	})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func firstRoot(t testing.TB) *trust.Root {
	return rootOf(t, 1, []byte{rootA, rootB, rootC}, []byte{policyA, policyB, policyC})
}

func sign(t testing.TB, payloadType string, payload []byte, seeds ...byte) []byte {
	t.Helper()
	var keys []ed25519.PrivateKey
	for _, seed := range seeds {
		keys = append(keys, private(seed))
	}
	envelope, err := trust.Sign(payloadType, payload, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

func signRoot(t testing.TB, root *trust.Root, seeds ...byte) []byte {
	t.Helper()
	payload, err := root.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return sign(t, trust.TypeRoot, payload, seeds...)
}

// policy is the payload of a policy for one node.
func policy(t testing.TB, version uint64, audience edge.Audience) []byte {
	t.Helper()
	payload, err := edge.Policy{
		Metadata: edge.Metadata{Name: "line-3", Version: version, Audience: audience},
		Lease:    edge.LeaseTerms{Hours: 720, Boots: 200},
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func here() edge.Identity        { return edge.Identity{Node: "gw-7"} }
func forThisNode() edge.Audience { return edge.Audience{Node: "gw-7"} }

// loose is an envelope that forgers may take apart.
type loose struct {
	PayloadType string     `json:"payloadType"`
	Payload     string     `json:"payload"`
	Signatures  []looseSig `json:"signatures"`
}

type looseSig struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

// forge takes an envelope apart, has it changed, and puts it together again.
func forge(t testing.TB, envelope []byte, change func(*loose)) []byte {
	t.Helper()
	var l loose
	if err := json.Unmarshal(envelope, &l); err != nil {
		t.Fatal(err)
	}
	change(&l)
	forged, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	return forged
}

// wrap puts any payload under a real envelope's signatures.
func wrap(payload string) func(*loose) {
	return func(l *loose) { l.Payload = base64.StdEncoding.EncodeToString([]byte(payload)) }
}

// expect is the one way these tests look at refusals.
func expect(t testing.TB, err error, want trust.Reason) {
	t.Helper()
	if got := trust.ReasonOf(err); err == nil || got != want {
		t.Errorf("reason = %q, want %q (error: %v)", got, want, err)
	}
}
