package trust_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"testing"

	"holdfast/edge/trust"
)

// TestPAE holds the encoding against the published test vector of the DSSE
// specification (protocol.md): its text, and its signature, which an independent
// implementation made with ECDSA over what it took for the same bytes.
func TestPAE(t *testing.T) {
	got := trust.PAE("http://example.com/HelloWorld", []byte("hello world"))
	t.Run("PublishedText", func(t *testing.T) {
		if want := "DSSEv1 29 http://example.com/HelloWorld 11 hello world"; string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("PublishedSignature", func(t *testing.T) {
		point := []byte{4} // uncompressed: x and y, which the document gives in decimal
		for _, text := range []string{
			"46950820868899156662930047687818585632848591499744589407958293238635476079160",
			"5640078356564379163099075877009565129882514886557779369047442380624545832820",
		} {
			number, _ := new(big.Int).SetString(text, 10)
			point = append(point, number.FillBytes(make([]byte, 32))...)
		}
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := base64.StdEncoding.DecodeString("A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==")
		if err != nil {
			t.Fatal(err)
		}
		r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
		sum := sha256.Sum256(got)
		if !ecdsa.Verify(key, sum[:], r, s) {
			t.Error("the specification's signature does not fit")
		}
		sum[0] ^= 1
		if ecdsa.Verify(key, sum[:], r, s) {
			t.Error("the specification's signature fits anything")
		}
	})
	t.Run("CountsBytes", func(t *testing.T) {
		if got := string(trust.PAE("é", nil)); got != "DSSEv1 2 é 0 " {
			t.Errorf("got %q", got)
		}
	})
	t.Run("BoundariesDoNotMove", func(t *testing.T) {
		if bytes.Equal(trust.PAE("a", []byte("b 1 c")), trust.PAE("a 5 b", []byte("c"))) {
			t.Error("two documents have one encoding")
		}
	})
}

func TestKey_ID(t *testing.T) {
	// A key of the published test data of python-tuf.
	raw, err := hex.DecodeString("58641779aa703f81237c13bf639643b2bc77acfdc7ac5580a72c9f3a62bbdef8")
	if err != nil {
		t.Fatal(err)
	}
	key, err := trust.NewKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	if want := "92a799aa87406d0d7fe43271474672e5299fc084b38a8d016b43503845f895dd"; key.ID != want {
		t.Errorf("id = %s, want %s", key.ID, want)
	}
}

// smallOrder are the encodings of the eight points of small order, canonical or not,
// as other libraries refuse them too; each also with the sign of x turned.
func smallOrder() []string {
	const (
		zeros = "00000000000000000000000000000000000000000000000000000000000000"
		ones  = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
	)
	return []string{
		"00" + zeros, "01" + zeros, "ec" + ones + "7f", "ed" + ones + "7f", "ee" + ones + "7f",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	}
}

func TestNewKey(t *testing.T) {
	t.Run("SmallOrder", func(t *testing.T) {
		for _, text := range smallOrder() {
			for _, sign := range []byte{0, 0x80} {
				raw, err := hex.DecodeString(text)
				if err != nil {
					t.Fatal(err)
				}
				raw[31] ^= sign
				_, err = trust.NewKey(raw)
				expect(t, err, trust.ReasonBadKey)
			}
		}
	})
	t.Run("TheStandardLibraryWouldTakeThem", func(t *testing.T) { // why the check is needed
		neutral := append([]byte{1}, make([]byte, 31)...)
		sig := append(append([]byte{1}, make([]byte, 31)...), make([]byte, 32)...)
		if !ed25519.Verify(neutral, []byte("anything"), sig) || !ed25519.Verify(neutral, []byte("anything else"), sig) {
			t.Error("crypto/ed25519 refuses the neutral point now; this check may be dropped")
		}
	})
	t.Run("NotOnTheCurve", func(t *testing.T) {
		refused := 0
		for y := range 256 {
			raw := make([]byte, 32)
			raw[0] = byte(y)
			if _, err := trust.NewKey(raw); err != nil {
				refused++
			}
		}
		if refused < 96 || refused > 160 { // half of all numbers are no squares
			t.Errorf("%d of 256 refused, want about half", refused)
		}
	})
	t.Run("NotCanonical", func(t *testing.T) {
		for low := 0xed; low <= 0xff; low++ { // y from p up
			raw := bytes.Repeat([]byte{0xff}, 32)
			raw[0], raw[31] = byte(low), 0x7f
			_, err := trust.NewKey(raw)
			expect(t, err, trust.ReasonBadKey)
		}
	})
	t.Run("WrongLength", func(t *testing.T) {
		for _, n := range []int{0, 31, 33, 64} {
			_, err := trust.NewKey(make([]byte, n))
			expect(t, err, trust.ReasonBadKey)
		}
	})
	t.Run("EveryRealKeyIsTaken", func(t *testing.T) {
		for range 200 {
			private, err := trust.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := trust.KeyOf(private); err != nil {
				t.Fatalf("%x: %v", private.Public(), err)
			}
		}
	})
}

func TestGenerateKey(t *testing.T) {
	if _, err := trust.GenerateKey(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("31 random bytes made a key")
	}
	got, err := trust.GenerateKey(bytes.NewReader(private(7).Seed()))
	if err != nil || !got.Equal(private(7)) {
		t.Errorf("the key is not that of its seed: %v", err)
	}
}

func TestPEM(t *testing.T) {
	file, err := trust.EncodePrivateKey(private(7))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := trust.EncodePublicKey(public(t, 7))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("RoundTrip", func(t *testing.T) {
		if got, err := trust.DecodePrivateKey(file); err != nil || !got.Equal(private(7)) {
			t.Errorf("private: %v", err)
		}
		if got, err := trust.DecodePublicKey(pub); err != nil || got.ID != public(t, 7).ID {
			t.Errorf("public: %v, %v", got, err)
		}
	})
	t.Run("RFC8410", func(t *testing.T) { // the example key of RFC 8410, section 10.3
		example := "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n"
		key, err := trust.DecodePrivateKey([]byte(example))
		if err != nil {
			t.Fatal(err)
		}
		again, err := trust.EncodePrivateKey(key)
		if err != nil || string(again) != example {
			t.Errorf("got %s (%v)", again, err)
		}
	})
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	otherDER, _ := x509.MarshalPKCS8PrivateKey(other)
	otherPublic, _ := x509.MarshalPKIXPublicKey(&other.PublicKey)
	small, _ := x509.MarshalPKIXPublicKey(ed25519.PublicKey(make([]byte, 32)))
	for name, text := range map[string][]byte{
		"Empty": nil, "Text": []byte("hello"), "Swapped": pub, "Trailing": append(bytes.Clone(file), file...),
		"Junk":           pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("junk")}),
		"OtherAlgorithm": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: otherDER}),
	} {
		t.Run("Private"+name, func(t *testing.T) {
			_, err := trust.DecodePrivateKey(text)
			expect(t, err, trust.ReasonBadKey)
		})
	}
	for name, text := range map[string][]byte{
		"Empty": nil, "Swapped": file, "Trailing": append(bytes.Clone(pub), 'x'),
		"Junk":           pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("junk")}),
		"OtherAlgorithm": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: otherPublic}),
		"SmallOrder":     pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: small}),
	} {
		t.Run("Public"+name, func(t *testing.T) {
			_, err := trust.DecodePublicKey(text)
			expect(t, err, trust.ReasonBadKey)
		})
	}
	t.Run("HalvesOfTwoKeys", func(t *testing.T) {
		mixed := append(bytes.Clone(private(7)[:32]), private(8)[32:]...)
		_, err := trust.EncodePrivateKey(mixed)
		expect(t, err, trust.ReasonBadKey)
		_, err = trust.KeyOf(mixed[:20])
		expect(t, err, trust.ReasonBadKey)
	})
}
