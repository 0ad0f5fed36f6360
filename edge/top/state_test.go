package top_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/top"
)

// shows wants words on the screen.
func shows(t *testing.T, s top.State, want ...string) {
	t.Helper()
	screen := s.View(top.Look{}, 120, 40)
	for _, w := range want {
		if !strings.Contains(screen, w) {
			t.Errorf("%q is missing in:\n%s", w, screen)
		}
	}
}

func TestState_Update(t *testing.T) {
	t.Run("NotYetConnected", func(t *testing.T) {
		shows(t, top.State{}, "asking the agent")
		shows(t, told(top.State{}, top.Gone{Err: errors.New("no such file")}), "the agent does not answer: no such file")
	})
	t.Run("AgentRestarted", func(t *testing.T) {
		again := hello()
		again.PID, again.Started, again.Seq = 990, noon, 41
		s := told(agentGone(), again)
		shows(t, s, "another agent than before, process 990", "instance-ready line-digits-a1b2c3", "slots  1 of 2 busy")
		shows(t, told(s, top.Tick{At: noon.Add(time.Minute)}), "● live  holdfast")
		if s.LastEvent() != 5 {
			t.Errorf("the last event is %d, want 5: the numbers go on", s.LastEvent())
		}
	})
	t.Run("MachineRestarted", func(t *testing.T) {
		again := hello()
		again.PID, again.Seq = 990, 2
		s := told(agentGone(), again, edge.Event{Seq: 1, Kind: edge.EventAgentStarted})
		if s.LastEvent() != 1 {
			t.Errorf("the last event is %d, want 1: the numbers begin anew", s.LastEvent())
		}
	})
	t.Run("SameAgent", func(t *testing.T) {
		shows(t, told(agentGone(), hello()), "● live  holdfast", "t-a1")
	})
	t.Run("EventsTwice", func(t *testing.T) {
		s := told(told(healthy(), top.KeyBefore), events()...)
		if got := strings.Count(s.View(top.Look{}, 120, 40), "link-up"); got != 1 {
			t.Errorf("an event that comes again is shown %d times", got)
		}
	})
	t.Run("Paused", func(t *testing.T) {
		s := told(healthy(), top.KeyPause)
		before := s.View(top.Look{}, 80, 24)
		later := status()
		later.Node = "other"
		s = told(s, later, top.Tick{At: noon.Add(time.Hour)}, edge.Event{Seq: 50, Kind: "new"}, top.Gone{Err: errors.New("gone")})
		if got := s.View(top.Look{}, 80, 24); got != before {
			t.Errorf("the screen changes while it is paused:\n%s\nbefore\n%s", got, before)
		}
		shows(t, told(s, top.KeyPause), "gone for", "new")
	})
	t.Run("Quit", func(t *testing.T) {
		for _, key := range []top.Key{top.KeyQuit, top.KeyInterrupt} {
			if _, wish := healthy().Update(key); !wish.Quit {
				t.Errorf("%s does not end it", key)
			}
		}
	})
}

func TestState_Logs(t *testing.T) {
	s := told(healthy(), top.KeyNext, top.KeyNext, top.KeyDown)
	s, wish := s.Update(top.KeyLogs)
	if wish.OpenLogs != "检测/缺陷检测模型" || s.Shown() != top.LogsView {
		t.Fatalf("the wish is %+v in view %s", wish, s.Shown())
	}
	var lines []string
	for i := range 100 {
		lines = append(lines, "line "+strings.Repeat("|", i+1))
	}
	s = told(s, top.LogText{Target: "other", Lines: []string{"foreign"}}, top.LogText{Target: wish.OpenLogs, Lines: lines})
	shows(t, s, "logs of 检测/缺陷检测模型", strings.Repeat("|", 100))
	screen := told(s, top.KeyHome).View(top.Look{}, 120, 40)
	if !strings.Contains(screen, "line |\n") || strings.Contains(screen, strings.Repeat("|", 100)) {
		t.Errorf("its begin is not shown:\n%s", screen)
	}
	if strings.Contains(screen, "foreign") {
		t.Error("what another printed is shown")
	}
	shows(t, told(s, top.LogEnded{Target: wish.OpenLogs}), "no more of it comes")
	s, wish = s.Update(top.KeyEscape)
	if !wish.EndLogs || s.Shown() != top.WorkloadsView {
		t.Errorf("the wish is %+v in view %s", wish, s.Shown())
	}
}

func TestDecode(t *testing.T) {
	for kind, data := range map[string]string{
		"hello": `{"node":"n"}`, "history": `{"every":1,"samples":[{}]}`, "sample": `{"ended":{"urgent":[1,2]}}`,
		"status": `{}`, "tasks": `{"running":[{"id":"t","class":"urgent","slot":0}]}`, "event": `{"seq":1}`,
	} {
		if m, err := top.Decode(kind, []byte(data)); err != nil || m == nil {
			t.Errorf("%s gives %v, %v", kind, m, err)
		}
		if _, err := top.Decode(kind, []byte(`{"node":`)); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("%s that breaks off gives %v, want %v", kind, err, edge.ErrInvalid)
		}
	}
	if m, err := top.Decode("of-tomorrow", []byte("{")); m != nil || err != nil {
		t.Errorf("a kind that is not known gives %v, %v", m, err)
	}
}
