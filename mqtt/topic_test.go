package mqtt_test

import (
	"strings"
	"testing"

	"holdfast/mqtt"
)

func TestParseTopic(t *testing.T) {
	for text, want := range map[string]mqtt.Topic{
		"hf/v1/plant/press-1/down/policy":  {Site: "plant", Node: "press-1", Kind: mqtt.DownPolicy},
		"hf/v1/plant/press-1/up/presence":  {Site: "plant", Node: "press-1", Kind: mqtt.UpPresence},
		"hf/v1/plant/group/line-3/command": {Site: "plant", Group: "line-3", Kind: mqtt.GroupCommand},
		"hf/v1/plant/group/down/command":   {Site: "plant", Group: "down", Kind: mqtt.GroupCommand},
	} {
		got, err := mqtt.ParseTopic(text)
		if err != nil || got != want {
			t.Errorf("ParseTopic(%q) = %+v, %v; want %+v", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("%+v writes itself as %q, want %q", got, got.String(), text)
		}
	}
	for _, text := range []string{
		"", "/", "hf", "hf/v1/plant/press-1/down", "hf/v1/plant/press-1/down/policy/", "/hf/v1/plant/press-1/down/policy",
		"hf/v2/plant/press-1/down/policy", "HF/v1/plant/press-1/down/policy", "hf/v1//press-1/down/policy", "hf/v1/plant//down/policy",
		"hf/v1/plant/+/down/policy", "hf/v1/plant/press-1/down/#", "hf/v1/plant/press-1/up/policy", "hf/v1/plant/press-1/down/command\x00",
		"hf/v1/plant/group/line-3/policy", "hf/v1/plant/group/up/event", "hf/v1/plant/group//command", "hf/v1/pl ant/a/up/event",
		"hf/v1/" + strings.Repeat("a", 64) + "/n/up/event", strings.Repeat("a/", 1<<16),
	} {
		if got, err := mqtt.ParseTopic(text); err == nil {
			t.Errorf("ParseTopic(%.60q) = %+v, want an error", text, got)
		}
	}
}

// TestTopic_NodeCalledGroup: were a node called so, its command topic would be that
// of the group "down".
func TestTopic_NodeCalledGroup(t *testing.T) {
	node := mqtt.Topic{Site: "plant", Node: "group", Kind: mqtt.DownCommand}
	group := mqtt.Topic{Site: "plant", Group: "down", Kind: mqtt.GroupCommand}
	if node.String() != group.String() {
		t.Fatalf("%q and %q differ: the rule is not needed", node, group)
	}
	if mqtt.IsNode("group") || node.Check() == nil {
		t.Error("a node may be called group, want not")
	}
}

func TestTopic_Length(t *testing.T) {
	name := strings.Repeat("a", 63)
	for _, topic := range []mqtt.Topic{{Site: name, Node: name, Kind: mqtt.UpPresence}, {Site: name, Group: name, Kind: mqtt.GroupCommand}} {
		if err := topic.Check(); err != nil || len(topic.String()) > mqtt.MaxTopic {
			t.Errorf("longest topic has %d bytes (%v), want at most %d", len(topic.String()), err, mqtt.MaxTopic)
		}
	}
}

func FuzzParseTopic(f *testing.F) {
	f.Add("hf/v1/plant/press-1/down/policy")
	f.Add("hf/v1/plant/group/line-3/command")
	f.Add("hf/v1/plant/group/down/command")
	f.Fuzz(func(t *testing.T, text string) {
		topic, err := mqtt.ParseTopic(text)
		if err != nil {
			return
		}
		if topic.String() != text {
			t.Errorf("%q is read as %+v, which writes itself as %q", text, topic, topic.String())
		}
		if strings.ContainsAny(text, "+#\x00 ") || (topic.Node == "") == (topic.Group == "") {
			t.Errorf("%q is read as %+v", text, topic)
		}
	})
}
