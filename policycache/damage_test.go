package policycache_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"holdfast/policycache"
)

// soakEnv multiplies the number of cases of the harnesses in this package.
const soakEnv = "HOLDFAST_SOAK"

// cases is a number of cases for the ordinary test, or many times more.
func cases(t testing.TB, ordinary int) int {
	t.Helper()
	times, err := strconv.Atoi(os.Getenv(soakEnv))
	if os.Getenv(soakEnv) == "" {
		return ordinary
	}
	must(t, err)
	return ordinary * times
}

// damages are the ways a file goes bad, each given what the file should be.
var damages = []struct {
	name string
	do   func(r *rand.Rand, b []byte) []byte
}{
	{"BitRot", func(r *rand.Rand, b []byte) []byte {
		for range 1 + r.IntN(64) {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		return b
	}},
	{"OneBitInAMeta", func(r *rand.Rand, b []byte) []byte {
		b[r.IntN(2)*os.Getpagesize()+r.IntN(80)] ^= 1 << r.IntN(8)
		return b
	}},
	{"ZeroedMetas", func(r *rand.Rand, b []byte) []byte {
		if r.IntN(2) == 0 {
			clear(b[os.Getpagesize() : 2*os.Getpagesize()])
		}
		clear(b[:os.Getpagesize()])
		return b
	}},
	{"ZeroedSectors", func(r *rand.Rand, b []byte) []byte {
		for range 1 + r.IntN(16) {
			at := r.IntN(len(b)/512) * 512
			clear(b[at : at+512])
		}
		return b
	}},
	{"Truncated", func(r *rand.Rand, b []byte) []byte { return b[:r.IntN(len(b))] }},
	{"TruncatedAtPage", func(r *rand.Rand, b []byte) []byte {
		return b[:r.IntN(len(b)/os.Getpagesize())*os.Getpagesize()]
	}},
	{"PagesSwapped", func(r *rand.Rand, b []byte) []byte {
		page := os.Getpagesize()
		one, other := 2+r.IntN(len(b)/page-2), 2+r.IntN(len(b)/page-2)
		kept := append([]byte{}, b[one*page:(one+1)*page]...)
		copy(b[one*page:], b[other*page:(other+1)*page])
		copy(b[other*page:], kept)
		return b
	}},
	{"PageHeaders", func(r *rand.Rand, b []byte) []byte { // ids, kinds and counts of pages
		for range 1 + r.IntN(4) {
			b[r.IntN(len(b)/os.Getpagesize())*os.Getpagesize()+r.IntN(64)] = byte(r.Uint32())
		}
		return b
	}},
	{"LyingSync", func(r *rand.Rand, b []byte) []byte { // metas arrived, half of the rest did not
		for at := 2 * os.Getpagesize(); at+512 <= len(b); at += 512 {
			if r.IntN(2) == 0 {
				clear(b[at : at+512])
			}
		}
		return b
	}},
	{"Random", func(r *rand.Rand, b []byte) []byte {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}},
}

// damage makes a copy of a folder with one file damaged.
func damage(t testing.TB, from, to, file string, seed int) string {
	must(t, os.CopyFS(to, os.DirFS(from)))
	path := filepath.Join(to, file)
	content, err := os.ReadFile(path)
	must(t, err)
	way := damages[seed%len(damages)]
	must(t, os.WriteFile(path, way.do(rand.New(rand.NewPCG(uint64(seed), 7)), content), 0o600))
	return way.name
}

// TestStore_OpenDamaged opens databases damaged by the hundred. Each time the newest
// policy must be in force in time, for it lies beside the database as well; and once
// its copy is damaged too, whichever verifies is left.
func TestStore_OpenDamaged(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	good := fleet.filledWith(t, 5, 12_000) // files of several pages
	base := t.TempDir()
	options := func(dir string) policycache.Options {
		o := fleet.options(dir)
		o.Factory = fleet.policy(t, 1, 10)
		return o
	}
	var mu sync.Mutex
	var longest time.Duration
	rebuilt, recovered := 0, 0
	run := func(seed int) error {
		dir := filepath.Join(base, fmt.Sprint(seed))
		defer os.RemoveAll(dir)
		way := damage(t, good, dir, "state.db", seed)
		want := uint64(5)
		if seed%3 == 0 { // and the copy of version 5, in policy.A
			damage(t, good, filepath.Join(dir, "x"), "policy.A", seed)
			must(t, os.Rename(filepath.Join(dir, "x", "policy.A"), filepath.Join(dir, "policy.A")))
			want = 4
		}
		began := time.Now()
		store, err := policycache.New(options(dir))
		if err == nil {
			err = store.Open(t.Context())
		}
		if err != nil {
			return fmt.Errorf("%s %d: %w", way, seed, err)
		}
		defer store.Close()
		took := time.Since(began)
		mu.Lock()
		defer mu.Unlock()
		longest = max(longest, took)
		if warned(store, "state-rebuilt") {
			rebuilt++
		}
		if warned(store, "state-recovered") {
			recovered++
		}
		if got := store.Snapshot(); got.Policy == nil || got.Version < want || took > 10*time.Second || !store.Status().Kept {
			return fmt.Errorf("%s %d: version %d of %s after %v, kept %v; want version %d at least", way, seed, got.Version, got.Origin, took, store.Status().Kept, want)
		}
		return nil
	}
	count := cases(t, 120)
	inParallel(t, count, run)
	t.Logf("%d images: %d rebuilt, %d one commit back, the others usable; longest opening %v", count, rebuilt, recovered, longest)
	if rebuilt < count/4 || recovered == 0 {
		t.Errorf("%d of %d rebuilt and %d one commit back: the damage does not bite", rebuilt, count, recovered)
	}
}

// TestStore_OpenDamagedControl shows that the harness above can fail: with the
// copies gone and no factory policy there is nothing to find.
func TestStore_OpenDamagedControl(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	dir := fleet.filled(t, 2)
	for _, name := range []string{"state.db", "policy.A", "policy.B"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("gone"), 0o600))
	}
	wantState(t, open(t, fleet.options(dir)), policycache.OriginNone, 0)
}

// inParallel runs cases two at a time.
func inParallel(t *testing.T, count int, run func(int) error) {
	t.Helper()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 2 {
		wg.Go(func() {
			for i := range next {
				if err := run(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range count {
		next <- i
	}
	close(next)
	wg.Wait()
}
