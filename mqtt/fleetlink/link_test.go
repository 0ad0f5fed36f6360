package fleetlink_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge"
	"holdfast/mqtt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is one node, one broker and one fleet.
func TestLink_Smoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(1)
		b.set(faults{delay: 20 * time.Millisecond})
		f := newFleet(b)
		p := newFlash().boot(t, b, nil)
		await(t, "up", time.Minute, p.isUp)
		f.want(3)
		for n := range 100 {
			p.note(n)
			p.commit(n)
		}
		await(t, "policy", time.Minute, func() bool { return f.sees() == 3 })
		await(t, "confirmed", time.Minute, func() bool {
			for _, s := range p.Status().Streams {
				if s.Confirmed != 100 {
					return false
				}
			}
			return true
		})
		text, _ := json.MarshalIndent(p.Status(), "", " ")
		t.Logf("%s", text)
		t.Log(f.problems, p.refused, f.live, f.old)
		p.end()
		var presence edge.Presence
		_ = json.Unmarshal(b.kept(topic(mqtt.UpPresence)), &presence)
		t.Log(presence)
		b.ended.Wait()
	})
}
