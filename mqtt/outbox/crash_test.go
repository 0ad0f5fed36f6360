package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/mqtt/outbox"
)

// The crash harness. A journal of what the real code did to its disk is replayed up
// to any point, and the power is cut there. The real code opens each state that may
// be left, and what it finds is held against what its user had been promised:
// promised and not acknowledged ≤ found ≤ appended; each number once and in order,
// everything in between told as a gap; and no number given out twice.

// cases multiplies by HOLDFAST_SOAK; under -short a quarter has to do.
func cases(tb testing.TB, n int) int {
	tb.Helper()
	if testing.Short() {
		n = max(1, n/4)
	}
	if text := os.Getenv("HOLDFAST_SOAK"); text != "" {
		factor, err := strconv.Atoi(text)
		must(tb, err)
		n *= factor
	}
	return n
}

// history is a journal, and the records it is about by their numbers.
type history struct {
	steps   []step
	records map[uint64]outbox.Record
}

// live is a run of the real code that is written down.
type live struct {
	t     *testing.T
	r     *rand.Rand
	disk  *memDisk
	spool *outbox.Spool
	stop  func()
	tag   uint64
	seq   uint64 // the newest given out
	from  uint64 // behind which nothing is promised yet
	*history
}

func (l *live) log(s step) {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	l.steps = append(l.steps, s)
}

func (l *live) start() { l.spool, l.stop = start(l.t, small(l.disk)) }

func (l *live) append(most int) {
	class := outbox.D1
	if l.r.IntN(5) == 0 {
		class = outbox.D0
	}
	l.tag++
	r := record(class, l.tag, 8+l.r.IntN(most))
	seq, err := l.spool.Append(r)
	must(l.t, err)
	l.records[seq], l.seq = r, seq
	l.log(step{kind: stepAppend, seq: seq})
	synctest.Wait()
	l.noteDropped()
}

func (l *live) noteDropped() {
	batch, err := l.spool.Read(outbox.Position{}, 1)
	must(l.t, err)
	if len(batch.Entries) > 0 && batch.Entries[0].Gap != nil {
		l.log(step{kind: stepDrop, seq: batch.Entries[0].Gap.To})
	}
}

func (l *live) ack() {
	batch, err := l.spool.Read(outbox.Position{}, 1+l.r.IntN(60))
	must(l.t, err)
	if n := len(batch.Entries); n > 0 {
		seq := batch.Entries[n-1].Seq
		l.log(step{kind: stepAck, seq: seq}) // before: the spool may write it at once
		l.spool.Ack(outbox.Position{Epoch: batch.Epoch, Seq: seq})
	}
}

func (l *live) promise() {
	time.Sleep(outbox.Settle)
	synctest.Wait()
	l.noteDropped()
	l.promised()
}

func (l *live) promised() {
	l.log(step{kind: stepPromise, from: l.from, seq: l.seq})
	l.from = l.seq
}

// restart ends the process, by Close or by kill -9, which leaves the disk its power.
func (l *live) restart(kill bool) {
	l.stop()
	if kill {
		l.disk.unlock()
		l.from = l.seq
	} else {
		must(l.t, l.spool.Close())
		l.promised()
	}
	l.start()
	synctest.Wait()
	l.noteDropped()
}

// recordHistory runs the real code through everything that can happen to it.
func recordHistory(t *testing.T, seed uint64, turns int) *history {
	t.Helper()
	h := &history{records: map[uint64]outbox.Record{}}
	synctest.Test(t, func(t *testing.T) {
		l := &live{t: t, r: rand.New(rand.NewPCG(seed, 3)), disk: newMemDisk(), history: h}
		l.disk.watch = func(s step) { h.steps = append(h.steps, s) }
		l.start()
		for range turns {
			switch choice := l.r.IntN(20); {
			case choice < 9:
				l.append(300)
			case choice < 14:
				for range 1 + l.r.IntN(12) {
					l.append(20_000)
				}
			case choice < 17:
				l.promise()
			case choice < 18:
				l.ack()
			case choice < 19:
				time.Sleep(time.Duration(l.r.IntN(90)) * time.Second)
				synctest.Wait()
			default:
				l.restart(l.r.IntN(2) == 0)
			}
		}
		l.restart(false)
		l.stop()
		must(t, l.spool.Close())
	})
	return h
}

// lie is what a disk, or a program, does that it must not.
type lie struct {
	name string
	drop func(step) bool // steps that do not happen
}

func TestSpool_Crash(t *testing.T) {
	t.Parallel()
	var histories []*history
	for seed := range uint64(cases(t, 2)) {
		histories = append(histories, recordHistory(t, seed, 400))
	}
	none := func(step) bool { return false }
	for i, history := range histories {
		for _, sector := range []int{512, 4096} {
			t.Run(fmt.Sprintf("History%dSectors%d", i+1, sector), func(t *testing.T) {
				t.Parallel()
				const states = 200
				found, err := crashes(history, none, states, sector)
				if err != nil {
					t.Error(err)
				}
				t.Logf("%d states of %d steps, %d records found", states, len(history.steps), found)
			})
		}
	}
	for _, control := range []lie{
		{"LyingSync", func(s step) bool { return s.kind == stepSync }},
		{"NoSyncOfRecords", (&untilFull{}).drop},
		{"NoSyncOfTheFolder", func(s step) bool { return s.kind == stepSyncDir }},
	} {
		t.Run(control.name, func(t *testing.T) {
			const states = 100
			_, err := crashes(histories[0], control.drop, states, 512)
			if !errors.Is(err, errModel) {
				t.Errorf("%d states and %v: the harness is blind", states, err)
			}
			t.Log(err)
		})
	}
}

// untilFull drops every sync of a segment but the one that gave it its size.
type untilFull struct{ synced map[string]bool }

func (u *untilFull) drop(s step) bool {
	if s.kind != stepSync {
		return false
	}
	if u.synced == nil {
		u.synced = map[string]bool{}
	}
	again := u.synced[s.name]
	u.synced[s.name] = true
	return again
}

// errModel: what was found is not what may be found.
var errModel = errors.New("outside promised ≤ found ≤ appended")

// told is what the user knew when the power was cut.
type told struct {
	appended, acked, dropped uint64
	promises                 []step
}

func (k *told) promised(seq uint64) bool {
	in := func(s step) bool { return s.from < seq && seq <= s.seq }
	return seq > max(k.acked, k.dropped) && slices.ContainsFunc(k.promises, in)
}

func (k *told) do(s step) {
	switch s.kind {
	case stepAppend:
		k.appended = max(k.appended, s.seq)
	case stepPromise:
		k.promises = append(k.promises, s)
	case stepAck:
		k.acked = max(k.acked, s.seq)
	case stepDrop:
		k.dropped = max(k.dropped, s.seq)
	}
}

// foresee takes note of what its user could not see yet: what went for want of room
// while a record was appended.
func (k *told) foresee(steps []step) {
	appends := 0
	for _, s := range steps {
		switch s.kind {
		case stepAppend:
			appends++
		case stepDrop:
			k.do(s)
			return
		}
		if appends > 1 {
			return
		}
	}
}

// crashes replays a history once, cutting the power at random steps on the way.
func crashes(h *history, drop func(step) bool, states, sector int) (found int, err error) {
	cuts := map[int][]*rand.Rand{}
	for seed := range states {
		r := rand.New(rand.NewPCG(uint64(seed), 11))
		at := r.IntN(len(h.steps) + 1)
		cuts[at] = append(cuts[at], r)
	}
	p, known := newPlatter(), told{}
	for at := range len(h.steps) + 1 {
		for _, r := range cuts[at] {
			n, err := crash(h, p.cut(r, sector), known, at)
			if err != nil {
				return found, fmt.Errorf("cut at step %d of %d: %w", at, len(h.steps), err)
			}
			found += n
		}
		if at < len(h.steps) {
			s := h.steps[at]
			if !drop(s) {
				p.do(s)
			}
			known.do(s)
		}
	}
	return found, nil
}

// crash opens what a cut left, twice.
func crash(h *history, left *memDisk, known told, at int) (found int, err error) {
	known.foresee(h.steps[at:])
	if found, err = check(h, left, &known); err != nil {
		return 0, err
	}
	if _, err = check(h, left, &known); err != nil {
		return 0, fmt.Errorf("opened again: %w", err)
	}
	return found, nil
}

func check(h *history, disk *memDisk, known *told) (found int, err error) {
	spool, err := outbox.NewSpool(small(disk))
	if err == nil {
		err = spool.Open(context.Background())
	}
	if err != nil {
		return 0, err
	}
	status := spool.Status()
	if status.Next <= known.appended {
		return 0, fmt.Errorf("%w: number %d would be given out again", errModel, status.Next)
	}
	if status.Acked > known.acked {
		return 0, fmt.Errorf("%w: %d is acknowledged, of %d", errModel, status.Acked, known.acked)
	}
	have, before := map[uint64]bool{}, status.Acked
	for {
		batch, err := spool.Read(outbox.Position{Epoch: status.Epoch, Seq: before}, 50)
		if err != nil {
			return 0, err
		}
		if len(batch.Entries) == 0 {
			break
		}
		for _, e := range batch.Entries {
			if err := follows(h, e, before); err != nil {
				return 0, err
			}
			if status.Counts.LostFull > 0 && len(have) == 0 && e.Gap != nil && e.Gap.Why == outbox.WhyFull {
				known.dropped = max(known.dropped, e.Seq) // the reservation needed a new segment
			}
			before = e.Seq
			have[e.Seq] = e.Gap == nil
		}
	}
	for seq, r := range h.records {
		if r.Class == outbox.D1 && known.promised(seq) && !have[seq] {
			return 0, fmt.Errorf("%w: %d was promised and is gone", errModel, seq)
		}
		if have[seq] {
			found++
		}
	}
	disk.unlock() // killed
	return found, nil
}

// follows: an entry is a gap that begins behind the one before it, or the record that
// was appended under the next number.
func follows(h *history, e outbox.Entry, before uint64) error {
	if e.Gap != nil {
		if e.Gap.From != before+1 || e.Gap.To != e.Seq || e.Seq <= before {
			return fmt.Errorf("%w: behind %d follows a gap %+v", errModel, before, *e.Gap)
		}
		return nil
	}
	r, appended := h.records[e.Seq]
	if e.Seq != before+1 || !appended || r.Class != outbox.D1 || r.Mono != e.Mono || !bytes.Equal(r.Body, e.Body) {
		return fmt.Errorf("%w: behind %d follows %d, which was not appended like that", errModel, before, e.Seq)
	}
	return nil
}
