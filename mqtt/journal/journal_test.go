package journal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"holdfast/edge"
	"holdfast/mqtt/journal"
	"holdfast/mqtt/outbox"
)

const issuer = "11aa22bb33cc44dd55ee66ff77889900aabbccddeeff00112233445566778899"

func TestJournal_Take(t *testing.T) {
	t.Parallel()
	t.Run("Stages", func(t *testing.T) {
		j := open(t, options(t.TempDir(), "boot-1"))
		carry(t, j, order(issuer, 7))
		want := []string{"1 11aa22bb-7 received", "2 11aa22bb-7 started", "3 11aa22bb-7 succeeded"}
		if got := said(t, j); !slices.Equal(got, want) {
			t.Errorf("stream = %q, want %q", got, want)
		}
	})
	t.Run("StillRunning", func(t *testing.T) {
		j := open(t, options(t.TempDir(), "boot-1"))
		c := order(issuer, 7)
		take(t, j, c)
		if again := take(t, j, c); again.New || again.Reply != nil {
			t.Errorf("taken = %+v, want neither new nor final", again)
		}
	})
	t.Run("SameReply", func(t *testing.T) {
		dir := t.TempDir()
		j := open(t, options(dir, "boot-1"))
		c := order(issuer, 7)
		carry(t, j, c)
		body := entries(t, j)[2].Body
		must(t, j.Close())
		j = open(t, options(dir, "boot-2"))
		again := take(t, j, c)
		text, err := edge.CanonicalJSON(again.Reply)
		must(t, err)
		if !bytes.Equal(text, body) || again.New {
			t.Errorf("reply = %s, want %s", text, body)
		}
	})
	t.Run("IDReused", func(t *testing.T) {
		j := open(t, options(t.TempDir(), "boot-1"))
		c := order(issuer, 7)
		take(t, j, c)
		_, err := j.Take(t.Context(), c, "sha256:other")
		wantReason(t, err, journal.ReasonReused)
		must(t, j.Finish(t.Context(), done(c)))
		_, err = j.Take(t.Context(), c, "sha256:other")
		wantReason(t, err, journal.ReasonReused)
	})
	t.Run("Replayed", func(t *testing.T) {
		j := open(t, options(t.TempDir(), "boot-1"))
		carry(t, j, order(issuer, 7))
		other := order(issuer, 7)
		other.ID = "another"
		_, err := j.Take(t.Context(), other, "sha256:other")
		wantReason(t, err, journal.ReasonReplayed)
	})
	t.Run("EarlierCounterLater", func(t *testing.T) {
		j := open(t, options(t.TempDir(), "boot-1"))
		for _, counter := range []uint64{1_800_000_000_123, 1_800_000_000_001, 1_800_000_000_200} {
			carry(t, j, order(issuer, counter))
		}
	})
	t.Run("Busy", func(t *testing.T) {
		j := open(t, options(t.TempDir(), "boot-1"))
		var err error
		taken := 0
		for counter := uint64(1); err == nil; counter++ {
			taken++
			_, err = j.Take(t.Context(), order(issuer, counter), "d")
		}
		wantReason(t, err, journal.ReasonBusy)
		if !errors.Is(err, edge.ErrUnavailable) || taken != 65 {
			t.Errorf("refused after %d commands (%v), want after 64 with %v", taken-1, err, edge.ErrUnavailable)
		}
		must(t, j.Finish(t.Context(), edge.Reply{Command: order(issuer, 1).ID, Stage: edge.StageFailed}))
		take(t, j, order(issuer, 1000))
	})
}

func wantReason(t testing.TB, err error, want journal.Reason) {
	t.Helper()
	if got := journal.ReasonOf(err); got != want {
		t.Errorf("reason = %q, want %q (error: %v)", got, want, err)
	}
}

func TestJournal_Finish(t *testing.T) {
	t.Parallel()
	j := open(t, options(t.TempDir(), "boot-1"))
	c := order(issuer, 7)
	take(t, j, c)
	t.Run("NotFinal", func(t *testing.T) {
		if err := j.Finish(t.Context(), edge.Reply{Command: c.ID, Stage: edge.StageStarted}); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("Finish = %v, want %v", err, edge.ErrInvalid)
		}
	})
	t.Run("TooLarge", func(t *testing.T) {
		r := done(c)
		r.Result = json.RawMessage(`{"x":"` + strings.Repeat("a", edge.MaxResult) + `"}`)
		if err := j.Finish(t.Context(), r); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("Finish = %v, want %v", err, edge.ErrInvalid)
		}
	})
	t.Run("Twice", func(t *testing.T) {
		must(t, j.Finish(t.Context(), done(c)))
		if err := j.Finish(t.Context(), done(c)); !errors.Is(err, edge.ErrNotFound) {
			t.Errorf("second Finish = %v, want %v", err, edge.ErrNotFound)
		}
		if err := j.Begin(t.Context(), c.ID); !errors.Is(err, edge.ErrNotFound) {
			t.Errorf("Begin = %v, want %v", err, edge.ErrNotFound)
		}
	})
}

func TestJournal_Unfinished(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, options(dir, "boot-1"))
	first, second, third := order(issuer, 3), order(issuer, 1), order(issuer, 2)
	take(t, j, first)
	take(t, j, second)
	carry(t, j, third)
	must(t, j.Close())
	j = open(t, options(dir, "boot-2"))
	must(t, j.Begin(t.Context(), second.ID))
	must(t, j.Close())
	for _, boot := range []string{"boot-3", "boot-3", "boot-4"} { // a restart is no boot
		j = open(t, options(dir, boot))
		must(t, j.Close())
	}
	j = open(t, options(dir, "boot-4"))
	list := j.Unfinished()
	if len(list) != 2 {
		t.Fatalf("unfinished = %+v, want two", list)
	}
	if got := list[0]; got.Command.ID != first.ID || got.Stage != edge.StageReceived || got.Boots != 3 || got.SinceBegun != -1 {
		t.Errorf("first = %+v, want %s received 3 boots ago", got, first.ID)
	}
	if got := list[1]; got.Command.ID != second.ID || got.Stage != edge.StageStarted || got.Boots != 3 || got.SinceBegun != 2 {
		t.Errorf("second = %+v, want %s begun 2 boots ago", got, second.ID)
	}
	if got := list[0].Command; !bytes.Equal(got.Args, first.Args) || got.Verb != first.Verb || !got.Expires.Equal(first.Expires) {
		t.Errorf("command = %+v, want %+v", got, first)
	}
}

func TestJournal_Window(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, options(dir, "boot-1"))
	const step = 40_000 // ms between commands
	all := make([]edge.Command, 0, journal.Window+10)
	for i := range uint64(journal.Window + 10) {
		all = append(all, order(issuer, 1_800_000_000_000+i*step))
	}
	for some := range slices.Chunk(all, 50) { // committed together
		var wg sync.WaitGroup
		for _, c := range some {
			wg.Go(func() {
				take(t, j, c)
				must(t, j.Finish(t.Context(), edge.Reply{Command: c.ID, Stage: edge.StageExpired}))
			})
		}
		wg.Wait()
		j.Ack(outbox.Position{Epoch: j.Status().Epoch, Seq: j.Status().Next - 1})
	}
	must(t, j.Close())
	j = open(t, options(dir, "boot-1"))
	for i, c := range all {
		c.ID = "again"
		if _, err := j.Take(t.Context(), c, "sha256:other"); journal.ReasonOf(err) != journal.ReasonReplayed {
			t.Fatalf("counter %d of %d: %v, want %s", i, len(all), err, journal.ReasonReplayed)
		}
	}
	seen := j.Seen()
	if len(seen) != 1 || seen[0].Floor != all[9].Counter || !seen[0].Partial || seen[0].Counters[len(seen[0].Counters)-1] != all[len(all)-1].Counter {
		t.Errorf("seen = %+v, want floor %d and the latest", seen, all[9].Counter)
	}
	t.Run("Pruned", func(t *testing.T) {
		must(t, j.KeepIssuers(t.Context(), 2, []string{issuer}))
		must(t, j.KeepIssuers(t.Context(), 1, []string{"somebody"})) // a root that is overtaken
		if seen := j.Seen(); len(seen) != 1 {
			t.Errorf("seen = %+v, want the issuer", seen)
		}
		must(t, j.KeepIssuers(t.Context(), 3, []string{"somebody"}))
		if seen := j.Seen(); len(seen) != 0 {
			t.Errorf("seen = %+v, want nobody", seen)
		}
	})
}

func TestJournal_SeenIsBounded(t *testing.T) {
	t.Parallel()
	j := open(t, options(t.TempDir(), "boot-1"))
	for i := range uint64(60) {
		name := fmt.Sprintf("%064x", i%30)
		c := order(name, 1_800_000_000_000+i)
		c.ID = fmt.Sprint("c-", i)
		carry(t, j, c)
		text, err := json.Marshal(j.Seen())
		must(t, err)
		if len(text) > 2<<10 {
			t.Fatalf("%d bytes after %d commands: %s", len(text), i+1, text)
		}
	}
	if seen := j.Seen(); len(seen) < 10 || seen[0].Issuer != fmt.Sprintf("%064x", 29) {
		t.Errorf("seen = %+v, want the latest issuers first", seen)
	}
}

func TestJournal_Replies(t *testing.T) {
	t.Parallel()
	j := open(t, options(t.TempDir(), "boot-1"))
	large := func(c edge.Command) edge.Reply {
		r := done(c)
		r.Result = json.RawMessage(`{"x":"` + strings.Repeat("a", 30<<10) + `"}`)
		return r
	}
	for i := range uint64(300) {
		c := order(issuer, i+1)
		take(t, j, c)
		must(t, j.Finish(t.Context(), large(c)))
	}
	status := j.Status()
	list, err := j.Replies()
	must(t, err)
	if status.MemoryBytes > 4<<20 || len(list) > 256 || !warned(j, "link-full") || status.Counts.LostFull == 0 {
		t.Errorf("%d bytes, %d replies, %+v, want bounds", status.MemoryBytes, len(list), status.Counts)
	}
	all := entries(t, j)
	gap := all[0].Gap
	if gap == nil || gap.From != 1 || gap.To != all[0].Seq || gap.Count != gap.To || all[1].Seq != gap.To+1 || gap.Why != outbox.WhyFull {
		t.Errorf("first = %+v (%+v), want a gap that counts", all[0], gap)
	}
	j.Ack(outbox.Position{Epoch: status.Epoch, Seq: status.Next - 1})
	carry(t, j, order(issuer, 1000))
	if list, err = j.Replies(); err != nil || len(list) > 35 || len(list) < 30 {
		t.Errorf("%d replies (%v), want what 1 MiB holds", len(list), err)
	}
	if warned(j, "link-full") {
		t.Error("the fleet knows of the gap, and the warning stays")
	}
}

func TestJournal_Ack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, options(dir, "boot-1"))
	for i := range 5 {
		if seq, err := j.Append(t.Context(), outbox.Record{Kind: "policy", Body: []byte(fmt.Sprintf(`{"i":%d}`, i))}); err != nil || seq != uint64(i+1) {
			t.Fatalf("Append = %d, %v", seq, err)
		}
	}
	epoch := j.Status().Epoch
	j.Ack(outbox.Position{Epoch: "0123456789abcdef", Seq: 5})
	j.Ack(outbox.Position{Epoch: epoch, Seq: 99})
	if got := len(entries(t, j)); got != 5 {
		t.Fatalf("%d entries, want 5", got)
	}
	j.Ack(outbox.Position{Epoch: epoch, Seq: 3})
	j.Ack(outbox.Position{Epoch: epoch, Seq: 2})
	check := func() {
		t.Helper()
		list := entries(t, j)
		if len(list) != 2 || list[0].Seq != 4 || string(list[0].Body) != `{"i":3}` || list[0].Class != outbox.D2 || list[0].Boot != "boot-1" {
			t.Fatalf("entries = %+v, want 4 and 5", list)
		}
	}
	check()
	must(t, j.Close())
	j = open(t, options(dir, "boot-2"))
	check()
	if batch, err := j.Read(outbox.Position{Epoch: epoch, Seq: 4}, 10); err != nil || len(batch.Entries) != 1 || batch.Epoch != epoch {
		t.Errorf("batch = %+v (%v), want the last", batch, err)
	}
	if status := j.Status(); status.Epoch != epoch || status.Next != 6 || status.Acked != 3 || !status.Kept {
		t.Errorf("status = %+v", status)
	}
}

func TestJournal_Changed(t *testing.T) {
	t.Parallel()
	j := open(t, options(t.TempDir(), "boot-1"))
	changed := j.Changed()
	must(t, j.SetNote(t.Context(), "bytes", []byte("12")))
	select {
	case <-changed:
		t.Fatal("changed without an entry")
	default:
	}
	take(t, j, order(issuer, 1))
	<-changed
}

func TestJournal_Notes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, options(dir, "boot-1"))
	must(t, j.SetNote(t.Context(), "bytes", []byte("12")))
	must(t, j.SetNote(t.Context(), "gone", []byte("x")))
	must(t, j.SetNote(t.Context(), "gone", nil))
	must(t, j.SetConfirms(t.Context()))
	must(t, j.ToldFull(t.Context()))
	must(t, j.Close())
	j = open(t, options(dir, "boot-1"))
	if got := string(j.Note("bytes")); got != "12" || j.Note("gone") != nil || !j.Confirms() || j.NeedFull() {
		t.Errorf("note = %q, gone = %q, confirms %v, need full %v", got, j.Note("gone"), j.Confirms(), j.NeedFull())
	}
	for i := range 63 {
		must(t, j.SetNote(t.Context(), fmt.Sprint("n", i), []byte("x")))
	}
	for name, value := range map[string][]byte{"one-more": []byte("x"), "not a name": []byte("x"), "n1": make([]byte, 5<<10)} {
		if err := j.SetNote(t.Context(), name, value); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("SetNote(%q) = %v, want %v", name, err, edge.ErrInvalid)
		}
	}
}

// TestJournal_CommitsTogether: what comes while the disk is busy goes in one commit, and
// what changes nothing in none.
func TestJournal_CommitsTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		busy := make(chan struct{})
		o := options(dir, "boot-1")
		o.Stamp = func(r *outbox.Record) {
			<-busy
			stamp(r)
		}
		j := open(t, o)
		before := j.Status().Counts.FlashSyncs
		var wg sync.WaitGroup
		const many = 60
		for i := range uint64(many) {
			wg.Go(func() { take(t, j, order(issuer, i+1)) })
		}
		synctest.Wait()
		close(busy)
		wg.Wait()
		if commits := j.Status().Counts.FlashSyncs - before; commits != 2 || len(j.Unfinished()) != many {
			t.Errorf("%d commits for %d commands, want one for the first and one for all others", commits, many)
		}
		before = j.Status().Counts.FlashSyncs
		take(t, j, order(issuer, 1))
		must(t, j.SetNote(t.Context(), "gone", nil))
		if commits := j.Status().Counts.FlashSyncs - before; commits != 0 {
			t.Errorf("%d commits for nothing", commits)
		}
	})
}

func TestJournal_Lost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, options(dir, "boot-1"))
	if !j.NeedFull() {
		t.Error("a first start needs no full report")
	}
	must(t, j.SetConfirms(t.Context()))
	must(t, j.ToldFull(t.Context()))
	epoch := j.Status().Epoch
	must(t, j.Close())
	must(t, os.Remove(filepath.Join(dir, "link.db")))
	j = open(t, options(dir, "boot-1"))
	if j.Status().Epoch == epoch || !j.NeedFull() || j.Confirms() {
		t.Errorf("epoch %s, need full %v, confirms %v: want another history", j.Status().Epoch, j.NeedFull(), j.Confirms())
	}
}

func TestJournal_Closed(t *testing.T) {
	t.Parallel()
	j := open(t, options(t.TempDir(), "boot-1"))
	must(t, j.Close())
	must(t, j.Close())
	if _, err := j.Take(t.Context(), order(issuer, 1), "d"); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Take = %v, want %v", err, edge.ErrUnavailable)
	}
	if _, err := j.Read(outbox.Position{}, 1); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Read = %v, want %v", err, edge.ErrUnavailable)
	}
	if err := j.Open(context.Background()); err == nil {
		t.Error("opened twice")
	}
}
