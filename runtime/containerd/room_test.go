package containerd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/build/privated"
	"holdfast/edge"
)

// TestDriver_Room has somebody say how much may be written.
func TestDriver_Room(t *testing.T) {
	n := newEmptyNode(t)
	var asked []int64
	var after int // looks at the disk until there is no more room
	n.opts.Room = func(need int64) error {
		asked = append(asked, need)
		if after--; after < 0 {
			return fmt.Errorf("cannot take it: %w", edge.ErrNoRoom)
		}
		return nil
	}
	driver := n.again(t)
	r, ref := serveImage(t, wavering())
	archive := wavering().archive(t)
	_, layer := r.layer()
	pull := func() error {
		_, _, err := driver.Pull(t.Context(), ref, nil)
		return err
	}
	load := func(source io.Reader) error {
		_, err := driver.Import(t.Context(), source)
		return err
	}
	for name, test := range map[string]struct {
		take  func() error
		after int
		need  int64 // that was asked for last
	}{
		"BeforeAPull":      {pull, 0, 0},
		"ForAnImage":       {pull, 2, 2 * int64(len(layer))},
		"InALayer":         {pull, 4, 0},
		"BeforeAnImport":   {func() error { return load(bytes.NewReader(archive)) }, 0, 2*int64(len(layer)) - 4096}, // its layer has a file less
		"WhileStoring":     {func() error { return load(bytes.NewReader(archive)) }, 2, 0},
		"WhileKeepingPipe": {func() error { return load(io.MultiReader(bytes.NewReader(archive))) }, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			asked, after = nil, test.after
			if err := test.take(); !errors.Is(err, edge.ErrNoRoom) || !errors.Is(err, edge.ErrUnavailable) {
				t.Fatalf("got %v, want %v", err, edge.ErrNoRoom)
			}
			if last := asked[len(asked)-1]; last < test.need || test.need == 0 && last != 0 {
				t.Errorf("got asked for %v, want %d at last", asked, test.need)
			}
			n.wantBare(t)
		})
	}
	r.requests()
	asked, after = nil, 1<<20
	if err := pull(); err != nil {
		t.Errorf("with room: %v", err)
	}
}

// TestDriver_FullDisk pulls and imports on a daemon whose disk has no room for it, while
// an instance runs there.
func TestDriver_FullDisk(t *testing.T) {
	shared.open(t)
	small := openSmallDaemon(t, 48<<20)
	w := behave("sleep")
	small.importImage(t, testImage())
	before := small.start(t, w, "one")
	held := small.ctr(t.Context(), "content", "list", "--quiet")
	heldLayers := small.ctr(t.Context(), "snapshots", "list")
	free := small.free(t)
	t.Run("WhereItIs", func(t *testing.T) {
		folders, err := small.Folders(t.Context())
		if err != nil || len(folders) != 2 {
			t.Errorf("got %q, %v, want a folder of content and one of layers", folders, err)
		}
		for _, folder := range folders {
			if !strings.HasPrefix(folder, small.dir) {
				t.Errorf("got folder %q, want one in %q", folder, small.dir)
			}
		}
	})

	big := testImage()
	noise := make([]byte, 24<<20) // packs no smaller than it is
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	big.name, big.files = "", map[string]string{"noise": string(noise)}
	wide := testImage()
	wide.below = []map[string]string{{"zeros": strings.Repeat("\x00", 64<<20)}} // packs to nothing
	for name, take := range map[string]func() error{
		"PullOfMuch": func() error {
			_, ref := serveImage(t, big)
			_, _, err := small.Pull(t.Context(), ref, nil)
			return err
		},
		"PullOfWhatUnpacksToMuch": func() error {
			_, ref := serveImage(t, wide)
			_, _, err := small.Pull(t.Context(), ref, nil)
			return err
		},
		"ImportOfMuch": func() error {
			_, err := small.Import(t.Context(), bytes.NewReader(big.archive(t)))
			return err
		},
		"ImportOfWhatUnpacksToMuch": func() error {
			_, err := small.Import(t.Context(), bytes.NewReader(wide.archive(t)))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := take()
			if !errors.Is(err, edge.ErrNoRoom) || edge.HintOf(err) == "" {
				t.Fatalf("got %v with hint %q, want %v and one", err, edge.HintOf(err), edge.ErrNoRoom)
			}
			t.Log(err)
			if now := small.ctr(t.Context(), "content", "list", "--quiet"); now != held {
				t.Errorf("got content\n%s, want what there was before\n%s", now, held)
			}
			if now := small.ctr(t.Context(), "snapshots", "list"); now != heldLayers {
				t.Errorf("got layers\n%s, want what there were before\n%s", now, heldLayers)
			}
			if left := small.ctr(t.Context(), "leases", "list", "--quiet"); strings.TrimSpace(left) != "holdfast" {
				t.Errorf("got leases %q, want ours alone", left)
			}
			// The daemon's own notes may have grown.
			if now := small.free(t); now < free-2<<20 {
				t.Errorf("got %d bytes free, before it were %d", now, free)
			}
			if now := small.instance(t, "one"); !now.Running || now.PID != before.PID {
				t.Errorf("got instance %+v, want it to run on as process %d", now, before.PID)
			}
			if exit, err := small.Exec(t.Context(), "one", []string{"/testprog", "exit", "3"}, nil, nil, nil); err != nil || exit.Code != 3 {
				t.Errorf("got %+v, %v from the instance", exit, err)
			}
		})
	}
	t.Run("WhatFits", func(t *testing.T) {
		_, ref := serveImage(t, wavering())
		if _, _, err := small.Pull(t.Context(), ref, nil); err != nil {
			t.Error(err)
		}
	})
}

// smallDaemon is a node on a daemon whose disk is small.
type smallDaemon struct {
	*node
	dir string
}

// openSmallDaemon starts a daemon whose folder is a file system of its own.
func openSmallDaemon(t *testing.T, size int64) smallDaemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf-small-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cgroup := shared.cgroup + "-small"
	daemon, err := privated.Start(ctx, privated.Options{Dir: filepath.Join(dir, "d"), CgroupParent: cgroup, Discard: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := daemon.Close(); err != nil {
			t.Errorf("close daemon: %v", err)
		}
	})
	return smallDaemon{nodeOn(t, daemon.Socket(), cgroup), dir}
}

// free is how many bytes its disk still takes.
func (s smallDaemon) free(t testing.TB) int64 {
	t.Helper()
	var stat unix.Statfs_t
	if err := unix.Statfs(s.dir, &stat); err != nil {
		t.Fatal(err)
	}
	return int64(stat.Bavail * uint64(stat.Bsize))
}
