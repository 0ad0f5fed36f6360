package e2e_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/cli"
	"holdfast/edge/trust"
)

// wantRefused brings the node bytes that no verb would send, and wants them refused
// with the words, an event of it, and nothing to have changed.
func (n *node) wantRefused(document []byte, words string) {
	n.t.Helper()
	_, err := n.Client().ApplyPolicy(context.Background(), document)
	if !errors.Is(err, edge.ErrInvalid) || !strings.Contains(err.Error(), words) {
		n.t.Errorf("the node says %v, want %v with %q", err, edge.ErrInvalid, words)
	}
}

// someoneElse is an image nobody has.
const someoneElse = "e2e.example/none:1@sha256:1111111111111111111111111111111111111111111111111111111111111111"

// TestPolicy_Wrong brings a node what a person may bring it by mistake, and what
// somebody else may on purpose.
func TestPolicy_Wrong(t *testing.T) {
	n := governed(t, digitsService(1))
	d := n.desk
	before := n.awaitReady("digits", 1)
	other := newDesk(t, t.TempDir())
	next := draft{version: 2, services: []string{digitsService(1)}}
	built := d.build(next)
	good := d.read(d.sign(next))
	cases := map[string]struct {
		path  func() string
		code  int
		words []string
	}{
		"ForAnotherNode": {func() string { return d.sign(draft{version: 3, audience: "node: gw-2"}) },
			cli.ExitUsage, []string{"wrong_audience", "gw-2"}},
		"ForAnotherGroup": {func() string { return d.sign(draft{version: 4, audience: "group: second"}) },
			cli.ExitUsage, []string{"wrong_audience", "second"}},
		"ImageNobodyHas": {func() string {
			return d.sign(draft{version: 5, services: []string{strings.Replace(digitsService(1), digitsImage, someoneElse, 1)}})
		}, cli.ExitFailed, []string{"the node has no image " + someoneElse, "line/digits", "hint: import it with"}},
		"SameVersion": {func() string { return d.sign(draft{version: 1}) }, cli.ExitUsage, []string{"same_version"}},
		"Unsigned":    {func() string { return built }, cli.ExitUsage, []string{"it is not signed", "hint: sign it"}},
		"WrongRole":   {func() string { return d.signAs(d.build(draft{version: 6}), "command-1") }, cli.ExitUsage, []string{"wrong_role"}},
		"WrongKey":    {func() string { return other.signAs(other.build(draft{version: 7}), "policy-1") }, cli.ExitUsage, []string{"unknown_key"}},
		"WrongRoot":   {func() string { return other.root() }, cli.ExitUsage, []string{"root"}},
		"Truncated":   {func() string { return d.write("cut.json", string(good[:len(good)/2])) }, cli.ExitUsage, []string{"not JSON"}},
		"Empty":       {func() string { return d.write("empty.json", "") }, cli.ExitUsage, []string{"not JSON"}},
		"Absent":      {func() string { return d.path("absent.json") }, cli.ExitFailed, []string{"no such file"}},
		"TooLarge":    {func() string { return d.write("large.json", string(d.forge(edge.MaxPolicy+1))) }, cli.ExitUsage, []string{"too_large"}},
		"FarTooLarge": {func() string { return d.write("larger.json", string(d.forge(1<<20))) }, cli.ExitUsage, []string{"bytes"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := n.in(t)
			said := n.apply(c.path())
			said.want(t, c.code, c.words...)
			t.Log(strings.TrimSpace(said.stderr))
			n.wantPolicy(1, "current")
			n.wantSame(before)
		})
	}
	for name, c := range map[string]struct {
		document []byte
		words    string
	}{
		"TooLarge":     {d.forge(edge.MaxPolicy + 1), "too_large"},
		"FarTooLarge":  {d.forge(1 << 20), "at most"},
		"Truncated":    {good[:len(good)/2], "bad_syntax"},
		"Empty":        {nil, "bad_syntax"},
		"Unsigned":     {d.read(built), "envelope"},
		"NoSignatures": {altered(t, good, func(e *envelope) { e.Signatures = nil }), "no_signatures"},
		"OtherContent": {altered(t, good, func(e *envelope) {
			e.Payload = bytes.Replace(e.Payload, []byte(`"version":2`), []byte(`"version":3`), 1)
		}), "bad_signature"},
		"BitFlipped": {altered(t, good, func(e *envelope) { e.Signatures[0].Sig[7] ^= 1 }), "bad_signature"},
	} {
		t.Run("Sent"+name, func(t *testing.T) {
			n := n.in(t)
			n.wantRefused(c.document, c.words)
			n.wantPolicy(1, "current")
			n.wantSame(before)
		})
	}
	t.Run("EachIsAnEvent", func(t *testing.T) {
		n := n.in(t)
		for _, reason := range []string{"wrong_audience", "no image", "same_version", "wrong_role", "unknown_key", "too_large", "no_signatures"} {
			n.awaitEvent(0, edge.EventPolicyRefused, reason)
		}
	})
	t.Run("GoodStillTaken", func(t *testing.T) {
		n := n.in(t)
		n.apply(d.sign(next)).want(t, cli.ExitOK, "version 2 is in force")
		n.wantSame(before)
	})
}

// forge signs, with the key of policies, a document of so many bytes that no verb
// would.
func (d *desk) forge(size int) []byte {
	d.t.Helper()
	private, err := trust.DecodePrivateKey(d.read(d.key("policy-1")))
	if err != nil {
		d.t.Fatal(err)
	}
	key, err := trust.KeyOf(private)
	if err != nil {
		d.t.Fatal(err)
	}
	payload := fmt.Appendf(nil, `{"apiVersion":"holdfast/v1","kind":"Policy","metadata":{"name":"first","version":9,"audience":{"group":"first"}},"x":"%s"}`,
		strings.Repeat("x", size))[:size]
	payload = append(payload[:size-2], `"}`...)
	signature, err := private.Sign(nil, trust.PAE(trust.TypePolicy, payload), crypto.Hash(0))
	if err != nil {
		d.t.Fatal(err)
	}
	return fmt.Appendf(nil, `{"payloadType":%q,"payload":"%s","signatures":[{"keyid":%q,"sig":"%s"}]}`, trust.TypePolicy,
		base64.StdEncoding.EncodeToString(payload), key.ID, base64.StdEncoding.EncodeToString(signature))
}

// envelope is a signed document as it is sent.
type envelope struct {
	PayloadType string `json:"payloadType"`
	Payload     []byte `json:"payload"`
	Signatures  []struct {
		KeyID string `json:"keyid"`
		Sig   []byte `json:"sig"`
	} `json:"signatures"`
}

// altered is a signed document with something changed by hand.
func altered(t testing.TB, signed []byte, change func(*envelope)) []byte {
	t.Helper()
	var e envelope
	if err := json.Unmarshal(signed, &e); err != nil {
		t.Fatal(err)
	}
	before, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	change(&e)
	after, err := json.Marshal(e)
	if err != nil || bytes.Equal(before, after) {
		t.Fatalf("nothing was altered (%v)", err)
	}
	return after
}

// TestPolicy_TooLargeToBuild: the desk says so first.
func TestPolicy_TooLargeToBuild(t *testing.T) {
	d := newDesk(t, t.TempDir())
	triggers := "triggers:\n" + strings.Repeat("  - {dir: /var/lib/holdfast/inbox, model: digits}\n", 1500)
	source := d.write("large.yaml", draft{version: 1, sections: []string{triggers}}.yaml())
	said := run(t, "policy", "build", source, "--out", d.path("large.json"))
	said.want(t, cli.ExitUsage, "49152")
	t.Log(strings.TrimSpace(said.stderr))
}

// TestPolicy_Rotated replaces the key of policies on a running node.
func TestPolicy_Rotated(t *testing.T) {
	n := governed(t, digitsService(1))
	d := n.desk
	before := n.awaitReady("digits", 1)
	run(t, "policy", "keygen", d.key("policy-2")).want(t, cli.ExitOK)
	rotated := strings.NewReplacer("version: 1", "version: 2", "policy-1.key", "policy-2.key").Replace(string(d.read(d.path("root.yaml"))))
	unsigned := d.path("root-2.json")
	run(t, "policy", "build", d.write("root-2.yaml", rotated), "--out", unsigned).want(t, cli.ExitOK)
	run(t, "policy", "sign", unsigned, "--key", d.key("root-1"), "--key", d.key("root-2"), "--root", d.root(), "--out", d.path("root-2.signed.json")).
		want(t, cli.ExitOK)
	old := d.sign(draft{version: 5, services: []string{digitsService(1)}})
	n.apply(d.path("root-2.signed.json")).want(t, cli.ExitOK, "root version 2 is followed")
	n.awaitEvent(0, edge.EventRootFollowed, "to:2")
	n.wantPolicy(1, "current") // a policy in force stays so
	n.apply(old).want(t, cli.ExitUsage, "unknown_key")
	d.signer, d.trusts = "policy-2", d.path("root-2.signed.json")
	n.apply(d.sign(draft{version: 2, services: []string{digitsService(1)}})).want(t, cli.ExitOK, "version 2 is in force")
	if err := n.KillAgent(); err != nil {
		t.Fatal(err)
	}
	n.startAgent()
	n.wantPolicy(2, "current")
	if root := n.policy().Root; root != 2 {
		t.Errorf("the policy is believed under root version %d, want 2", root)
	}
	n.wantSame(before)
}
