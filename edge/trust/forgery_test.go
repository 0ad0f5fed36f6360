package trust_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// scene is what forgers have to work with: everything a real fleet ever sent.
type scene struct {
	testing.TB
	root   *trust.Root
	floors trust.Floors
	good   []byte // policy version 5, signed by two of three
}

func newScene(t testing.TB) scene {
	root := firstRoot(t)
	return scene{
		TB: t, root: root,
		floors: trust.Floors{}.Raise(root, trust.RolePolicy, 5).Raise(root, trust.RoleRoot, 1),
		good:   sign(t, trust.TypePolicy, policy(t, 5, forThisNode()), policyA, policyB),
	}
}

func (s scene) accept(envelope []byte) error {
	_, _, err := trust.AcceptPolicy(s.root, s.floors, here(), envelope)
	return err
}

func (s scene) forge(change func(*loose)) error { return s.accept(forge(s, s.good, change)) }

func (s scene) next(envelope []byte) error {
	_, err := trust.NextRoot(s.root, envelope)
	return err
}

// successor is root version v with one key changed.
func (s scene) successor(version uint64) *trust.Root {
	return rootOf(s, version, []byte{rootA, rootB, 4}, []byte{policyA, policyB, 14})
}

func (s scene) fresh(node, nonce string) []byte {
	payload, err := trust.Token{Nonce: nonce, Node: node, Time: time.Unix(1.8e9, 0), PolicyVersion: 5, RootVersion: 1}.Encode()
	if err != nil {
		s.Fatal(err)
	}
	return sign(s, trust.TypeFreshness, payload, freshKey)
}

const ourNonce = "0123456789abcdef0123456789abcdef"

func (s scene) answer(envelope []byte) error {
	_, err := trust.VerifyFreshness(s.root, envelope, ourNonce, "gw-7")
	return err
}

// rawRoot signs a root document nobody's encoder would write.
func (s scene) rawRoot(change func(map[string]any)) error {
	payload, err := s.successor(2).Encode()
	if err != nil {
		s.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(payload, &document); err != nil {
		s.Fatal(err)
	}
	change(document)
	payload, err = json.Marshal(document)
	if err != nil {
		s.Fatal(err)
	}
	return s.next(sign(s, trust.TypeRoot, payload, rootA, rootB, 4))
}

// replaceKey puts another public key under the id of one.
func replaceKey(public string) func(map[string]any) {
	return func(document map[string]any) {
		keys := document["keys"].(map[string]any)
		for _, key := range keys {
			key.(map[string]any)["keyval"] = map[string]any{"public": public}
		}
	}
}

// forgeries are all refused, each for its own reason.
func forgeries() []forgery {
	return []forgery{
		// The bytes.
		{"Empty", trust.ReasonBadSyntax, func(s scene) error { return s.accept(nil) }},
		{"NotJSON", trust.ReasonBadSyntax, func(s scene) error { return s.accept([]byte("hello")) }},
		{"CutShort", trust.ReasonBadSyntax, func(s scene) error { return s.accept(s.good[:len(s.good)-1]) }},
		{"ListInstead", trust.ReasonBadEnvelope, func(s scene) error { return s.accept([]byte("[]")) }},
		{"EmptyObject", trust.ReasonBadEnvelope, func(s scene) error { return s.accept([]byte("{}")) }},
		{"NumberForPayload", trust.ReasonBadEnvelope, func(s scene) error { return s.accept([]byte(`{"payload":7}`)) }},
		{"TrailingGarbage", trust.ReasonTrailingData, func(s scene) error { return s.accept(append(slices.Clone(s.good), 'x')) }},
		{"SecondEnvelope", trust.ReasonTrailingData, func(s scene) error { return s.accept(append(slices.Clone(s.good), s.good...)) }},
		{"TooLarge", trust.ReasonTooLarge, func(s scene) error { return s.accept(append(slices.Clone(s.good), make([]byte, trust.MaxEnvelope)...)) }},
		{"PayloadTooLarge", trust.ReasonTooLarge, func(s scene) error { return s.forge(wrap(`"` + strings.Repeat("a", trust.MaxPayload) + `"`)) }},
		{"DeepEnvelope", trust.ReasonTooDeep, func(s scene) error {
			return s.accept(slices.Concat([]byte(`{"x":[[[[]]]],`), s.good[1:]))
		}},
		{"DeepPayload", trust.ReasonTooDeep, func(s scene) error {
			return s.forge(wrap(strings.Repeat("[", 40) + strings.Repeat("]", 40)))
		}},
		{"DuplicateKey", trust.ReasonDuplicateKey, func(s scene) error {
			return s.accept(slices.Concat([]byte(`{"payloadType":"x",`), s.good[1:]))
		}},
		{"DuplicateKeyByCase", trust.ReasonDuplicateKey, func(s scene) error {
			return s.accept(slices.Concat([]byte(`{"PAYLOAD":"x",`), s.good[1:]))
		}},
		{"DuplicateKeyInPayload", trust.ReasonDuplicateKey, func(s scene) error { return s.forge(wrap(`{"version":1,"version":2}`)) }},
		{"GiantNumber", trust.ReasonBadNumber, func(s scene) error {
			return s.accept(slices.Concat([]byte(`{"x":1e999999999,`), s.good[1:]))
		}},
		{"GiantNumberInPayload", trust.ReasonBadNumber, func(s scene) error { return s.forge(wrap(`{"version":18446744073709551616}`)) }},
		{"InvalidUTF8", trust.ReasonBadEncoding, func(s scene) error {
			return s.accept(slices.Concat([]byte("{\"x\":\"\xff\","), s.good[1:]))
		}},
		{"InvalidUTF8InPayload", trust.ReasonBadEncoding, func(s scene) error { return s.forge(wrap("\"\xff\"")) }},
		{"LoneSurrogate", trust.ReasonBadEncoding, func(s scene) error { return s.forge(wrap(`"\ud800"`)) }},
		{"PayloadNotJSON", trust.ReasonBadSyntax, func(s scene) error { return s.forge(wrap("hello")) }},
		{"NoPadding", trust.ReasonBadBase64, func(s scene) error {
			return s.forge(func(l *loose) { l.Signatures[0].Sig = strings.TrimRight(l.Signatures[0].Sig, "=") })
		}},
		{"LooseBits", trust.ReasonBadBase64, func(s scene) error {
			return s.forge(func(l *loose) { l.Signatures[0].Sig = loosen(l.Signatures[0].Sig) })
		}},
		{"LineBreak", trust.ReasonBadBase64, func(s scene) error {
			return s.forge(func(l *loose) { l.Payload = l.Payload[:8] + "\n" + l.Payload[8:] })
		}},
		{"MixedAlphabets", trust.ReasonBadBase64, func(s scene) error { return s.forge(func(l *loose) { l.Payload = "+-+-" }) }},
		{"NoSignatures", trust.ReasonNoSignatures, func(s scene) error { return s.forge(func(l *loose) { l.Signatures = nil }) }},
		{"SignatureFlood", trust.ReasonTooManySignatures, func(s scene) error {
			return s.forge(func(l *loose) {
				for len(l.Signatures) <= trust.MaxSignatures {
					l.Signatures = append(l.Signatures, looseSig{"unknown", "AAAA"})
				}
			})
		}},

		// The signatures.
		{"Stripped", trust.ReasonThreshold, func(s scene) error { return s.forge(func(l *loose) { l.Signatures = l.Signatures[:1] }) }},
		{"Duplicated", trust.ReasonThreshold, func(s scene) error {
			return s.forge(func(l *loose) { l.Signatures[1] = l.Signatures[0] })
		}},
		{"DuplicatedInOtherAlphabet", trust.ReasonThreshold, func(s scene) error {
			return s.forge(func(l *loose) {
				l.Signatures[1] = looseSig{l.Signatures[0].KeyID, strings.NewReplacer("+", "-", "/", "_").Replace(l.Signatures[0].Sig)}
			})
		}},
		{"KeyIDsSwapped", trust.ReasonBadSignature, func(s scene) error {
			return s.forge(func(l *loose) {
				l.Signatures[0].KeyID, l.Signatures[1].KeyID = l.Signatures[1].KeyID, l.Signatures[0].KeyID
			})
		}},
		{"KeyIDEmpty", trust.ReasonThreshold, func(s scene) error { return s.forge(func(l *loose) { l.Signatures[0].KeyID = "" }) }},
		{"KeyIDUpperCase", trust.ReasonThreshold, func(s scene) error {
			return s.forge(func(l *loose) { l.Signatures[0].KeyID = strings.ToUpper(l.Signatures[0].KeyID) })
		}},
		{"SignatureShort", trust.ReasonBadSignature, func(s scene) error {
			return s.forge(func(l *loose) { l.Signatures[0].Sig = "AAAA" })
		}},
		{"SignatureEmpty", trust.ReasonBadSignature, func(s scene) error { return s.forge(func(l *loose) { l.Signatures[0].Sig = "" }) }},
		{"SignatureMalleable", trust.ReasonBadSignature, func(s scene) error {
			return s.forge(func(l *loose) { l.Signatures[0].Sig = addOrder(s, l.Signatures[0].Sig) })
		}},
		{"OtherPayload", trust.ReasonBadSignature, func(s scene) error {
			return s.forge(wrap(string(policy(s, 6, forThisNode()))))
		}},
		{"PayloadRespaced", trust.ReasonBadSignature, func(s scene) error {
			return s.forge(wrap(string(policy(s, 5, forThisNode())) + " "))
		}},
		{"Strangers", trust.ReasonUnknownKey, func(s scene) error {
			return s.accept(sign(s, trust.TypePolicy, policy(s, 6, forThisNode()), stranger, stranger+1))
		}},
		{"OneOfUsAndAStranger", trust.ReasonThreshold, func(s scene) error {
			return s.accept(sign(s, trust.TypePolicy, policy(s, 6, forThisNode()), policyA, stranger))
		}},
		{"KeysOfOtherRoles", trust.ReasonWrongRole, func(s scene) error {
			return s.accept(sign(s, trust.TypePolicy, policy(s, 6, forThisNode()), rootA, rootB, freshKey))
		}},
		{"StrangersUnderOurIDs", trust.ReasonBadSignature, func(s scene) error {
			forged := sign(s, trust.TypePolicy, policy(s, 6, forThisNode()), stranger, stranger+1)
			return s.accept(forge(s, forged, func(l *loose) {
				l.Signatures[0].KeyID, l.Signatures[1].KeyID = public(s, policyA).ID, public(s, policyB).ID
			}))
		}},
		{"NoRoot", trust.ReasonNoRoot, func(s scene) error {
			_, err := trust.Verify(nil, trust.RolePolicy, s.good)
			return err
		}},
		{"RoleOfNobody", trust.ReasonRoleUnassigned, func(s scene) error {
			_, err := trust.Verify(&trust.Root{Version: 1}, trust.RolePolicy, s.good)
			return err
		}},
		{"ThresholdZero", trust.ReasonRoleUnassigned, func(s scene) error {
			_, err := trust.Verify(&trust.Root{Version: 1, Roles: map[trust.Role]trust.Grant{trust.RolePolicy: {}}}, trust.RolePolicy, s.good)
			return err
		}},

		// The kind of document.
		{"TypeRelabelled", trust.ReasonBadSignature, func(s scene) error {
			command := sign(s, trust.TypeCommand, policy(s, 6, forThisNode()), policyA, policyB)
			return s.accept(forge(s, command, func(l *loose) { l.PayloadType = trust.TypePolicy }))
		}},
		{"CommandAsPolicy", trust.ReasonWrongType, func(s scene) error {
			return s.accept(sign(s, trust.TypeCommand, policy(s, 6, forThisNode()), policyA, policyB))
		}},
		{"PolicyAsCommand", trust.ReasonWrongType, func(s scene) error {
			_, err := trust.Verify(s.root, trust.RoleCommand, s.good)
			return err
		}},
		{"UnknownRole", trust.ReasonWrongType, func(s scene) error {
			_, err := trust.Verify(s.root, "admin", s.good)
			return err
		}},
		{"TypeByCase", trust.ReasonWrongType, func(s scene) error {
			return s.forge(func(l *loose) { l.PayloadType = strings.ToUpper(l.PayloadType) })
		}},
		{"RootInsidePolicy", trust.ReasonBadDocument, func(s scene) error {
			payload, _ := s.root.Encode()
			return s.accept(sign(s, trust.TypePolicy, payload, policyA, policyB))
		}},

		// What the document says.
		{"PolicyWithoutMeaning", trust.ReasonBadDocument, func(s scene) error {
			return s.accept(sign(s, trust.TypePolicy, []byte(`{}`), policyA, policyB))
		}},
		{"OlderPolicy", trust.ReasonRollback, func(s scene) error {
			return s.accept(sign(s, trust.TypePolicy, policy(s, 4, forThisNode()), policyA, policyB))
		}},
		{"OlderPolicyAfterReboot", trust.ReasonRollback, func(s scene) error {
			s.floors = reboot(s, s.floors)
			return s.accept(sign(s, trust.TypePolicy, policy(s, 4, forThisNode()), policyA, policyB))
		}},
		{"PolicyOfAnotherNode", trust.ReasonAudience, func(s scene) error {
			return s.accept(sign(s, trust.TypePolicy, policy(s, 6, edge.Audience{Node: "gw-8"}), policyA, policyB))
		}},
		{"PolicyOfAnotherGroup", trust.ReasonAudience, func(s scene) error {
			return s.accept(sign(s, trust.TypePolicy, policy(s, 6, edge.Audience{Group: "gw-7"}), policyA, policyB))
		}},

		// Roots.
		{"RootReplayed", trust.ReasonRollback, func(s scene) error { return s.next(signRoot(s, s.root, rootA, rootB)) }},
		{"RootSkips", trust.ReasonVersionGap, func(s scene) error { return s.next(signRoot(s, s.successor(3), rootA, rootB, 4)) }},
		{"RootWithoutOldKeys", trust.ReasonThreshold, func(s scene) error { return s.next(signRoot(s, s.successor(2), rootA, 4)) }},
		{"RootWithoutNewKeys", trust.ReasonThreshold, func(s scene) error { return s.next(signRoot(s, s.successor(2), rootA, rootC)) }},
		{"RootByPolicyKeys", trust.ReasonWrongRole, func(s scene) error { return s.next(signRoot(s, s.successor(2), policyA, policyB)) }},
		{"RootByItselfOnly", trust.ReasonUnknownKey, func(s scene) error {
			return s.next(signRoot(s, rootOf(s, 2, []byte{41, 42, 43}, []byte{44}), 41, 42, 43))
		}},
		{"RootAsPolicyType", trust.ReasonWrongType, func(s scene) error {
			payload, _ := s.successor(2).Encode()
			return s.next(sign(s, trust.TypePolicy, payload, rootA, rootB, 4))
		}},
		{"FirstRootOtherType", trust.ReasonWrongType, func(s scene) error {
			_, err := trust.FirstRoot(s.good)
			return err
		}},
		{"FirstRootUnsigned", trust.ReasonThreshold, func(s scene) error {
			_, err := trust.FirstRoot(signRoot(s, s.root, rootA))
			return err
		}},
		{"StaleRootFromDisk", trust.ReasonRollback, func(s scene) error {
			stale, err := trust.FirstRoot(signRoot(s, s.root, rootA, rootB))
			if err != nil {
				return err
			}
			current := s.successor(2)
			floors := s.floors.Raise(current, trust.RoleRoot, 2)
			return floors.Check(stale, trust.RoleRoot, stale.Version)
		}},
		{"PolicyByRetiredKeys", trust.ReasonThreshold, func(s scene) error {
			s.root = s.successor(2) // policyC left
			return s.accept(sign(s, trust.TypePolicy, policy(s, 6, forThisNode()), policyA, policyC))
		}},
		{"RootOtherVersion", trust.ReasonBadDocument, func(s scene) error {
			return s.rawRoot(func(d map[string]any) { d["apiVersion"] = "holdfast/v2" })
		}},
		{"RootVersionZero", trust.ReasonBadDocument, func(s scene) error {
			return s.rawRoot(func(d map[string]any) { d["version"] = 0 })
		}},
		{"RootThresholdTooHigh", trust.ReasonBadDocument, func(s scene) error { return s.rawRoot(setGrant("policy", "threshold", 9)) }},
		{"RootThresholdZero", trust.ReasonBadDocument, func(s scene) error { return s.rawRoot(setGrant("policy", "threshold", 0)) }},
		{"RootThresholdNegative", trust.ReasonBadDocument, func(s scene) error { return s.rawRoot(setGrant("root", "threshold", -1)) }},
		{"RootKeyCountedTwice", trust.ReasonBadDocument, func(s scene) error {
			return s.rawRoot(setGrant("release", "keyids", []string{public(s, releaseKey).ID, public(s, releaseKey).ID}))
		}},
		{"RootNamesMissingKey", trust.ReasonBadDocument, func(s scene) error {
			return s.rawRoot(setGrant("policy", "keyids", []string{"none", "nothing"}))
		}},
		{"RootWithoutRootRole", trust.ReasonBadDocument, func(s scene) error {
			return s.rawRoot(func(d map[string]any) { delete(d["roles"].(map[string]any), "root") })
		}},
		{"RootKeyUnderFalseID", trust.ReasonBadKey, func(s scene) error {
			return s.rawRoot(replaceKey("58641779aa703f81237c13bf639643b2bc77acfdc7ac5580a72c9f3a62bbdef8"))
		}},
		{"RootKeyOfSmallOrder", trust.ReasonBadKey, func(s scene) error { return s.rawRoot(replaceKey(smallOrder()[0])) }},
		{"RootKeyTooShort", trust.ReasonBadKey, func(s scene) error { return s.rawRoot(replaceKey("abcd")) }},
		{"RootKeyNotHex", trust.ReasonBadKey, func(s scene) error { return s.rawRoot(replaceKey("zz")) }},
		{"RootKeyUpperCase", trust.ReasonBadKey, func(s scene) error {
			return s.rawRoot(func(d map[string]any) {
				for _, key := range d["keys"].(map[string]any) {
					values := key.(map[string]any)["keyval"].(map[string]any)
					values["public"] = strings.ToUpper(values["public"].(string))
				}
			})
		}},
		{"RootKeyOtherScheme", trust.ReasonBadKey, func(s scene) error {
			return s.rawRoot(func(d map[string]any) {
				for _, key := range d["keys"].(map[string]any) {
					key.(map[string]any)["scheme"] = "rsa"
				}
			})
		}},

		// Freshness.
		{"TokenReplayed", trust.ReasonNonce, func(s scene) error { return s.answer(s.fresh("gw-7", strings.Repeat("a", 32))) }},
		{"TokenOfAnotherNode", trust.ReasonNode, func(s scene) error { return s.answer(s.fresh("gw-8", ourNonce)) }},
		{"TokenAsCommand", trust.ReasonWrongType, func(s scene) error {
			// One key signs both kinds, and still neither passes for the other.
			return s.answer(sign(s, trust.TypeCommand, []byte(`{"nonce":"`+ourNonce+`"}`), freshKey))
		}},
		{"TokenByPolicyKeys", trust.ReasonWrongRole, func(s scene) error {
			opened, err := trust.Open(s.fresh("gw-7", ourNonce))
			if err != nil {
				return err
			}
			return s.answer(sign(s, trust.TypeFreshness, opened.Payload, policyA, policyB))
		}},
		{"TokenWithoutTime", trust.ReasonBadDocument, func(s scene) error {
			return s.answer(sign(s, trust.TypeFreshness, []byte(`{"apiVersion":"holdfast/v1","kind":"Freshness","nonce":"`+ourNonce+`","node":"gw-7"}`), freshKey))
		}},
		{"TokenOtherVersion", trust.ReasonBadDocument, func(s scene) error {
			return s.answer(sign(s, trust.TypeFreshness, []byte(`{"apiVersion":"holdfast/v2","kind":"Freshness"}`), freshKey))
		}},
		{"TokenForNoQuestion", trust.ReasonNonce, func(s scene) error {
			_, err := trust.VerifyFreshness(s.root, s.fresh("gw-7", ourNonce), "", "gw-7")
			return err
		}},
		{"TokenFromConfirmation", trust.ReasonWrongType, func(s scene) error { return s.answer(s.confirmation("gw-7")) }},
	}
}

type forgery struct {
	name string
	want trust.Reason
	try  func(scene) error
}

func TestForgeries(t *testing.T) {
	t.Run("TheRealOneIsAccepted", func(t *testing.T) { // or the corpus would prove nothing
		s := newScene(t)
		if err := errors.Join(s.accept(s.good), s.next(signRoot(s, s.successor(2), rootA, rootB, 4)), s.answer(s.fresh("gw-7", ourNonce)),
			s.order(s.command(orders(), freshKey)), s.confirm(s.confirmation("gw-7"))); err != nil {
			t.Fatal(err)
		}
	})
	seen := map[trust.Reason]bool{}
	all := append(forgeries(), commandForgeries()...)
	for _, f := range all {
		t.Run(f.name, func(t *testing.T) {
			err := f.try(newScene(t))
			expect(t, err, f.want)
			if !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("%v is no edge.ErrInvalid", err)
			}
		})
		seen[f.want] = true
	}
	t.Run("EveryReasonIsSeen", func(t *testing.T) {
		reasons := declaredReasons(t)
		for _, reason := range reasons {
			if !seen[reason] {
				t.Errorf("no forgery is refused as %s", reason)
			}
		}
		t.Logf("%d forgeries, %d reasons", len(all), len(reasons))
	})
}

// declaredReasons reads the constants of refusal.go, so that a new reason needs a
// forgery.
func declaredReasons(t *testing.T) []trust.Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "refusal.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []trust.Reason
	ast.Inspect(file, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			return true
		}
		if name, ok := call.Fun.(*ast.Ident); !ok || name.Name != "Reason" {
			return true
		}
		if text, ok := call.Args[0].(*ast.BasicLit); ok {
			value, err := strconv.Unquote(text.Value)
			if err != nil {
				t.Fatal(err)
			}
			reasons = append(reasons, trust.Reason(value))
		}
		return true
	})
	if len(reasons) < 10 {
		t.Fatalf("found only %d reasons", len(reasons))
	}
	return append(reasons, trust.ReasonTooLarge, trust.ReasonTooDeep, trust.ReasonDuplicateKey, trust.ReasonBadNumber,
		trust.ReasonBadEncoding, trust.ReasonTrailingData, trust.ReasonBadSyntax)
}

// TestForgeries_EveryBit flips each bit of a real envelope that has no signature to
// spare.
func TestForgeries_EveryBit(t *testing.T) {
	s := newScene(t)
	reasons := map[trust.Reason]int{}
	for bit := range len(s.good) * 8 {
		forged := slices.Clone(s.good)
		forged[bit/8] ^= 1 << (bit % 8)
		err := s.accept(forged)
		if trust.ReasonOf(err) == "" {
			t.Fatalf("bit %d of byte %d %q: error = %v", bit%8, bit/8, s.good[bit/8], err)
		}
		reasons[trust.ReasonOf(err)]++
	}
	t.Logf("%d bits: %v", len(s.good)*8, reasons)
}

// TestForgeries_EveryCut cuts a real envelope anywhere.
func TestForgeries_EveryCut(t *testing.T) {
	s := newScene(t)
	for n := range s.good {
		if err := s.accept(s.good[:n]); trust.ReasonOf(err) == "" {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func setGrant(role, field string, value any) func(map[string]any) {
	return func(document map[string]any) {
		document["roles"].(map[string]any)[role].(map[string]any)[field] = value
	}
}

// loosen sets bits of the last base64 digit that stand for nothing.
func loosen(text string) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := strings.TrimRight(text, "=")
	at := strings.IndexByte(digits, last[len(last)-1])
	return last[:len(last)-1] + digits[at|1:at|1+1] + strings.Repeat("=", len(text)-len(last))
}

// addOrder adds the group's order to the number s of a signature, which fits the
// same message where that is not looked for.
func addOrder(t testing.TB, text string) string {
	t.Helper()
	sig, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	order := []byte{0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}
	carry := 0
	for i, digit := range order {
		sum := int(sig[32+i]) + int(digit) + carry
		sig[32+i], carry = byte(sum), sum>>8
	}
	return base64.StdEncoding.EncodeToString(sig)
}

// reboot stores the floors and reads them again.
func reboot(t testing.TB, floors trust.Floors) (again trust.Floors) {
	t.Helper()
	kept, err := json.Marshal(floors)
	if err == nil {
		err = json.Unmarshal(kept, &again)
	}
	if err != nil {
		t.Fatal(err)
	}
	return again
}
