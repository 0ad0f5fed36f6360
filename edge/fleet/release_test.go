package fleet_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/fleet"
)

// program is an ELF head for a machine, and so many bytes after it.
func program(machine byte, more int) []byte {
	head := make([]byte, 20, 20+more)
	copy(head, "\x7fELF")
	head[18] = machine
	return append(head, bytes.Repeat([]byte{machine}, more)...)
}

func put(t *testing.T, folder, platform string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, edge.ArtifactFile(platform)), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestBuildRelease(t *testing.T) {
	words := fleet.ReleaseWords{Version: "1.5.0", Sequence: 15, Notes: "mends it"}
	t.Run("TwoMachines", func(t *testing.T) {
		dir := t.TempDir()
		put(t, dir, "linux/amd64", program(62, edge.PieceSize))
		put(t, dir, "linux/armv7", program(40, 5))
		release, payload, err := fleet.BuildRelease(dir, words)
		if err != nil {
			t.Fatal(err)
		}
		if a := release.Artifacts["linux/amd64"]; a.Size != edge.PieceSize+20 || len(a.Pieces) != 2 {
			t.Errorf("the program is %+v", a)
		}
		again, err := edge.DecodeRelease(payload)
		if err != nil || again.Sequence != 15 || len(again.Artifacts) != 2 || again.Notes != "mends it" {
			t.Errorf("the document says %+v, %v", again, err)
		}
		if have, err := fleet.CheckRelease(release, dir); err != nil || strings.Join(have, " ") != "linux/amd64 linux/armv7" {
			t.Errorf("there are %q, %v", have, err)
		}
		if err := os.Remove(filepath.Join(dir, edge.ArtifactFile("linux/armv7"))); err != nil {
			t.Fatal(err)
		}
		put(t, dir, "linux/amd64", program(62, 9))
		if have, err := fleet.CheckRelease(release, dir); !errors.Is(err, edge.ErrInvalid) || len(have) > 0 {
			t.Errorf("of another program there are %q, %v", have, err)
		}
	})
	for name, c := range map[string]struct {
		platform string
		content  []byte
		words    fleet.ReleaseWords
		want     string
	}{
		"NoProgram":    {"linux/amd64", []byte("#!/bin/sh\nexit 0\n a script"), words, "no ELF program"},
		"WrongMachine": {"linux/amd64", program(183, 1), words, "ELF machine 183"},
		"OddName":      {"linux/am.d64", program(62, 1), words, "artifacts.linux/am.d64"},
		"NoSequence":   {"linux/amd64", program(62, 1), fleet.ReleaseWords{Version: "1"}, "sequence"},
		"NoVersion":    {"linux/amd64", program(62, 1), fleet.ReleaseWords{Sequence: 1}, "version"},
		"Nothing":      {"other", program(62, 1), words, "there is no program"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, c.platform, c.content)
			_, _, err := fleet.BuildRelease(dir, c.words)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
