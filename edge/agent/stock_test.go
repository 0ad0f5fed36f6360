package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"holdfast/edge"
)

// newStockRig is a stock in front of an image store whose archives hold the digit they
// consist of; one that begins with "x" is refused.
func newStockRig(t *testing.T) (s *stock, loaded *[]string, down *bool) {
	t.Helper()
	loaded, down = new([]string), new(bool)
	s = newStock(filepath.Join(t.TempDir(), "images"), slog.New(slog.DiscardHandler))
	if err := os.Mkdir(s.folder, 0o755); err != nil {
		t.Fatal(err)
	}
	s.images = func(context.Context) (held []edge.Image, err error) {
		if *down {
			return nil, edge.ErrUnavailable
		}
		for _, text := range *loaded {
			held = append(held, edge.Image{Digest: digestOf(text)})
		}
		return held, nil
	}
	s.load = func(_ context.Context, archive io.Reader) ([]edge.Image, error) {
		text, err := io.ReadAll(archive)
		if err != nil || strings.HasPrefix(string(text), "x") {
			return nil, errors.Join(err, edge.ErrInvalid)
		}
		*loaded = append(*loaded, string(text))
		return []edge.Image{{Digest: digestOf(string(text))}}, nil
	}
	return s, loaded, down
}

func digestOf(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

func (s *stock) put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.folder, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wants(digits ...string) *edge.Policy {
	p := &edge.Policy{}
	for _, d := range digits {
		p.Workloads = append(p.Workloads, edge.Workload{App: "line", Name: "w" + d, Image: "line.example/w@" + digestOf(d), Replicas: 1})
	}
	return p
}

func TestStock_Supply(t *testing.T) {
	s, loaded, down := newStockRig(t)
	want := func(policy *edge.Policy, missing string, archives ...string) {
		t.Helper()
		err := s.Supply(t.Context(), policy)
		if got := fmt.Sprint(err); missing == "" && err != nil || !strings.Contains(got, missing) {
			t.Errorf("got error %v, want one that names %q", err, missing)
		}
		if !slices.Equal(*loaded, archives) {
			t.Errorf("got archives %q imported, want %q", *loaded, archives)
		}
	}
	want(wants("1"), "line/w1") // nothing on stock
	s.put(t, "a.tar", "2")
	s.put(t, "b.tar", "xbroken")
	s.put(t, "c.tar", "1")
	s.put(t, "d.tar", "3")
	want(wants(), "")                          // nothing wanted, nothing read
	want(wants("1"), "", "2", "1")             // until it is there, past what is broken
	want(wants("1"), "", "2", "1")             // there already
	want(wants("4"), "line/w4", "2", "1", "3") // each archive once
	want(wants("4"), "line/w4", "2", "1", "3")
	s.put(t, "b.tar", "4") // mended
	want(wants("4"), "", "2", "1", "3", "4")
	*down = true
	if err := s.Supply(t.Context(), wants("4")); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("got %v, want %v", err, edge.ErrUnavailable)
	}
}

func TestOpenImage(t *testing.T) {
	folder := t.TempDir()
	if _, err := OpenImage(folder); !errors.Is(err, edge.ErrInvalid) {
		t.Errorf("a folder that is no layout: got %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "oci-layout"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	archive, err := OpenImage(folder)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(archive)
	if err != nil || !strings.HasPrefix(string(text), "oci-layout\x00") {
		t.Errorf("got %d bytes and error %v, want an archive of the layout", len(text), err)
	}
}

// TestStock_SupplyAgain takes away what was imported.
func TestStock_SupplyAgain(t *testing.T) {
	s, loaded, _ := newStockRig(t)
	s.put(t, "a.tar", "1")
	s.put(t, "b.tar", "2")
	s.put(t, "c.tar", "xbroken")
	supply := func(policy *edge.Policy, archives ...string) {
		t.Helper()
		*loaded = nil // all that was imported is gone from the image store
		if err := s.Supply(t.Context(), policy); err != nil {
			t.Errorf("got error %v, want none", err)
		}
		if !slices.Equal(*loaded, archives) {
			t.Errorf("got archives %q imported, want %q", *loaded, archives)
		}
	}
	supply(wants("2"), "1", "2") // what they hold is not known yet
	supply(wants("2"), "2")      // and nothing that is not asked for
	supply(wants("1"), "1")
	supply(wants("1", "2"), "1", "2")
	t.Run("Replaced", func(t *testing.T) {
		s.put(t, "b.tar", "31")
		*loaded = nil
		if err := s.Supply(t.Context(), wants("2")); !errors.Is(err, edge.ErrNotFound) {
			t.Errorf("got %v, want %v", err, edge.ErrNotFound)
		}
		if want := []string{"31"}; !slices.Equal(*loaded, want) {
			t.Errorf("got archives %q imported, want %q", *loaded, want)
		}
	})
	t.Run("Removed", func(t *testing.T) {
		for _, name := range []string{"a.tar", "b.tar", "c.tar"} {
			if err := os.Remove(filepath.Join(s.folder, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Supply(t.Context(), wants("1")); err == nil || len(s.gave) != 0 {
			t.Errorf("got error %v and %d archives remembered, want an error and none", err, len(s.gave))
		}
	})
}

// TestStock_SupplyNotItsFault fails to read an archive that is whole.
func TestStock_SupplyNotItsFault(t *testing.T) {
	s, loaded, _ := newStockRig(t)
	s.put(t, "a.tar", "1")
	load, full := s.load, errors.New("no space left")
	s.load = func(context.Context, io.Reader) ([]edge.Image, error) { return nil, full }
	if err := s.Supply(t.Context(), wants("1")); !errors.Is(err, full) || !errors.Is(err, edge.ErrNotFound) {
		t.Errorf("got %v, want what is missing and %v", err, full)
	}
	s.load = load
	if err := s.Supply(t.Context(), wants("1")); err != nil || len(*loaded) != 1 {
		t.Errorf("got %v and archives %q once there is room, want no error and one", err, *loaded)
	}
}

func TestStock_SupplyPipe(t *testing.T) {
	s, loaded, _ := newStockRig(t)
	if err := syscall.Mkfifo(filepath.Join(s.folder, "a.tar"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(s.folder, "b.tar")); err != nil {
		t.Fatal(err)
	}
	s.put(t, "c.tar", "1")
	if err := s.Supply(t.Context(), wants("1")); err != nil || len(*loaded) != 1 {
		t.Errorf("got %v and archives %q, want what lies behind the pipe", err, *loaded)
	}
}

// TestStock_SupplyEnds with its context, whoever has the turn.
func TestStock_SupplyEnds(t *testing.T) {
	s, _, _ := newStockRig(t)
	s.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Supply(ctx, wants("1")) }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	<-s.turn
	if err := s.Supply(t.Context(), wants()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestOpenImage_Pipe(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenImage(path); !errors.Is(err, edge.ErrInvalid) || edge.HintOf(err) == "" {
		t.Errorf("got %v with hint %q, want %v and one", err, edge.HintOf(err), edge.ErrInvalid)
	}
	t.Run("InALayout", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(folder, "oci-layout"), []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
		archive, err := OpenImage(folder)
		if err != nil {
			t.Fatal(err)
		}
		defer archive.Close()
		if _, err := io.Copy(io.Discard, archive); err == nil {
			t.Error("the pipe in the layout is part of the archive")
		}
	})
}
