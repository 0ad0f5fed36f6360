package fleet_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/compose"
	"holdfast/edge/fleet"
)

var update = flag.Bool("update", false, "write the expected results anew")

const corpus = "../../testdata/policy"

func samples(t testing.TB, folder string, atLeast int) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(corpus, folder, "*.yaml"))
	if err != nil || len(files) < atLeast {
		t.Fatalf("got %d samples in %s, %v, want at least %d", len(files), folder, err, atLeast)
	}
	return files
}

// pins are what the corpus is built with.
func pins(t testing.TB) fleet.Pins {
	t.Helper()
	p := fleet.Pins{}
	for _, pin := range []string{
		"holdfast.example/digits:1=sha256:" + strings.Repeat("d4", 32),
		"docker.io/library/hello:latest=sha256:" + strings.Repeat("e5", 32),
	} {
		if err := p.Add(pin); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func build(t testing.TB, path string, content []byte) (*fleet.Built, error) {
	t.Helper()
	return fleet.Build(t.Context(), fleet.Source{Path: path, Content: content, Environ: []string{"TAG=1.2"}, Pins: pins(t)})
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func expected(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(read(t, path)); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestBuild_Valid: what is built is what stands beside the sample, and a node accepts
// it.
func TestBuild_Valid(t *testing.T) {
	for _, file := range append(samples(t, "valid", 3), filepath.Join(corpus, "line-3.yaml")) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			built, err := build(t, filepath.Base(file), read(t, file))
			if err != nil {
				t.Fatal(err)
			}
			again, err := edge.DecodePolicy(built.Payload)
			if err != nil || len(again.Unknown) > 0 {
				t.Fatalf("got a document of which a node says %v and does not know %v", err, again.Unknown)
			}
			var text bytes.Buffer
			if err := json.Indent(&text, built.Payload, "", "  "); err != nil {
				t.Fatal(err)
			}
			expected(t, strings.TrimSuffix(file, ".yaml")+".json", text.String()+"\n")
		})
	}
}

func TestBuild_Invalid(t *testing.T) {
	for _, file := range samples(t, "invalid", 20) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			built, err := build(t, filepath.Base(file), read(t, file))
			if err == nil || built != nil {
				t.Fatalf("got %+v, %v, want only an error", built, err)
			}
			if !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("got %v, want edge.ErrInvalid", err)
			}
			for _, problem := range compose.Problems(err) {
				if problem.Line == 0 {
					t.Errorf("got %v, want a line", problem)
				}
			}
			expected(t, strings.TrimSuffix(file, ".yaml")+".err", err.Error()+"\n")
		})
	}
}

// TestBuild_Notes: slips a node would not refuse are told all the same.
func TestBuild_Notes(t *testing.T) {
	const head = "apiVersion: holdfast/v1\nkind: Policy\nmetadata: {name: p, version: 1, audience: {group: g}}\nlease: {hours: 1, boots: 1}\n"
	built, err := build(t, "p.yaml", []byte(head+"triggers: [{dir: /in, model: surfcae}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, note := range built.Notes {
		got = append(got, note.Error())
	}
	want := []string{
		"p.yaml:1:1: apps: no service runs the image docker.io/library/hello:latest that was to be pinned; look for a slip in its name",
		"p.yaml:1:1: apps: no service runs the image holdfast.example/digits:1 that was to be pinned; look for a slip in its name",
		`p.yaml:5:23: triggers[0].model: no workload of this policy serves the model "surfcae"; look for a slip in its name`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// FuzzBuild: whatever comes in, there are either problems with places or a document
// that a node accepts and that is built the same again.
func FuzzBuild(f *testing.F) {
	for _, file := range append(samples(f, "valid", 3), append(samples(f, "invalid", 20), filepath.Join(corpus, "line-3.yaml"))...) {
		if content := read(f, file); len(content) < 8<<10 {
			f.Add(content)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		built, err := build(t, filepath.Join(t.TempDir(), "policy.yaml"), content)
		if err != nil {
			if built != nil || len(compose.Problems(err)) == 0 {
				t.Errorf("got %+v beside %v, want problems only", built, err)
			}
			return
		}
		if built.Policy == nil {
			return // a root document; NewRoot has read it back
		}
		read, err := edge.DecodePolicy(built.Payload)
		if err != nil || len(read.Unknown) > 0 {
			t.Fatalf("got %s, of which a node says %v", built.Payload, err)
		}
		if again, err := read.Encode(); err != nil || !bytes.Equal(again, built.Payload) {
			t.Errorf("got %s, encoded again %s, %v", built.Payload, again, err)
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	path := filepath.Join(corpus, "line-3.yaml")
	content := read(b, path)
	for b.Loop() {
		if _, err := build(b, path, content); err != nil {
			b.Fatal(err)
		}
	}
}
