package slots_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"testing"

	"holdfast/edge"
	"holdfast/edge/slots"
)

func TestStore_Choose(t *testing.T) {
	t.Run("NothingThere", func(t *testing.T) {
		g := newGateway(t)
		if got := g.wantStart(factoryVersion); got.Slot != slots.Factory || got.Rescue != "" || got.Path != "" {
			t.Errorf("got %+v", got)
		}
		if _, err := os.Stat(g.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it has made a folder: %v", err)
		}
	})
	t.Run("GoodVersion", func(t *testing.T) {
		g := newGateway(t)
		name := g.try("2", 2)
		if got := g.wantStart("2"); got.Path != g.store().Path(name) {
			t.Errorf("got path %q", got.Path)
		}
		must(t, g.store().Confirm())
		before := slots.Generation(g.store())
		for range 5 {
			g.wantStart("2")
		}
		must(t, g.store().Confirm())
		if after := slots.Generation(g.store()); after != before {
			t.Errorf("ordinary starts have written %d records", after-before)
		}
		if got := g.state(); got.OnTrial() || got.Floor != 2 || !got.Slot(name).Proven {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("NeverConfirmed", func(t *testing.T) {
		g := newGateway(t)
		g.confirmed("2", 2)
		name := g.try("3", 3)
		g.wantStart("3")
		g.wantStart("3")
		got := g.wantStart("2")
		if want := "version 3 is not started: it was given 2 starts and confirmed itself in none"; strings.Join(got.Said, "|") != want || got.Rescue != "" {
			t.Errorf("got %+v, want it to say %q", got, want)
		}
		g.wantBad("3", "it was given 2 starts and confirmed itself in none")
		err := g.store().Switch(name)
		wantError(t, err, "it was found bad")
		if !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("%v is not ErrInvalid", err)
		}
		if floor := g.state().Floor; floor != 2 {
			t.Errorf("floor is %d", floor)
		}
	})
	t.Run("FirstUpdateFails", func(t *testing.T) { // the factory's program is no rescue then
		g := newGateway(t)
		g.try("2", 2)
		g.wantStart("2")
		g.wantStart("2")
		if got := g.wantStart(factoryVersion); got.Rescue != "" {
			t.Errorf("got %+v", got)
		}
		g.wantBad("2", "confirmed itself in none")
	})
	t.Run("SecondTryConfirms", func(t *testing.T) {
		g := newGateway(t)
		g.try("2", 2)
		g.wantStart("2")
		g.wantStart("2")
		must(t, g.store().Confirm())
		g.wantStart("2")
	})
}

// wantBad wants a version to be remembered, and why.
func (g *gateway) wantBad(version, words string) {
	g.t.Helper()
	for _, bad := range g.state().Bad {
		if bad.Version == version && strings.Contains(bad.Reason, words) {
			return
		}
	}
	g.t.Errorf("bad are %+v, want %s with %q", g.state().Bad, version, words)
}

// TestStore_ChooseDamagedProgram: what cannot be started is passed over, in the trial and
// after it.
func TestStore_ChooseDamagedProgram(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, path string)
		words string
	}{
		"Truncated": {func(t *testing.T, path string) { must(t, os.Truncate(path, 100)) }, "it has 100 bytes"},
		"OneBit": {func(t *testing.T, path string) {
			content, err := os.ReadFile(path)
			must(t, err)
			content[150] ^= 1
			write(t, path, content)
		}, "its digest is sha256:"},
		"Gone":   {func(t *testing.T, path string) { must(t, os.Remove(path)) }, "no such file"},
		"Folder": {func(t *testing.T, path string) { must(t, os.Remove(path)); must(t, os.Mkdir(path, 0o755)) }, "it is not a file"},
		"OtherMachine": {func(t *testing.T, path string) {
			content, err := os.ReadFile(path)
			must(t, err)
			content[18] = 8 // MIPS
			write(t, path, content)
		}, "it is for another architecture than " + goruntime.GOARCH},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			first := g.confirmed("2", 2)
			tried := g.try("3", 3)
			c.spoil(t, g.store().Path(tried))
			g.wantStart("2")
			g.wantBad("3", c.words)

			second := g.confirmed("4", 4)
			c.spoil(t, g.store().Path(second))
			if got := g.wantStart("2"); got.Slot != first || !strings.Contains(strings.Join(got.Said, "\n"), c.words) {
				t.Errorf("got %+v", got)
			}
			if _, bad := g.state().Badly(g.state().Slot(second).Digest); bad {
				t.Error("a file that the disk has spoilt counts against its version")
			}

			c.spoil(t, g.store().Path(first))
			for range 2 { // and says so at every start
				if got := g.wantStart(factoryVersion); !strings.Contains(got.Rescue, c.words) {
					t.Errorf("got %+v", got)
				}
			}
			g.confirmed("4", 4) // installed anew
			if got := g.wantStart("4"); got.Rescue != "" || g.state().Rescue != "" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// counter is where starts are counted.
func (g *gateway) counter() string { return filepath.Join(g.Run, "starts") }

// TestStore_EarlyEnds: what ends early again and again is left, for as long as it is the
// version that does it.
func TestStore_EarlyEnds(t *testing.T) {
	t.Run("BackToTheVersionBefore", func(t *testing.T) {
		g := newGateway(t)
		g.confirmed("2", 2)
		g.confirmed("3", 3)
		g.earlyEnds("3", "2")
		g.wantBad("3", "it was confirmed, and then ended early 8 times in a row")
		g.wantStart("2")
	})
	t.Run("WhoLastsIsNotLeft", func(t *testing.T) {
		g := newGateway(t)
		g.confirmed("2", 2)
		for range 5 * slots.EarlyEnds {
			g.wantStart("2")
			must(t, g.store().Settle())
		}
	})
	t.Run("AfterARestartOfTheMachine", func(t *testing.T) {
		g := newGateway(t)
		g.confirmed("2", 2)
		for range 5 * slots.EarlyEnds {
			g.wantStart("2")
			must(t, os.Remove(g.counter()))
		}
	})
	t.Run("EverythingEndsEarly", func(t *testing.T) {
		g := newGateway(t)
		g.confirmed("2", 2)
		g.confirmed("3", 3)
		g.earlyEnds("3", "2")
		g.earlyEnds("2", factoryVersion)
		g.earlyEnds(factoryVersion, "3")
		before := slots.Generation(g.store())
		for range 50 {
			g.wantStart("3") // and there it stays
		}
		if after := slots.Generation(g.store()); after != before {
			t.Errorf("it has written %d records", after-before)
		}
		if bad := g.state().Bad; len(bad) > 0 {
			t.Errorf("bad are %+v, and they are not to blame", bad)
		}
		must(t, g.store().Settle()) // one has lasted: from here on it counts again
		g.earlyEnds("3", "2")
	})
	t.Run("Uncounted", func(t *testing.T) {
		g := newGateway(t)
		g.Run = ""
		g.confirmed("2", 2)
		for range 5 * slots.EarlyEnds {
			g.wantStart("2")
		}
	})
	t.Run("StrangeCounter", func(t *testing.T) {
		for _, text := range []string{"", "x", "sha256:0 99 1\n", "factory -5 1\n", strings.Repeat("9", 1000)} {
			g := newGateway(t)
			g.confirmed("2", 2)
			write(t, g.counter(), []byte(text))
			g.wantStart("2")
		}
	})
}

func TestStore_Refuse(t *testing.T) {
	t.Run("OnTrial", func(t *testing.T) {
		g := newGateway(t)
		g.confirmed("2", 2)
		g.try("3", 3)
		g.refusedThen(syscall.ENOEXEC, "2")
		g.wantBad("3", "the kernel does not start it: exec format error")
		g.wantStart("2")
	})
	t.Run("Confirmed", func(t *testing.T) {
		g := newGateway(t)
		g.confirmed("2", 2)
		if got := g.refusedThen(syscall.EACCES, factoryVersion); !strings.Contains(got.Rescue, "permission denied") {
			t.Errorf("got %+v", got)
		}
		if got := g.wantStart(factoryVersion); !strings.Contains(got.Rescue, "permission denied") {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("ShortOfMemory", func(t *testing.T) { // it is tried again at the next start
		g := newGateway(t)
		g.confirmed("2", 2)
		before := slots.Generation(g.store())
		g.refusedThen(syscall.ENOMEM, factoryVersion)
		if slots.Generation(g.store()) != before {
			t.Error("that was recorded")
		}
		g.wantStart("2")
	})
}

// refusedThen starts what the kernel refuses, and returns what follows in the same process.
func (g *gateway) refusedThen(why error, version string) slots.Choice {
	g.t.Helper()
	store := g.store()
	choice, err := store.Choose()
	must(g.t, err)
	store.Refuse(choice, why)
	choice, err = store.Choose()
	must(g.t, err)
	if choice.Version != version {
		g.t.Fatalf("chose %+v, want %q", choice, version)
	}
	g.Running = choice.Slot
	return choice
}

// TestStore_ChooseNewFactory: a factory's program that somebody has put there runs.
func TestStore_ChooseNewFactory(t *testing.T) {
	g := newGateway(t)
	kept := g.confirmed("2", 2)
	g.try("3", 3)
	g.Factory = "factory-2"
	for range 3 {
		if got := g.wantStart("factory-2"); got.Rescue != "" {
			t.Errorf("got %+v", got)
		}
	}
	state := g.state()
	if state.OnTrial() || len(state.Bad) > 0 || state.Floor != 2 || state.Factory != "factory-2" {
		t.Errorf("got %+v", state)
	}
	must(t, g.store().Switch(kept)) // what is in the slots can be had again
	g.wantStart("2")
}

func TestStore_Switch(t *testing.T) {
	g := newGateway(t)
	old := g.confirmed("2", 2)
	wantError(t, g.store().Switch(old), "version 2 is confirmed already")
	wantError(t, g.store().Switch(slots.B), "it is empty")
	wantError(t, g.store().Switch(slots.Factory), "it is not a slot")
	wantError(t, g.store().Reject(slots.B, "?"), "it is empty")
	wantError(t, g.store().Reject(old, "?"), "it is confirmed")
	next := g.try("3", 3)
	wantError(t, g.store().Switch(next), "version 3 is on trial")
	g.Running = old
	wantError(t, g.store().Confirm(), "it is not the one that runs")
	must(t, g.store().Cancel())
	g.wantStart("2")
	must(t, g.store().Switch(next))
	g.wantStart("3")
	must(t, g.store().Confirm())
	wantError(t, g.store().Switch(old), "its sequence 2 is below the floor of 3")
}

func TestStarted_Environment(t *testing.T) {
	started := slots.Started{Slot: slots.B, Factory: "1.0", Dir: "/data/slots", Run: "/run/holdfast"}
	before := []string{"PATH=/bin", "HOLDFAST_SLOT=a", "HOLDFAST_RESCUE=old", "RUNTIME_DIRECTORY=/run/holdfast", "HOLDFAST_NODE_ID=n"}
	environ := started.Environment(before)
	getenv := func(name string) (value string) {
		for _, entry := range environ {
			if v, found := strings.CutPrefix(entry, name+"="); found {
				value = v
			}
		}
		return value
	}
	if got := slots.FromEnvironment(getenv); got != started {
		t.Errorf("got %+v, want %+v", got, started)
	}
	if got := strings.Join(slots.WithoutOurs(environ), " "); got != "PATH=/bin RUNTIME_DIRECTORY=/run/holdfast HOLDFAST_NODE_ID=n" {
		t.Errorf("without ours it is %q", got)
	}
	none := slots.FromEnvironment(func(string) string { return "" })
	if none.Slot != "" || none.Dir != slots.DefaultDir || none.Run != "" {
		t.Errorf("got %+v of nothing", none)
	}
	if _, err := slots.New(slots.Options{Dir: "slots"}); err == nil {
		t.Error("a relative folder passed")
	}
}

// TestStore_State has nothing of a text that could play tricks with a terminal.
func TestStore_State(t *testing.T) {
	g := newGateway(t)
	must(t, g.store().Reject(g.install("2", 2), "\x1b]0;title\a"))
	if reason := g.state().Bad[0].Reason; bytes.ContainsAny([]byte(reason), "\x1b\a") {
		t.Errorf("reason is %q", reason)
	}
	if got := g.state().Version(slots.Factory); got != factoryVersion {
		t.Errorf("the factory's version is %q", got)
	}
}

// TestStore_ChooseUnread: a program is read once, and again when anything was done to it.
func TestStore_ChooseUnread(t *testing.T) {
	g := newGateway(t)
	path := g.store().Path(g.confirmed("2", 2))
	g.wantStart("2")
	content, err := os.ReadFile(path)
	must(t, err)
	content[150] ^= 1
	info, err := os.Stat(path)
	must(t, err)
	write(t, path, content)
	must(t, os.Chtimes(path, info.ModTime(), info.ModTime())) // even if it is made to look old
	if got := g.wantStart(factoryVersion); !strings.Contains(got.Rescue, "its digest is sha256:") {
		t.Errorf("got %+v", got)
	}
	seen, err := os.ReadFile(filepath.Join(g.Run, "seen.a"))
	must(t, err)
	next := g.confirmed("3", 3)
	write(t, filepath.Join(g.Run, "seen."+string(next)), seen) // of another program
	must(t, os.Truncate(g.store().Path(next), 30))
	g.wantStart(factoryVersion)
}
