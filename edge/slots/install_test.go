package slots_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"holdfast/edge/slots"
)

func TestStore_Install(t *testing.T) {
	t.Run("SlotsInTurn", func(t *testing.T) {
		g := newGateway(t)
		if got := g.confirmed("2", 2); got != slots.A {
			t.Errorf("the first goes to %q", got)
		}
		if got := g.confirmed("3", 3); got != slots.B {
			t.Errorf("the second goes to %q", got)
		}
		if got := g.install("4", 4); got != slots.A {
			t.Errorf("the third goes to %q, over what is not confirmed", got)
		}
		g.wantStart("3")
		info, err := os.Stat(g.store().Path(slots.A))
		must(t, err)
		if info.Mode().Perm() != 0o755 {
			t.Errorf("its mode is %v", info.Mode())
		}
	})
	t.Run("RatherOverWhatCannotRun", func(t *testing.T) {
		g := newGateway(t)
		g.confirmed("2", 2) // in a
		g.confirmed("3", 3) // in b
		write(t, g.store().Path(slots.B), nil)
		g.wantStart("2")
		if got := g.install("4", 4); got != slots.B {
			t.Errorf("it goes to %q", got)
		}
	})
	t.Run("NoneFreeOnTrial", func(t *testing.T) {
		g := newGateway(t)
		g.confirmed("2", 2)
		g.try("3", 3)
		g.wantStart("3")
		_, err := g.store().Free()
		wantError(t, err, "cannot install: version 3 is on trial")
	})
	t.Run("BelowTheFloor", func(t *testing.T) {
		g := newGateway(t)
		g.confirmed("5", 5)
		content := program("4")
		_, err := g.store().Install(t.Context(), describe("4", 4, content), bytes.NewReader(content))
		wantError(t, err, "cannot install version 4: its sequence 4 is below the floor of 5")
		g.install("5b", 5)
	})
	t.Run("KnownToBeBad", func(t *testing.T) {
		g := newGateway(t)
		name := g.install("2", 2)
		must(t, g.store().Reject(name, "its self-test failed:\x1b[2J no key"))
		content := program("2")
		b := describe("2", 2, content)
		_, err := g.store().Install(t.Context(), b, bytes.NewReader(content))
		wantError(t, err, "cannot install version 2: it was found bad: its self-test failed: [2J no key")
		must(t, g.store().Pardon(b.Digest))
		if got := g.install("2", 2); got != name {
			t.Errorf("it goes to %q", got)
		}
		wantError(t, g.store().Pardon(b.Digest), "it was not found bad")
	})
}

// TestStore_InstallRefused: what is not whole comes into no slot, and is not left lying
// about.
func TestStore_InstallRefused(t *testing.T) {
	whole := program("2")
	described := describe("2", 2, whole)
	foreign := programFor(map[bool]string{true: "arm64", false: "amd64"}[goruntime.GOARCH == "amd64"], "2")
	for name, c := range map[string]struct {
		from  io.Reader
		what  slots.Binary
		words string
	}{
		"Truncated":        {bytes.NewReader(whole[:100]), described, fmt.Sprintf("it has 100 bytes, and should have %d", len(whole))},
		"TooMuch":          {io.MultiReader(bytes.NewReader(whole), iotest.ErrReader(io.ErrClosedPipe)), described, "closed pipe"},
		"Longer":           {io.MultiReader(bytes.NewReader(whole), strings.NewReader("more")), described, "should have"},
		"Changed":          {bytes.NewReader(append(bytes.Clone(whole[:len(whole)-1]), 'x')), described, "its digest is sha256:"},
		"OtherMachine":     {bytes.NewReader(foreign), describe("2", 2, foreign), "it is for another architecture than " + goruntime.GOARCH},
		"NoProgram":        {strings.NewReader(strings.Repeat("#!/bin/sh\n", 10)), describe("2", 2, bytes.Repeat([]byte("#!/bin/sh\n"), 10)), "it is not a program"},
		"ConnectionBroken": {io.MultiReader(bytes.NewReader(whole[:50]), iotest.ErrReader(errors.New("reset"))), described, "cannot install version 2: reset"},
		"NoVersion":        {bytes.NewReader(whole), describe("", 2, whole), `version "" is not accepted`},
		"StrangeVersion":   {bytes.NewReader(whole), describe("2 \x1b", 2, whole), "is not accepted"},
		"NoDigest":         {bytes.NewReader(whole), slots.Binary{Version: "2", Digest: "sha256:12", Size: 2120}, "digest"},
		"Huge":             {bytes.NewReader(whole), slots.Binary{Version: "2", Digest: described.Digest, Size: 1 << 40}, "size of"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			_, err := g.store().Install(t.Context(), c.what, c.from)
			wantError(t, err, c.words)
			if files, _ := filepath.Glob(filepath.Join(g.Dir, "*", "*")); len(files) > 0 {
				t.Errorf("it has left %q", files)
			}
			g.wantStart(factoryVersion)
		})
	}
}

func TestStore_Adopt(t *testing.T) {
	t.Run("PutTogetherElsewhere", func(t *testing.T) {
		g := newGateway(t)
		path, slot, err := g.store().Incoming()
		must(t, err)
		content := program("2")
		write(t, path, content)
		got, err := g.store().Adopt(t.Context(), describe("2", 2, content))
		must(t, err)
		if got != slot {
			t.Errorf("it is in %q, want %q", got, slot)
		}
		must(t, g.store().Switch(got))
		g.wantStart("2")
	})
	t.Run("KeptWhenToldToStop", func(t *testing.T) {
		g := newGateway(t)
		path, _, err := g.store().Incoming()
		must(t, err)
		content := program("2")
		write(t, path, content)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.store().Adopt(ctx, describe("2", 2, content)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
			t.Errorf("what was fetched is gone: %v", err)
		}
	})
	t.Run("NothingThere", func(t *testing.T) {
		g := newGateway(t)
		_, err := g.store().Adopt(t.Context(), describe("2", 2, program("2")))
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("DiskFull", func(t *testing.T) {
		g := newGateway(t)
		g.confirmed("2", 2)
		g.Disk = &brokenDisk{creates: syscall.ENOSPC}
		content := program("3")
		_, err := g.store().Install(t.Context(), describe("3", 3, content), bytes.NewReader(content))
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v", err)
		}
		g.wantStart("2")
	})
}
