package rauc_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/rauc"
)

// standIn is a rauc that does what a script says.
func standIn(t *testing.T, script string) *rauc.Tool {
	t.Helper()
	program := filepath.Join(t.TempDir(), "rauc")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return rauc.New(program, os.Environ()).DescribedBy(program)
}

// What rauc 1.8 was seen to write.
const (
	twoSystems = `{"compatible":"try","variant":"","booted":"A","boot_primary":"rootfs.1","slots":[` +
		`{"rootfs.1":{"class":"rootfs","device":"/dev/b","type":"raw","bootname":"B","state":"inactive","parent":null,"mountpoint":null,"boot_status":"good",` +
		`"slot_status":{"bundle":{"compatible":"try","version":"2"},"checksum":{"sha256":"1e","size":3000000},"installed":{"timestamp":"2026-11-22T04:31:23Z","count":1},"status":"ok"}}},` +
		`{"rootfs.0":{"class":"rootfs","device":"/dev/a","type":"raw","bootname":"A","state":"booted","parent":null,"mountpoint":null,"boot_status":"bad","slot_status":{"bundle":{"compatible":null}}}}]}`
	whileBusy = `{"compatible":"try","variant":"","booted":"A","boot_primary":"rootfs.1","slots":[` +
		`{"rootfs.1":{"class":"rootfs","device":"/dev/b","type":"raw","bootname":"B","state":"inactive","parent":null,"mountpoint":null,"boot_status":"good"}}]}`
	goes = `
echo installing
echo '  0% Installing'
echo ' 40% Verifying signature done.'
echo '100% Installing done.'
echo 'Installing $2 succeeded'`
	mismatch = `
echo '  0% Installing'
echo '100% Installing failed.'
echo "LastError: Installation error: Compatible mismatch: Expected 'try' but bundle manifest has 'other'"
echo 'Installing $2 failed' >&2
exit 1`
	busy = `
echo 'Failed GDBus.Error:org.gtk.GDBus.UnmappedGError.Quark._g_2dio_2derror_2dquark.Code30: Already processing a different method' >&2
echo 'D-Bus error while installing $2' >&2
exit 2`
)

func TestTool_Status(t *testing.T) {
	t.Run("TwoSystems", func(t *testing.T) {
		s, err := standIn(t, "cat <<'E'\n"+twoSystems+"\nE\n").Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		booted, is := s.Booted()
		next, known := s.Next()
		if !is || booted != (rauc.Slot{Name: "rootfs.0", Bootname: "A", Booted: true}) {
			t.Errorf("booted is %+v, %v", booted, is)
		}
		if !known || next != (rauc.Slot{Name: "rootfs.1", Bootname: "B", Good: true, Version: "2"}) {
			t.Errorf("next is %+v, %v", next, known)
		}
	})
	for name, script := range map[string]string{
		"Busy": "cat <<'E'\n" + whileBusy + "\nE\n", "Garbage": "echo '{\"slots\": 7'", "Silent": "", "Fails": "echo 'no service' >&2; exit 1", "Killed": "kill -9 $$",
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := standIn(t, script).Status(t.Context()); !errors.Is(err, edge.ErrUnavailable) {
				t.Errorf("got %+v, %v; want it to be unavailable", s, err)
			}
		})
	}
	t.Run("Undescribed", func(t *testing.T) {
		none := filepath.Join(t.TempDir(), "system.conf")
		if _, err := standIn(t, "exit 1").DescribedBy(none).Status(t.Context()); !errors.Is(err, rauc.ErrUndescribed) || !errors.Is(err, edge.ErrInvalid) || !strings.Contains(edge.HintOf(err), "system.conf") {
			t.Errorf("got %v", err)
		}
		if _, err := standIn(t, "cat <<'E'\n"+twoSystems+"\nE\n").DescribedBy(none).Status(t.Context()); err != nil {
			t.Errorf("got %v; what rauc says counts, wherever it has that from", err)
		}
	})
	t.Run("NotThere", func(t *testing.T) {
		_, err := rauc.New(filepath.Join(t.TempDir(), "rauc"), nil).Status(t.Context())
		if !errors.Is(err, rauc.ErrMissing) || !errors.Is(err, edge.ErrInvalid) || !strings.Contains(edge.HintOf(rauc.New("/nowhere/rauc", nil).Missing()), "apt install rauc") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTool_Describe(t *testing.T) {
	for name, c := range map[string]struct {
		script, want string
		is           error
	}{
		"Good":      {script: `[ "$1 $2 $3" = "info --output-format=json /b" ] && echo '{"compatible":"try","version":"2","images":[]}'`},
		"NoVersion": {script: `echo '{"compatible":"try","version":null}'`, want: "says no version", is: edge.ErrInvalid},
		"NotSigned": {script: "echo 'rauc-Message: Reading bundle: /b' >&2; echo 'signature verification failed: no signer' >&2; exit 1", want: "signature verification failed: no signer", is: edge.ErrInvalid},
		"Plain":     {script: "echo 'Failed to extract manifest from bundle: Failed to start unsquashfs: none' >&2; exit 1", want: "unsquashfs", is: edge.ErrInvalid},
		"Crashes":   {script: "kill -11 $$", want: "does not take", is: nil},
		"Garbage":   {script: "echo nothing of the kind", want: "cannot read", is: edge.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := standIn(t, c.script).Describe(t.Context(), "/b")
			if c.want == "" {
				if err != nil || b != (rauc.Bundle{Compatible: "try", Version: "2"}) {
					t.Errorf("got %+v, %v", b, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v, want %q and %v", err, c.want, c.is)
			}
			if hint := edge.HintOf(err); name == "Plain" && !strings.Contains(hint, "verity") {
				t.Errorf("the hint is %q", hint)
			}
		})
	}
}

func TestTool_Install(t *testing.T) {
	t.Run("Goes", func(t *testing.T) {
		var heard []string
		err := standIn(t, goes).Install(t.Context(), "/b", func(percent int, step string) { heard = append(heard, fmt.Sprint(percent, step)) })
		if got := strings.Join(heard, ","); err != nil || got != "0Installing,40Verifying signature done.,100Installing done." {
			t.Errorf("got %v, heard %q", err, got)
		}
	})
	nothing := func(int, string) {}
	for name, c := range map[string]struct {
		script, want string
		is, not      error
	}{
		"Mismatch": {mismatch, "Compatible mismatch: Expected 'try'", edge.ErrInvalid, edge.ErrUnavailable},
		"Busy":     {busy, "Already processing a different method", edge.ErrUnavailable, edge.ErrInvalid},
		"Killed":   {"echo ' 10% Installing'; kill -9 $$", "signal: killed", edge.ErrUnavailable, edge.ErrInvalid},
		"Silent":   {"exit 1", "it says nothing", edge.ErrInvalid, edge.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			err := standIn(t, c.script).Install(t.Context(), "/b", nothing)
			if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.is) || errors.Is(err, c.not) {
				t.Errorf("got %v, want %q and %v", err, c.want, c.is)
			}
		})
	}
	t.Run("Garbage", func(t *testing.T) {
		const garbage = `
head -c 300000 /dev/zero | tr '\0' 'x'; echo
echo '900% too much'; echo 'x% none'; printf '\033[2J\n'; echo ' 50% \033[31mhalf'
printf 'LastError: \033[2Jit\000 broke\n'
head -c 900000 /dev/zero | tr '\0' 'y' >&2
exit 1`
		var heard []string
		err := standIn(t, garbage).Install(t.Context(), "/b", func(percent int, step string) { heard = append(heard, fmt.Sprint(percent, step)) })
		if err == nil || !strings.HasSuffix(err.Error(), "[2Jit broke") || strings.ContainsRune(err.Error(), 0x1b) || len(heard) != 1 || strings.ContainsRune(heard[0], 0x1b) {
			t.Errorf("got %q, heard %q", err, heard)
		}
	})
	t.Run("GivenUp", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		err := standIn(t, "echo ' 10% Installing'; sleep 60 & wait").Install(ctx, "/b", func(int, string) { cancel() })
		if !errors.Is(err, context.Canceled) || time.Since(began) > 30*time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}
