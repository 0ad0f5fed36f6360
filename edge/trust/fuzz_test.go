package trust_test

import (
	"bytes"
	"errors"
	"testing"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// FuzzVerify: whatever the bytes, the only payload believed is the one that was
// signed, and every refusal has a reason.
func FuzzVerify(f *testing.F) {
	root := firstRoot(f)
	payload := policy(f, 5, forThisNode())
	good := sign(f, trust.TypePolicy, payload, policyA, policyB)
	f.Add(good)
	f.Add(sign(f, trust.TypePolicy, payload, policyA, policyC, stranger))
	f.Add(sign(f, trust.TypeCommand, payload, policyA, policyB))
	f.Add(forge(f, good, func(l *loose) { l.Signatures = append(l.Signatures, l.Signatures...) }))
	f.Fuzz(func(t *testing.T, envelope []byte) {
		for _, role := range trust.Roles {
			verified, err := trust.Verify(root, role, envelope)
			switch {
			case err != nil && (trust.ReasonOf(err) == "" || !errors.Is(err, edge.ErrInvalid)):
				t.Fatalf("%s: no reason: %v", role, err)
			case err == nil && (role != trust.RolePolicy || !bytes.Equal(verified.Payload, payload)):
				t.Fatalf("%s: believed %q", role, verified.Payload)
			}
		}
		if _, err := trust.NextRoot(root, envelope); err == nil {
			t.Fatal("followed a root nobody made")
		}
		if _, err := trust.VerifyConfirmation(root, envelope, "gw-7"); trust.ReasonOf(err) == "" {
			t.Fatalf("believed a confirmation nobody made: %v", err)
		}
	})
}

// FuzzOpen: what opens can be shown and opened again.
func FuzzOpen(f *testing.F) {
	f.Add(sign(f, trust.TypeRelease, []byte(`{"a":[1,2.5,"x"]}`), releaseKey))
	f.Add([]byte(`{"payload":"e30=","payloadType":"x","signatures":[{"sig":"AAAA"}]}`))
	f.Fuzz(func(t *testing.T, envelope []byte) {
		opened, err := trust.Open(envelope)
		if err != nil {
			if trust.ReasonOf(err) == "" {
				t.Fatalf("no reason: %v", err)
			}
			return
		}
		if len(opened.Payload) > trust.MaxPayload || len(opened.Signatures) > trust.MaxSignatures || len(opened.Signatures) == 0 {
			t.Fatalf("out of bounds: %d bytes, %d signatures", len(opened.Payload), len(opened.Signatures))
		}
	})
}

// FuzzDecodeRoot: a root that is read is written so that it reads the same, and can
// be verified against.
func FuzzDecodeRoot(f *testing.F) {
	payload, err := firstRoot(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	good := sign(f, trust.TypePolicy, []byte(`{}`), policyA, policyB)
	f.Fuzz(func(t *testing.T, text []byte) {
		root, err := trust.DecodeRoot(text)
		if err != nil {
			if trust.ReasonOf(err) == "" {
				t.Fatalf("no reason: %v", err)
			}
			return
		}
		first, err := root.Encode()
		if err != nil {
			t.Fatalf("read but not written: %v", err)
		}
		again, err := trust.DecodeRoot(first)
		if err != nil {
			t.Fatalf("written but not read: %v", err)
		}
		if second, err := again.Encode(); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("not stable: %v\n%s\n%s", err, first, second)
		}
		if _, err := trust.Verify(root, trust.RolePolicy, good); err != nil && trust.ReasonOf(err) == "" {
			t.Fatalf("no reason: %v", err)
		}
	})
}
