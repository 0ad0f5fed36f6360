package slots_test

import (
	"bytes"
	"testing"

	"holdfast/edge/slots"
)

// agentSize is about what the agent's program has.
const agentSize = 24 << 20

// BenchmarkStore_Choose is what a start costs before the program is started: nearly all of
// it is reading the program for its digest.
func BenchmarkStore_Choose(b *testing.B) {
	g := newGateway(b)
	content := append(bytes.Clone(program("2")), make([]byte, agentSize)...)
	name, err := g.store().Install(b.Context(), describe("2", 2, content), bytes.NewReader(content))
	must(b, err)
	must(b, g.store().Switch(name))
	g.wantStart("2")
	must(b, g.store().Confirm())
	b.Run("Confirmed", func(b *testing.B) {
		for b.Loop() {
			if _, err := g.store().Choose(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ConfirmedAndNotReadYet", func(b *testing.B) { // as after the machine's start
		first := *g
		first.Run = ""
		for b.Loop() {
			if _, err := first.store().Choose(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("NoSlots", func(b *testing.B) {
		none := newGateway(b)
		for b.Loop() {
			if _, err := none.store().Choose(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("OnTrial", func(b *testing.B) { // a small program, and the counted start on the disk
		for b.Loop() {
			b.StopTimer()
			trial := newGateway(b)
			must(b, trial.store().Switch(trial.install("2", 2)))
			b.StartTimer()
			if choice, err := trial.store().Choose(); err != nil || choice.Slot == slots.Factory {
				b.Fatal(choice, err)
			}
		}
	})
}
