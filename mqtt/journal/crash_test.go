package journal_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/edge/boltfile/filetest"
	"holdfast/mqtt/journal"
	"holdfast/mqtt/outbox"
)

// snapshot is all that a journal shows, as a text. Each commit of the history makes
// another, so that it tells which commit was found.
func snapshot(j *journal.Journal) string {
	var all struct {
		Open    []journal.Open
		Replies []edge.Reply
		Seen    []edge.SeenCommands
		Stream  outbox.Batch
		Next    uint64
		Flags   [2]bool
		Note    string
	}
	var err error
	all.Open, all.Seen = j.Unfinished(), j.Seen()
	all.Replies, err = j.Replies()
	if err != nil {
		return err.Error()
	}
	if all.Stream, err = j.Read(outbox.Position{}, 1<<20); err != nil {
		return err.Error()
	}
	status := j.Status()
	all.Next, all.Flags, all.Note = status.Next, [2]bool{j.NeedFull(), j.Confirms()}, string(j.Note("n"))
	text, err := json.Marshal(all)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// history is what a recorded run did, and what the journal showed after each commit.
type history struct {
	steps    []filetest.Step
	versions map[string]uint64 // by snapshot
}

// record has a journal go through every kind of commit.
func record(t *testing.T) history {
	t.Helper()
	o := options(t.TempDir(), "boot-1")
	r := &filetest.Recorder{Path: o.Path}
	o.Disk = r
	h := history{versions: map[string]uint64{}}
	version := uint64(0)
	r.Start(1)
	j := open(t, o)
	commit := func(do func() error) {
		version++
		r.Start(version)
		must(t, do())
		r.Commit()
		r.Acknowledge(version)
		h.versions[snapshot(j)] = version
	}
	commit(func() error { return nil }) // the new file
	random := rand.New(rand.NewPCG(1, 1))
	for i := range uint64(6) {
		c := order(issuer, 100+i)
		c.Args = json.RawMessage(`{"x":"` + strings.Repeat("a", random.IntN(6000)) + `"}`)
		commit(func() error { _, err := j.Take(t.Context(), c, digest(c)); return err })
		commit(func() error { return j.Begin(t.Context(), c.ID) })
		if i%3 == 2 {
			continue
		}
		said := done(c)
		said.Result = json.RawMessage(`{"x":"` + strings.Repeat("b", random.IntN(9000)) + `"}`)
		commit(func() error { return j.Finish(t.Context(), said) })
		j.Ack(outbox.Position{Epoch: j.Status().Epoch, Seq: j.Status().Next - 3})
		commit(func() error { return j.SetNote(t.Context(), "n", fmt.Append(nil, i)) })
	}
	commit(func() error { return j.SetConfirms(t.Context()) })
	commit(func() error { return j.ToldFull(t.Context()) })
	commit(func() error {
		_, err := j.Append(t.Context(), outbox.Record{Kind: "policy", Body: []byte(`{"version":3}`)})
		return err
	})
	commit(func() error { return j.KeepIssuers(t.Context(), 1, nil) })
	must(t, j.Close())
	h.steps = r.Journal()
	if int(version) != len(h.versions) {
		t.Fatalf("%d commits made %d different journals", version, len(h.versions))
	}
	return h
}

// TestJournal_Crash loses power at every step: what is found is what one of the commits
// made, none that was acknowledged is missing, and all of each is there.
func TestJournal_Crash(t *testing.T) {
	t.Parallel()
	h := record(t)
	filetest.Crash{
		Journal: h.steps,
		Honest:  []filetest.Lie{{Name: "Everything"}},
		Controls: []filetest.Lie{
			{Name: "LyingSync", Drop: func(s filetest.Step) bool { return s.IsSync("") }},
			{Name: "NoSyncOfTheFolder", Drop: filetest.Step.IsSyncDir},
		},
		States: 150,
		Open: func(_ context.Context, dir string) (uint64, error) {
			j, err := openPatiently(t.Context(), options(dir, "boot-1"))
			if err != nil {
				return 0, err
			}
			defer j.Close()
			found, known := h.versions[snapshot(j)]
			if status := j.Status(); !known && status.Next > 1 && len(status.Warnings) == 0 {
				return 0, fmt.Errorf("found what no commit made: %s", snapshot(j))
			}
			return found, nil
		},
	}.Run(t)
}

// openPatiently opens a journal anew while the machine is too busy to check its file in
// time, which it says and which is not the journal's doing.
func openPatiently(ctx context.Context, o journal.Options) (*journal.Journal, error) {
	busy := func(w edge.Warning) bool {
		return w.Code == "link-storage-failed" && strings.Contains(w.Detail, "could not be checked in time")
	}
	for tries := 1; ; tries++ {
		j, err := journal.New(o)
		if err != nil {
			return nil, err
		}
		err = j.Open(ctx)
		if err != nil || tries == 5 || !slices.ContainsFunc(j.Status().Warnings, busy) {
			return j, err
		}
		if err := j.Close(); err != nil {
			return nil, err
		}
	}
}

// filled is a folder with a journal that has some of everything.
func filled(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	j := open(t, options(dir, "boot-1"))
	for i := range uint64(5) {
		carry(t, j, order(issuer, 10+i))
	}
	take(t, j, order(issuer, 20))
	take(t, j, order(issuer, 21))
	must(t, j.Begin(t.Context(), order(issuer, 21).ID))
	must(t, j.SetNote(t.Context(), "n", []byte("1")))
	must(t, j.ToldFull(t.Context()))
	must(t, j.SetNote(t.Context(), "n", []byte("2")))
	must(t, j.Close())
	return dir
}

// TestJournal_OpenDamaged: whatever is wrong with the file, there is a journal, it can
// be used, and it either knows what it knew or says that it forgot. Where nothing but
// the newest meta page is damaged the file looks like one whose last commit was cut off,
// and nobody can tell.
func TestJournal_OpenDamaged(t *testing.T) {
	t.Parallel()
	good, base := filled(t), t.TempDir()
	metas := func(dir string) string {
		content, err := os.ReadFile(filepath.Join(dir, "link.db"))
		must(t, err)
		return string(content[:min(len(content), 2*os.Getpagesize())])
	}
	intact := metas(good)
	whole := open(t, options(good, "boot-1"))
	epoch := whole.Status().Epoch
	must(t, whole.Close())
	var forgot atomic.Int64
	count := filetest.Cases(t, 100)
	filetest.InParallel(t, count, func(seed int) error {
		dir := filepath.Join(base, fmt.Sprint(seed))
		defer os.RemoveAll(dir)
		way := filetest.Damage(t, good, dir, "link.db", seed)
		metasGood := metas(dir) == intact
		j, err := openPatiently(t.Context(), options(dir, "boot-1"))
		if err != nil {
			return fmt.Errorf("%s %d: %w", way, seed, err)
		}
		defer j.Close()
		other := j.Status().Epoch != epoch
		if other {
			forgot.Add(1)
		}
		if other != j.NeedFull() || other != (warned(j, "link-rebuilt") || warned(j, "link-recovered")) {
			return fmt.Errorf("%s %d: epoch anew %v, need full %v, %+v", way, seed, other, j.NeedFull(), j.Status().Warnings)
		}
		if back := string(j.Note("n")) != "2"; back && !other && metasGood {
			return fmt.Errorf("%s %d: one commit back without a word", way, seed)
		}
		if _, err := j.Take(t.Context(), order(issuer, 99), "d"); err != nil {
			return fmt.Errorf("%s %d: %w", way, seed, err)
		}
		return nil
	})
	if forgot.Load() == 0 || forgot.Load() == int64(count) {
		t.Errorf("%d of %d forgot: the damage does not bite, or bites always", forgot.Load(), count)
	}
}

// TestJournal_OpenOlder: when the last commit is gone, somebody may have been told of
// it. No number is given out twice, and what may have begun counts as begun.
func TestJournal_OpenOlder(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	path := filepath.Join(dir, "link.db")
	before, err := os.ReadFile(path)
	must(t, err)
	j := open(t, options(dir, "boot-1"))
	epoch := j.Status().Epoch
	must(t, j.Begin(t.Context(), order(issuer, 20).ID))
	must(t, j.Close())
	after, err := os.ReadFile(path)
	must(t, err)
	page := os.Getpagesize()
	for at := 2 * page; at < len(after); at += page {
		if at >= len(before) || !slices.Equal(before[at:at+page], after[at:at+page]) {
			clear(after[at : at+page])
		}
	}
	must(t, os.WriteFile(path, after, 0o600))
	j = open(t, options(dir, "boot-1"))
	if status := j.Status(); status.Epoch == epoch || !j.NeedFull() || !warned(j, "link-recovered") || !status.Kept {
		t.Errorf("status = %+v, want another epoch and a warning", status)
	}
	list := j.Unfinished()
	if len(list) != 2 || list[0].Stage != edge.StageStarted || list[0].SinceBegun != -1 || list[1].SinceBegun != 0 {
		t.Errorf("unfinished = %+v, want both started, the first nobody knows when", list)
	}
	must(t, j.ToldFull(t.Context()))
	if warned(j, "link-recovered") {
		t.Error("the warning stays when the fleet was told everything")
	}
	must(t, j.Close())
	j = open(t, options(dir, "boot-1"))
	if got := j.Unfinished(); len(got) != 2 || got[0].Stage != edge.StageStarted {
		t.Errorf("unfinished = %+v, want it to last", got)
	}
}

// FuzzCheckRecords: whatever a value says, it is refused as damage, or a journal comes
// of it that can be shown.
func FuzzCheckRecords(f *testing.F) {
	o := options(filled(f), "boot-1")
	file, err := boltfile.New(boltfile.Options{Path: o.Path, Layout: journal.Layout(), Child: child})
	must(f, err)
	found, err := file.Read(f.Context())
	must(f, err)
	good := found.Records
	for name, value := range good {
		f.Add(name, value)
	}
	f.Add("seen/x", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x01, 0x01})
	f.Add("stream/ffffffffffffffff", []byte("{}\n"))
	must(f, journal.CheckRecords(good))
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		bucket, key, _ := strings.Cut(name, "/")
		err := journal.CheckRecords(good.With(boltfile.Change{Bucket: bucket, Key: key, Value: append([]byte{}, value...)}))
		if err != nil && !strings.Contains(err.Error(), boltfile.ErrDamaged.Error()) {
			t.Fatalf("not called damage: %v", err)
		}
	})
}
