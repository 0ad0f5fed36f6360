package containerd_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// FuzzCheckArchive: whatever is handed in, there is an answer, and a no says that
// the archive is at fault.
func FuzzCheckArchive(f *testing.F) {
	small := testImage()
	small.damageLayer = true // without the program, which is megabytes
	whole := small.archive(f)
	f.Add(whole)
	f.Add(small.docker(f))
	f.Add(gzipped(f, whole))
	f.Add(zstandard(f, whole))
	f.Add(whole[:len(whole)/2])
	f.Fuzz(func(t *testing.T, archive []byte) {
		err := containerd.CheckArchive(archive)
		if err != nil && !errors.Is(err, edge.ErrInvalid) && !errors.Is(err, edge.ErrWrongPlatform) {
			t.Errorf("got %v, which blames nobody", err)
		}
	})
}

// FuzzParseGuise: an account that leaves something out never passes for that of a
// hardened process.
func FuzzParseGuise(f *testing.F) {
	self, err := os.ReadFile("/proc/self/status")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(self)
	f.Add([]byte("Uid:\t65532\t65532\t65532\t65532\nCapEff:\t0\nCapBnd:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\n"))
	f.Add([]byte("Uid:\t65532\t65532\t65532\t65532\nUid:\t65532\t65532\t65532\t65532\nCapBnd:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := containerd.ParseGuise(text)
		if err != nil || got != containerd.NewGuise(65532) {
			return
		}
		for _, line := range []string{"Uid:\t", "CapEff:\t", "CapBnd:\t", "NoNewPrivs:\t", "Seccomp:\t"} {
			if !bytes.Contains(text, []byte(line)) {
				t.Errorf("got a hardened process without %q from %q", line, text)
			}
		}
	})
}

// FuzzLayerFiles: whatever layers hold, looking into them ends, within its bounds.
func FuzzLayerFiles(f *testing.F) {
	f.Add(makeLayer(f, file("etc/passwd", "a")), makeLayer(f, gone("etc/.wh.passwd")))
	f.Add(makeLayer(f, link("etc", "usr"), file("usr/passwd", "a")), gzipped(f, makeLayer(f, hard("etc/passwd", "usr/passwd"))))
	f.Add(makeLayer(f, link("etc/passwd", "passwd")), zstandard(f, makeLayer(f, gone("etc/.wh..wh..opq"))))
	f.Fuzz(func(t *testing.T, lower, upper []byte) {
		files, err := containerd.LayerFiles(t.Context(), [][]byte{lower, upper}, 1<<20, "etc/passwd")
		if err == nil && len(files[0]) > containerd.MaxSmallFile {
			t.Errorf("got %d bytes", len(files[0]))
		}
	})
}
