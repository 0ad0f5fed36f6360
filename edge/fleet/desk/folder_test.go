package desk_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/fleet/desk"
	"holdfast/edge/trust"
)

func newKey(tb testing.TB) ed25519.PrivateKey {
	tb.Helper()
	key, err := trust.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func openFolder(tb testing.TB) *desk.Folder {
	tb.Helper()
	folder, err := desk.OpenFolder(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	return folder
}

func restart(id string) desk.Draft {
	return desk.Draft{
		ID: id, Verb: edge.VerbRestart, Args: []byte(`{"target":"line/digits"}`),
		Audience: edge.Audience{Node: "gw-1"}, Expires: 10 * time.Minute, MaxBoots: 1,
	}
}

func sign(tb testing.TB, folder *desk.Folder, d desk.Draft, keys ...ed25519.PrivateKey) []byte {
	tb.Helper()
	envelope, _, err := folder.Sign(d, time.Now(), keys...)
	if err != nil {
		tb.Fatal(err)
	}
	kept, err := folder.KeepCommand(envelope)
	if err != nil {
		tb.Fatal(err)
	}
	return kept
}

func TestFolder_Sign(t *testing.T) {
	folder, key := openFolder(t), newKey(t)
	first := sign(t, folder, restart("again"), key)

	t.Run("SameIDSameBytes", func(t *testing.T) {
		envelope, again, err := folder.Sign(restart("again"), time.Now().Add(time.Hour))
		if err != nil || !again || !bytes.Equal(envelope, first) {
			t.Errorf("Sign = again %v, %v, same bytes %v; want the first ones, without a key", again, err, bytes.Equal(envelope, first))
		}
	})
	t.Run("SameIDOtherCommand", func(t *testing.T) {
		other := restart("again")
		other.Args = []byte(`{"target":"line/other"}`)
		if _, _, err := folder.Sign(other, time.Now(), key); !errors.Is(err, edge.ErrExists) {
			t.Errorf("Sign = %v, want %v", err, edge.ErrExists)
		}
	})
	t.Run("ANodeBelievesIt", func(t *testing.T) {
		public, err := trust.KeyOf(key)
		if err != nil {
			t.Fatal(err)
		}
		root, err := trust.NewRoot(1, []trust.Key{public}, map[trust.Role]trust.Grant{
			trust.RoleRoot: {KeyIDs: []string{public.ID}, Threshold: 1}, trust.RoleCommand: {KeyIDs: []string{public.ID}, Threshold: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		command, _, err := trust.AcceptCommand(root, edge.Identity{Node: "gw-1"}, first)
		if err != nil || command.Verb != edge.VerbRestart || command.Issuer != public.ID {
			t.Errorf("AcceptCommand = %+v, %v; want the restart", command, err)
		}
	})
	t.Run("NoKey", func(t *testing.T) {
		if _, _, err := folder.Sign(restart("other"), time.Now()); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("Sign = %v, want %v", err, edge.ErrInvalid)
		}
	})
	t.Run("IDLeavesTheFolder", func(t *testing.T) {
		if _, _, err := folder.Sign(restart("../../x"), time.Now(), key); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("Sign = %v, want %v", err, edge.ErrInvalid)
		}
	})
}

func TestFolder_KeepCommand(t *testing.T) {
	folder, one, two := openFolder(t), newKey(t), newKey(t)
	single := sign(t, folder, restart("both"), one)
	double, err := trust.Cosign(single, two)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := folder.KeepCommand(double); err != nil || !bytes.Equal(kept, double) {
		t.Errorf("with one more signature %v is kept (%v), want the new one", string(kept), err)
	}
	if kept, err := folder.KeepCommand(single); err != nil || !bytes.Equal(kept, double) {
		t.Errorf("with fewer signatures %v is kept (%v), want the one with more", string(kept), err)
	}
	foreign, _, err := openFolder(t).Sign(restart("both"), time.Now(), two)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := folder.KeepCommand(foreign); !errors.Is(err, edge.ErrExists) {
		t.Errorf("KeepCommand of another = %v, want %v", err, edge.ErrExists)
	}
}

func TestFolder_NextCounter(t *testing.T) {
	folder := openFolder(t)
	now := time.Now()
	last := uint64(0)
	for _, at := range []time.Time{now, now, now.Add(-time.Hour), {}, now.Add(time.Second)} {
		next, err := folder.NextCounter("issuer", at)
		if err != nil || next <= last {
			t.Fatalf("NextCounter(%v) = %d, %v; want more than %d", at, next, err, last)
		}
		last = next
	}
	if last != uint64(now.Add(time.Second).UnixMicro()) {
		t.Errorf("the counter is %d, want the clock's %d", last, now.Add(time.Second).UnixMicro())
	}
	if _, err := folder.NextCounter("../x", now); err == nil {
		t.Error("an issuer that leaves the folder is counted for, want an error")
	}
}
