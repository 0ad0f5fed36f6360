package slots_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/edge/slots"
)

// lastRecords are real ones, of a gateway that has seen some updates.
func lastRecords(t testing.TB) [][]byte {
	t.Helper()
	g := newGateway(t)
	g.confirmed("2", 2)
	must(t, g.store().Reject(g.install("3", 3), `its "self-test" <failed>`))
	g.try("4", 4)
	var records [][]byte
	for _, name := range []string{"record.1", "record.2"} {
		content, err := os.ReadFile(filepath.Join(g.Dir, name))
		must(t, err)
		records = append(records, content)
	}
	return records
}

func TestRecord_Read(t *testing.T) {
	for i, content := range lastRecords(t) {
		again, err := slots.Decode(content)
		must(t, err)
		if !bytes.Equal(again, content) {
			t.Errorf("record %d reads back as\n%s", i+1, again)
		}
		for _, at := range []int{0, 20, 81, 82, 100, 4095} {
			flipped := bytes.Clone(content)
			flipped[at] ^= 4
			if _, err := slots.Decode(flipped); err == nil {
				t.Errorf("a bit that turned at %d was not seen", at)
			}
		}
		for _, size := range []int{0, 81, 512, 4095} {
			if _, err := slots.Decode(content[:size]); err == nil {
				t.Errorf("%d bytes of it passed", size)
			}
		}
	}
}

// sealed is a record that says something, with a sum that is right.
func sealed(t testing.TB, text string) []byte {
	t.Helper()
	body := []byte(text + strings.Repeat("\n", max(0, 4096-82-len(text))))
	return append([]byte("holdfast slots 1 "+strings.TrimPrefix(describe("1", 1, body).Digest, "sha256:")+"\n"), body...)
}

// TestRecord_Check: a right sum is not enough.
func TestRecord_Check(t *testing.T) {
	slot := `{"version":"2","sequence":2,"digest":"` + describe("2", 2, program("2")).Digest + `","size":220}`
	for text, fine := range map[string]bool{
		`{"generation":1,"active":"factory","confirmed":"factory"}`:                                    true,
		`{"generation":1,"active":"a","confirmed":"factory","a":` + slot + `}`:                         true,
		`{"generation":1,"active":"factory","confirmed":"factory","addedLater":[1,{"of":"no use"}]}`:   true,
		`{"generation":0,"active":"factory","confirmed":"factory"}`:                                    false,
		`{"generation":1,"active":"c","confirmed":"factory"}`:                                          false,
		`{"generation":1,"active":"factory","confirmed":""}`:                                           false,
		`{"generation":1,"active":"a","confirmed":"factory"}`:                                          false,
		`{"generation":1,"active":"factory","confirmed":"a","a":` + slot + `}`:                         false,
		`{"generation":1,"active":"a","confirmed":"factory","triesLeft":3,"a":` + slot + `}`:           false,
		`{"generation":1,"active":"a","confirmed":"factory","triesLeft":-1,"a":` + slot + `}`:          false,
		`{"generation":1,"active":"factory","confirmed":"factory","triesLeft":1}`:                      false,
		`{"generation":1,"active":"factory","confirmed":"factory","a":{"version":"2"}}`:                false,
		`{"generation":1,"active":"factory","confirmed":"factory","bad":[{},{},{},{},{},{},{},{},{}]}`: false,
		`[]`: false,
		``:   false,
	} {
		if _, err := slots.Decode(sealed(t, text)); (err == nil) != fine {
			t.Errorf("%s: got %v, want fine: %v", text, err, fine)
		}
	}
}

// TestRecord_Bad: the latest bad versions are remembered, as many as there is room for, and
// reasons of any length and language do not keep the record from being written.
func TestRecord_Bad(t *testing.T) {
	g := newGateway(t)
	for i := range uint64(20) {
		name := g.install(fmt.Sprint(i), i)
		must(t, g.store().Reject(name, strings.Repeat("坏\"\\<\n", 80)))
	}
	bad := g.state().Bad
	if len(bad) < 3 || len(bad) > slots.MaxBad || bad[len(bad)-1].Version != "19" {
		t.Fatalf("got %d bad: %+v", len(bad), bad)
	}
	for _, b := range bad {
		if len(b.Reason) > 200 || strings.ContainsFunc(b.Reason, func(r rune) bool { return r < ' ' || r == '\uFFFD' }) {
			t.Errorf("reason %q", b.Reason)
		}
	}
}

// FuzzStore_Choose: whatever stands in a record that is whole, something is chosen that can be
// started.
func FuzzStore_Choose(f *testing.F) {
	for _, record := range lastRecords(f) {
		_, body, _ := bytes.Cut(record, []byte("\n"))
		f.Add(strings.TrimRight(string(body), "\n"), uint8(0))
		f.Add(strings.TrimRight(string(body), "\n"), uint8(slots.EarlyEnds))
	}
	dir := f.TempDir()
	g := &gateway{t: f, Options: slots.Options{Dir: filepath.Join(dir, "slots"), Factory: factoryVersion, Run: dir, Disk: hasty{}}}
	for name, version := range map[slots.Name]string{slots.A: "2", slots.B: "4"} {
		must(f, os.MkdirAll(filepath.Dir(g.store().Path(name)), 0o755))
		write(f, g.store().Path(name), program(version))
	}
	f.Fuzz(func(t *testing.T, text string, early uint8) {
		g := &gateway{t: t, Options: g.Options}
		var now unix.Timespec
		must(t, unix.ClockGettime(unix.CLOCK_BOOTTIME, &now))
		write(t, filepath.Join(g.Dir, "record.1"), sealed(t, text))
		_ = os.Remove(filepath.Join(g.Dir, "record.2"))
		for _, what := range []string{"factory", describe("2", 2, program("2")).Digest, describe("4", 4, program("4")).Digest} {
			write(t, g.counter(), fmt.Appendf(nil, "%s %d %d\n", what, early, now.Nano()))
			choice, _ := g.store().Choose() // an error may come with it
			if choice.Slot == slots.Factory {
				continue
			}
			if content, err := os.ReadFile(choice.Path); err != nil || !bytes.Equal(content, program(choice.Version)) {
				t.Errorf("%q: chose %+v, which is %q (%v)", text, choice, content, err)
			}
		}
	})
}

// FuzzRecord: nothing makes the reader fail, and what it takes it writes in the same way.
func FuzzRecord(f *testing.F) {
	for _, record := range lastRecords(f) {
		f.Add(record, true)
		f.Add(record, false)
	}
	f.Fuzz(func(t *testing.T, content []byte, seal bool) {
		if seal { // else no change would come past the sum
			_, body, _ := bytes.Cut(content, []byte("\n"))
			content = sealed(t, strings.TrimRight(string(body), "\n"))
		}
		again, err := slots.Decode(content)
		if err != nil {
			return
		}
		twice, err := slots.Decode(again)
		if err != nil || !bytes.Equal(twice, again) {
			t.Errorf("%q is read and written as %q, with error %v", content, twice, err)
		}
	})
}
