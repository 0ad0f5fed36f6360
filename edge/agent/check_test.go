package agent

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast/edge/boltfile"
	"holdfast/mqtt/journal"
	"holdfast/mqtt/outbox"
	"holdfast/policycache"
)

// TestCheckMain has files of each kind checked by the child, each as what it is and as
// what it is not.
func TestCheckMain(t *testing.T) {
	layouts := map[string]boltfile.Layout{kindState: policycache.Layout(), kindLink: journal.Layout()}
	paths := map[string]string{
		kindState: filepath.Join("..", "..", "policycache", "testdata", "schema-1", "state.db"),
		kindLink:  journalFile(t),
	}
	for kind, path := range paths {
		for asked, layout := range layouts {
			t.Run(kind+"As"+asked, func(t *testing.T) {
				file, err := boltfile.New(boltfile.Options{Path: copyOf(t, path), Layout: layout, Child: checker(asked)})
				if err != nil {
					t.Fatal(err)
				}
				defer file.Close()
				want := boltfile.Lost
				if asked == kind {
					want = boltfile.Intact
				}
				if found, err := file.Open(t.Context()); err != nil || found.Rung != want {
					t.Errorf("got %s, %v (%v), want %s", found.Rung, err, found.Why, want)
				}
			})
		}
	}
}

// journalFile is a file that a journal has made.
func journalFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "link.db")
	j, err := journal.New(journal.Options{Path: path, Boot: "boot-1", Child: checker(kindLink), Stamp: func(*outbox.Record) {}})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// copyOf is a copy of a file, which may come to harm.
func copyOf(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}
