package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"holdfast/edge/slots"
)

// became is what a launcher has made of itself.
type became struct {
	path          string
	args, environ []string
}

// gone is the end of a launcher that has become another program.
type gone struct{}

// launched lets a launcher go on to what it chooses. An exec fails as told, in order; one
// that does not fail does not return.
func launched(t *testing.T, dir string, fails ...error) (tried []became, here Process, said string) {
	t.Helper()
	return launchedUntil(t.Context(), dir, fails...)
}

func launchedUntil(ctx context.Context, dir string, fails ...error) (tried []became, here Process, said string) {
	var stderr bytes.Buffer
	defer func() {
		said = stderr.String()
		if end := recover(); end != nil && end != (gone{}) {
			panic(end)
		}
	}()
	l := launcher{
		Process: Process{
			Args: []string{"launch", "--set", "log.level=debug"}, Version: "factory-1", Stderr: &stderr,
			Environ: []string{"HOLDFAST_SLOTS=" + dir, "HOLDFAST_RESCUE=of another start"},
		},
		exec: func(path string, args, environ []string) error {
			tried = append(tried, became{path, args, environ})
			if len(tried) > len(fails) {
				panic(gone{})
			}
			return fails[len(tried)-1]
		},
	}
	return tried, l.launch(ctx), ""
}

// inSlot installs this very test as a version, and switches to it.
func inSlot(t *testing.T, dir, version string, sequence uint64) *slots.Store {
	t.Helper()
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program = append(program, version...)
	sum := sha256.Sum256(program)
	store, err := slots.New(slots.Options{Dir: dir, Running: slots.Factory, Factory: "factory-1"})
	if err != nil {
		t.Fatal(err)
	}
	name, err := store.Install(t.Context(), slots.Binary{
		Version: version, Sequence: sequence, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(program)),
	}, bytes.NewReader(program))
	if err == nil {
		err = store.Switch(name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestLauncher_Launch(t *testing.T) {
	t.Run("NoSlots", func(t *testing.T) {
		tried, here, said := launched(t, filepath.Join(t.TempDir(), "slots"))
		if len(tried) > 0 || said != "" {
			t.Errorf("it tried %+v and said %q", tried, said)
		}
		if want := []string{"run", "--set", "log.level=debug"}; !slices.Equal(here.Args, want) {
			t.Errorf("it goes on as %q, want %q", here.Args, want)
		}
		if here.Getenv("HOLDFAST_SLOT") != "factory" || here.Getenv("HOLDFAST_RESCUE") != "" || here.Getenv("HOLDFAST_FACTORY") != "factory-1" {
			t.Errorf("its environment is %q", here.Environ)
		}
	})
	t.Run("AVersion", func(t *testing.T) {
		dir := t.TempDir()
		store := inSlot(t, dir, "2", 2)
		tried, _, said := launched(t, dir)
		if len(tried) != 1 || tried[0].path != store.Path(slots.A) || said != "" {
			t.Fatalf("it became %+v and said %q", tried, said)
		}
		if want := []string{store.Path(slots.A), "run", "--set", "log.level=debug"}; !slices.Equal(tried[0].args, want) {
			t.Errorf("with %q, want %q", tried[0].args, want)
		}
		if !slices.Contains(tried[0].environ, "HOLDFAST_SLOT=a") || slices.ContainsFunc(tried[0].environ, func(e string) bool { return strings.HasPrefix(e, "HOLDFAST_RESCUE=") }) {
			t.Errorf("in %q", tried[0].environ)
		}
	})
	t.Run("TheKernelRefusesIt", func(t *testing.T) {
		dir := t.TempDir()
		store := inSlot(t, dir, "2", 2)
		tried, here, said := launched(t, dir, syscall.ENOEXEC)
		if len(tried) != 1 || here.Getenv("HOLDFAST_SLOT") != "factory" {
			t.Fatalf("it tried %+v and goes on as %q", tried, here.Environ)
		}
		if !strings.Contains(said, "version 2 is not started: the kernel does not start it: exec format error") {
			t.Errorf("it said %q", said)
		}
		if state, err := store.State(); err != nil || state.OnTrial() || len(state.Bad) != 1 {
			t.Errorf("what is kept of it is %+v, %v", state, err)
		}
	})
	t.Run("ToldToEnd", func(t *testing.T) {
		dir := t.TempDir()
		inSlot(t, dir, "2", 2)
		ctx, end := context.WithCancel(t.Context())
		end()
		if tried, here, _ := launchedUntil(ctx, dir); len(tried) > 0 || here.Getenv("HOLDFAST_SLOT") != "factory" {
			t.Errorf("it tried %+v, and goes on as %q", tried, here.Environ)
		}
	})
	t.Run("Rescue", func(t *testing.T) {
		dir := t.TempDir()
		for _, name := range []string{"record.1", "record.2"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, here, said := launched(t, dir)
		if rescue := here.Getenv("HOLDFAST_RESCUE"); !strings.Contains(rescue, "nothing is known of other versions") || !strings.Contains(said, "in rescue") {
			t.Errorf("the reason is %q, and it said %q", rescue, said)
		}
	})
}

func TestLaunches(t *testing.T) {
	for words, want := range map[string]bool{
		"launch": true, "launch --config x": true, "launch --help": false, "launch -h": false, "run": false, "": false, "-o json launch": false,
	} {
		if got := launches(strings.Fields(words)); got != want {
			t.Errorf("%q launches: %v, want %v", words, got, want)
		}
	}
}
