package compose_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/compose"
)

var update = flag.Bool("update", false, "write the expected results anew")

const corpus = "../../testdata/compose"

// environ is what the corpus is interpolated with.
var environ = []string{"TAG=1.2", "N=2", "EMPTY="}

func samples(t testing.TB, folder string, atLeast int) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(corpus, folder, "*.yaml"))
	if err != nil || len(files) < atLeast {
		t.Fatalf("got %d samples in %s, %v, want at least %d", len(files), folder, err, atLeast)
	}
	return files
}

func expected(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestLoad_Valid(t *testing.T) {
	for _, file := range samples(t, "valid", 5) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			got, err := compose.Load(t.Context(), compose.Options{Path: file, Environ: environ})
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.MarshalIndent(got, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			expected(t, strings.TrimSuffix(file, ".yaml")+".json", string(text)+"\n")
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := compose.LoadByCompose(t.Context(), compose.Options{Path: file, Content: content, Environ: environ})
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want what Compose makes of it: %+v, %v", got, want, err)
			}
		})
	}
}

func TestLoad_Invalid(t *testing.T) {
	for _, file := range samples(t, "invalid", 20) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			got, err := compose.Load(t.Context(), compose.Options{Path: file, Environ: environ})
			if err == nil || got != nil {
				t.Fatalf("got %+v, %v, want only an error", got, err)
			}
			if !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("got %v, want edge.ErrInvalid", err)
			}
			text := strings.ReplaceAll(err.Error(), filepath.Dir(file)+"/", "") + "\n"
			expected(t, strings.TrimSuffix(file, ".yaml")+".err", text)
		})
	}
}

// TestInvalid_HaveLines holds that every defect of the corpus points at a line.
func TestInvalid_HaveLines(t *testing.T) {
	for _, file := range samples(t, "invalid", 20) {
		_, err := compose.Load(t.Context(), compose.Options{Path: file, Environ: environ})
		for _, problem := range compose.Problems(err) {
			if problem.Line == 0 {
				t.Errorf("got %v, want a line", problem)
			}
		}
	}
}
