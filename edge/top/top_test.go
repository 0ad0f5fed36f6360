package top_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/top"
	"holdfast/edge/words"
)

var update = flag.Bool("update", false, "write the golden screens anew")

// noon is when the screens of the tests are looked at.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

const (
	ms  = time.Millisecond
	gib = 1 << 30
)

// told is a state that has been told all of it.
func told(s top.State, messages ...top.Message) top.State {
	for _, m := range messages {
		s, _ = s.Update(m)
	}
	return s
}

func hello() edge.LiveHello {
	return edge.LiveHello{Node: "line-3", Version: "1.4.0", PID: 812, Started: noon.Add(-75 * time.Hour), Seq: 40}
}

// history is five minutes, in the last of which so many of a hundred urgent tasks a second are on time.
func history(onTime uint64, link string) top.History {
	var h top.History
	var ended edge.EndedTasks
	for i := range 300 {
		s := edge.Sample{
			At: noon.Add(time.Duration(i-299) * time.Second), CPU: 0.3 + float64(i%7)/20, MemoryUsed: 3 * gib / 2, AgentCPU: 0.012,
			AgentRSS: 31 << 20, Temperature: 61, Running: i % 3, Link: link, Outbox: 0,
		}
		share := uint64(100)
		if i > 238 {
			share = onTime
		}
		ended.Urgent[0] += share
		ended.Urgent[1] += 100
		ended.Normal[0] += 10
		ended.Normal[1] += 10
		s.Ended = ended
		h.Samples = append(h.Samples, s)
	}
	return h
}

func status() edge.Status {
	settled := map[string]uint64{"completed": 29_988, "missed": 12}
	workload := func(app, name, image string, replicas int) edge.Workload {
		return edge.Workload{App: app, Name: name, Image: image, Replicas: replicas}
	}
	return edge.Status{
		Node: "line-3", Version: "1.4.0", PID: 812, Started: noon.Add(-75 * time.Hour),
		Policy: edge.PolicyReport{
			Governed: true, State: "current", Name: "line", Version: 7, Signers: []string{"1f03aa"}, Age: 50 * time.Hour,
			LeaseLeft: 21 * time.Hour, LeaseBoots: 5, Kept: true,
		},
		Containerd: edge.DaemonReport{Connected: true, Version: "2.2.9"},
		Link: &edge.LinkReport{
			Broker: "ssl://fleet.example:8883", Phase: "up", Since: noon.Add(-2 * time.Hour), Heard: noon.Add(-40 * time.Second),
			Streams: []edge.StreamReport{{Name: "telemetry", Waiting: 3}},
		},
		Scheduler: edge.QueueReport{
			Slots: 2, Order: "plan", Running: 1,
			Classes: []edge.ClassReport{{Class: edge.Urgent, Settled: settled}, {Class: edge.Normal, Settled: map[string]uint64{"completed": 3000}}, {Class: edge.Batch}},
		},
		Upstreams: []edge.UpstreamReport{{Name: "cloud", State: edge.UpstreamUp, Since: noon.Add(-time.Hour), Asked: 1204, Answered: 1201, Spared: 2}},
		Workloads: []edge.WorkloadView{
			{Workload: workload("line", "digits", "holdfast.example/digits:1", 2), Ready: 2, Instances: []edge.InstanceView{
				{Instance: edge.Instance{ID: "line-digits-a1b2c3"}, State: edge.InstanceReady, Usage: &edge.Usage{Memory: 41 << 20}},
				{Instance: edge.Instance{ID: "line-digits-d4e5f6"}, State: edge.InstanceReady, Restarts: 2},
			}},
			{Workload: workload("检测", "缺陷检测模型", "holdfast.example/defects:2", 1), Ready: 1},
			{Workload: workload("line", "tool", "holdfast.example/tool:1", 0), OneShot: &edge.OneShotView{Warm: 1, Busy: 1}},
		},
		Vitals: edge.Vitals{Cores: 4, CPU: 0.4, Load1: 1.2, MemoryTotal: 4 * gib, MemoryUsed: 3 * gib / 2, DiskTotal: 16 * gib, DiskFree: 5 * gib},
		Health: edge.HealthReport{Score: 84},
	}
}

func task(id, model, state string, class edge.Class, slot edge.Slot, age, deadline time.Duration) edge.TaskView {
	return edge.TaskView{ID: id, Model: model, State: state, Class: class, Slot: slot, Arrived: noon.Add(-age), Deadline: noon.Add(deadline - age)}
}

func events() []top.Message {
	var list []top.Message
	for i, e := range []edge.Event{
		{Kind: edge.EventAgentStarted, Subject: "line-3"},
		{Kind: edge.EventInstanceReady, Subject: "line-digits-a1b2c3"},
		{Kind: edge.EventUpdateBegan, Subject: "line/digits", Cause: "policy version 7"},
		{Kind: edge.EventLinkUp, Subject: "ssl://fleet.example:8883"},
		{Kind: edge.EventTaskMissed, Subject: "t-9f", Cause: "started after 4ms and was still running", Facts: map[string]string{"model": "digits", "class": "urgent"}},
	} {
		e.Seq, e.At = uint64(i+1), noon.Add(time.Duration(i-9)*time.Minute)
		list = append(list, e)
	}
	return list
}

// node has heard all of a stream.
func node(h top.History, st edge.Status, tasks edge.LiveTasks) top.State {
	tasks.At = noon
	return told(told(top.State{}, top.Tick{At: noon}, hello(), h, st, tasks), events()...)
}

func healthy() top.State {
	return node(history(100, "up"), status(), edge.LiveTasks{Running: []edge.TaskView{
		task("t-a1", "digits", "running", edge.Urgent, edge.SlotAt(0), 30*ms, 80*ms),
	}})
}

func overloaded() top.State {
	st := status()
	st.Scheduler.Running, st.Scheduler.Waiting, st.Scheduler.Suspended = 2, 37, 1
	st.Scheduler.Classes[0].Waiting, st.Scheduler.Classes[2].Waiting = 5, 32
	st.Warnings = []edge.Warning{{Code: "health-low", Subject: "line-3", Detail: "the score is 41"}}
	return node(history(62, "up"), st, edge.LiveTasks{
		Running: []edge.TaskView{
			task("t-b1", "digits", "running", edge.Urgent, edge.SlotAt(1), 70*ms, 80*ms),
			task("t-b2", "缺陷检测模型", "running", edge.Urgent, edge.SlotAt(0), 100*ms, 80*ms),
			task("t-b3", "digits", "suspended", edge.Batch, edge.SlotAt(0), 9*time.Second, 10*time.Minute),
		},
		Waiting:      []edge.TaskView{task("t-b4", "digits", "waiting", edge.Urgent, 0, 5*ms, 80*ms), task("t-b5", "digits", "waiting", edge.Batch, 0, 5*ms, time.Minute)},
		WaitingTotal: 37,
		Ended:        []edge.TaskView{{ID: "t-b0", Model: "digits", State: "missed", Class: edge.Urgent, Deadline: noon, Slack: -3 * ms, Reason: "started after 70ms and was still running at its deadline"}},
	})
}

func cutOff() top.State {
	st := status()
	st.Link.Phase, st.Link.Since, st.Link.Detail = "waiting", noon.Add(-20*time.Second), "cannot reach broker: no route to host"
	st.Link.Streams[0].Waiting = 1412
	st.Upstreams[0].State, st.Upstreams[0].LastError = edge.UpstreamDown, "connection refused"
	st.Policy.State = "degraded"
	st.Policy.LeaseLeft, st.Policy.LeaseBoots = 0, 0
	s := node(history(100, "down"), st, edge.LiveTasks{})
	return told(s, edge.Event{Seq: 6, At: noon.Add(-26 * time.Hour), Kind: edge.EventLinkDown, Subject: "ssl://fleet.example:8883", Cause: "timeout"})
}

func noContainerd() top.State {
	st := status()
	st.Containerd = edge.DaemonReport{Error: "no such file"}
	st.Policy, st.Link, st.Upstreams = edge.PolicyReport{State: "none"}, nil, nil
	st.Workloads[0].Ready = 0
	st.Workloads[0].Instances = nil
	st.Workloads[1].Ready = 0
	st.Warnings = []edge.Warning{{Code: "containerd-down", Subject: "/run/containerd/containerd.sock", Detail: "no such file or directory", Remedy: "start containerd"}}
	return node(top.History{}, st, edge.LiveTasks{})
}

func agentGone() top.State {
	return told(healthy(), top.Gone{Err: errors.New("connection refused")}, top.Tick{At: noon.Add(12 * time.Second)})
}

func agentOnTrial() top.State {
	st := status()
	st.Version = "1.5.0"
	st.Agent = edge.AgentReport{Slot: "a", Sequence: 15, Previous: "1.4.2", Trial: true, TrialUntil: noon.Add(9 * time.Minute), TriesLeft: 1}
	return node(history(100, "up"), st, edge.LiveTasks{})
}

// scenes are the states whose screens are kept.
func scenes() map[string]top.State {
	return map[string]top.State{
		"healthy": healthy(), "overloaded": overloaded(), "cutoff": cutOff(), "nocontainerd": noContainerd(), "gone": agentGone(), "agenttrial": agentOnTrial(),
		"tasks":     told(overloaded(), top.KeyNext),
		"workloads": told(overloaded(), top.KeyNext, top.KeyNext, top.KeyDown),
		"events":    told(overloaded(), top.KeyBefore),
		"help":      told(healthy(), top.KeyHelp),
	}
}

func TestState_View(t *testing.T) {
	for name, state := range scenes() {
		for _, size := range []struct{ width, height int }{{80, 24}, {120, 40}, {40, 10}} {
			file := fmt.Sprintf("%s-%dx%d", name, size.width, size.height)
			t.Run(file, func(t *testing.T) {
				fits(t, state.View(top.Look{}, size.width, size.height), size.width, size.height)
				golden(t, file+".txt", state.View(top.Look{}, size.width, size.height))
			})
		}
	}
	golden(t, "overloaded-ascii.txt", overloaded().View(top.Look{ASCII: true}, 80, 24))
	golden(t, "overloaded-colour.txt", overloaded().View(top.Look{Colour: true}, 80, 24))
}

// golden holds a screen against the one that is kept.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got+"\n" != string(want) {
		t.Errorf("the screen %s is\n%s\nwant\n%s", name, got, want)
	}
}

// fits wants no more lines than the screen has, nor wider ones, nor any that moves the cursor.
func fits(t *testing.T, screen string, width, height int) {
	t.Helper()
	lines := strings.Split(screen, "\n")
	if len(lines) > height {
		t.Errorf("%d lines, want at most %d", len(lines), height)
	}
	for _, l := range lines {
		if words.Width(l) > width {
			t.Errorf("%q takes %d columns, want at most %d", l, words.Width(l), width)
		}
		if words.Printable(l) != l {
			t.Errorf("%q would reach the terminal", l)
		}
	}
}

func TestState_Names(t *testing.T) {
	const evil = "\x1b[2J\x1b]0;owned\x07\u202eevil\r\n"
	st := status()
	st.Node, st.Policy.Name, st.Link.Broker, st.Upstreams[0].Name = evil, evil, evil, evil
	st.Workloads[0].Workload.Name = evil
	st.Workloads[0].Instances[0].ID, st.Workloads[0].Instances[0].Detail = evil, evil
	st.Warnings = []edge.Warning{{Code: evil, Subject: evil, Detail: evil}}
	st.Version, st.Agent = evil, edge.AgentReport{Slot: evil, Previous: evil, Rescue: evil, Trial: true, Unwell: evil, Phase: evil, Wanted: evil, Last: edge.AgentOutcome{Version: evil, Result: evil, Why: evil}}
	st.System = &edge.SystemReport{Version: evil, Slot: evil, Trial: true, Trouble: evil, Phase: evil, Wanted: evil, Last: &edge.SystemOutcome{Version: evil, Why: evil}}
	s := node(history(50, "up"), st, edge.LiveTasks{Running: []edge.TaskView{task(evil, evil, evil, edge.Urgent, edge.SlotAt(0), ms, ms)}, Ended: []edge.TaskView{{ID: evil, Model: evil, Reason: evil}}})
	h := hello()
	h.Node, h.Version = evil, evil
	s = told(s, h, edge.Event{Seq: 99, Kind: evil, Subject: evil, Cause: evil, Facts: map[string]string{evil: evil}}, top.Gone{Err: errors.New(evil)})
	for range 4 {
		fits(t, s.View(top.Look{}, 200, 60), 200, 60)
		s = told(s, top.KeyNext)
	}
	s = told(s, top.KeyLogs)
	s = told(s, top.LogText{Target: st.Workloads[0].Workload.Key(), Lines: []string{evil}}, top.LogEnded{Target: st.Workloads[0].Workload.Key(), Err: errors.New(evil)})
	screen := s.View(top.Look{}, 80, 24)
	fits(t, screen, 80, 24)
	if !strings.Contains(screen, "evil") {
		t.Errorf("what it printed is not shown:\n%s", screen)
	}
}

// TestState_AgentVersion: what is said of the agent's own version, and what is not.
func TestState_AgentVersion(t *testing.T) {
	for name, c := range map[string]struct {
		report edge.AgentReport
		want   string // a line that holds this; empty: none of the agent's
		lead   string
	}{
		"NotLaunched": {},
		"Factory":     {report: edge.AgentReport{Slot: "factory"}},
		"Slot":        {report: edge.AgentReport{Slot: "b"}, want: "agent  1.4.0 from slot b"},
		"Trial": {
			report: edge.AgentReport{Slot: "a", Trial: true, Previous: "1.3", TrialUntil: noon.Add(9 * time.Minute), TriesLeft: 1},
			want:   "agent  1.4.0 from slot a  on trial for 9m00s, else 1.3 again, 1 start left",
		},
		"Unwell": {
			report: edge.AgentReport{Slot: "a", Trial: true, Previous: "1.3", Unwell: "no link"},
			want:   "on trial, not well: no link, else 1.3 again, 0 starts left", lead: "version 1.4.0 of the agent is on trial and not well: no link",
		},
		"Rescue": {
			report: edge.AgentReport{Slot: "factory", Rescue: "both slots are damaged"}, want: "agent  in rescue: both slots are damaged",
			lead: "the program that came with the node stands in for another version of the agent: both slots are damaged",
		},
		"Fetching": {
			report: edge.AgentReport{Slot: "factory", Phase: edge.AgentFetching, Wanted: "1.5", Done: 9 << 20, Total: 24 << 20},
			want:   "agent  update: fetching 1.5, 9.0MiB of 24.0MiB",
		},
		"Left": {
			report: edge.AgentReport{Slot: "factory", Last: edge.AgentOutcome{Version: "1.5", Result: edge.AgentLeft, Why: "no link to the fleet"}},
			want:   "agent  last update 1.5 left: no link to the fleet",
		},
		"Kept":    {report: edge.AgentReport{Slot: "a", Last: edge.AgentOutcome{Version: "1.4.0", Result: edge.AgentKept}}, want: "agent  1.4.0 from slot a  last update 1.4.0 kept"},
		"Awaited": {report: edge.AgentReport{Slot: "factory", Last: edge.AgentOutcome{Result: edge.AgentAwaited, Why: "no route"}}, want: "agent  last update cannot be had now: no route"},
	} {
		t.Run(name, func(t *testing.T) {
			st := status()
			st.Agent = c.report
			screen := node(history(100, "up"), st, edge.LiveTasks{}).View(top.Look{}, 160, 40)
			if c.want == "" && strings.Contains(screen, "\nagent") || !strings.Contains(screen, c.want) || !strings.Contains(screen, c.lead) {
				t.Errorf("want %q and %q in\n%s", c.want, c.lead, screen)
			}
		})
	}
}

// TestState_System: what is said of the system below the agent, and of another that was tried.
func TestState_System(t *testing.T) {
	for name, c := range map[string]struct {
		report *edge.SystemReport
		want   string // empty: nothing is
	}{
		"NotReplaced": {},
		"Runs":        {&edge.SystemReport{Version: "6", Slot: "A"}, "system  6 from A"},
		"Unnamed":     {&edge.SystemReport{Trouble: "rauc does not answer"}, "system  of no version  rauc does not answer"},
		"Fetching":    {&edge.SystemReport{Version: "6", Slot: "A", Phase: edge.SystemFetching, Wanted: "7", Done: 9 << 20, Total: 24 << 20}, "6 from A  update: fetching 7, 9.0MiB of 24.0MiB"},
		"Installing":  {&edge.SystemReport{Version: "6", Slot: "A", Phase: edge.SystemInstalling, Wanted: "7", Done: 40}, "update: installing 7, 40"},
		"Waits":       {&edge.SystemReport{Version: "6", Slot: "A", Waiting: "7"}, "6 from A  7 runs after the next start of the machine"},
		"OnTrial":     {&edge.SystemReport{Version: "7", Slot: "B", Trial: true, Phase: edge.SystemConfirming}, "7 from B  on trial  update: confirming"},
		"Kept":        {&edge.SystemReport{Version: "7", Slot: "B", Last: &edge.SystemOutcome{Version: "7", Runs: true}}, "7 from B  last update 7 kept"},
		"Back":        {&edge.SystemReport{Version: "6", Slot: "A", Last: &edge.SystemOutcome{Version: "7", Why: "it was not started"}}, "6 from A  last update 7 did not stay: it was not started"},
	} {
		t.Run(name, func(t *testing.T) {
			st := status()
			st.System = c.report
			screen := node(history(100, "up"), st, edge.LiveTasks{}).View(top.Look{}, 160, 40)
			if c.want == "" && strings.Contains(screen, "\nsystem") || !strings.Contains(screen, c.want) {
				t.Errorf("want %q in\n%s", c.want, screen)
			}
		})
	}
}

func FuzzState_View(f *testing.F) {
	f.Add(80, 24, []byte("\t\tl?p"), false)
	f.Add(1, 1, []byte("\t"), true)
	all := scenes()
	names := []string{"healthy", "overloaded", "cutoff", "nocontainerd", "gone", ""}
	keys := []top.Key{top.KeyNext, top.KeyBefore, top.KeyUp, top.KeyDown, top.KeyPageUp, top.KeyPageDown, top.KeyHome, top.KeyEnd, top.KeyLogs, top.KeyPause, top.KeyHelp, top.KeyEscape}
	f.Fuzz(func(t *testing.T, width, height int, presses []byte, ascii bool) {
		width, height = min(max(width, -1), 300), min(max(height, -1), 100)
		state := all[names[(width+height+2)%len(names)]]
		for _, b := range presses[:min(len(presses), 50)] {
			state = told(state, keys[int(b)%len(keys)], top.LogText{Target: "line/digits", Lines: []string{string(presses)}})
		}
		fits(t, state.View(top.Look{ASCII: ascii}, width, height), max(width, 0), max(height, 1))
	})
}
