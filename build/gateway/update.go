package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"holdfast/build/rootfs"
	"holdfast/edge"
)

// The systems that a gateway is updated to in a proof.
const (
	goodSystem = "good" // the image's own, by another version
	badSystem  = "bad"  // nothing that could be started
)

// otherVersion is that of either.
const otherVersion = "another"

// systemAfter is where the system lies that has to run in the end.
func systemAfter(update string) string {
	if update == goodSystem {
		return "B"
	}
	return "A"
}

// armUpdate makes the bundle of the proof, if it is to have any.
func (p *place) armUpdate(ctx context.Context, update, to string) error {
	switch update {
	case "":
		return nil
	case goodSystem:
		return p.bundleOf(ctx, p.squashed(), otherVersion, to)
	case badSystem:
		noise := make([]byte, 8<<20)                   // the same in every run
		_, _ = rand.NewChaCha8([32]byte{}).Read(noise) // which never fails
		system := p.path("bad.img")
		defer os.Remove(system)
		if err := rootfs.Write(system, noise, 0o644); err != nil {
			return err
		}
		return p.bundleOf(ctx, system, otherVersion, to)
	}
	return fmt.Errorf("cannot prove update %q: it is none of %s, %s: %w", update, goodSystem, badSystem, edge.ErrInvalid)
}

// installing takes note of what was said while another system was installed.
func (s *seen) installing(line string) error {
	s.update = append(s.update, line)
	if code, is := strings.CutPrefix(line, "ended "); is && code != "0" {
		return fmt.Errorf("the other system was not installed: %s", strings.Join(s.update, "; "))
	}
	return nil
}

// judgeUpdate says what is wrong with what became of the update, by the agent's own word, and
// tells how it went.
func (s *seen) judgeUpdate(arch, update string) error {
	for _, line := range s.update {
		fmt.Println("gateway: holdfast update-system:", line)
	}
	var wrong faults
	system := s.status.System
	if system == nil || system.Last == nil {
		wrong.unless(false, "the agent does not say what became of the other system: %+v", system)
		return wrong.of(arch)
	}
	stays := update == goodSystem
	wrong.unless(system.Last.Version == otherVersion && system.Last.Runs == stays, "got %+v, want version %s to run: %v", *system.Last, otherVersion, stays)
	wrong.unless((system.Version == otherVersion) == stays, "got version %q in service", system.Version)
	wrong.unless((len(system.Rejected) == 0) == stays, "got rejected %+v", system.Rejected)
	if wrong == nil {
		fmt.Printf("gateway: %s: version %q runs, from %s; version %s stays: %v%s\n", arch, system.Version, system.Slot, otherVersion, stays, because(system.Last.Why))
	}
	return wrong.of(arch)
}

// because puts a reason behind what it is one for, if there is any.
func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}
