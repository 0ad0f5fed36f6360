package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
)

const gib = 1 << 30

// pressureRig is a node whose disks the test fills.
type pressureRig struct {
	*pressure
	mu     sync.Mutex // guards the rest from what runs beside the test
	disks  map[string]space
	held   []edge.Image // that nothing needs
	weight uint64       // of each
	fails  error        // of pruning
	looks  int          // at images
	gone   []string
	away   error // why containerd does not say where its images are
}

func newPressureRig(t *testing.T) *pressureRig {
	t.Helper()
	r := &pressureRig{weight: gib, disks: map[string]space{
		"/state": {device: 1, total: 20 * gib, free: 10 * gib, inodes: 1000, inodeFree: 900},
		"/store": {device: 2, total: 20 * gib, free: 10 * gib},
	}}
	r.pressure = &pressure{
		reserve: gib / 4, state: "/state", levels: map[string]squeeze{}, hurry: make(chan struct{}, 1),
		folders: func(context.Context) ([]string, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return []string{"/store"}, r.away
		},
		look: func(folder string) (space, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			s, there := r.disks[folder]
			if !there {
				return s, fs.ErrNotExist
			}
			return s, nil
		},
		prune: r.take, log: slog.New(slog.DiscardHandler),
		warnings: newWarnings(newChronicle(slog.New(slog.DiscardHandler))),
	}
	r.pressure.gone = func(cause string, images []edge.Image) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, i := range images {
			r.gone = append(r.gone, cause+" "+i.Name)
		}
	}
	return r
}

// take removes what is not spared, and what it weighs from the disk.
func (r *pressureRig) take(_ context.Context, spare func(edge.Image) bool) (done pruned, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks++
	if r.fails != nil {
		return done, r.fails
	}
	r.held = slices.DeleteFunc(r.held, func(i edge.Image) bool {
		if spare != nil && spare(i) {
			return false
		}
		done.Gone = append(done.Gone, i)
		done.Freed += int64(r.weight)
		store := r.disks["/store"]
		store.free += r.weight
		r.disks["/store"] = store
		return true
	})
	return done, nil
}

func (r *pressureRig) leave(folder string, free uint64) {
	s := r.disks[folder]
	s.free = free
	r.disks[folder] = s
}

// standing lists the warnings, as code and subject.
func (r *pressureRig) standing() (list []string) {
	for _, w := range r.warnings.All() {
		list = append(list, w.Code+" "+w.Subject)
	}
	return list
}

func (r *pressureRig) want(t *testing.T, warnings ...string) {
	t.Helper()
	if got := r.standing(); !slices.Equal(got, warnings) {
		t.Errorf("got warnings %q, want %q", got, warnings)
	}
}

func TestSpace_Squeeze(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		name     string
		at       space
		standing squeeze
		want     squeeze
	}{
		{"Empty", space{total: 100 * gib, free: 100 * gib}, plenty, plenty},
		{"JustEnough", space{total: 100 * gib, free: 768 * mib}, plenty, plenty},
		{"Tight", space{total: 100 * gib, free: 768*mib - 1}, plenty, tight},
		{"Scarce", space{total: 100 * gib, free: 512*mib - 1}, plenty, scarce},
		{"Short", space{total: 100 * gib, free: 256*mib - 1}, plenty, short},
		{"Full", space{total: 100 * gib}, plenty, short},
		{"SmallDisk", space{total: gib, free: 200 * mib}, plenty, plenty}, // a twentieth is 51 MiB
		{"SmallDiskTight", space{total: gib, free: 150 * mib}, plenty, tight},
		{"Inodes", space{total: 100 * gib, free: 90 * gib, inodes: 1000, inodeFree: 49}, plenty, short},
		{"InodesTight", space{total: 100 * gib, free: 90 * gib, inodes: 1000, inodeFree: 149}, plenty, tight},
		{"NoInodesCounted", space{total: 100 * gib, free: 90 * gib}, short, plenty},
		{"StaysTight", space{total: 100 * gib, free: 800 * mib}, tight, tight},
		{"LeavesTight", space{total: 100 * gib, free: 850 * mib}, tight, plenty},
		{"StaysShort", space{total: 100 * gib, free: 270 * mib}, short, short},
		{"FromShortToTight", space{total: 100 * gib, free: 600 * mib}, short, tight},
	} {
		if got := test.at.squeeze(256*mib, test.standing); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

// TestPressure_Run fills a disk step by step and makes room again.
func TestPressure_Run(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPressureRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		r.mu.Lock() // but for the time that passes, the node is the test's
		later := func(d time.Duration) {
			t.Helper()
			r.mu.Unlock()
			time.Sleep(d)
			synctest.Wait()
			r.mu.Lock()
		}
		later(time.Second)
		r.want(t)
		r.leave("/store", 700<<20)
		later(pressureEvery)
		r.want(t, "disk-tight /store")
		if r.looks != 0 {
			t.Errorf("images were looked through %d times, want none while it is merely tight", r.looks)
		}
		fresh := edge.Image{Name: "fresh", Imported: time.Now()}
		r.held = []edge.Image{{Name: "old"}, fresh}
		r.weight = 400 << 20
		r.leave("/store", 400<<20)
		later(pressureEvery)
		if !slices.Equal(r.gone, []string{"disk pressure old"}) {
			t.Errorf("got %q removed, want what is old", r.gone)
		}
		r.want(t, "disk-tight /store") // 800 MiB: more than it takes to become tight, less than to leave it
		later(pressureEvery)
		if r.looks != 1 {
			t.Errorf("images were looked through %d times, want once", r.looks)
		}
		r.leave("/store", 100<<20)
		r.weight = 0
		later(pruneAgain)
		r.want(t, "disk-short /store")
		if len(r.gone) != 2 {
			t.Errorf("got %q removed, want what is fresh too while it is short", r.gone)
		}
		looks := r.looks
		later(time.Hour)
		if r.looks > looks+6 {
			t.Errorf("images were looked through %d times in an hour", r.looks-looks)
		}
		r.leave("/store", 5*gib)
		later(pressureEvery)
		r.want(t)
		r.leave("/state", 100<<20) // where no image lies
		looks = r.looks
		later(pressureEvery)
		r.want(t, "disk-short /state")
		if r.looks != looks {
			t.Error("images were removed for the sake of another disk")
		}
		r.mu.Unlock()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestPressure_Run_PruningFails(t *testing.T) {
	r := newPressureRig(t)
	r.fails = errors.New("containerd hangs")
	r.leave("/store", 0)
	r.act(t.Context())
	r.want(t, "disk-short /store")
}

func TestPressure_Room(t *testing.T) {
	r := newPressureRig(t)
	for _, test := range []struct {
		name         string
		state, store uint64
		inodes       uint64
		need         int64
		says         string // "": there is room
	}{
		{"Plenty", 10 * gib, 10 * gib, 900, 5 * gib, ""},
		{"TooLarge", 10 * gib, 5 * gib, 900, 5 * gib, "at least 5.0 GiB are needed"},
		{"StoreShort", 10 * gib, gib/4 - 1, 900, 0, "/store"},
		{"StateShort", 0, 10 * gib, 900, 0, "/state"},
		{"Inodes", 10 * gib, 10 * gib, 40, 0, "40 of 1000 inodes"},
		{"OnTheState", gib / 2, 10 * gib, 900, 5 * gib, ""}, // images do not lie there
	} {
		t.Run(test.name, func(t *testing.T) {
			r.leave("/store", test.store)
			r.disks["/state"] = space{device: 1, total: 20 * gib, free: test.state, inodes: 1000, inodeFree: test.inodes}
			err := r.Room(test.need)
			if test.says == "" {
				if err != nil {
					t.Errorf("got %v, want room", err)
				}
				return
			}
			if !errors.Is(err, edge.ErrNoRoom) || !strings.Contains(err.Error(), test.says) || edge.HintOf(err) == "" {
				t.Errorf("got %v with hint %q, want %v that says %q", err, edge.HintOf(err), edge.ErrNoRoom, test.says)
			}
			select {
			case <-r.hurry:
			default:
				t.Error("nobody looks at the disk for that")
			}
		})
	}
}

// TestPressure_OneDisk has state and images on one file system.
func TestPressure_OneDisk(t *testing.T) {
	r := newPressureRig(t)
	r.disks["/store"] = r.disks["/state"]
	if got := r.places(t.Context()); len(got) != 1 || !got[0].holds || got[0].folder != "/state" {
		t.Errorf("got %+v, want one place that holds images", got)
	}
	r = newPressureRig(t)
	r.away = edge.ErrUnavailable
	if got := r.places(t.Context()); len(got) != 1 || got[0].holds {
		t.Errorf("without containerd: got %+v, want the state's alone", got)
	}
	r.away = nil
	if got := r.places(t.Context()); len(got) != 2 {
		t.Errorf("once it answers: got %+v, want both", got)
	}
	delete(r.disks, "/store")
	if err := r.Room(1); err != nil {
		t.Errorf("what cannot be measured: got %v, want room", err)
	}
}

// TestPressure_MakeRoom serves one for whom there was no room, but not without end.
func TestPressure_MakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPressureRig(t)
		full := fmt.Errorf("cannot: %w", edge.ErrNoRoom)
		r.held = []edge.Image{{Name: "old"}, {Name: "fresh", Imported: time.Now()}}
		if r.makeRoom(t.Context(), edge.ErrUnavailable) || r.makeRoom(t.Context(), nil) || r.looks > 0 {
			t.Error("images were looked through for another reason")
		}
		if !r.makeRoom(t.Context(), full) || len(r.held) != 1 {
			t.Errorf("got %v left, want what is fresh", r.held)
		}
		r.held = append(r.held, edge.Image{Name: "older"})
		if r.makeRoom(t.Context(), full) {
			t.Error("images were looked through again at once")
		}
		time.Sleep(needAgain)
		if !r.makeRoom(t.Context(), full) {
			t.Error("images were not looked through again later")
		}
	})
}

func TestLookAt(t *testing.T) {
	s, err := lookAt(t.TempDir())
	if err != nil || s.total == 0 || s.free > s.total || s.device == 0 {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := lookAt("/no/such/folder"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
	if allocs := testing.AllocsPerRun(10, func() { _, _ = lookAt("/") }); allocs > 20 {
		t.Errorf("got %v allocations of a look", allocs)
	}
}

func TestBytesOf(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 3 << 30: "3.0 GiB", 5 << 50: "5120.0 TiB"} {
		if got := bytesOf(n); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
