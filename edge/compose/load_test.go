package compose_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/compose"
)

func load(t testing.TB, content string, environ ...string) ([]edge.Workload, error) {
	t.Helper()
	return compose.Load(t.Context(), compose.Options{Path: "/apps/line-3/compose.yaml", Content: []byte(content), Environ: environ})
}

func TestLoad_Files(t *testing.T) {
	t.Run("NamedAfterItsFolder", func(t *testing.T) {
		folder := filepath.Join(t.TempDir(), "Line 3!")
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, "compose.yaml")
		if err := os.WriteFile(path, []byte("services: {a: {image: b}}"), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := compose.Load(t.Context(), compose.Options{Path: path})
		if err != nil || len(got) != 1 || got[0].Key() != "line3/a" {
			t.Errorf("got %+v, %v, want line3/a", got, err)
		}
	})
	t.Run("Missing", func(t *testing.T) {
		_, err := compose.Load(t.Context(), compose.Options{Path: filepath.Join(t.TempDir(), "compose.yaml")})
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want fs.ErrNotExist", err)
		}
	})
	t.Run("Folder", func(t *testing.T) {
		_, err := compose.Load(t.Context(), compose.Options{Path: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("got %v, want a refusal of the folder", err)
		}
	})
	t.Run("TooLarge", func(t *testing.T) {
		_, err := load(t, "services: {a: {image: b}}\n"+strings.Repeat("# padding\n", 1<<20/10))
		if err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
			t.Errorf("got %v, want a refusal of the size", err)
		}
	})
}

// TestLoad_KeepsNilFromEmpty: no command keeps the image's, an empty one has none.
func TestLoad_KeepsNilFromEmpty(t *testing.T) {
	for text, want := range map[string][]string{
		"services: {a: {image: b}}":                    nil,
		"services: {a: {image: b, command: }}":         nil,
		"services: {a: {image: b, command: []}}":       {},
		`services: {a: {image: b, command: ""}}`:       {},
		"services: {a: {image: b, command: c d}}":      {"c", "d"},
		"services: {a: {image: b, command: ['c d']}}":  {"c d"},
		`services: {a: {image: b, command: "c 'd e'"}`: nil, // not YAML, see below
	} {
		got, err := load(t, text)
		if strings.Count(text, "{") != strings.Count(text, "}") {
			if err == nil {
				t.Errorf("%s: got no error", text)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got[0].Command, want) {
			t.Errorf("%s: got %#v, %v, want %#v", text, got, err, want)
		}
	}
}

func TestLoad_RestartDefaults(t *testing.T) {
	const server = ", x-holdfast: {model: m, endpoint: 'unix:///run/m/m.sock'}"
	for text, want := range map[string]edge.RestartPolicy{
		"":                             edge.RestartNo,
		server:                         edge.RestartAlways,
		server + ", restart: no":       edge.RestartNo,
		", restart: unless-stopped":    edge.RestartAlways,
		", restart: on-failure":        edge.RestartOnFailure,
		", restart: \"${R:-always}\" ": edge.RestartAlways,
	} {
		got, err := load(t, "services: {a: {image: b"+text+"}}")
		if err != nil || got[0].Restart != want {
			t.Errorf("%q: got %+v, %v, want %s", text, got, err, want)
		}
	}
}

func TestLoad_SameFileSameHash(t *testing.T) {
	const text = "services: {a: {image: b, environment: {B: 1, A: 2, C: 3}, cap_add: [KILL, CHOWN], tmpfs: [/b, /a]}}"
	first, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := load(t, text)
		if err != nil || again[0].SpecHash() != first[0].SpecHash() {
			t.Fatalf("got %+v, %v, want the hash of %+v", again, err, first)
		}
	}
}

func TestProblems_Bounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("services:\n  a:\n    image: b\n")
	for i := range 500 {
		b.WriteString("    k" + strings.Repeat("y", i) + ": 1\n")
	}
	_, err := load(t, b.String())
	if n := len(compose.Problems(err)); n != 51 {
		t.Errorf("got %d problems, want 50 and a note", n)
	}
}

// FuzzLoad: whatever comes in, the loader neither panics nor hands out a workload
// that breaks what it promises, and accepts nothing the Compose schema refuses.
func FuzzLoad(f *testing.F) {
	for _, folder := range []string{"valid", "invalid"} {
		for _, file := range samples(f, folder, 5) {
			content, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(content))
		}
	}
	f.Fuzz(func(t *testing.T, content string) {
		got, err := load(t, content, environ...)
		if err != nil {
			if got != nil || len(compose.Problems(err)) == 0 {
				t.Errorf("got %+v beside %v, want problems only", got, err)
			}
			return
		}
		if got == nil {
			t.Error("got neither workloads nor an error")
		}
		for _, w := range got {
			promised(t, w)
		}
		again, err := compose.LoadByCompose(t.Context(), compose.Options{Path: "/apps/line-3/compose.yaml", Content: []byte(content), Environ: environ})
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Errorf("got %+v by Compose (%v), want %+v", again, err, got)
		}
	})
}

func promised(t *testing.T, w edge.Workload) {
	t.Helper()
	root := w.User == "root" || w.User == "0"
	switch {
	case w.Name == "" || w.App == "" || w.Image == "":
		t.Errorf("got %+v without a name", w)
	case root && !w.Security.RunAsRoot:
		t.Errorf("got %+v as root", w)
	case w.Limits.CPUs < 0 || w.Limits.Memory < 0 || w.Limits.Pids < 0 || w.Replicas < 0 || w.StopGrace <= 0:
		t.Errorf("got %+v with a limit below nothing", w)
	case w.IsOneShot() && w.CheckOneShot() != nil:
		t.Errorf("got %+v that is one-shot and cannot be: %v", w, w.CheckOneShot())
	case w.Serve != nil && !w.IsOneShot() && (w.Serve.Model == "" || !strings.HasPrefix(w.Serve.Endpoint, "unix:///")):
		t.Errorf("got %+v that cannot be asked", w.Serve)
	}
	if _, err := json.Marshal(w); err != nil {
		t.Errorf("got %+v that cannot be written: %v", w, err)
	}
}

func TestLoad_TakesProcessEnvironment(t *testing.T) {
	t.Setenv("HOLDFAST_SAMPLE_TAG", "7")
	got, err := compose.Load(t.Context(), compose.Options{
		Path: "compose.yaml", Content: []byte("services: {a: {image: 'b:${HOLDFAST_SAMPLE_TAG}'}}"),
		Environ: []string{"HOLDFAST_SAMPLE_TAG=7"},
	})
	if err != nil || got[0].Image != "b:7" {
		t.Errorf("got %+v, %v, want b:7", got, err)
	}
}
