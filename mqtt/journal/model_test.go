package journal_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"holdfast/edge"
	"holdfast/edge/boltfile/filetest"
	"holdfast/mqtt/journal"
	"holdfast/mqtt/outbox"
)

// model is a journal as plain maps, without any bounds but that of the window.
type model struct {
	stage  map[string]edge.Stage // by id
	reply  map[string]string
	seen   map[uint64]bool
	stream []string // "number kind-or-stage"
	acked  int
	note   string
}

// TestJournal_Model holds a journal against a model, through any order of calls and
// restarts.
func TestJournal_Model(t *testing.T) {
	t.Parallel()
	seeds := filetest.Cases(t, 12)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("Seed", seed), func(t *testing.T) { modelRun(t, seed) })
	}
}

func modelRun(t *testing.T, seed int) {
	r := rand.New(rand.NewPCG(uint64(seed), 5))
	dir := t.TempDir()
	j := open(t, options(dir, "boot-0"))
	m := &model{stage: map[string]edge.Stage{}, reply: map[string]string{}, seen: map[uint64]bool{}}
	for range 250 {
		m.step(t, r, j)
		if r.IntN(40) == 0 {
			must(t, j.Close())
			j = open(t, options(dir, fmt.Sprint("boot-", r.IntN(3))))
		}
		m.compare(t, j)
	}
	must(t, j.Close())
}

// step makes one call and holds its answer against the model's.
func (m *model) step(t *testing.T, r *rand.Rand, j *journal.Journal) {
	c := order(issuer, 1+r.Uint64N(30))
	stage := m.stage[c.ID]
	switch r.IntN(8) {
	case 0, 1:
		taken, err := j.Take(t.Context(), c, digest(c))
		m.taken(t, c, taken, err)
	case 2:
		err := j.Begin(t.Context(), c.ID)
		if open := stage == edge.StageReceived || stage == edge.StageStarted; open != (err == nil) {
			t.Fatalf("Begin of %q = %v", stage, err)
		}
		if stage == edge.StageReceived {
			m.say(c.ID, edge.StageStarted)
		}
	case 3, 4:
		said := done(c)
		said.Detail = fmt.Sprint("n", r.IntN(1000))
		err := j.Finish(t.Context(), said)
		open := stage == edge.StageReceived || stage == edge.StageStarted
		if open != (err == nil) {
			t.Fatalf("Finish of %q = %v", stage, err)
		}
		if open {
			m.reply[c.ID] = said.Detail
			m.say(c.ID, edge.StageSucceeded)
		}
	case 5:
		must(t, func() error {
			_, err := j.Append(t.Context(), outbox.Record{Kind: "policy", Body: []byte("{}")})
			return err
		}())
		m.stream = append(m.stream, fmt.Sprint(len(m.stream)+1, " policy"))
	case 6:
		to := uint64(r.IntN(len(m.stream) + 3))
		j.Ack(outbox.Position{Epoch: j.Status().Epoch, Seq: to})
		if int(to) <= len(m.stream) {
			m.acked = max(m.acked, int(to))
		}
	case 7:
		m.note = fmt.Sprint(r.IntN(5))
		must(t, j.SetNote(t.Context(), "n", []byte(m.note)))
	}
}

func (m *model) taken(t *testing.T, c edge.Command, taken journal.Taken, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	stage, known := m.stage[c.ID]
	if taken.New == known || (taken.Reply != nil) != (known && stage.Final()) {
		t.Fatalf("%s is %q, and was taken as %+v", c.ID, stage, taken)
	}
	if taken.Reply != nil && taken.Reply.Detail != m.reply[c.ID] {
		t.Fatalf("%s got the reply %q, want %q", c.ID, taken.Reply.Detail, m.reply[c.ID])
	}
	if taken.New {
		m.seen[c.Counter] = true
		m.say(c.ID, edge.StageReceived)
	}
}

func (m *model) say(id string, stage edge.Stage) {
	m.stage[id] = stage
	m.stream = append(m.stream, fmt.Sprintf("%d %s %s", len(m.stream)+1, id, stage))
}

// compare holds all that the journal shows against the model.
func (m *model) compare(t *testing.T, j *journal.Journal) {
	t.Helper()
	var stream []string
	for _, e := range entries(t, j) {
		text := e.Kind
		if e.Kind == journal.KindReply {
			var said edge.Reply
			must(t, json.Unmarshal(e.Body, &said))
			text = said.Command + " " + string(said.Stage)
		}
		stream = append(stream, fmt.Sprint(e.Seq, " ", text))
	}
	if want := m.stream[m.acked:]; !slices.Equal(stream, want) {
		t.Fatalf("stream = %q, want %q", stream, want)
	}
	var counters []uint64
	for _, s := range j.Seen() {
		counters = append(counters, s.Counters...)
	}
	if len(counters) != len(m.seen) || slices.ContainsFunc(counters, func(c uint64) bool { return !m.seen[c] }) {
		t.Fatalf("seen = %v, want %v", counters, m.seen)
	}
	open := 0
	for _, stage := range m.stage {
		if !stage.Final() {
			open++
		}
	}
	list := j.Unfinished()
	for _, o := range list {
		if m.stage[o.Command.ID] != o.Stage {
			t.Fatalf("%s is %s, want %s", o.Command.ID, o.Stage, m.stage[o.Command.ID])
		}
	}
	if len(list) != open || string(j.Note("n")) != m.note {
		t.Fatalf("%d open and note %q, want %d and %q", len(list), j.Note("n"), open, m.note)
	}
}
