package seal_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/seal"
)

func generate(t testing.TB) seal.Identity {
	t.Helper()
	key, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSeal_Open(t *testing.T) {
	one, two, stranger := generate(t), generate(t), generate(t)
	value := []byte("s3cr\x00et\n")
	sealed, err := seal.Seal(value, []string{one.Recipient(), two.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]seal.Identity{"First": one, "Second": two} {
		t.Run(name, func(t *testing.T) {
			got, err := key.Open(sealed)
			if err != nil || !bytes.Equal(got, value) {
				t.Errorf("got %q, %v, want %q", got, err, value)
			}
		})
	}
	t.Run("KeyFromItsFile", func(t *testing.T) {
		again, err := seal.ParseIdentity(one.Text())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := again.Open(sealed); err != nil || !bytes.Equal(got, value) {
			t.Errorf("got %q, %v, want %q", got, err, value)
		}
	})
	t.Run("Stranger", func(t *testing.T) {
		got, err := stranger.Open(sealed)
		if !errors.Is(err, edge.ErrInvalid) || got != nil || !strings.Contains(edge.HintOf(err), stranger.Recipient()) {
			t.Errorf("got %q, %v (%s), want a refusal that names the key to seal for", got, err, edge.HintOf(err))
		}
	})
	t.Run("NothingToSee", func(t *testing.T) {
		raw, err := base64.StdEncoding.DecodeString(sealed)
		if err != nil || bytes.Contains(raw, value) || bytes.Contains(raw, []byte(one.Recipient())) {
			t.Errorf("what was sealed shows its value or its node: %q, %v", raw, err)
		}
	})
	t.Run("EveryByteCounts", func(t *testing.T) {
		raw, _ := base64.StdEncoding.DecodeString(sealed)
		for i := range raw {
			changed := bytes.Clone(raw)
			changed[i] ^= 1
			got, err := one.Open(base64.StdEncoding.EncodeToString(changed))
			if err == nil && !bytes.Equal(got, value) {
				t.Fatalf("byte %d changed: got %q", i, got)
			}
		}
	})
}

func TestSeal_Refuses(t *testing.T) {
	key := generate(t)
	for name, test := range map[string]struct {
		value      []byte
		recipients []string
	}{
		"Empty":        {nil, []string{key.Recipient()}},
		"TooLarge":     {make([]byte, edge.MaxSecret+1), []string{key.Recipient()}},
		"NoNode":       {[]byte("x"), nil},
		"NotAKey":      {[]byte("x"), []string{"age1"}},
		"PrivateKey":   {[]byte("x"), []string{string(key.Text())}},
		"OneOfTwoGood": {[]byte("x"), []string{key.Recipient(), "ssh-ed25519 AAAA"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := seal.Seal(test.value, test.recipients)
			if !errors.Is(err, edge.ErrInvalid) || got != "" || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("got %q, %v, want edge.ErrInvalid that repeats no key", got, err)
			}
		})
	}
	t.Run("NotAKeyFile", func(t *testing.T) {
		secretLooking := "AGE-SECRET-KEY-1NOTREALLY"
		if _, err := seal.ParseIdentity([]byte(secretLooking)); !errors.Is(err, edge.ErrInvalid) || strings.Contains(err.Error(), "NOTREALLY") {
			t.Errorf("got %v, want edge.ErrInvalid that does not repeat the file", err)
		}
	})
}

func FuzzIdentity_Open(f *testing.F) {
	key := generate(f)
	sealed, err := seal.Seal([]byte("value"), []string{key.Recipient()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add("")
	f.Add("YWdlLWVuY3J5cHRpb24ub3JnL3YxCg==")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := key.Open(text)
		if err == nil && string(got) != "value" {
			t.Errorf("got %q from what was not sealed", got)
		}
	})
}
