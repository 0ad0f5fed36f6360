package agent

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"holdfast/edge"
)

// naming has the archives of a stock rig tell names: "w" and the digit they consist of.
func naming(s *stock) (looks *int) {
	looks = new(int)
	s.names = func(_ context.Context, archive io.Reader) ([]string, error) {
		*looks++
		text, err := io.ReadAll(archive)
		if err != nil || text[0] == 'x' {
			return nil, errors.Join(err, edge.ErrInvalid)
		}
		return []string{digestOf(string(text)), "line.example/w" + string(text) + ":1"}, nil
	}
	return looks
}

func TestStock_Holds(t *testing.T) {
	s, _, _ := newStockRig(t)
	looks := naming(s)
	s.put(t, "a.tar", "1")
	s.put(t, "b.tar", "xbroken")
	s.put(t, "c.tar", "2")
	for range 2 {
		names, err := s.Holds(t.Context())
		if want := []string{digestOf("1"), "line.example/w1:1", digestOf("2"), "line.example/w2:1"}; err != nil || !slices.Equal(names, want) {
			t.Errorf("got %q, %v, want %q", names, err, want)
		}
	}
	if *looks != 3 {
		t.Errorf("got %d looks into 3 archives, want one each", *looks)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := s.Holds(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	s.folder += "-gone"
	if names, err := s.Holds(t.Context()); err != nil || len(names) > 0 {
		t.Errorf("without a folder: got %q, %v", names, err)
	}
}

func TestStock_Furnish(t *testing.T) {
	s, loaded, down := newStockRig(t)
	naming(s)
	s.put(t, "a.tar", "1")
	s.put(t, "b.tar", "xbroken")
	s.put(t, "c.tar", "2")
	want := func(archives []string, wanted ...string) {
		t.Helper()
		if err := s.Furnish(t.Context(), wanted); err != nil {
			t.Errorf("got %v, want no error", err)
		}
		if !slices.Equal(*loaded, archives) {
			t.Errorf("got archives %q imported, want %q", *loaded, archives)
		}
	}
	want(nil)
	want(nil, "other.example/w:1")                  // which nobody has
	want([]string{"2"}, "w2:1")                     // and nothing else
	want([]string{"2"}, "x@"+digestOf("2"))         // there already
	want([]string{"2", "1"}, "a/w1@"+digestOf("1")) // by its digest
	*down = true
	if err := s.Furnish(t.Context(), []string{"w1:1"}); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("got %v, want %v", err, edge.ErrUnavailable)
	}
}
