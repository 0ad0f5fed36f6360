package desk_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge/fleet/desk"
)

// TestDesk_Attend_Damaged: whatever has become of one node's file, that node and the
// others are attended, what can be read of it stays and counts, and nothing is kept twice.
func TestDesk_Attend_Damaged(t *testing.T) {
	line := func(seq uint64) string { return (&node{name: "gw-1"}).envelope(seq, "event", `{"kind":"x"}`) + "\n" }
	zeros, junk := strings.Repeat("\x00", 300<<10), strings.Repeat("\xa5", 300<<10)
	for name, c := range map[string]struct {
		whole, torn string   // what stays, and what is behind the last whole line
		lacks       []uint64 // of five
	}{
		"ZerosAtTheEnd":      {line(1) + line(2), zeros, []uint64{3, 4, 5}},
		"JunkAtTheEnd":       {line(1) + line(2), junk, []uint64{3, 4, 5}},
		"HalfALine":          {line(1), line(2)[:70], []uint64{2, 3, 4, 5}},
		"ZerosBeforeALine":   {line(1) + zeros + line(2) + line(3), "", []uint64{4, 5}},
		"JunkForALine":       {line(1) + junk + "\n" + line(3), zeros, []uint64{2, 4, 5}},
		"JunkBeforeALine":    {line(1) + junk + line(2) + line(3), "", []uint64{2, 4, 5}},
		"SomebodyElsesLines": {strings.ReplaceAll(line(1), "gw-1", "gw-7") + line(2), "", []uint64{1, 3, 4, 5}},
		"NothingElse":        {"", junk, []uint64{1, 2, 3, 4, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for a clock most of the time
			at := newAttendance(t, embedded(t))
			file := filepath.Join(at.folder.HistoryOf("gw-1"), epoch+".jsonl")
			if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(c.whole+c.torn), 0o600); err != nil {
				t.Fatal(err)
			}
			at.sees(t, 5)
			want := c.whole
			for _, seq := range c.lacks {
				want += line(seq)
			}
			got, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != want {
				t.Errorf("the file has %d bytes, want the %d of its whole lines and %d more: %.300q", len(got), len(c.whole), len(want)-len(c.whole), got)
			}
		})
	}
}

// TestDesk_Attend_NoFile: what cannot be read at all is set aside, not overwritten.
func TestDesk_Attend_NoFile(t *testing.T) {
	at := newAttendance(t, embedded(t))
	folder := at.folder.HistoryOf("gw-1")
	if err := os.MkdirAll(filepath.Join(folder, epoch+".jsonl", "within"), 0o700); err != nil {
		t.Fatal(err)
	}
	at.sees(t, 3)
	if aside, err := filepath.Glob(filepath.Join(folder, epoch+".jsonl.damaged-*", "within")); err != nil || len(aside) != 1 {
		t.Errorf("set aside is %q, %v; want what was there", aside, err)
	}
	if got := lines(t, at.path, "gw-1"); len(got) != 3 {
		t.Errorf("%d lines are kept, want 3", len(got))
	}
}

// sees has two nodes say all up to a number, and waits until both are confirmed.
func (at *attendance) sees(t *testing.T, most uint64) {
	t.Helper()
	stop := at.start()
	address := at.address
	for _, name := range []string{"gw-1", "gw-2"} {
		n := startNode(t, address, name, nil)
		n.birth("")
		at.ready(n)
		for seq := range most {
			n.events(seq + 1)
		}
		at.confirmed(n, most)
	}
	if err := stop(); err != nil {
		t.Errorf("Attend = %v, want nil", err)
	}
	if got, err := desk.KeptThrough(at.folder, "gw-1", epoch); err != nil || got != most {
		t.Errorf("read anew it is kept through %d (%v), want %d", got, err, most)
	}
}
