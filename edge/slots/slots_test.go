package slots_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"holdfast/edge/slots"
)

// program is the smallest that passes for one of this machine: a head, and a name.
func program(name string) []byte {
	return programFor(goruntime.GOARCH, name)
}

func programFor(arch, name string) []byte {
	head := make([]byte, 20)
	copy(head, "\x7fELF")
	machine := map[string][2]uint16{"386": {1, 3}, "arm": {1, 40}, "amd64": {2, 62}, "arm64": {2, 183}, "riscv64": {2, 243}}[arch]
	head[4], head[5] = byte(machine[0]), 1
	binary.LittleEndian.PutUint16(head[16:], 2)
	binary.LittleEndian.PutUint16(head[18:], machine[1])
	return []byte(string(head) + strings.Repeat(name+"\n", 100))
}

func describe(version string, sequence uint64, content []byte) slots.Binary {
	sum := sha256.Sum256(content)
	return slots.Binary{Version: version, Sequence: sequence, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(content))}
}

// gateway is a folder of slots, and what runs on it.
type gateway struct {
	t testing.TB
	slots.Options
}

const factoryVersion = "factory-1"

func newGateway(t testing.TB) *gateway {
	t.Helper()
	dir := t.TempDir()
	return &gateway{t: t, Options: slots.Options{
		Dir: filepath.Join(dir, "slots"), Running: slots.Factory, Factory: factoryVersion, Run: dir,
	}}
}

func (g *gateway) store() *slots.Store {
	g.t.Helper()
	store, err := slots.New(g.Options)
	must(g.t, err)
	return store
}

// install puts a program into the free slot.
func (g *gateway) install(version string, sequence uint64) slots.Name {
	g.t.Helper()
	content := program(version)
	name, err := g.store().Install(g.t.Context(), describe(version, sequence, content), bytes.NewReader(content))
	must(g.t, err)
	return name
}

// try installs a program and switches to it.
func (g *gateway) try(version string, sequence uint64) slots.Name {
	g.t.Helper()
	name := g.install(version, sequence)
	must(g.t, g.store().Switch(name))
	return name
}

// start is a start by the launcher; what it chose runs from here on.
func (g *gateway) start() slots.Choice {
	g.t.Helper()
	g.Running = ""
	choice, err := g.store().Choose()
	must(g.t, err)
	g.Running = choice.Slot
	return choice
}

// confirmed installs a program, starts it and confirms it.
func (g *gateway) confirmed(version string, sequence uint64) slots.Name {
	g.t.Helper()
	name := g.try(version, sequence)
	g.wantStart(version)
	must(g.t, g.store().Confirm())
	return name
}

func (g *gateway) wantStart(version string) slots.Choice {
	g.t.Helper()
	choice := g.start()
	if choice.Version != version {
		g.t.Fatalf("version %q was started, want %q: %+v", choice.Version, version, choice)
	}
	return choice
}

func (g *gateway) state() slots.State {
	g.t.Helper()
	state, err := g.store().State()
	must(g.t, err)
	return state
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("got error %v, want one with %q", err, words)
	}
}

func write(t testing.TB, name string, content []byte) {
	t.Helper()
	must(t, os.WriteFile(name, content, 0o755))
}
