package trust_test

import (
	"crypto/ed25519"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
)

func TestVerify(t *testing.T) {
	root := firstRoot(t)
	payload := policy(t, 5, forThisNode())
	good := sign(t, trust.TypePolicy, payload, policyA, policyB)
	accepted := func(t *testing.T, envelope []byte, signers ...byte) {
		t.Helper()
		verified, err := trust.Verify(root, trust.RolePolicy, envelope)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, seed := range signers {
			want = append(want, public(t, seed).ID)
		}
		slices.Sort(want)
		if !slices.Equal(verified.Signers, want) || string(verified.Payload) != string(payload) || verified.Role != trust.RolePolicy {
			t.Errorf("verified %+v, want signers %v", verified, want)
		}
	}
	t.Run("Threshold", func(t *testing.T) { accepted(t, good, policyA, policyB) })
	t.Run("OtherKeysArePassedOver", func(t *testing.T) {
		accepted(t, sign(t, trust.TypePolicy, payload, stranger, policyC, rootA, policyB), policyB, policyC)
	})
	t.Run("OrderDoesNotMatter", func(t *testing.T) {
		accepted(t, forge(t, good, func(l *loose) { slices.Reverse(l.Signatures) }), policyA, policyB)
	})
	t.Run("ABadSignatureBeforeTheGoodOne", func(t *testing.T) {
		accepted(t, forge(t, good, func(l *loose) {
			bad := looseSig{l.Signatures[0].KeyID, l.Signatures[1].Sig}
			l.Signatures = append([]looseSig{bad}, l.Signatures...)
		}), policyA, policyB)
	})
	t.Run("URLAlphabet", func(t *testing.T) {
		accepted(t, forge(t, good, func(l *loose) {
			url := strings.NewReplacer("+", "-", "/", "_")
			l.Payload, l.Signatures[0].Sig = url.Replace(l.Payload), url.Replace(l.Signatures[0].Sig)
		}), policyA, policyB)
	})
	t.Run("UnknownFields", func(t *testing.T) {
		accepted(t, append([]byte(`{"note":{"by":"x"},`), good[1:]...), policyA, policyB)
	})
	t.Run("LargestEnvelope", func(t *testing.T) {
		var keys []byte
		for seed := range byte(trust.MaxSignatures - 2) {
			keys = append(keys, 100+seed)
		}
		text := []byte(`"` + strings.Repeat("a", trust.MaxPayload-2) + `"`)
		envelope := sign(t, trust.TypePolicy, text, append(keys, policyA, policyB)...)
		if _, err := trust.Verify(root, trust.RolePolicy, envelope); err != nil {
			t.Errorf("%d bytes: %v", len(envelope), err)
		}
	})
}

func TestSign(t *testing.T) {
	payload := policy(t, 5, forThisNode())
	t.Run("CosignedApartIsSignedTogether", func(t *testing.T) {
		apart, err := trust.Cosign(sign(t, trust.TypePolicy, payload, policyA), private(policyB))
		if err != nil {
			t.Fatal(err)
		}
		if together := sign(t, trust.TypePolicy, payload, policyA, policyB); string(apart) != string(together) {
			t.Errorf("got %s\nwant %s", apart, together)
		}
	})
	t.Run("TwiceIsOnce", func(t *testing.T) {
		opened, err := trust.Open(sign(t, trust.TypePolicy, payload, policyA, policyA))
		if err != nil || len(opened.Signatures) != 1 {
			t.Errorf("%+v, %v", opened, err)
		}
	})
	for name, test := range map[string]struct {
		payloadType, payload string
		key                  ed25519.PrivateKey
		want                 trust.Reason
	}{
		"ForeignType": {"application/json", `{}`, private(1), trust.ReasonWrongType},
		"NotJSON":     {trust.TypePolicy, `hello`, private(1), trust.ReasonBadSyntax},
		"Ambiguous":   {trust.TypePolicy, `{"a":1,"a":2}`, private(1), trust.ReasonDuplicateKey},
		"Empty":       {trust.TypePolicy, ``, private(1), trust.ReasonBadEnvelope},
		"TooLarge":    {trust.TypePolicy, strings.Repeat(" ", trust.MaxPayload) + `{}`, private(1), trust.ReasonTooLarge},
		"ShortKey":    {trust.TypePolicy, `{}`, make([]byte, 8), trust.ReasonBadKey},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := trust.Sign(test.payloadType, []byte(test.payload), test.key)
			expect(t, err, test.want)
		})
	}
	t.Run("ByNobody", func(t *testing.T) {
		_, err := trust.Sign(trust.TypePolicy, payload)
		expect(t, err, trust.ReasonNoSignatures)
	})
}

func TestAcceptPolicy(t *testing.T) {
	root := firstRoot(t)
	bad := sign(t, trust.TypePolicy, policy(t, 5, edge.Audience{Node: "gw-8"}), policyA, policyB)
	accepted, verified, err := trust.AcceptPolicy(root, nil, here(), sign(t, trust.TypePolicy, policy(t, 5, forThisNode()), policyA, policyC))
	if err != nil || accepted.Metadata.Version != 5 || len(verified.Signers) != 2 {
		t.Errorf("accepted %+v, %+v, %v", accepted, verified, err)
	}
	accepted, verified, err = trust.AcceptPolicy(root, nil, here(), bad)
	if accepted != nil || verified == nil || trust.ReasonOf(err) != trust.ReasonAudience {
		t.Errorf("for another node: %v, %v, %v; want its signers and the reason", accepted, verified, err)
	}
}

func TestFollowRoots(t *testing.T) {
	first := firstRoot(t)
	second := rootOf(t, 2, []byte{rootA, rootB, 4}, []byte{policyA})
	third := rootOf(t, 3, []byte{5, rootB, 4}, []byte{policyB})
	chain := [][]byte{signRoot(t, second, rootA, rootB), signRoot(t, third, rootB, 4)}
	t.Run("InOrder", func(t *testing.T) {
		root, err := trust.FollowRoots(first, chain...)
		if err != nil || root.Version != 3 {
			t.Fatalf("root = %+v, %v", root, err)
		}
		if _, err := trust.Verify(root, trust.RolePolicy, sign(t, trust.TypePolicy, []byte(`{}`), policyB)); err != nil {
			t.Errorf("the new key does not count: %v", err)
		}
		_, err = trust.Verify(root, trust.RolePolicy, sign(t, trust.TypePolicy, []byte(`{}`), policyA))
		expect(t, err, trust.ReasonUnknownKey)
	})
	t.Run("KeepsHowFarItGot", func(t *testing.T) {
		root, err := trust.FollowRoots(first, chain[0], chain[0])
		expect(t, err, trust.ReasonRollback)
		if root.Version != 2 {
			t.Errorf("version = %d, want 2", root.Version)
		}
	})
	t.Run("OutOfOrder", func(t *testing.T) {
		root, err := trust.FollowRoots(first, chain[1])
		if trust.ReasonOf(err) == "" || root != first {
			t.Errorf("root = %v, %v", root, err)
		}
	})
}

func TestRoot(t *testing.T) {
	root := firstRoot(t)
	payload, err := root.Encode()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("RoundTrip", func(t *testing.T) {
		again, err := trust.DecodeRoot(payload)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := again.Encode(); err != nil || string(second) != string(payload) {
			t.Errorf("got %s, %v\nwant %s", second, err, payload)
		}
	})
	t.Run("UnknownRolesAreLeftOut", func(t *testing.T) {
		var document map[string]any
		if err := json.Unmarshal(payload, &document); err != nil {
			t.Fatal(err)
		}
		setGrant("policy", "description", "the line's shift leads")(document)
		document["roles"].(map[string]any)["weather"] = map[string]any{"keyids": []string{"none"}, "threshold": 7}
		document["keys"].(map[string]any)["none"] = map[string]any{"keytype": "rsa"}
		raw, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		again, err := trust.DecodeRoot(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, there := again.Roles["weather"]; there || again.Roles[trust.RolePolicy].Description == "" {
			t.Errorf("roles = %+v", again.Roles)
		}
	})
	t.Run("OneKeyMayHoldSeveralRoles", func(t *testing.T) {
		for _, role := range []trust.Role{trust.RoleCommand, trust.RoleFreshness} {
			if _, err := trust.Verify(root, role, sign(t, role.PayloadType(), []byte(`{}`), freshKey)); err != nil {
				t.Errorf("%s: %v", role, err)
			}
		}
	})
	t.Run("EncodeRefuses", func(t *testing.T) {
		_, err := (&trust.Root{Version: 1}).Encode()
		expect(t, err, trust.ReasonBadDocument)
	})
}

func TestFreshness(t *testing.T) {
	s := newScene(t)
	token, err := trust.VerifyFreshness(s.root, s.fresh("gw-7", ourNonce), ourNonce, "gw-7")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		policyHeld, rootHeld uint64
		policy, root         bool
	}{{5, 1, false, false}, {4, 1, true, false}, {6, 2, false, false}, {5, 0, false, true}} {
		if policy, root := token.Withheld(test.policyHeld, test.rootHeld); policy != test.policy || root != test.root {
			t.Errorf("holding %d and %d: withheld %v, %v", test.policyHeld, test.rootHeld, policy, root)
		}
	}
	if !token.Time.Equal(time.Unix(1.8e9, 0)) {
		t.Errorf("time = %v", token.Time)
	}
	for name, bad := range map[string]trust.Token{
		"ShortNonce": {Nonce: "short", Node: "n", Time: time.Unix(1, 0)},
		"NoNode":     {Nonce: ourNonce, Time: time.Unix(1, 0)},
		"NoTime":     {Nonce: ourNonce, Node: "n"},
		"NoVersion":  {Nonce: ourNonce, Node: "n", Time: time.Unix(1, 0), RootVersion: 1 << 60},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bad.Encode()
			expect(t, err, trust.ReasonBadDocument)
		})
	}
}
