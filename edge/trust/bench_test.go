package trust_test

import (
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// largePolicy is near the most a policy may be.
func largePolicy(b *testing.B) []byte {
	p := edge.Policy{
		Metadata: edge.Metadata{Name: "line-3", Version: 5, Audience: forThisNode()},
		Lease:    edge.LeaseTerms{Hours: 720, Boots: 200},
	}
	for range 130 {
		p.Triggers = append(p.Triggers, edge.Trigger{MQTT: strings.Repeat("topic/", 40) + "x", Model: "surface"})
	}
	payload, err := p.Encode()
	if err != nil {
		b.Fatal(err)
	}
	return payload
}

func BenchmarkAcceptPolicy(b *testing.B) {
	root := firstRoot(b)
	for name, payload := range map[string][]byte{"Small": policy(b, 5, forThisNode()), "Large": largePolicy(b)} {
		envelope := sign(b, trust.TypePolicy, payload, policyA, policyB)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(envelope)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := trust.AcceptPolicy(root, nil, here(), envelope); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	root := firstRoot(b)
	for name, payload := range map[string][]byte{"Small": policy(b, 5, forThisNode()), "Large": largePolicy(b)} {
		envelope := sign(b, trust.TypePolicy, payload, policyA, policyB)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := trust.Verify(root, trust.RolePolicy, envelope); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRefuse is what junk costs: nothing but looking at it.
func BenchmarkRefuse(b *testing.B) {
	root := firstRoot(b)
	good := sign(b, trust.TypePolicy, largePolicy(b), policyA, policyB)
	for name, junk := range map[string][]byte{
		"TooLarge": make([]byte, trust.MaxEnvelope+1),
		"Trailing": append(good[:len(good):len(good)], 'x'),
		"Deep":     []byte(strings.Repeat("[", trust.MaxEnvelope)),
		"Flood":    forge(b, good, func(l *loose) { l.Signatures = append(l.Signatures, make([]looseSig, 200)...) }),
		"BadSig":   forge(b, good, func(l *loose) { l.Signatures[0].Sig, l.Signatures[1].Sig = l.Signatures[1].Sig, l.Signatures[0].Sig }),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := trust.Verify(root, trust.RolePolicy, junk); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

func BenchmarkDecodeRoot(b *testing.B) {
	payload, err := firstRoot(b).Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := trust.DecodeRoot(payload); err != nil {
			b.Fatal(err)
		}
	}
}
