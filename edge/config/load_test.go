package config_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
)

var update = flag.Bool("update", false, "write the .err files anew")

const samples = "../../testdata/config"

// write puts files into a folder of their own and returns it.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func originOf(l *config.Loaded, key string) string {
	for _, v := range l.Origins() {
		if v.Key == key {
			return v.Value + " from " + v.Origin
		}
	}
	return "absent"
}

func TestLoad_Layers(t *testing.T) {
	folder := write(t, map[string]string{
		"config.yaml":             "node:\n  name: a\n  labels: {site: one, line: 'x'}\napi:\n  maxBody: 1MiB\nlog: {level: warn}\nlogs: {keep: 1}\n",
		"conf.d/20-late.yaml":     "logs: {keep: 3}\n",
		"conf.d/10-early.yaml":    "logs: {keep: 2}\nnode: {labels: {site: two}}\n",
		"conf.d/note.txt":         "not: read",
		"conf.d/.hidden.yaml":     "not: read",
		"conf.d/30-misnamed.yml":  "not: read",
		"conf.d/15-comments.yaml": "# nothing\n",
	})
	path := filepath.Join(folder, "config.yaml")
	got, err := config.Load(config.Options{
		Path:      path,
		Environ:   []string{"HOLDFAST_LOG_LEVEL=error", "HOLDFAST_API_MAX_BODY=2MiB", "PATH=/bin", "HOLDFAST_PORT=1", "HOLDFAST_LOG_LEVLE=x"},
		Overrides: []string{"log.level=debug", "node.labels.role=camera"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"node.name":                     "a from " + path + ":2",
		"node.labels.site":              "two from " + folder + "/conf.d/10-early.yaml:2",
		"node.labels.line":              "x from " + path + ":3",
		"node.labels.role":              "camera from flag",
		"api.maxBody":                   "2MiB from HOLDFAST_API_MAX_BODY",
		"log.level":                     "debug from flag",
		"logs.keep":                     "3 from " + folder + "/conf.d/20-late.yaml:1",
		"scheduler.classes.batch.queue": "1024 from default",
		"api.socket":                    "/run/holdfast/holdfast.sock from default (from paths.run)",
	} {
		if got := originOf(got, key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	wantWarnings := []string{
		folder + "/conf.d/30-misnamed.yml is not read: only names that end in .yaml are",
		`environment variable "HOLDFAST_LOG_LEVLE" is not known; did you mean HOLDFAST_LOG_LEVEL?`,
		`environment variable "HOLDFAST_PORT" is not known`,
	}
	if !slices.Equal(got.Warnings, wantWarnings) {
		t.Errorf("warnings: got %q, want %q", got.Warnings, wantWarnings)
	}
	if len(got.Files) != 4 {
		t.Errorf("files: got %q, want the four that are read", got.Files)
	}
}

func TestLoad_Files(t *testing.T) {
	t.Run("MissingDefaultIsFine", func(t *testing.T) {
		got, err := config.Load(config.Options{DefaultPath: filepath.Join(t.TempDir(), "config.yaml")})
		if err != nil {
			t.Fatal(err)
		}
		host, _ := os.Hostname()
		if got.Config.Node.Name != host {
			t.Errorf("node name: got %q, want the host's %q", got.Config.Node.Name, host)
		}
		if d := time.Duration(got.Config.Scheduler.Classes.Of(edge.Urgent).Deadline); d != edge.Urgent.DefaultDeadline() {
			t.Errorf("urgent deadline: got %v, want %v", d, edge.Urgent.DefaultDeadline())
		}
	})
	t.Run("MissingNamedIsAnError", func(t *testing.T) {
		missing := filepath.Join(t.TempDir(), "x.yaml")
		for _, o := range []config.Options{{Path: missing}, {Environ: []string{"HOLDFAST_CONFIG=" + missing}}} {
			if _, err := config.Load(o); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got %v, want fs.ErrNotExist", err)
			}
		}
	})
	t.Run("ConfDWithoutMainFile", func(t *testing.T) {
		folder := write(t, map[string]string{"conf.d/a.yaml": "logs: {keep: 9}"})
		got, err := config.Load(config.Options{DefaultPath: filepath.Join(folder, "config.yaml")})
		if err != nil || got.Config.Logs.Keep != 9 {
			t.Fatalf("got %+v, %v, want keep 9", got, err)
		}
	})
	t.Run("TooLarge", func(t *testing.T) {
		folder := write(t, map[string]string{"c.yaml": strings.Repeat("# padding\n", 1<<20/10+1)})
		_, err := config.Load(config.Options{Path: filepath.Join(folder, "c.yaml")})
		if err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
			t.Errorf("got %v, want a refusal of the size", err)
		}
	})
	t.Run("NotAFile", func(t *testing.T) {
		_, err := config.Load(config.Options{Path: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("got %v, want a refusal of the folder", err)
		}
	})
	t.Run("RelativePaths", func(t *testing.T) {
		folder := write(t, map[string]string{"c.yaml": "workloads: {compose: apps/line.yaml}"})
		got, err := config.Load(config.Options{Path: filepath.Join(folder, "c.yaml"), Overrides: []string{"paths.state=here"}})
		if err != nil {
			t.Fatal(err)
		}
		here, _ := filepath.Abs("here")
		if got.Config.Workloads.Compose != filepath.Join(folder, "apps/line.yaml") || got.Config.Paths.State != here {
			t.Errorf("got %q and %q, want them beside the file and in the working folder", got.Config.Workloads.Compose, got.Config.Paths.State)
		}
	})
}

func TestLoad_Overrides(t *testing.T) {
	none := filepath.Join(t.TempDir(), "config.yaml")
	for pair, want := range map[string]string{
		"log.level":         `flag: "log.level" sets nothing; write key=value`,
		"log.levle=debug":   `flag: unknown key "log.levle"; did you mean "log.level"?`,
		"log.level=loud":    `flag: log.level: "loud" is not a level; write debug, info, warn or error`,
		"node.labels.a b=x": `flag: node.labels.a b: "x" is not accepted; write names and values of at most 63 letters, digits, '.', '_' or '-'`,
		"api.maxBody=-1":    `flag: api.maxBody: "-1" is not a size; write a size from 1KiB to 1GiB in B, KiB, MiB or GiB, such as 16MiB`,
		"log=x":             `flag: unknown key "log"; it is a section: set one of the keys below it`,
	} {
		_, err := config.Load(config.Options{DefaultPath: none, Overrides: []string{pair}})
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v\nwant %s", pair, err, want)
		}
	}
	got, err := config.Load(config.Options{
		DefaultPath: none, Environ: []string{"HOLDFAST_NODE_LABELS=a=1,b="},
		Overrides: []string{"api.listen=", "node.labels=c=3"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Config.API.Listen != "" || len(got.Config.Node.Labels) != 3 {
		t.Errorf("got listen %q and labels %v, want none and three", got.Config.API.Listen, got.Config.Node.Labels)
	}
	if origin := originOf(got, "node.labels.b"); origin != " from HOLDFAST_NODE_LABELS" {
		t.Errorf("origin of a label: got %q", origin)
	}
}

func TestLoad_Groups(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "config.yaml")
	for text, want := range map[string][]string{
		"node: {groups: [line-3, east]}": {"line-3", "east"},
		"node: {groups: 'line-3,east'}":  {"line-3", "east"},
		"node: {groups: []}":             nil,
		"log: {level: warn}":             nil,
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := config.Load(config.Options{Path: path})
		if err != nil || !slices.Equal(got.Config.Node.Groups, want) {
			t.Errorf("%s: got %q and error %v, want %q", text, got.Config.Node.Groups, err, want)
		}
	}
	got, err := config.Load(config.Options{Path: path, Environ: []string{"HOLDFAST_NODE_GROUPS=east"}, Overrides: []string{"node.groups=west,north"}})
	if err != nil || !slices.Equal(got.Config.Node.Identity().Groups, []string{"west", "north"}) {
		t.Errorf("got %q and error %v, want the last layer alone", got.Config.Node.Groups, err)
	}
}

// TestLoad_Invalid holds each file of testdata/config/invalid against the .err
// file beside it, and negatively: without the defect nothing is reported.
func TestLoad_Invalid(t *testing.T) {
	files, _ := filepath.Glob(samples + "/invalid/*.yaml")
	if len(files) < 10 {
		t.Fatalf("got %d samples, want the corpus", len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := config.Load(config.Options{Path: file, Overrides: []string{"node.name=n"}})
			if err == nil {
				t.Fatal("got no error")
			}
			if !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("got %v, want edge.ErrInvalid", err)
			}
			got := strings.ReplaceAll(err.Error(), filepath.Dir(file)+"/", "") + "\n"
			expected(t, strings.TrimSuffix(file, ".yaml")+".err", got)
		})
	}
}

func TestLoad_NodeOfAFleet(t *testing.T) {
	named := []string{"node.name=group"}
	if _, err := config.Load(config.Options{Overrides: named}); err != nil {
		t.Errorf("got %v without a fleet, want any name", err)
	}
	_, err := config.Load(config.Options{Overrides: append(named, "link.broker=tcp://b")})
	if err == nil || !strings.Contains(err.Error(), "node.name") || !strings.Contains(err.Error(), "stands for groups") {
		t.Errorf("got %v, want a refusal of the name", err)
	}
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

func TestProblems_All(t *testing.T) {
	_, err := config.Load(config.Options{Path: samples + "/invalid/many.yaml"})
	problems := config.Problems(err)
	if len(problems) != 16 {
		t.Fatalf("got %d problems, want 16:\n%v", len(problems), err)
	}
	for _, p := range problems {
		if p.Line == 0 || p.Column == 0 || p.Remedy == "" {
			t.Errorf("got %+v, want a place and a remedy", p)
		}
	}
	t.Run("Bounded", func(t *testing.T) {
		var b strings.Builder
		for range 5000 {
			b.WriteString("x" + strings.Repeat("y", b.Len()%100) + ": 1\n")
		}
		folder := write(t, map[string]string{"c.yaml": b.String()})
		_, err := config.Load(config.Options{Path: filepath.Join(folder, "c.yaml")})
		if n := len(config.Problems(err)); n != 51 {
			t.Errorf("got %d problems, want 50 and a note", n)
		}
	})
}

func TestLoad_RefusesOpenListener(t *testing.T) {
	none := filepath.Join(t.TempDir(), "config.yaml")
	for listen, want := range map[string]bool{"127.0.0.1:1": true, "localhost:1": true, "[::1]:1": true, "": true, "0.0.0.0:1": false, ":1": false, "gateway:1": false} {
		_, err := config.Load(config.Options{DefaultPath: none, Overrides: []string{"api.listen=" + listen}})
		if got := err == nil; got != want {
			t.Errorf("%q: accepted is %v (%v), want %v", listen, got, err, want)
		}
	}
}
