package fleetlink_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/fleetlink"
	"holdfast/mqtt/outbox"
)

// world is one node, one broker and one fleet, and what befalls them.
type world struct {
	tb     testing.TB
	random *rand.Rand
	broker *broker
	fleet  *fleet
	flash  *flash
	node   *process
	alter  func(*process, *fleetlink.Options)
	calm   faults // what remains when all is well again
	noted  int
	orders uint64
	wanted uint64
	found  []string
}

func newWorld(tb testing.TB, seed uint64, alter func(*process, *fleetlink.Options)) *world {
	w := prepare(tb, seed, alter)
	w.start()
	return w
}

// prepare makes a world in which the node is not running yet.
func prepare(tb testing.TB, seed uint64, alter func(*process, *fleetlink.Options)) *world {
	b := newBroker(seed)
	b.listens = false
	b.set(faults{delay: 20 * time.Millisecond})
	return &world{tb: tb, random: rand.New(rand.NewPCG(seed, 3)), broker: b, fleet: newFleet(b), flash: newFlash(), alter: alter, calm: faults{delay: 20 * time.Millisecond}}
}

func (w *world) start() {
	w.node = w.flash.boot(w.tb, w.broker, func(p *process, o *fleetlink.Options) {
		p.fits = w.fits
		if w.alter != nil {
			w.alter(p, o)
		}
	})
}

// fits is a rule: of a fleet that confirms, nothing leaves a stream that it does not
// have. The flash is locked.
func (w *world) fits(to outbox.Position) string {
	if has := w.fleet.has(to.Epoch); w.flash.confirms && to.Seq > has {
		return fmt.Sprintf("lost: %s left up to %d, the fleet has %d", to.Epoch, to.Seq, has)
	}
	return ""
}

// met waits until the fleet has confirmed something.
func (w *world) met() {
	w.node.commit(0)
	await(w.tb, "fleet confirms", time.Hour, w.node.Confirms)
}

// live lets things happen for so many steps.
func (w *world) live(steps int) {
	for range steps {
		pass(time.Duration(w.random.Int64N(int64(90 * time.Second))))
		w.work()
		w.befall()
		w.look()
	}
}

// work is what nodes and fleets do.
func (w *world) work() {
	for range w.random.IntN(12) {
		w.noted++
		w.node.note(w.noted)
	}
	switch w.random.IntN(5) {
	case 0:
		w.node.commit(w.noted)
	case 1:
		w.wanted++
		w.fleet.want(w.wanted)
	case 2:
		w.orders++
		w.fleet.issue(edge.Command{ID: fmt.Sprint("order-", w.orders), Counter: w.orders})
	case 3:
		w.node.setState(fmt.Sprint("workload-", w.random.IntN(4)))
	case 4:
		w.node.answer(w.noted)
	}
}

// befall is what happens to them.
func (w *world) befall() {
	switch w.random.IntN(12) {
	case 0:
		w.broker.each(func(g *guest) { g.cut() })
	case 1:
		w.broker.each(func(g *guest) { g.halfOpen() })
	case 2:
		w.broker.restart(false)
	case 3:
		w.broker.restart(true)
	case 4:
		w.node.crash(w.broker)
		w.start()
	case 5:
		w.node.end()
		w.start()
	case 6:
		w.fleet.setAway(true)
	case 7:
		w.fleet.setAway(false)
	case 8:
		w.broker.set(faults{noRoute: true, delay: w.calm.delay})
	case 9:
		w.broker.set(w.calm)
	case 10:
		w.broker.set(faults{delay: 300 * time.Millisecond, duplicate: 0.2, reorder: 0.2, dropAfter: 0.1, willDelay: 2 * time.Minute})
	case 11: // somebody plays an old policy again
		if w.wanted > 1 {
			old := policy{1 + w.random.Uint64N(w.wanted-1)}
			w.broker.publish(topic(mqtt.DownPolicy), sign(old), w.random.IntN(2) == 0)
		}
	}
}

// look is a rule: no queue without a bound.
func (w *world) look() {
	for _, s := range w.node.Status().Streams { // which may be of a moment later than what came before
		if s.InFlight > 32 || s.Arrived >= s.Next || s.Confirmed > s.Arrived {
			w.flash.problem("unbounded: %+v", s)
		}
	}
}

func (w *world) find(format string, args ...any) {
	w.found = append(w.found, fmt.Sprintf(format, args...))
}

// heal ends all trouble, and waits as long as the slowest retry may take.
func (w *world) heal() {
	w.fleet.setAway(false)
	w.broker.set(w.calm)
	w.noted++
	w.node.note(w.noted) // a gap is told with what follows it
	for range 48 {
		pass(30 * time.Minute) // late wills too, and what answers them
		synctest.Wait()
		if w.judge(); len(w.found) == 0 {
			break
		}
	}
	w.node.end()
	w.broker.ended.Wait()
}

// judge is the oracle.
func (w *world) judge() {
	w.found = nil
	for _, s := range w.node.Status().Streams {
		if s.Confirmed+1 != s.Next || w.fleet.has(s.Epoch)+1 != s.Next {
			w.find("unconfirmed: %+v, the fleet has %d", s, w.fleet.has(s.Epoch))
		}
	}
	w.flash.mu.Lock()
	w.found = append(w.found, w.flash.problems...)
	w.judgeCommittedLocked()
	for i, version := range w.flash.applied {
		if i > 0 && version < w.flash.applied[i-1] {
			w.find("policy fell: %d after %d", version, w.flash.applied[i-1])
		}
	}
	if w.flash.policy != w.wanted {
		w.find("policy: %d governs, %d is wanted", w.flash.policy, w.wanted)
	}
	w.flash.mu.Unlock()
	w.judgeSeen()
}

// judgeCommittedLocked: what was committed is with the fleet, as it was said.
func (w *world) judgeCommittedLocked() {
	w.fleet.mu.Lock()
	defer w.fleet.mu.Unlock()
	w.found = append(w.found, w.fleet.problems...)
	kept := w.fleet.streamLocked(w.flash.epoch).entries
	for _, e := range w.flash.entries {
		if u, there := kept[e.Seq]; !there || string(u.Body) != string(e.Body) || u.Class != mqtt.Committed {
			w.find("lost: entry %d %s, the fleet has %s", e.Seq, e.Body, u.Body)
		}
	}
	for counter, effects := range w.flash.taken {
		if effects > 1 {
			w.find("twice: command %d", counter)
		}
	}
	for _, c := range w.fleet.issued {
		if w.fleet.replies[c.ID].Stage != edge.StageSucceeded {
			w.find("unanswered: command %s is %q", c.ID, w.fleet.replies[c.ID].Stage)
		}
	}
}

// judgeSeen: what the fleet and the broker see is what is.
func (w *world) judgeSeen() {
	var presence edge.Presence
	_ = json.Unmarshal(w.broker.kept(topic(mqtt.UpPresence)), &presence)
	if session := w.node.Status().Session; !presence.Online || presence.Session != session {
		w.find("presence: %+v, session %s is up", presence, session)
	}
	is, err := edge.CanonicalJSON(w.node.state())
	if err != nil {
		w.tb.Fatal(err)
	}
	w.fleet.mu.Lock()
	defer w.fleet.mu.Unlock()
	if string(w.fleet.state) != string(is) {
		w.find("state: the fleet sees %s, it is %s", w.fleet.state, is)
	}
	var report edge.StateReport
	_ = json.Unmarshal(w.broker.kept(topic(mqtt.UpState)), &report)
	if string(report.State) != string(is) {
		w.find("state: the broker keeps %s, it is %s", report.State, is)
	}
}

// play runs a world of one seed and returns what the oracle found.
func play(t *testing.T, seed uint64, steps int, alter func(*process, *fleetlink.Options)) (found []string) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed, alter)
		w.met()
		w.live(steps)
		w.heal()
		found = w.found
	})
	return found
}

// seeds are those of an ordinary run, an eighth of them under -short, more with HOLDFAST_SOAK.
func seeds(ordinary int) uint64 {
	if testing.Short() {
		ordinary = max(1, ordinary/8)
	}
	return uint64(ordinary * soak())
}

// soak multiplies the seeds.
func soak() int {
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_SOAK")); err == nil && n > 0 {
		return n
	}
	return 1
}

func TestLink_Worlds(t *testing.T) {
	for seed := range seeds(40) {
		t.Run(fmt.Sprint("Seed", seed), func(t *testing.T) {
			for _, problem := range play(t, seed, 60, nil) {
				t.Error(problem)
			}
		})
	}
}

// TestLink_Controls: each of the oracle's rules finds who breaks it.
func TestLink_Controls(t *testing.T) {
	for _, test := range []struct {
		name, finds string
		alter       func(*process, *fleetlink.Options)
	}{
		{"AcknowledgesWhenSending", "lost: ", func(p *process, o *fleetlink.Options) {
			o.Control, o.Telemetry = hasty{o.Control}, hasty{o.Telemetry}
		}},
		{"BelievesTheBroker", "lost: ", func(p *process, o *fleetlink.Options) {
			o.Memory, o.Confirm = nil, nil
		}},
		{"AppliesOlderPolicies", "policy fell", func(p *process, _ *fleetlink.Options) { p.credulous = true }},
	} {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(20) {
				for _, problem := range play(t, seed, 60, func(p *process, o *fleetlink.Options) {
					if p.Confirms() { // after the fleet was met
						test.alter(p, o)
					}
				}) {
					if strings.HasPrefix(problem, test.finds) {
						return
					}
				}
			}
			t.Errorf("the oracle never found %q", test.finds)
		})
	}
}

// hasty lets go of what it has only just read.
type hasty struct{ fleetlink.Stream }

func (h hasty) Read(after outbox.Position, most int) (outbox.Batch, error) {
	batch, err := h.Stream.Read(after, most)
	if n := len(batch.Entries); n > 0 {
		h.Ack(outbox.Position{Epoch: batch.Epoch, Seq: batch.Entries[n-1].Seq})
	}
	return batch, err
}
