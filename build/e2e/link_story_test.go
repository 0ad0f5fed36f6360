package e2e_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
)

// story is what befell a node and its fleet, as seen from outside: what was asked of the
// node, what it began, and what the fleet has kept of it.
type story struct {
	sent    map[string]edge.Verb         // the commands, by id
	taken   map[string]int               // how often each was begun, in all lives of the agent
	streams map[string][]mqtt.Envelope   // what the fleet has kept, by epoch, in the order of its files
	ends    map[string]edge.StreamReport // the node's own word on its streams, by epoch
	tasks   []answered                   // one after the other
	crashes []time.Time
	// inOrder: nothing was lost on its way to the desk, so the files are in order too.
	inOrder bool
}

// answered is a task that its caller has the answer of.
type answered struct {
	id string
	at time.Time
}

// control is the stream in which nothing may be lost.
const controlStream = "control"

// forgiven is how long before a crash a task may have been answered that the fleet is
// not told of: a second until it is told, five in memory, and as much again for a
// machine that is busy with something else.
const forgiven = 12 * time.Second

// complaints are what may not be in any story.
func (s story) complaints() (all []string) {
	all = append(all, s.ofCommands()...)
	for _, epoch := range slices.Sorted(maps.Keys(s.streams)) {
		all = append(all, s.ofNumbers(epoch, s.streams[epoch])...)
	}
	for epoch, end := range s.ends {
		if end.Name == controlStream && end.Next > 1 && len(s.streams[epoch]) == 0 {
			all = append(all, fmt.Sprintf("nothing is kept of %s", epoch))
		}
	}
	return append(all, s.ofTasks()...)
}

// ofCommands wants one final reply of each, and of what may not be repeated one effect.
func (s story) ofCommands() (all []string) {
	finals := map[string][]edge.Reply{}
	for _, kept := range s.streams {
		for _, e := range kept {
			var reply edge.Reply
			if e.Type == "reply" && e.Class == mqtt.Committed && json.Unmarshal(e.Body, &reply) == nil && reply.Stage.Final() {
				finals[reply.Command] = append(finals[reply.Command], reply)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.sent)) {
		if n := len(finals[id]); n != 1 {
			all = append(all, fmt.Sprintf("command %s has %d final replies: %+v", id, n, finals[id]))
			continue
		}
		begun, stage := s.taken[id], finals[id][0].Stage
		if begun > 1 && !edge.Verbs()[s.sent[id]].Repeatable {
			all = append(all, fmt.Sprintf("command %s (%s) was begun %d times", id, s.sent[id], begun))
		}
		if begun == 0 && stage == edge.StageSucceeded {
			all = append(all, fmt.Sprintf("command %s succeeded and was never begun", id))
		}
	}
	return all
}

// numbered is an envelope with the numbers it stands for.
type numbered struct {
	from, to uint64
	mqtt.Envelope
}

func number(e mqtt.Envelope) numbered {
	n := numbered{e.Seq, e.Seq, e}
	var gap struct{ From uint64 }
	if e.Type == "gap" && json.Unmarshal(e.Body, &gap) == nil {
		n.from = gap.From
	}
	return n
}

// ofNumbers wants every number of a stream by one entry, or by a gap. A gap may name
// numbers that the fleet has: an agent that starts anew does not know what was told from
// memory before.
func (s story) ofNumbers(epoch string, kept []mqtt.Envelope) (all []string) {
	var list []numbered
	said := map[uint64]mqtt.Envelope{}
	for i, e := range kept {
		if e.Seq == 0 {
			all = append(all, fmt.Sprintf("%s begins later at the desk than at the node", epoch))
			continue
		}
		if i > 0 && s.inOrder && e.Seq <= kept[i-1].Seq {
			all = append(all, fmt.Sprintf("%s: %d came after %d", epoch, e.Seq, kept[i-1].Seq))
		}
		if before, twice := said[e.Seq]; twice {
			all = append(all, fmt.Sprintf("%s: %d is kept twice, the same is said: %v", epoch, e.Seq, bytes.Equal(before.Body, e.Body)))
		}
		if e.Type == "gap" && e.Class == mqtt.Committed {
			all = append(all, fmt.Sprintf("%s: committed entries are lost: %s", epoch, e.Body))
		}
		said[e.Seq] = e
		list = append(list, number(e))
	}
	through, holes := covered(list)
	for _, hole := range holes {
		all = append(all, fmt.Sprintf("%s: %s are missing", epoch, hole))
	}
	if end := s.ends[epoch]; end.Next > 0 && (end.Name == controlStream && through != end.Next-1 || through < end.Confirmed) {
		all = append(all, fmt.Sprintf("%s is kept through %d, and the node stands at %+v", epoch, through, end))
	}
	return all
}

// covered finds how far a list of entries reaches, and what is missing before.
func covered(list []numbered) (through uint64, holes []string) {
	slices.SortStableFunc(list, func(a, b numbered) int { return cmp.Compare(a.from, b.from) })
	for _, n := range list {
		if n.from > through+1 {
			holes = append(holes, fmt.Sprintf("%d to %d", through+1, n.from-1))
		}
		through = max(through, n.to)
	}
	return through, holes
}

// ofTasks wants the fleet to have been told of tasks in the order of their answers, and
// of all that no crash took.
func (s story) ofTasks() (all []string) {
	at := map[string]int{} // its place in what the fleet was told
	for _, kept := range s.streams {
		list := slices.SortedStableFunc(slices.Values(kept), func(a, b mqtt.Envelope) int { return cmp.Compare(a.Seq, b.Seq) })
		for _, e := range list {
			var task struct{ ID string }
			if e.Type != "task" || json.Unmarshal(e.Body, &task) != nil {
				continue
			}
			if _, twice := at[task.ID]; twice {
				all = append(all, fmt.Sprintf("task %s is told twice", task.ID))
			}
			at[task.ID] = len(at) + 1
		}
	}
	last := answered{}
	for _, task := range s.tasks {
		switch {
		case at[task.id] == 0 && !s.tookByCrash(task):
			all = append(all, fmt.Sprintf("task %s, answered at %s, was never told", task.id, task.at.Format(time.StampMilli)))
		case at[task.id] == 0:
		case at[task.id] < at[last.id]:
			all = append(all, fmt.Sprintf("task %s was told before %s, and answered after it", task.id, last.id))
		default:
			last = task
		}
	}
	return all
}

func (s story) tookByCrash(task answered) bool {
	return slices.ContainsFunc(s.crashes, func(crash time.Time) bool {
		return task.at.Before(crash) && crash.Sub(task.at) < forgiven
	})
}

// repeated counts what came again: within one life of the agent, and in a later one.
func repeated(passed []heard, crashes []time.Time) (inOneLife, after int) {
	type place struct {
		epoch string
		seq   uint64
	}
	last := map[place]time.Time{}
	for _, h := range passed {
		key := place{h.Epoch, h.Seq}
		before, again := last[key]
		switch {
		case again && slices.ContainsFunc(crashes, func(crash time.Time) bool { return before.Before(crash) && crash.Before(h.at) }):
			after++
		case again:
			inOneLife++
		}
		last[key] = h.at
	}
	return inOneLife, after
}

// honest is a story in which nothing is wrong.
func honest() story {
	entry := func(epoch string, seq uint64, class mqtt.Durability, kind, body string) mqtt.Envelope {
		return mqtt.Envelope{Version: 1, Node: "gw", Epoch: epoch, Seq: seq, Class: class, Type: kind, Body: json.RawMessage(body)}
	}
	now := time.Now()
	return story{
		sent:  map[string]edge.Verb{"r-1": edge.VerbRestart},
		taken: map[string]int{"r-1": 1},
		streams: map[string][]mqtt.Envelope{
			"c": {
				entry("c", 1, mqtt.Committed, "reply", `{"command":"r-1","stage":"received"}`),
				entry("c", 2, mqtt.Committed, "reply", `{"command":"r-1","stage":"started"}`),
				entry("c", 3, mqtt.Committed, "reply", `{"command":"r-1","stage":"succeeded"}`),
			},
			"t": {
				entry("t", 1, mqtt.MemoryFirst, "task", `{"id":"a"}`),
				entry("t", 4, mqtt.MemoryFirst, "gap", `{"from":2,"to":4,"why":"memory"}`),
				entry("t", 5, mqtt.MemoryFirst, "task", `{"id":"c"}`),
			},
		},
		ends: map[string]edge.StreamReport{
			"c": {Name: "control", Epoch: "c", Next: 4, Confirmed: 3}, "t": {Name: "telemetry", Epoch: "t", Next: 6, Confirmed: 5},
		},
		tasks:   []answered{{"a", now.Add(-time.Minute)}, {"b", now.Add(-3 * time.Second)}, {"c", now}},
		crashes: []time.Time{now.Add(-time.Second)},
		inOrder: true,
	}
}

// TestStory_FindsWhatIsWrong holds the check against stories that were tampered with.
func TestStory_FindsWhatIsWrong(t *testing.T) {
	if got := honest().complaints(); len(got) > 0 {
		t.Fatalf("it complains of an honest story: %q", got)
	}
	for name, tamper := range map[string]func(*story){
		"CommittedEntryLost": func(s *story) { s.streams["c"] = slices.Delete(s.streams["c"], 0, 1) },
		"FinalReplyLost":     func(s *story) { s.streams["c"] = s.streams["c"][:2] },
		"WholeStreamLost":    func(s *story) { delete(s.streams, "c"); clear(s.sent) },
		"TwoFinalReplies":    func(s *story) { s.streams["c"][1].Body = json.RawMessage(`{"command":"r-1","stage":"failed"}`) },
		"BegunTwice":         func(s *story) { s.taken["r-1"] = 2 },
		"SucceededUnbegun":   func(s *story) { delete(s.taken, "r-1") },
		"UnorderedPair":      func(s *story) { s.streams["t"][0], s.streams["t"][2] = s.streams["t"][2], s.streams["t"][0] },
		"HoleWithoutGap":     func(s *story) { s.streams["t"] = slices.Delete(s.streams["t"], 1, 2) },
		"OneNumberTwoThings": func(s *story) { s.streams["t"][2].Seq = 1 },
		"OneNumberTwice":     func(s *story) { s.streams["t"] = append(s.streams["t"], s.streams["t"][2]); s.inOrder = false },
		"CommittedGap": func(s *story) {
			s.streams["c"][0].Type, s.streams["c"][0].Body = "gap", json.RawMessage(`{"from":1,"to":1}`)
		},
		"TaskToldTwice":        func(s *story) { s.streams["t"][2].Body = json.RawMessage(`{"id":"a"}`) },
		"TasksInAnotherOrder":  func(s *story) { s.tasks[0].id, s.tasks[2].id = "c", "a" },
		"TaskLostWithoutCrash": func(s *story) { s.crashes = nil },
		"DeskBeganLater":       func(s *story) { s.streams["c"] = append([]mqtt.Envelope{{}}, s.streams["c"]...) },
	} {
		t.Run(name, func(t *testing.T) {
			s := honest()
			tamper(&s)
			if len(s.complaints()) == 0 {
				t.Error("it finds nothing wrong")
			}
		})
	}
}

// TestStory_CountsRepetitions counts those of a wire on which there are some.
func TestStory_CountsRepetitions(t *testing.T) {
	now := time.Now()
	say := func(epoch string, after time.Duration) heard {
		return heard{mqtt.Envelope{Epoch: epoch, Seq: 1}, now.Add(after)}
	}
	passed := []heard{say("a", 0), say("b", 1), say("a", 2), say("a", 4), say("b", 5)}
	inOneLife, after := repeated(passed, []time.Time{now.Add(3)})
	if inOneLife != 1 || after != 2 {
		t.Errorf("%d came again in one life and %d after a crash, want 1 and 2", inOneLife, after)
	}
}
