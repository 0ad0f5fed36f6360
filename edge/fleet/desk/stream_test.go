package desk_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/edge/fleet/desk"
)

// oracle is a stream as plainly as it can be written.
type oracle map[uint64]bool

func (o oracle) add(from, to uint64) {
	for n := from; n <= to; n++ {
		o[n] = true
	}
}

func (o oracle) through() (n uint64) {
	for o[n+1] {
		n++
	}
	return n
}

func (o oracle) holds(from, to uint64) bool {
	for n := from; n <= to; n++ {
		if !o[n] {
			return false
		}
	}
	return true
}

func TestStream_Add(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var s desk.Stream
		all := oracle{}
		for range 100 {
			from := 1 + random.Uint64N(120)
			to := from + random.Uint64N(1+random.Uint64N(12))
			if !s.Add(from, to) {
				t.Fatalf("seed %d: %d–%d has no room", seed, from, to)
			}
			all.add(from, to)
			if s.Through() != all.through() {
				t.Fatalf("seed %d: after %d–%d all through %d, want %d", seed, from, to, s.Through(), all.through())
			}
			a := 1 + random.Uint64N(130)
			if b := a + random.Uint64N(4); s.Holds(a, b) != all.holds(a, b) {
				t.Fatalf("seed %d: holds %d–%d is %v, want %v", seed, a, b, s.Holds(a, b), all.holds(a, b))
			}
			if from, to, is := s.Hole(); is && (all[from] || all[to] || !all[to+1] || from != all.through()+1) {
				t.Fatalf("seed %d: the hole is %d–%d, which it is not", seed, from, to)
			}
		}
	}
}

// TestStream_Bound: what lies beyond holes is bounded, and what fills them still goes in.
func TestStream_Bound(t *testing.T) {
	var s desk.Stream
	for i := range uint64(desk.MaxSpans) {
		if !s.Add(2*i+2, 2*i+2) {
			t.Fatalf("the %d. island has no room", i+1)
		}
	}
	if s.Add(9999, 9999) {
		t.Error("one island too many is kept, want not")
	}
	for i := range uint64(desk.MaxSpans) {
		if !s.Add(2*i+1, 2*i+1) {
			t.Fatalf("what joins islands has no room")
		}
	}
	if s.Through() != 2*desk.MaxSpans {
		t.Errorf("all through %d, want %d", s.Through(), 2*desk.MaxSpans)
	}
}

// TestStream_Remind: a node hears of a hole at once, then now and then, and of none when
// there is none.
func TestStream_Remind(t *testing.T) {
	var s desk.Stream
	now := time.Now()
	s.Add(1, 4)
	if s.Remind(now) {
		t.Error("reminds without a hole, want not")
	}
	s.Add(6, 9)
	for i, want := range []bool{true, false, false, true, false} {
		at := now.Add(time.Duration(i) * desk.RemindEvery / 3)
		if got := s.Remind(at); got != want {
			t.Errorf("reminds after %v: %v, want %v", at.Sub(now), got, want)
		}
	}
	s.Add(5, 5)
	if s.Remind(now.Add(time.Hour)) {
		t.Error("reminds of a hole that was filled, want not")
	}
}

// FuzzHistory reads whatever lies in a file of history, twice: what the first reading
// made of it, the second must find.
func FuzzHistory(f *testing.F) {
	n := node{name: "gw-1"}
	f.Add([]byte(n.envelope(1, "event", `{}`) + "\n" + n.envelope(3, "gap", `{"from":2,"to":3}`) + "\n" + `{"v":1`))
	f.Add([]byte(`{"desk":"baseline","from":1,"to":7}` + "\n" + n.envelope(8, "event", `{}`) + "\n"))
	f.Add([]byte("\n\n\x00\n"))
	folder := openFolder(f)
	path := filepath.Join(folder.HistoryOf("gw-1"), epoch+".jsonl")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		first, err := desk.KeptThrough(folder, "gw-1", epoch)
		if err != nil {
			return
		}
		left, err := os.ReadFile(path)
		if err != nil || len(left) > 0 && left[len(left)-1] != '\n' || !bytes.HasPrefix(content, left) {
			t.Fatalf("%q was left of %q (%v), want its whole lines", left, content, err)
		}
		if again, err := desk.KeptThrough(folder, "gw-1", epoch); err != nil || again != first {
			t.Errorf("read twice it is kept through %d, then %d (%v)", first, again, err)
		}
	})
}
