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

func begin(t *testing.T) (string, *fleet.Made) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "fleet")
	made, err := fleet.Init(t.Context(), folder, fleet.DefaultQuorums(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return folder, made
}

func keyPath(folder, name string) string {
	return filepath.Join(folder, fleet.KeysFolder, name+".key")
}

func TestInit(t *testing.T) {
	folder, made := begin(t)
	if len(made.Keys) != 8 || len(made.Files) != 3 {
		t.Errorf("got %+v, want 8 keys and 3 files", made)
	}
	for _, key := range made.Keys {
		if got := mode(t, key.File); got != 0o600 {
			t.Errorf("got %s with mode %04o, want 0600", key.File, got)
		}
	}
	t.Run("RootIsBelieved", func(t *testing.T) {
		root, err := fleet.ReadRoot(filepath.Join(folder, fleet.RootFile))
		if err != nil || root.Version != 1 || root.Roles[trust.RoleRoot].Threshold != 2 {
			t.Fatalf("got %+v, %v, want version 1 with two of three keys", root, err)
		}
		for _, role := range trust.Roles {
			if len(root.Roles[role].KeyIDs) == 0 {
				t.Errorf("nobody holds the role %s", role)
			}
		}
	})
	t.Run("ExampleBuilds", func(t *testing.T) {
		path := filepath.Join(folder, fleet.PolicyExample)
		built, err := build(t, path, read(t, path))
		if err != nil || len(built.Policy.Workloads) != 1 {
			t.Errorf("got %+v, %v, want the one workload of the example", built, err)
		}
	})
	t.Run("NotTwice", func(t *testing.T) {
		before := read(t, filepath.Join(folder, fleet.RootFile))
		_, err := fleet.Init(t.Context(), folder, fleet.DefaultQuorums(), rand.Reader)
		if !errors.Is(err, edge.ErrExists) {
			t.Errorf("got %v, want edge.ErrExists", err)
		}
		if string(read(t, filepath.Join(folder, fleet.RootFile))) != string(before) {
			t.Error("the root document was written over")
		}
	})
}

// TestInit_LeavesNothing: what fails half-way takes its files away again.
func TestInit_LeavesNothing(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "fleet")
	_, err := fleet.Init(t.Context(), folder, fleet.DefaultQuorums(), strings.NewReader(strings.Repeat("x", 100)))
	if err == nil {
		t.Fatal("got a fleet of 100 random bytes")
	}
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want no folder", err)
	}
}

func TestParseQuorum(t *testing.T) {
	role, quorum, err := fleet.ParseQuorum("policy=2/3")
	if err != nil || role != trust.RolePolicy || quorum != (fleet.Quorum{Keys: 3, Threshold: 2}) {
		t.Errorf("got %s, %+v, %v, want two of three", role, quorum, err)
	}
	for _, text := range []string{"", "policy", "polcy=1/1", "policy=0/1", "policy=2/1", "policy=1/9", "policy=a/b", "policy=1"} {
		if _, _, err := fleet.ParseQuorum(text); !errors.Is(err, edge.ErrInvalid) || edge.HintOf(err) == "" {
			t.Errorf("%q: got %v, want edge.ErrInvalid with a hint", text, err)
		}
	}
}

// TestRotation goes from one root document to the next, as an operator does.
func TestRotation(t *testing.T) {
	folder, _ := begin(t)
	if _, err := fleet.Keygen(keyPath(folder, "root-4"), rand.Reader); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(folder, fleet.RootSource)
	text := strings.NewReplacer("version: 1", "version: 2", "root-1.key.pub", "root-4.key.pub").Replace(string(read(t, source)))
	built, err := build(t, source, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	root, err := fleet.ReadRoot(filepath.Join(folder, fleet.RootFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		keys   []string
		reason trust.Reason
	}{
		{"OldAndNew", []string{"root-1", "root-2", "root-4"}, ""},
		{"HeldByBoth", []string{"root-2", "root-3"}, ""},
		{"NewOnly", []string{"root-4", "root-3"}, trust.ReasonThreshold},
		{"OldOnly", []string{"root-1", "root-3"}, trust.ReasonThreshold},
		{"PolicyKey", []string{"policy-1"}, trust.ReasonWrongRole},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := signed(t, folder, built.Payload, tt.keys...).Verify(root)
			if got := trust.ReasonOf(err); got != tt.reason || err != nil && tt.reason == "" {
				t.Errorf("got %v, want reason %q", err, tt.reason)
			}
		})
	}
}

// signed signs by one key after the other, as several people would.
func signed(t *testing.T, folder string, raw []byte, names ...string) *fleet.Document {
	t.Helper()
	for _, name := range names {
		document, err := fleet.OpenDocument(raw)
		if err != nil {
			t.Fatal(err)
		}
		key, err := fleet.ReadPrivateKey(keyPath(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = document.Sign(key); err != nil {
			t.Fatal(err)
		}
	}
	document, err := fleet.OpenDocument(raw)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestDocument_Verify(t *testing.T) {
	folder, _ := begin(t)
	root, err := fleet.ReadRoot(filepath.Join(folder, fleet.RootFile))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, fleet.PolicyExample)
	built, err := build(t, path, read(t, path))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("Signed", func(t *testing.T) {
		verified, err := signed(t, folder, built.Payload, "policy-1").Verify(root)
		if err != nil || len(verified.Signers) != 1 || verified.Role != trust.RolePolicy {
			t.Errorf("got %+v, %v, want one signer", verified, err)
		}
	})
	t.Run("OfAFileWithANewline", func(t *testing.T) {
		document := signed(t, folder, append(built.Payload, '\n'), "policy-1")
		if string(document.Payload) != string(built.Payload) {
			t.Errorf("got %q signed, want the document without the end of its file", document.Payload)
		}
	})
	t.Run("NotSigned", func(t *testing.T) {
		document, err := fleet.OpenDocument(built.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := document.Verify(root); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want edge.ErrInvalid", err)
		}
	})
	t.Run("WrongRole", func(t *testing.T) {
		if _, err := signed(t, folder, built.Payload, "command-1").Verify(root); trust.ReasonOf(err) != trust.ReasonWrongRole {
			t.Errorf("got %v, want %s", err, trust.ReasonWrongRole)
		}
	})
	t.Run("OtherFleet", func(t *testing.T) {
		other, _ := begin(t)
		if _, err := signed(t, other, built.Payload, "policy-1").Verify(root); trust.ReasonOf(err) != trust.ReasonUnknownKey {
			t.Errorf("got %v, want %s", err, trust.ReasonUnknownKey)
		}
	})
	t.Run("RootItself", func(t *testing.T) {
		document, err := fleet.ReadDocument(filepath.Join(folder, fleet.RootFile))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := document.Verify(root); err != nil {
			t.Errorf("got %v, want it believed", err)
		}
	})
	t.Run("SecondRootOfOneVersion", func(t *testing.T) {
		source := filepath.Join(folder, fleet.RootSource)
		text := strings.Replace(string(read(t, source)), "  release: {threshold: 1", "  release: {description: other, threshold: 1", 1)
		built, err := build(t, source, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signed(t, folder, built.Payload, "root-1", "root-2").Verify(root); err == nil {
			t.Error("got two root documents of one version believed")
		}
	})
	t.Run("NeitherKind", func(t *testing.T) {
		for _, raw := range []string{"", "apiVersion: holdfast/v1", "{}", `{"kind":"Secret"}`, `{"payloadType":"x"}`, "[1]"} {
			if document, err := fleet.OpenDocument([]byte(raw)); !errors.Is(err, edge.ErrInvalid) || document != nil {
				t.Errorf("%q: got %+v, %v, want edge.ErrInvalid", raw, document, err)
			}
		}
	})
}
