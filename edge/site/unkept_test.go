package site_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/edge/site"
)

// TestApplier_NothingIsKept applies a file on a node whose own disk lies in memory: the file
// is all that lasts, and the next start, with a disk, finds it.
func TestApplier_NothingIsKept(t *testing.T) {
	s := newStage(t)
	key := s.putSimple()
	if err := os.Mkdir(filepath.Join(s.Boot, site.ImagesFolder), 0o755); err != nil {
		t.Fatal(err)
	}
	s.put("images/model.oci.tar", "layers")
	s.memory = func(folder string) bool { return folder == s.State || folder == s.Etc }
	s.before = func(change, path string) error {
		if strings.HasPrefix(path, s.Boot) {
			t.Errorf("%s %s: want the boot partition left as it is", change, path)
		}
		return nil
	}
	for range 2 {
		outcome := s.apply()
		if !outcome.Done || !outcome.Unkept || !slices.Equal(outcome.Left, []string{site.Name, "gw.key"}) || len(outcome.Notes) != 1 || len(s.node()) != 7 {
			t.Errorf("got %+v and %d files, want it applied, and said that nothing is kept", outcome, len(s.node()))
		}
		if moved, err := s.applier().MoveImages(); err == nil || len(moved) > 0 {
			t.Errorf("got %v and %v, want the images to stay", moved, err)
		}
	}
	if said := site.Console(site.Standing{Report: s.apply().Report}); !strings.Contains(said, "KEEPS NOTHING") || strings.Contains(said, "...") {
		t.Errorf("the console says:\n%s", said)
	}
	if s.read(filepath.Join(s.Boot, site.Name)) != simple || s.read(filepath.Join(s.Boot, "gw.key")) != key {
		t.Error("the file or the key is not what it was")
	}
	for _, folder := range []string{s.State, s.Etc} { // the next start: memory is empty, and there is a disk
		if err := errors.Join(os.RemoveAll(folder), os.Mkdir(folder, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	s.memory, s.before = func(string) bool { return false }, nil
	if outcome := s.apply(); !outcome.Done || outcome.Unkept || len(outcome.Left) > 0 || len(s.node()) != 7 || len(holds(t, s.Boot, secretWord)) > 0 {
		t.Errorf("got %+v and %d files, want it applied for good", outcome, len(s.node()))
	}
	if moved, err := s.applier().MoveImages(); err != nil || len(moved) != 1 {
		t.Errorf("got %v and %v", moved, err)
	}
}

// TestApplier_AsksTheKernel has the kernel tell what lies in memory.
func TestApplier_AsksTheKernel(t *testing.T) {
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Logf("no memory to look at: %v", err)
		return
	}
	s := newStage(t)
	s.Boot, s.State = "/proc", "/dev/shm/there/is/none"
	if !s.applier().Unkept() {
		t.Error("got a state in memory taken for one that lasts")
	}
	s.State, s.Etc = "/proc/self", "/proc"
	if s.applier().Unkept() {
		t.Error("got folders that are not in memory taken for such")
	}
}
