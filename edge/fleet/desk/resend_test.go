package desk_test

import (
	"fmt"
	"testing"

	"holdfast/edge/fleet/desk"
	"holdfast/mqtt"
)

// TestDesk_Attend_Resend: a node that has no room to say all it has taken gets what it
// lacks all the same, the latest first.
func TestDesk_Attend_Resend(t *testing.T) {
	const all, listed, taken = 200, 64, 130 // of those taken, the latest are listed
	address := embedded(t)
	at := newAttendance(t, address)
	var envelopes [all]string
	var counters [all]uint64
	var issuer string
	for i := range all {
		envelope := sign(t, at.folder, restart(fmt.Sprintf("c-%03d", i)), at.a.Freshness)
		c, _, err := desk.OpenCommand(envelope)
		if err != nil {
			t.Fatal(err)
		}
		envelopes[i], counters[i], issuer = string(envelope), c.Counter, c.Issuer
	}
	seen := ""
	for _, counter := range counters[taken-listed : taken] {
		seen += fmt.Sprintf(",%d", counter)
	}
	hello := fmt.Sprintf(`,"policyVersion":9,"seen":[{"issuer":%q,"floor":0,"counters":[%s],"partial":true}]`, issuer, seen[1:])

	stop := at.start()
	at.ready(startNode(t, address, "gw-2", nil)) // whose hellos bring none of these
	n := startNode(t, address, "gw-1", nil)
	n.birth("")
	got := func() map[string]int {
		count := map[string]int{}
		for _, envelope := range n.got(mqtt.DownCommand) {
			count[string(envelope)]++
		}
		return count
	}
	for round := 1; len(got()) < all-listed; round++ {
		answered := len(n.got(mqtt.DownFresh))
		before := len(n.got(mqtt.DownCommand))
		n.hello(hello)
		eventually(t, "the hello is answered", func() bool {
			return len(n.got(mqtt.DownFresh)) > answered && len(n.got(mqtt.DownCommand)) >= before+64
		})
		if brought := len(n.got(mqtt.DownCommand)) - before; brought != 64 {
			t.Errorf("a hello brought %d commands, a node has room for 64", brought)
		}
		if got()[envelopes[all-1]] == 0 {
			t.Error("the latest did not come first")
		}
		if round == 6 {
			t.Fatalf("after %d hellos %d of %d commands have come", round, len(got()), all-listed)
		}
	}
	for _, envelope := range envelopes[taken-listed : taken] {
		if got()[envelope] > 0 {
			t.Error("a command came that the node says it has taken")
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
