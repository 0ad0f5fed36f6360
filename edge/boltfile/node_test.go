package boltfile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge/boltfile"
	"holdfast/edge/boltfile/filetest"
)

func TestMain(m *testing.M) {
	filetest.BeChild(map[string]boltfile.Layout{"test": layout(), "next": nextLayout(), "loop": loopLayout()})
	goleak.VerifyTestMain(m)
}

// layout is that of files in these tests: a version, and parts that all bear it.
func layout() boltfile.Layout {
	return boltfile.Layout{Schema: 1, Buckets: []string{"part"}, MaxBytes: 1 << 20, Check: checkRecords}
}

// nextLayout is the one after: the version has another name.
func nextLayout() boltfile.Layout {
	return boltfile.Layout{
		Schema: 2, Buckets: []string{"part"}, MaxBytes: 1 << 20,
		Migrate: func(from int, r boltfile.Records) error {
			if r["meta/version"] == nil {
				return fmt.Errorf("schema %d without a version", from)
			}
			r["meta/newest"] = r["meta/version"]
			delete(r, "meta/version")
			return nil
		},
	}
}

// loopLayout is one whose records are never read to their end.
func loopLayout() boltfile.Layout {
	l := layout()
	l.Check = func(r boltfile.Records) error {
		for len(r) > 0 { // and nobody takes any out
		}
		return nil
	}
	return l
}

// checkRecords refuses a mixture of versions.
func checkRecords(r boltfile.Records) error {
	for name, value := range r {
		if version, _, _ := strings.Cut(string(value), " "); version != string(r["meta/version"]) {
			return fmt.Errorf("%s has version %s", name, version)
		}
	}
	return nil
}

// version is what records say all over.
func version(r boltfile.Records) uint64 {
	v, err := strconv.ParseUint(string(r["meta/version"]), 10, 64)
	if err != nil {
		return 0
	}
	return v
}

// records are those of a version, over several pages.
func records(v uint64) boltfile.Records {
	r := boltfile.Records{"meta/version": strconv.AppendUint(nil, v, 10)}
	for part := range 8 + v%3 { // some come and go
		r[fmt.Sprintf("part/%d", part)] = fmt.Appendf(nil, "%d %s", v, strings.Repeat("x", 700))
	}
	return r
}

func options(dir string) boltfile.Options {
	return boltfile.Options{Path: filepath.Join(dir, "test.db"), Layout: layout(), Child: filetest.Child("test")}
}

func create(t testing.TB, o boltfile.Options) *boltfile.File {
	t.Helper()
	file, err := boltfile.New(o)
	must(t, err)
	t.Cleanup(func() { file.Close() })
	return file
}

// open opens a file that is on a rung.
func open(t testing.TB, o boltfile.Options, want boltfile.Rung) (*boltfile.File, boltfile.Found) {
	t.Helper()
	file := create(t, o)
	found, err := file.Open(t.Context())
	must(t, err)
	wantRung(t, found, want)
	return file, found
}

// openPatiently opens a file anew while the machine is too busy to check it in time,
// which it says and which is not the file's doing. It gives the time of the last opening.
func openPatiently(ctx context.Context, o boltfile.Options) (*boltfile.File, boltfile.Found, time.Duration, error) {
	for tries := 1; ; tries++ {
		file, err := boltfile.New(o)
		if err != nil {
			return nil, boltfile.Found{}, 0, err
		}
		began := time.Now()
		found, err := file.Open(ctx)
		took := time.Since(began)
		busy := found.Rung == boltfile.Failed && strings.Contains(found.Why.Error(), "could not be checked in time")
		if err != nil || !busy || tries == 5 {
			return file, found, took, err
		}
	}
}

func wantRung(t testing.TB, found boltfile.Found, want boltfile.Rung) {
	t.Helper()
	if found.Rung != want {
		t.Fatalf("rung = %s (%v), want %s", found.Rung, found.Why, want)
	}
}

func wantVersion(t testing.TB, r boltfile.Records, want uint64) {
	t.Helper()
	if got := version(r); got != want || checkRecords(r) != nil {
		t.Fatalf("version = %d (%v), want %d", got, checkRecords(r), want)
	}
}

// commit commits without any need for the ladder.
func commit(t testing.TB, file *boltfile.File, v uint64) {
	t.Helper()
	found, err := file.Commit(t.Context(), records(v))
	must(t, err)
	wantRung(t, found, boltfile.Intact)
}

// filled is a folder with a file of versions 1 to newest.
func filled(t testing.TB, newest uint64) string {
	t.Helper()
	dir := t.TempDir()
	file, _ := open(t, options(dir), boltfile.Absent)
	must(t, file.Rebuild(records(1)))
	for v := uint64(2); v <= newest; v++ {
		commit(t, file, v)
	}
	must(t, file.Close())
	return dir
}

func read(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	must(t, err)
	return string(content)
}

// spoilLast destroys all that the latest commit wrote but its meta page. before is the
// file without that commit.
func spoilLast(t testing.TB, path, before string) {
	t.Helper()
	after, page := []byte(read(t, path)), os.Getpagesize()
	for at := 2 * page; at < len(after); at += page {
		if at >= len(before) || before[at:at+page] != string(after[at:at+page]) {
			clear(after[at : at+page])
		}
	}
	must(t, os.WriteFile(path, after, 0o600))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var errForTest = errors.New("said by the test")
