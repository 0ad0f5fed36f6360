package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"holdfast/edge"
	"holdfast/edge/cli"
)

// forget removes an image from containerd's store, under all names it has there.
func (n *node) forget(name string) {
	n.t.Helper()
	held, err := n.Client().Images(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	for _, image := range held {
		if image.Name == name {
			n.ctr("images", "rm", "--sync", name, image.Digest)
			return
		}
	}
	n.t.Fatalf("there is no image %s among %+v", name, held)
}

// imported are the images that came in since an event.
func (n *node) imported(since uint64) (names []string) {
	n.t.Helper()
	for _, e := range n.events(since) {
		if e.Kind == edge.EventImageImported {
			names = append(names, e.Cause+" "+e.Subject)
		}
	}
	return names
}

// TestPolicy_Stock takes an image away from a node that has its archive on stock, again
// and again.
func TestPolicy_Stock(t *testing.T) {
	n := governed(t)
	stock := filepath.Join(n.StateFolder(), "images")
	t.Cleanup(func() { os.RemoveAll(stock) })
	if err := errors.Join(
		os.Mkdir(stock, 0o755),
		syscall.Mkfifo(filepath.Join(stock, "a-pipe.tar"), 0o644),
		os.Link(shop.faulty(), filepath.Join(stock, "b-faulty.tar")),
		os.Link(shop.digits(), filepath.Join(stock, "c-digits.tar")),
	); err != nil {
		t.Fatal(err)
	}
	want := []string{"stock " + faultyImage, "stock " + digitsImage} // what they hold is not known yet
	for version := uint64(2); version < 8; version += 2 {
		n.forget(digitsImage)
		since := n.latest()
		n.apply(n.desk.sign(draft{version: version, services: []string{digitsService(1)}})).want(t, cli.ExitOK)
		n.awaitReady("digits", 1)
		n.ask(patient)
		if got := n.imported(since); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %q imported, want %q", got, want)
		}
		n.apply(n.desk.sign(draft{version: version + 1})).want(t, cli.ExitOK)
		n.await("the instance to be gone", func(context.Context) error {
			if left := n.tasks("line-digits-"); len(left) > 0 {
				return fmt.Errorf("containerd runs %v", left)
			}
			return nil
		})
		want = []string{"stock " + digitsImage}
	}
}
