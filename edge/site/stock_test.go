package site_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"holdfast/edge/site"
)

func TestApplier_MoveImages(t *testing.T) {
	s := newStage(t)
	if err := os.Mkdir(filepath.Join(s.Boot, site.ImagesFolder), 0o755); err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("layer", 100000)
	s.put("images/model.oci.tar", content)
	s.put("images/._model.oci.tar", "what a Mac leaves")
	s.before = func(change, _ string) error {
		if change == "rename" {
			return errCut
		}
		return nil
	}
	if _, err := s.applier().MoveImages(); !errors.Is(err, errCut) {
		t.Fatalf("got %v", err)
	}
	s.before = nil
	moved, err := s.applier().MoveImages()
	if err != nil || !slices.Equal(moved, []string{"model.oci.tar"}) {
		t.Fatalf("got %v and %v", moved, err)
	}
	if s.read(filepath.Join(s.State, "images", "model.oci.tar")) != content {
		t.Error("the image is not what it was")
	}
	left, _ := os.ReadDir(filepath.Join(s.State, "images"))
	if _, err := os.Stat(filepath.Join(s.Boot, "images/model.oci.tar")); err == nil || len(left) != 1 {
		t.Errorf("the image is still on the boot partition, or %v lie in the stock", left)
	}
}

// TestApplier_BootReadOnlyImages copies an image once, though it cannot be taken away.
func TestApplier_BootReadOnlyImages(t *testing.T) {
	s := newStage(t)
	if err := os.Mkdir(filepath.Join(s.Boot, site.ImagesFolder), 0o755); err != nil {
		t.Fatal(err)
	}
	s.put("images/model.oci.tar", "layers")
	copies := 0
	s.before = func(change, path string) error {
		if strings.HasPrefix(path, s.Boot) {
			return &fs.PathError{Op: change, Path: path, Err: syscall.EROFS}
		}
		if change == "copy" {
			copies++
		}
		return nil
	}
	for range 3 {
		if _, err := s.applier().MoveImages(); !errors.Is(err, syscall.EROFS) {
			t.Errorf("got %v, want it said that the image stays", err)
		}
	}
	if copies != 1 || s.read(filepath.Join(s.State, site.ImagesFolder, "model.oci.tar")) != "layers" {
		t.Errorf("got %d copies, want one", copies)
	}
	s.put("images/model.oci.tar", "LAYERS") // of the same size
	if _, err := s.applier().MoveImages(); err == nil || copies != 2 || s.read(filepath.Join(s.State, site.ImagesFolder, "model.oci.tar")) != "LAYERS" {
		t.Errorf("got %v and %d copies, want another image copied", err, copies)
	}
}
