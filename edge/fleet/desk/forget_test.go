package desk_test

import (
	"errors"
	"testing"

	"holdfast/edge"
	"holdfast/edge/fleet/desk"
	"holdfast/mqtt"
)

// TestDesk_Forget: who is gone is forgotten with its policy, and nobody waits for it any
// more; who is there stays.
func TestDesk_Forget(t *testing.T) {
	eachBroker(t, func(t *testing.T, address string) {
		here, gone := startNode(t, address, "gw-1", nil), startNode(t, address, "gw-2", nil)
		for _, n := range []*node{here, gone} {
			n.birth("")
			n.report(1, `"state":"none"`)
		}
		d := newDesk(t, address)
		if _, err := d.Apply(t.Context(), desk.Application{Document: document(t, 2)}); err != nil {
			t.Fatal(err)
		}
		// What it has not taken by then waits in its session, beyond the reach of a clearing.
		eventually(t, "gw-2 takes its policy", func() bool { return len(gone.got(mqtt.DownPolicy)) > 0 })
		gone.say(mqtt.UpPresence, `{"node":"gw-2","online":false,"session":"s1"}`)
		gone.stop()

		if all, err := d.Forget(t.Context(), false, "gw-2", "gw-1"); !errors.Is(err, edge.ErrExists) || all != nil {
			t.Errorf("Forget of one that is there = %+v, %v; want %v and nothing forgotten", all, err, edge.ErrExists)
		}
		if census, err := d.Nodes(t.Context()); err != nil || len(census.Nodes) != 2 {
			t.Fatalf("Nodes = %+v, %v; want both", census, err)
		}
		all, err := d.Forget(t.Context(), false, "gw-2", "gw-9")
		if err != nil || len(all) != 2 || !all[0].Known || all[1].Known {
			t.Errorf("Forget = %+v, %v; want gw-2, and gw-9 of which nobody has heard", all, err)
		}
		if census, err := d.Nodes(t.Context()); err != nil || len(census.Nodes) != 1 || census.Nodes[0].Name != "gw-1" {
			t.Errorf("Nodes = %+v, %v; want gw-1 alone", census, err)
		}
		again := startNode(t, address, "gw-2", nil)
		again.birth("")
		if census, err := d.Nodes(t.Context()); err != nil || len(census.Nodes) != 2 {
			t.Errorf("Nodes = %+v, %v; want gw-2 back", census, err)
		}
		for _, got := range again.got(mqtt.DownPolicy) { // its session was told of the clearing
			if len(got) > 0 {
				t.Errorf("gw-2 came back to policy %s, want none", got)
			}
		}
		if _, err := d.Forget(t.Context(), true, "gw-1"); err != nil {
			t.Errorf("Forget by force = %v, want nil", err)
		}
		if _, err := d.Forget(t.Context(), true, "a/b"); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("Forget of no name = %v, want %v", err, edge.ErrInvalid)
		}
	})
}
