package cli

import (
	"testing"

	"holdfast/mqtt/broker"
)

func TestBrokerAccess(t *testing.T) {
	node, desk, nobody := broker.Client{CommonName: "gw-1"}, broker.Client{User: "desk"}, broker.Client{ID: "desk"}
	group := broker.Client{User: "group"}
	for _, c := range []struct {
		who                    broker.Client
		topic                  string
		write, inside, outside bool
	}{
		{node, "hf/v1/plant/gw-1/up/event", true, true, true},
		{node, "hf/v1/plant/gw-1/up/presence", true, true, true},
		{node, "hf/v1/plant/gw-1/down/policy", true, false, false},
		{node, "hf/v1/plant/gw-2/up/event", true, false, false},
		{node, "hf/v1/plant/group/first/command", true, false, false},
		{node, "hf/v1/plant/gw-1/up/nonsense", true, false, false},
		{node, "hf/v1/plant/gw-1/up/#", true, false, false},
		{node, "hf/v1/plant/gw-1/down/+", false, true, true},
		{node, "hf/v1/plant/gw-1/down/#", false, true, true},
		{node, "hf/v1/plant/gw-1/down/policy", false, true, true},
		{node, "hf/v1/plant/gw-1/up/presence", false, true, true},
		{node, "hf/v1/plant/gw-1/up/event", false, false, false},
		{node, "hf/v1/plant/gw-2/down/policy", false, false, false},
		{node, "hf/v1/plant/+/down/policy", false, false, false},
		{node, "hf/v1/plant/group/first/command", false, true, true},
		{node, "hf/v1/plant/group/+/command", false, false, false},
		{node, "hf/#", false, false, false},
		{node, "#", false, false, false},
		{node, "+/v1/#", false, false, false},
		{node, "$SYS/#", false, false, false},
		{node, "$share/a/hf/#", false, false, false},
		{node, "line/3/image", true, false, true},
		{node, "line/#", false, false, true},
		{desk, "hf/v1/plant/gw-1/down/command", true, true, true},
		{desk, "#", false, true, true},
		{nobody, "hf/v1/plant/desk/up/event", true, false, false},
		{nobody, "hf/v1/plant//down/+", false, false, false},
		{nobody, "line/3/image", true, false, true},
		{group, "hf/v1/plant/group/down/command", false, false, false},
		{group, "hf/v1/plant/group/up/event", true, false, false},
	} {
		for outside, want := range map[bool]bool{false: c.inside, true: c.outside} {
			if got := brokerAccess([]string{"desk"}, outside)(c.who, c.topic, c.write); got != want {
				t.Errorf("%+v, %s, write %v, outside %v: %v, want %v", c.who, c.topic, c.write, outside, got, want)
			}
		}
	}
}
