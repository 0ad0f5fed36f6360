package journal_test

import (
	"os"
	"testing"

	"holdfast/mqtt/journal"
	"holdfast/mqtt/outbox"
)

// BenchmarkJournal_Command takes a command through all of its stages: three commits.
// It counts the pages of the file that changed, which is what the disk is given.
func BenchmarkJournal_Command(b *testing.B) {
	o := options(b.TempDir(), "boot-1")
	j := open(b, o)
	before, pages := []byte(nil), 0
	counter := uint64(1_800_000_000_000)
	for range 300 { // as many as are kept
		counter += 1000
		carryAll(b, j, counter)
	}
	for b.Loop() {
		counter += 1000
		carryAll(b, j, counter)
	}
	b.StopTimer()
	const counted = 20
	for range counted {
		counter += 1000
		c := order(issuer, counter)
		for _, commit := range []func(){
			func() { take(b, j, c) },
			func() { must(b, j.Begin(b.Context(), c.ID)) },
			func() { must(b, j.Finish(b.Context(), done(c))) },
		} {
			before, pages = changed(b, o.Path, before, pages, commit)
		}
		acknowledge(j)
	}
	b.ReportMetric(float64(pages)/counted, "pages/command")
}

func carryAll(b *testing.B, j *journal.Journal, counter uint64) {
	carry(b, j, order(issuer, counter))
	acknowledge(j)
}

func acknowledge(j *journal.Journal) {
	status := j.Status()
	j.Ack(outbox.Position{Epoch: status.Epoch, Seq: status.Next - 1})
}

// changed counts the pages that a commit changed.
func changed(b *testing.B, path string, before []byte, pages int, commit func()) ([]byte, int) {
	b.Helper()
	page := os.Getpagesize()
	if before == nil {
		before = read(b, path)
	}
	commit()
	after := read(b, path)
	for at := 0; at < len(after); at += page {
		if at >= len(before) || string(before[at:at+page]) != string(after[at:at+page]) {
			pages++
		}
	}
	return after, pages
}

func read(b *testing.B, path string) []byte {
	b.Helper()
	content, err := os.ReadFile(path)
	must(b, err)
	return content
}
