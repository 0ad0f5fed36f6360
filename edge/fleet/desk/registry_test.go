package desk_test

import (
	"strings"
	"testing"

	"holdfast/edge/fleet/desk"
	"holdfast/mqtt"
)

// word is one message of a node, in short.
type word struct {
	kind     mqtt.Kind
	text     string
	retained bool
}

func birth(session string) word {
	return word{mqtt.UpPresence, `{"node":"gw-1","online":true,"session":"` + session + `","groups":["first"],"labels":{"line":"3"}}`, false}
}

func will(session string) word {
	return word{mqtt.UpPresence, `{"node":"gw-1","online":false,"session":"` + session + `"}`, false}
}

func hello(session string) word {
	return word{mqtt.UpHello, `{"node":"gw-1","session":"` + session + `","policyVersion":1,"rootVersion":1,"nonce":""}`, false}
}

func state(session string, version, policy string) word {
	return word{mqtt.UpState, `{"node":"gw-1","session":"` + session + `","version":` + version + `,"state":{"agent":{"version":"1","boot":"b","containerd":true},"policy":{"state":"current","version":` + policy + `}}}`, false}
}

func delta(session, from, to, policy string) word {
	return word{mqtt.UpDelta, `{"node":"gw-1","session":"` + session + `","from":` + from + `,"to":` + to + `,"patch":{"policy":{"version":` + policy + `}}}`, false}
}

func (w word) kept() word { w.retained = true; return w }

func take(t *testing.T, r *desk.Registry, words ...word) {
	t.Helper()
	for _, w := range words {
		s := desk.Said{Topic: mqtt.Topic{Site: "plant", Node: "gw-1", Kind: w.kind}, Payload: []byte(w.text), Retained: w.retained}
		if err := r.Take(s); err != nil {
			t.Fatalf("Take(%s %s) = %v, want nil", w.kind, w.text, err)
		}
	}
}

func TestRegistry_Connection(t *testing.T) {
	for name, c := range map[string]struct {
		words []word
		want  desk.Connection
	}{
		"Born":                    {[]word{birth("s1")}, desk.Online},
		"BornBefore":              {[]word{birth("s1").kept()}, desk.Online},
		"Gone":                    {[]word{birth("s1"), will("s1")}, desk.Offline},
		"GoneBefore":              {[]word{will("s1").kept()}, desk.Offline},
		"GoneBeforeWithOldState":  {[]word{will("s2").kept(), state("s1", "1", "1").kept()}, desk.Offline},
		"LateWill":                {[]word{birth("s1"), birth("s2"), will("s1")}, desk.Late},
		"LateWillAfterHello":      {[]word{birth("s1"), hello("s2"), will("s1")}, desk.Late},
		"LateWillThenBirthAgain":  {[]word{birth("s2"), will("s1"), birth("s2")}, desk.Online},
		"LateWillThenGone":        {[]word{birth("s2"), will("s1"), will("s2")}, desk.Offline},
		"SpeaksAfterWill":         {[]word{will("s1").kept(), hello("s2")}, desk.Late},
		"StateAfterWill":          {[]word{birth("s1"), will("s1"), state("s1", "1", "1")}, desk.Late},
		"OldStateIsNotSpeaking":   {[]word{birth("s1"), will("s1"), state("s1", "1", "1").kept()}, desk.Offline},
		"AwayWhileItCameAndWent":  {[]word{birth("s1"), will("s2").kept()}, desk.Offline},
		"ClearedAndForgotten":     {[]word{birth("s1"), {mqtt.UpPresence, "", false}}, desk.Offline},
		"NobodyHasEverHeardOfIt?": {nil, desk.Offline},
	} {
		t.Run(name, func(t *testing.T) {
			r := desk.NewRegistry()
			take(t, r, c.words...)
			if got, _ := r.Node("gw-1"); got.Connection != c.want {
				t.Errorf("connection is %s, want %s", got.Connection, c.want)
			}
		})
	}
}

// TestRegistry_KeepsBirth: a will says nothing of groups, and they are still needed.
func TestRegistry_KeepsBirth(t *testing.T) {
	r := desk.NewRegistry()
	take(t, r, birth("s1"), will("s1"))
	got, _ := r.Node("gw-1")
	if id := got.Identity(); len(id.Groups) != 1 || id.Labels["line"] != "3" || got.Presence.Online {
		t.Errorf("identity is %+v, online %v; want what the birth said, offline", id, got.Presence.Online)
	}
}

func TestRegistry_Delta(t *testing.T) {
	for name, c := range map[string]struct {
		words  []word
		policy uint64
		stale  bool
	}{
		"Follows":      {[]word{state("s1", "1", "1"), delta("s1", "1", "2", "7")}, 7, false},
		"Twice":        {[]word{state("s1", "1", "1"), delta("s1", "1", "2", "7"), delta("s1", "1", "2", "7")}, 7, false},
		"Missed":       {[]word{state("s1", "1", "1"), delta("s1", "2", "3", "7")}, 7, true},
		"OtherSession": {[]word{state("s1", "1", "1"), delta("s2", "1", "2", "7")}, 1, true},
		"WholeAgain":   {[]word{state("s1", "1", "1"), delta("s1", "2", "3", "7"), state("s1", "3", "7")}, 7, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := desk.NewRegistry()
			take(t, r, c.words...)
			got, _ := r.Node("gw-1")
			if got.Reported.Policy.Version != c.policy || got.Stale != c.stale {
				t.Errorf("policy %d, stale %v; want %d, %v", got.Reported.Policy.Version, got.Stale, c.policy, c.stale)
			}
		})
	}
}

func TestRegistry_Strange(t *testing.T) {
	r := desk.NewRegistry()
	for _, w := range []word{
		{mqtt.UpPresence, "garbage", false}, {mqtt.UpPresence, `{"node":"gw-2","online":true,"session":"s"}`, false},
		{mqtt.UpState, "", false}, {mqtt.UpState, `{"node":"gw-1","session":"s","version":1,"state":[]}`, false},
		{mqtt.UpHello, `{"node":"gw-1"`, false}, {mqtt.UpDelta, strings.Repeat("[", 1000), false},
	} {
		_ = r.Take(desk.Said{Topic: mqtt.Topic{Site: "plant", Node: "gw-1", Kind: w.kind}, Payload: []byte(w.text)})
	}
	if len(r.Nodes()) != 0 || r.Strange() != 5 {
		t.Errorf("%d nodes, %d strange; want none of it taken, and 5 (an empty state only clears)", len(r.Nodes()), r.Strange())
	}
}

func FuzzRegistry(f *testing.F) {
	for _, w := range []word{birth("s1"), will("s1"), hello("s2"), state("s1", "1", "1"), delta("s1", "1", "2", "7")} {
		f.Add([]byte(w.text), []byte(state("s1", "1", "1").text))
	}
	kinds := append(desk.UpKinds(), mqtt.DownPolicy)
	f.Fuzz(func(t *testing.T, one, other []byte) {
		r := desk.NewRegistry()
		for _, text := range [][]byte{other, one} {
			for _, kind := range kinds {
				s := desk.Said{Topic: mqtt.Topic{Site: "plant", Node: "gw-1", Kind: kind}, Payload: text}
				_ = r.Take(s)
				if words := desk.Words(s); words == "" {
					t.Errorf("%s %q has no words", kind, text)
				}
			}
		}
		for _, n := range r.Nodes() {
			_ = n.Policy()
			_, _ = n.Models()
			_ = n.Backlog()
		}
	})
}
