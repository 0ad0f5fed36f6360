package outbox_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/mqtt/outbox"
)

// model is what the spool should be: a slice. It forgets nothing by itself; what may
// be missing is what the spool has counted as lost, and what a power cut took.
type model struct {
	t       *testing.T
	r       *rand.Rand
	o       outbox.SpoolOptions
	disk    *memDisk
	platter *platter
	drop    func(step) bool // steps that do not happen to the platter
	spool   *outbox.Spool
	stop    func()

	records []modelled // not acknowledged
	acked   uint64
	newest  uint64
	healthy bool
	tag     uint64
	ops     []string // for whoever reads a failure
	wrong   error    // the first thing that was
}

type modelled struct {
	seq   uint64
	at    time.Time
	owed  bool // D1, and nothing stood in the way of the flash when it came
	taken bool // a power cut may have taken it
	outbox.Record
}

// settled: it has to be on flash.
func (r *modelled) settled() bool { return r.owed && time.Since(r.at) >= outbox.Settle }

func newModel(t *testing.T, seed uint64, drop func(step) bool) *model {
	m := &model{t: t, drop: drop, r: rand.New(rand.NewPCG(seed, 5)), platter: newPlatter(), healthy: true}
	m.attach(newMemDisk())
	m.o = small(m.disk)
	m.o.Memory = 256 << 10
	m.spool, m.stop = start(t, m.o)
	synctest.Wait()
	return m
}

func (m *model) attach(disk *memDisk) {
	disk.watch = func(s step) {
		if !m.drop(s) {
			m.platter.do(s)
		}
	}
	m.disk, m.o.Disk = disk, disk
}

func (m *model) append(size int) {
	class := outbox.Class(min(1, m.r.IntN(4)))
	m.tag++
	r := record(class, m.tag, 8+m.r.IntN(size))
	owed := class == outbox.D1 && m.healthy && m.spool.Status().Kept
	seq, err := m.spool.Append(r)
	must(m.t, err)
	if seq <= m.newest {
		m.note("number %d after %d", seq, m.newest)
	}
	m.newest = seq
	m.records = append(m.records, modelled{seq: seq, at: time.Now(), owed: owed, Record: r})
}

func (m *model) ack() {
	batch, err := m.spool.Read(outbox.Position{}, 1+m.r.IntN(40))
	must(m.t, err)
	if n := len(batch.Entries); n > 0 {
		m.acked = batch.Entries[n-1].Seq
		m.spool.Ack(outbox.Position{Epoch: batch.Epoch, Seq: m.acked})
	}
	for len(m.records) > 0 && m.records[0].seq <= m.acked {
		m.records = m.records[1:]
	}
}

func (m *model) toggle() {
	m.healthy = !m.healthy
	for i := range m.records {
		m.records[i].owed = m.records[i].settled()
	}
	why := []error{unix.EIO, unix.ENOSPC}[m.r.IntN(2)]
	m.disk.setFail(map[bool]func(string, int) error{true: nil, false: func(op string, _ int) error {
		if op == "sync" || op == "write" {
			return why
		}
		return nil
	}}[m.healthy])
}

// cut takes the power, and starts what is left.
func (m *model) cut() {
	m.stop()
	left := m.platter.cut(m.r, 512)
	*m.platter = *newPlatter()
	for name, file := range left.files {
		m.platter.files[name] = &durable{image: *file.clone()}
		m.platter.folder[name] = true
	}
	m.attach(left)
	m.healthy = true
	for i := range m.records {
		r := &m.records[i]
		r.taken = r.taken || !r.settled()
	}
	m.spool, m.stop = start(m.t, m.o)
	synctest.Wait()
	m.acked = m.spool.Status().Acked // may be less
}

func (m *model) note(format string, args ...any) {
	if m.wrong == nil {
		m.wrong = fmt.Errorf("after %v: %s", m.ops, fmt.Sprintf(format, args...))
	}
}

// check compares what can be read with the slice.
func (m *model) check(spool *outbox.Spool, must func(modelled) bool) {
	m.t.Helper()
	counts := m.spool.Status().Counts
	lost, before, next := uint64(0), spool.Status().Acked, 0
	full, records := uint64(0), uint64(0)
	for _, e := range all(m.t, spool, 64) {
		if e.Seq <= before || e.Gap != nil && e.Gap.From != before+1 || e.Gap == nil && e.Seq != before+1 {
			m.note("behind %d follows %d (%+v)", before, e.Seq, e.Gap)
		}
		before = e.Seq
		if e.Gap == nil {
			records++
		}
		if e.Gap != nil && e.Gap.Why == outbox.WhyFull {
			full = e.Gap.To
		}
		for next < len(m.records) && m.records[next].seq < e.Seq || e.Gap != nil && next < len(m.records) && m.records[next].seq == e.Seq {
			if must(m.records[next]) && m.records[next].seq > full {
				lost++
			}
			next++
		}
		if e.Gap == nil && next < len(m.records) && m.records[next].seq == e.Seq {
			if !bytes.Equal(m.records[next].Body, e.Body) {
				m.note("%d is not what was appended", e.Seq)
			}
			next++
		}
	}
	for ; next < len(m.records); next++ {
		if must(m.records[next]) && m.records[next].seq > full {
			lost++
		}
	}
	if got := spool.Waiting(); got != records {
		m.note("says that %d records wait, and gives %d", got, records)
	}
	if lost > counts.LostMemory {
		m.note("%d records are gone without being counted (%+v)", lost, counts)
	}
}

// checkSettled opens what is on flash for certain: the 5 seconds.
func (m *model) checkSettled() {
	m.t.Helper()
	o := m.o
	o.Disk = m.platter.certain()
	spool := open(m.t, o)
	dropped := spool.Status().Counts.LostFull > 0 // opening needed a segment
	m.check(spool, func(r modelled) bool {
		return !dropped && !r.taken && r.settled()
	})
}

func (m *model) turn() {
	ops := []struct {
		name   string
		weight int
		do     func()
	}{
		{"append", 12, func() { m.append(500) }},
		{"burst", 3, func() {
			for range m.r.IntN(30) {
				m.append(8000)
				synctest.Wait()
			}
		}},
		{"sleep", 6, func() { time.Sleep(time.Duration(m.r.Int64N(int64(9 * time.Second)))) }},
		{"ack", 4, m.ack},
		{"toggle", 1, m.toggle},
		{"recover", 1, func() {
			if !m.healthy {
				m.toggle()
			}
			time.Sleep(6 * time.Minute)
		}},
		{"cut", 1, m.cut},
	}
	pick := m.r.IntN(28)
	for _, op := range ops {
		if pick -= op.weight; pick < 0 {
			m.ops = append(m.ops, op.name)
			op.do()
			synctest.Wait()
			return
		}
	}
}

// live goes through some turns and returns what was wrong first.
func (m *model) live(turns int) error {
	defer func() {
		m.disk.setFail(nil)
		m.stop()
		must(m.t, m.spool.Close())
	}()
	for range turns {
		m.turn()
		m.check(m.spool, func(r modelled) bool { return !r.taken })
		m.checkSettled()
		if m.wrong != nil {
			return m.wrong
		}
	}
	return nil
}

func TestSpool_Model(t *testing.T) {
	t.Parallel()
	for seed := range uint64(cases(t, 16)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := newModel(t, seed, func(step) bool { return false }).live(100); err != nil {
					t.Error(err)
				}
			})
		})
	}
	t.Run("LyingSync", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			syncs := 0
			err := newModel(t, 1, func(s step) bool {
				if s.kind == stepSync {
					syncs++
				}
				return s.kind == stepSync && syncs > 5 // the segments and the first batches are there
			}).live(120)
			if err == nil {
				t.Error("nothing found: the model is blind")
			}
			t.Log(err)
		})
	})
}
