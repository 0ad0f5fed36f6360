package compose_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/compose"
)

// deployed are files in the manner of those that people run: what becomes of each is
// written beside it, as workloads in .json or as problems in .err.
const deployed = "testdata/corpus"

// deployedEnviron is what whoever runs them has set.
var deployedEnviron = []string{"TAG=5"}

// loadDeployed reads one under its own name.
func loadDeployed(t *testing.T, path string) ([]edge.Workload, error) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return compose.Load(t.Context(), compose.Options{Path: filepath.Base(path), Content: content, Environ: deployedEnviron})
}

// TestLoad_Deployed holds what is said of the files people run against what it has to be.
func TestLoad_Deployed(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(deployed, "*.yaml"))
	if err != nil || len(files) < 10 {
		t.Fatalf("got %d files, %v, want ten", len(files), err)
	}
	taken := 0
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			workloads, err := loadDeployed(t, path)
			if err != nil {
				expected(t, strings.TrimSuffix(path, ".yaml")+".err", err.Error()+"\n")
				wantRemedies(t, path, compose.Problems(err))
				return
			}
			taken++
			text, err := json.MarshalIndent(workloads, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			expected(t, strings.TrimSuffix(path, ".yaml")+".json", string(text)+"\n")
		})
	}
	if !t.Failed() && (taken < 3 || taken == len(files)) {
		t.Errorf("got %d of %d files taken, want some of both", taken, len(files))
	}
}

// wantRemedies wants every problem to say where it is and what to do.
func wantRemedies(t *testing.T, path string, problems []*compose.Problem) {
	t.Helper()
	if len(problems) == 0 {
		t.Errorf("%s is refused without a problem", path)
	}
	for _, p := range problems {
		if p.Line == 0 || p.Key == "" || p.Remedy == "" {
			t.Errorf("got %v, want a line, a key and a remedy", p)
		}
	}
}

// TestDeployed_OnceMended takes the problems of one file away one by one, as its owner would,
// and wants each to go alone: what is told at once is all there is.
func TestDeployed_OnceMended(t *testing.T) {
	const path = deployed + "/mqtt-bridge.yaml"
	_, err := loadDeployed(t, path)
	before := compose.Problems(err)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	mended := string(content)
	for _, change := range [][2]string{
		{"    container_name: mosquitto\n", ""},
		{"./mosquitto/config:", "/opt/line3/mosquitto:"},
		{"    driver: bridge\n", "    driver: bridge\n    internal: true\n"},
		{"    file: ./secrets/db-password.txt\n", "    external: true\n"},
	} {
		if !strings.Contains(mended, change[0]) {
			t.Fatalf("the file has no %q", change[0])
		}
		mended = strings.Replace(mended, change[0], change[1], 1)
		_, err := compose.Load(t.Context(), compose.Options{Path: path, Content: []byte(mended)})
		after := compose.Problems(err)
		if len(after) != len(before)-1 {
			t.Errorf("after %q: got %d problems, want one less than %d:\n%v", change[0], len(after), len(before), err)
		}
		before = after
	}
	if len(before) > 0 {
		t.Errorf("got %v, want the file taken", before)
	}
}
