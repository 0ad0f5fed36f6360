package trust_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// twoHands is a root whose command role has two keys, of which one is enough.
func twoHands(t testing.TB) *trust.Root {
	t.Helper()
	root := firstRoot(t)
	roles := map[trust.Role]trust.Grant{}
	for role, grant := range root.Roles {
		roles[role] = grant
	}
	roles[trust.RoleCommand] = trust.Grant{Threshold: 1, KeyIDs: []string{public(t, freshKey).ID, public(t, policyC).ID}}
	var keys []trust.Key
	for _, key := range root.Keys {
		keys = append(keys, key)
	}
	again, err := trust.NewRoot(1, keys, roles)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestAcceptCommand(t *testing.T) {
	s := newScene(t)
	t.Run("AsItWasSigned", func(t *testing.T) {
		command, verified, err := trust.AcceptCommand(s.root, here(), s.command(orders(), freshKey))
		if err != nil {
			t.Fatal(err)
		}
		want := orders()
		if command.ID != want.ID || command.Counter != want.Counter || command.Verb != want.Verb ||
			!command.Expires.Equal(want.Expires) || !bytes.Equal(command.Args, want.Args) || len(verified.Signers) != 1 {
			t.Errorf("command = %+v, want %+v", command, want)
		}
	})
	t.Run("TwoHands", func(t *testing.T) {
		c := orders()
		c.Verb = edge.VerbReboot
		if _, _, err := trust.AcceptCommand(twoHands(t), here(), s.command(c, freshKey, policyC)); err != nil {
			t.Error(err)
		}
	})
	t.Run("ByGroup", func(t *testing.T) {
		c := orders()
		c.Audience = edge.Audience{Group: "line-3"}
		node := here()
		node.Groups = []string{"line-2", "line-3"}
		if _, _, err := trust.AcceptCommand(s.root, node, s.command(c, freshKey)); err != nil {
			t.Error(err)
		}
	})
	t.Run("UnknownFieldIgnored", func(t *testing.T) {
		if err := s.rawCommand(func(d map[string]any) { d["colour"] = "red" }); err != nil {
			t.Error(err)
		}
	})
}

// TestAcceptCommand_Answerable: a refused command comes back only when the fleet may be
// told of it.
func TestAcceptCommand_Answerable(t *testing.T) {
	s := newScene(t)
	change := func(do func(*edge.Command)) []byte {
		c := orders()
		do(&c)
		return s.command(c, freshKey)
	}
	unknown := func() []byte {
		payload, err := trust.EncodeCommand(edge.Command{
			ID: "c-1", Issuer: public(t, freshKey).ID, Counter: 7, Audience: forThisNode(), Expires: time.Unix(1.8e9, 0), Verb: edge.VerbVitals,
		})
		if err != nil {
			t.Fatal(err)
		}
		return sign(t, trust.TypeCommand, bytes.Replace(payload, []byte(`"vitals"`), []byte(`"format"`), 1), freshKey)
	}
	cases := []struct {
		name     string
		envelope []byte
		want     trust.Reason
		answer   bool
	}{
		{"UnknownVerb", unknown(), trust.ReasonUnknownVerb, true},
		{"TooFew", change(func(c *edge.Command) { c.Verb = edge.VerbExec }), trust.ReasonTooFewSignatures, true},
		{"Issuer", change(func(c *edge.Command) { c.Issuer = "somebody" }), trust.ReasonIssuer, true},
		{"OtherNode", change(func(c *edge.Command) { c.Audience.Node = "gw-8" }), trust.ReasonAudience, false},
		{"Stranger", s.command(orders(), stranger), trust.ReasonUnknownKey, false},
		{"NoID", sign(t, trust.TypeCommand, []byte(`{"apiVersion":"holdfast/v1","kind":"Command","audience":{"node":"gw-7"}}`), freshKey), trust.ReasonBadDocument, false},
		{"IDAlone", sign(t, trust.TypeCommand, []byte(`{"apiVersion":"holdfast/v1","kind":"Command","audience":{"node":"gw-7"},"id":"c-1","verb":"stop"}`), freshKey), trust.ReasonBadDocument, true},
		{"Unreadable", sign(t, trust.TypeCommand, []byte(`{"apiVersion":"holdfast/v1","kind":"Command","audience":{"node":"gw-7"},"id":"c-1","counter":-1}`), freshKey), trust.ReasonBadDocument, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			command, _, err := trust.AcceptCommand(s.root, here(), c.envelope)
			expect(t, err, c.want)
			if (command != nil) != c.answer {
				t.Errorf("command = %+v, want one: %v", command, c.answer)
			}
			if command != nil && command.ID != "c-1" {
				t.Errorf("id = %q, want c-1", command.ID)
			}
		})
	}
}

func TestEncodeCommand(t *testing.T) {
	t.Run("SameBytes", func(t *testing.T) {
		c := orders()
		c.Issuer = "k"
		first, err := trust.EncodeCommand(c)
		if err != nil {
			t.Fatal(err)
		}
		c.Expires = c.Expires.In(time.FixedZone("east", 3600))
		c.Args = json.RawMessage(` { "workload" : "vision" } `[1:])
		if second, err := trust.EncodeCommand(c); err != nil || !bytes.Equal(first, second) {
			t.Errorf("encoded %s, then %s (%v)", first, second, err)
		}
	})
	t.Run("TooLarge", func(t *testing.T) {
		c := orders()
		c.Issuer, c.Args = "k", json.RawMessage(`{"x":"`+strings.Repeat("a", trust.MaxCommand)+`"}`)
		if _, err := trust.EncodeCommand(c); err == nil {
			t.Error("encoded a command that no node would take")
		}
	})
	t.Run("SaysNothing", func(t *testing.T) {
		if _, err := trust.EncodeCommand(edge.Command{}); err == nil {
			t.Error("encoded an empty command")
		}
	})
	t.Run("NoConfirmation", func(t *testing.T) {
		if _, err := trust.EncodeConfirmation(edge.Confirmation{Node: "gw-7", Epoch: "x", Seq: 1}); err == nil {
			t.Error("encoded a confirmation of no epoch")
		}
	})
}

// TestCommand_LargestFitsAFrame: with as many signatures as are allowed for a fleet
// that is careful.
func TestCommand_LargestFitsAFrame(t *testing.T) {
	const frame = 64 << 10
	c := orders()
	c.Issuer = "k"
	empty, err := trust.EncodeCommand(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Args = json.RawMessage(`{"x":"` + strings.Repeat("a", trust.MaxCommand-len(empty)) + `"}`)
	payload, err := trust.EncodeCommand(c)
	if err != nil {
		t.Fatal(err)
	}
	envelope := sign(t, trust.TypeCommand, payload, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	if len(envelope) > frame-512 {
		t.Errorf("envelope has %d bytes, %d are in a frame", len(envelope), frame)
	}
}

// FuzzAcceptCommand: whatever a signed payload says, what is accepted keeps every
// rule, and what comes back with a refusal can be answered.
func FuzzAcceptCommand(f *testing.F) {
	s := newScene(f)
	opened, err := trust.Open(s.command(orders(), freshKey))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(opened.Payload)
	f.Add([]byte(`{"apiVersion":"holdfast/v1","kind":"Command","audience":{"node":"gw-7"},"id":"c-1","verb":"format"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		envelope, err := trust.Sign(trust.TypeCommand, payload, private(freshKey))
		if err != nil {
			return
		}
		command, verified, err := trust.AcceptCommand(s.root, here(), envelope)
		switch {
		case err != nil && trust.ReasonOf(err) == "":
			t.Fatalf("no reason: %v", err)
		case err != nil && command != nil && (!edge.IsName(command.ID) || !command.Audience.Matches(here())):
			t.Fatalf("nobody to answer: %+v", command)
		case err == nil && (command.Check() != nil || !command.Audience.Matches(here()) || verified.Signers[0] != command.Issuer):
			t.Fatalf("accepted %+v", command)
		case err == nil:
			if _, err := trust.EncodeCommand(*command); err != nil {
				t.Fatalf("accepted and not encoded: %v", err)
			}
		}
	})
}
