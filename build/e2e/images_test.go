package e2e_test

import (
	"context"
	"crypto/rand"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

func TestImages_Wrong(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(1))
	n.awaitReady("digits", 1)
	whole, err := os.ReadFile(shop.digits())
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 1<<20)
	_, _ = rand.Read(noise) // never fails
	changed := append([]byte(nil), whole...)
	changed[len(changed)/2] ^= 1 // inside the layer, by far the largest part
	disguise(t, shop.path("server"), shop.path("server-arm64"))
	cases := map[string]struct {
		content []byte
		want    error
	}{
		"Empty":        {nil, edge.ErrInvalid},
		"CutInHalf":    {whole[:len(whole)/2], edge.ErrInvalid},
		"CutInTheHead": {whole[:100], edge.ErrInvalid},
		"Noise":        {noise, edge.ErrInvalid},
		"Text":         {[]byte(strings.Repeat("not an archive\n", 1000)), edge.ErrInvalid},
		"Gzip":         {append([]byte{0x1f, 0x8b, 8}, noise...), edge.ErrInvalid},
		"BitFlipped":   {changed, edge.ErrInvalid},
		"ForARM":       {n.archive("e2e.example/arm:1", "server-arm64", "linux/arm64"), edge.ErrWrongPlatform},
	}
	before := n.footprint()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := n.in(t)
			err := n.Import(t.Context(), n.write("wrong.tar", string(c.content)))
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			t.Log(err)
			n.await("nothing to be left of it", func(context.Context) error { return before.same(n.footprint()) })
		})
	}
	n.ask(patient)
}

// disguise copies a program with a header that says it is for 64-bit ARM, which
// does for an image that nobody can run here.
func disguise(t testing.TB, from, to string) {
	t.Helper()
	program, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	const machineAt = 18 // of the ELF header
	binary.LittleEndian.PutUint16(program[machineAt:], uint16(elf.EM_AARCH64))
	if err := os.WriteFile(to, program, 0o755); err != nil {
		t.Fatal(err)
	}
}

// archive packs a program of the shop for a platform.
func (n *node) archive(name, program, platform string) []byte {
	n.t.Helper()
	path := filepath.Join(n.Folder(), "packed.tar")
	if err := shop.pack(name, program, platform, path); err != nil {
		n.t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		n.t.Fatal(err)
	}
	return content
}

func TestImages_Missing(t *testing.T) {
	n := newNode(t)
	const name = "e2e.example/late:1"
	n.deploy(strings.Replace(digitsService(1), digitsImage, name, 1))
	warning := n.awaitWarning("start-failed", name)
	if !strings.Contains(warning.Remedy, "import") {
		t.Errorf("the remedy is %q, want it to say how to import", warning.Remedy)
	}
	failed := n.awaitEvent(0, edge.EventInstanceFailed, "")
	// Long enough tried for the pause between two tries to be seconds.
	for range 3 {
		failed = n.awaitEvent(failed.Seq, edge.EventInstanceFailed, "")
	}
	late := n.write("late.tar", string(n.archive(name, "server", "linux/amd64")))
	begun := time.Now()
	n.importImage(late)
	imported := time.Now()
	n.awaitReady("digits", 1)
	took := time.Since(imported)
	t.Logf("import took %v; imported to ready: %v", imported.Sub(begun).Round(time.Millisecond), took.Round(time.Millisecond))
	if took > 3*time.Second {
		t.Errorf("the instance was ready %v after its image had come, want it tried at once", took)
	}
	n.awaitNoWarnings()
	n.ask(patient)
	n.deploy()
	n.await("the workload to be gone", func(ctx context.Context) error {
		_, err := n.workload(ctx, "digits")
		if errors.Is(err, edge.ErrNotFound) {
			return nil
		}
		return errors.Join(err, errors.New("it is still there"))
	})
	n.await("the image to be gone", func(context.Context) error {
		n.ctr("images", "delete", "--sync", name)
		return n.base.same(n.footprint())
	})
}
