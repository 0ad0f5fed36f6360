package fleet_test

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/trust"
)

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestKeygen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.key")
	key, err := fleet.Keygen(path, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if private, public := mode(t, path), mode(t, path+fleet.PublicSuffix); private != 0o600 || public&0o022 != 0 {
		t.Errorf("got modes %04o and %04o, want 0600 and one only the owner writes", private, public)
	}
	t.Run("ReadBack", func(t *testing.T) {
		private, err := fleet.ReadPrivateKey(path)
		if err != nil {
			t.Fatal(err)
		}
		own, err := trust.KeyOf(private)
		public, err2 := fleet.ReadPublicKey(path + fleet.PublicSuffix)
		if err != nil || err2 != nil || own.ID != key.ID || public.ID != key.ID {
			t.Errorf("got %s and %s, %v, %v, want %s", own.ID, public.ID, err, err2, key.ID)
		}
	})
	t.Run("NeverOverAFile", func(t *testing.T) {
		before := read(t, path)
		if _, err := fleet.Keygen(path, rand.Reader); !errors.Is(err, edge.ErrExists) || edge.HintOf(err) == "" {
			t.Errorf("got %v, want edge.ErrExists with a hint", err)
		}
		if string(read(t, path)) != string(before) {
			t.Error("the key was written over")
		}
	})
	t.Run("NoHalfPair", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "other.key")
		if err := os.WriteFile(path+fleet.PublicSuffix, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := fleet.Keygen(path, rand.Reader); !errors.Is(err, edge.ErrExists) {
			t.Errorf("got %v, want edge.ErrExists", err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want no private key without its public one", err)
		}
	})
	t.Run("ShortRandom", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "none.key")
		if _, err := fleet.Keygen(path, strings.NewReader("too short")); err == nil {
			t.Error("got a key from 9 bytes")
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want no file", err)
		}
	})
}

func TestReadPrivateKey_Refuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	if _, err := fleet.Keygen(path, rand.Reader); err != nil {
		t.Fatal(err)
	}
	t.Run("ReadableByOthers", func(t *testing.T) {
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := fleet.ReadPrivateKey(path); !errors.Is(err, edge.ErrInvalid) || !strings.Contains(edge.HintOf(err), "chmod 600") {
			t.Errorf("got %v, want a refusal that says what to do", err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := fleet.ReadPrivateKey(path); err != nil {
			t.Errorf("got %v, want the key", err)
		}
	})
	t.Run("PublicKey", func(t *testing.T) {
		if _, err := fleet.ReadPrivateKey(path + fleet.PublicSuffix); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want edge.ErrInvalid", err)
		}
	})
	t.Run("PrivateForPublic", func(t *testing.T) {
		if _, err := fleet.ReadPublicKey(path); !errors.Is(err, edge.ErrInvalid) || !strings.Contains(edge.HintOf(err), "k.pub") {
			t.Errorf("got %v, want a refusal that names k.pub", err)
		}
	})
	t.Run("Device", func(t *testing.T) {
		if _, err := fleet.ReadPrivateKey("/dev/zero"); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want edge.ErrInvalid", err)
		}
	})
}
