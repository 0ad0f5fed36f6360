package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast/build/stand"
	"holdfast/edge"
	"holdfast/edge/cli"
	"holdfast/edge/localapi"
	"holdfast/mqtt"
)

// soak multiplies the rounds of what is tried over and over. Agents are not to see the
// variable: they would warn of one that they do not know.
var soak = sync.OnceValue(func() int {
	const name = "HOLDFAST_SOAK"
	n, err := strconv.Atoi(os.Getenv(name))
	_ = os.Unsetenv(name)
	if err != nil || n < 1 {
		return 1
	}
	return n
})

// mostAgain is how many messages one trouble of the connection, or one crash, may have sent
// again: those on their way, a window's.
const mostAgain = 32

// siege is a node with its fleet to which one thing after another happens.
type siege struct {
	*fleet
	node   *node
	wire   *stand.Wire
	leave  func() // has the attendant go
	random *rand.Rand
	caller *caller
	orders []*order

	crashes  []time.Time // of the agent
	troubles int         // of the connection, crashes included
}

const besieged = "gw-s"

// besiege has a fleet with one node, and somebody who asks it without end.
func besiege(t testing.TB, seed uint64) *siege {
	t.Helper()
	f := newFleet(t)
	s := &siege{fleet: f, random: rand.New(rand.NewPCG(seed, 4))}
	s.leave = f.attend()
	f.awaitAttendant()
	s.node, s.wire = f.join(besieged, digitsService(1))
	s.node.awaitReady("digits", 1)
	s.node.awaitTold()
	s.caller = s.node.call()
	return s
}

// awaitAttendant waits until the broker has let the attendant in.
func (f *fleet) awaitAttendant() {
	f.t.Helper()
	look(f.t, "the attendant", func(context.Context) error {
		name, err := os.ReadFile(filepath.Join(f.keep, siteName, "attendant."+siteName))
		if err != nil {
			return err
		}
		if !strings.Contains(f.broker.Log(), "as "+string(name)) {
			return fmt.Errorf("%s has not come", name)
		}
		return nil
	})
}

// caller asks the node one task after another, and notes which were answered.
type caller struct {
	client *localapi.Client
	ended  chan struct{}
	stop   context.CancelFunc

	mu    sync.Mutex // guards tasks
	tasks []answered
}

// call asks until hangUp.
func (n *node) call() *caller {
	n.t.Helper()
	inputs, err := samples()
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &caller{client: localapi.Dial(n.Socket()), ended: make(chan struct{}), stop: stop}
	go c.run(ctx, inputs)
	n.t.Cleanup(func() { c.hangUp() })
	return c
}

func (c *caller) run(ctx context.Context, inputs []sample) {
	defer close(c.ended)
	ticker := time.NewTicker(2 * pace)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		// What is being asked is let end, so that nothing is told that we do not know of.
		if result, err := askDigits(context.Background(), c.client, inputs[i%len(inputs)], patient); err == nil {
			c.mu.Lock()
			c.tasks = append(c.tasks, answered{result.Task, time.Now()})
			c.mu.Unlock()
		}
	}
}

// hangUp ends the asking and returns what was answered.
func (c *caller) hangUp() []answered {
	c.stop()
	<-c.ended
	c.client.Close()
	return c.tasks
}

func (c *caller) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.tasks)
}

// moment lets some tasks go by: the next thing happens anywhere among what they and the
// commands under way cause.
func (s *siege) moment() {
	s.t.Helper()
	want := s.caller.count() + 1 + s.random.IntN(40)
	look(s.t, "tasks to be answered", func(context.Context) error {
		if got := s.caller.count(); got < want {
			return fmt.Errorf("%d are", got)
		}
		return nil
	})
}

// order is one command on its way.
type order struct {
	id    string
	verb  edge.Verb
	words []string
	cmd   *exec.Cmd
	said  bytes.Buffer
}

// repertoire is what the operator sends: what may be repeated after a crash, and what
// must not.
var repertoire = [...][]string{
	{"restart", "line/digits"}, {"vitals"}, {"exec", "line/digits", "--", "/server", "-check"},
	{"scale", "line/digits", "1"}, {"rollback"}, {"logs", "line/digits"}, {"refresh"},
}

// send has an operator send a command, and does not wait for what becomes of it.
func (s *siege) send() {
	s.t.Helper()
	what := repertoire[len(s.orders)%len(repertoire)]
	o := &order{id: fmt.Sprintf("%s-%d", what[0], len(s.orders)), verb: edge.Verb(what[0]), words: what}
	o.cmd = exec.Command(shop.binary(), s.line(o, "0s")...)
	o.cmd.Stdout, o.cmd.Stderr = &o.said, &o.said
	o.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := o.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.orders = append(s.orders, o)
}

func (s *siege) line(o *order, wait string) []string {
	words := []string{"fleet", "command", besieged, "--id", o.id, "--wait", wait, "--key", s.desk.key("command-1")}
	if edge.Verbs()[o.verb].Signatures > 1 {
		words = append(words, "--key", s.desk.key("command-2"))
	}
	return append(append(words, s.flags()...), o.words...)
}

// killAgent ends the agent as a power cut would, and starts it again.
func (s *siege) killAgent() {
	s.t.Helper()
	if err := s.node.KillAgent(); err != nil {
		s.t.Fatal(err)
	}
	s.crashes = append(s.crashes, time.Now())
	s.node.startAgent()
}

// cut takes the wire away for a moment.
func (s *siege) cut() {
	s.wire.Cut()
	s.moment()
	s.wire.Mend()
}

// cutLong takes the wire away until what was done meanwhile lies on flash, and the agent
// after that.
func (s *siege) cutLong() {
	s.t.Helper()
	s.wire.Cut()
	s.moment()
	s.caller.mu.Lock()
	last := s.caller.tasks[len(s.caller.tasks)-1].id
	s.caller.mu.Unlock()
	s.node.awaitKept([]string{last})
	s.killAgent()
	s.wire.Mend()
}

// killBroker has the broker forget everything.
func (s *siege) killBroker() {
	s.t.Helper()
	if err := s.broker.Kill(); err != nil {
		s.t.Fatal(err)
	}
	s.moment()
	if err := s.broker.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// killAttendant ends the attendant as a power cut would; another one comes.
func (s *siege) killAttendant() {
	s.t.Helper()
	s.leave()
	s.moment()
	s.leave = s.attend()
}

// rounds have things happen while commands are under way.
func (s *siege) rounds(times int, things ...func()) {
	s.t.Helper()
	for round := range times {
		s.send()
		s.send()
		s.moment()
		things[round%len(things)]()
		s.troubles++
	}
}

// heal ends all trouble, with one more crash of everybody, and waits until everything is
// told. Who has failed to connect again and again waits longer each time; who starts
// anew does not.
func (s *siege) heal() {
	s.t.Helper()
	s.leave()
	s.leave = s.attend()
	for _, o := range s.orders {
		_ = o.cmd.Wait() // there may have been no broker for it
	}
	s.killAgent()
	s.troubles++
	s.caller.hangUp()
	look(s.t, "a final reply to every command", func(context.Context) error {
		replies := s.finalReplies(besieged)
		for _, o := range s.orders {
			if s.isSent(o) && len(replies[o.id]) == 0 {
				return fmt.Errorf("%s has none", o.id)
			}
		}
		return nil
	})
	s.node.awaitTold()
	s.node.awaitReady("digits", 1) // and not two, because a restart was cut short
}

// isSent tells whether a command was signed and kept: whatever became of its sending,
// the attendant sends it again.
func (s *siege) isSent(o *order) bool {
	_, err := os.Stat(filepath.Join(s.keep, siteName, "commands", o.id+".json"))
	return err == nil
}

// story is what is to be looked at.
func (s *siege) story() story {
	s.t.Helper()
	tale := story{
		sent: map[string]edge.Verb{}, taken: map[string]int{}, streams: s.history(besieged),
		ends: map[string]edge.StreamReport{}, tasks: s.caller.tasks, crashes: s.crashes,
	}
	for _, o := range s.orders {
		if s.isSent(o) {
			tale.sent[o.id], tale.taken[o.id] = o.verb, s.node.taken(o.id)
		} else {
			s.t.Logf("%s was not sent: %s", o.id, o.said.String())
		}
	}
	link, err := s.node.link(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, stream := range link.Streams {
		tale.ends[stream.Epoch] = stream
	}
	return tale
}

// wantSameAgain sends some of the commands again and wants the replies of before, and no
// effect.
func (s *siege) wantSameAgain(tale story, times int) {
	s.t.Helper()
	finals := s.finalReplies(besieged)
	for _, o := range s.orders[:min(times, len(s.orders))] {
		if !s.isSent(o) || len(finals[o.id]) == 0 {
			continue
		}
		again := run(s.t, s.line(o, "20s")...)
		if want := fmt.Sprintf("%s  %s", besieged, finals[o.id][0].Stage); !strings.Contains(again.stdout+again.stderr, want) {
			s.t.Errorf("%s, sent again, has\n%s%s\nwant %q", o.id, again.stdout, again.stderr, want)
		}
		if now := s.node.taken(o.id); now != tale.taken[o.id] {
			s.t.Errorf("%s was begun %d times, and %d after it was sent again", o.id, tale.taken[o.id], now)
		}
	}
}

// summary is for the log.
func (s *siege) summary(tale story) string {
	entries, gaps := 0, 0
	for _, kept := range tale.streams {
		for _, e := range kept {
			if e.Type == "gap" {
				gaps++
			}
			entries++
		}
	}
	stages := map[edge.Stage]int{}
	for _, replies := range s.finalReplies(besieged) {
		stages[replies[0].Stage]++
	}
	return fmt.Sprintf("%d troubles, %d of them kill −9 of the agent; %d tasks answered; %d commands, their ends %v; the fleet has %d entries in %d streams, %d of them gaps",
		s.troubles, len(s.crashes), len(tale.tasks), len(tale.sent), stages, entries, len(tale.streams), gaps)
}

// TestLink_KilledAndCut kills the agent and takes its wire away, over and over, while it
// works. The broker stays: what it carried is counted beside.
func TestLink_KilledAndCut(t *testing.T) {
	t.Parallel()
	s := besiege(t, 1)
	beside := s.overhear(besieged)
	s.rounds(8*soak(), s.killAgent, s.cut, s.killAgent, s.wire.Twitch, s.cutLong)
	s.heal()
	tale := s.story()
	for _, problem := range tale.complaints() {
		t.Error(problem)
	}
	passed := beside()
	inOneLife, after := repeated(passed, s.crashes)
	t.Logf("%s; %d messages on the wire, %d of them again within one life of the agent, %d after a crash",
		s.summary(tale), len(passed), inOneLife, after)
	if most := mostAgain * s.troubles; inOneLife > most {
		t.Errorf("%d messages came again within one life of the agent, want at most %d", inOneLife, most)
	}
	if most := mostAgain * len(s.crashes); after > most {
		t.Errorf("%d messages came again after %d crashes, want at most %d", after, len(s.crashes), most)
	}
	s.wantSameAgain(tale, 6)
}

// TestLink_BrokerForgets has everybody die: agent, broker and attendant.
func TestLink_BrokerForgets(t *testing.T) {
	t.Parallel()
	s := besiege(t, 2)
	s.rounds(8*soak(), s.killBroker, s.killAgent, s.killAttendant, s.cut)
	s.heal()
	tale := s.story()
	for _, problem := range tale.complaints() {
		t.Error(problem)
	}
	t.Log(s.summary(tale))
	s.wantSameAgain(tale, 4)
}

// heard is a message that passed by.
type heard struct {
	mqtt.Envelope
	at time.Time
}

func readHeard(t testing.TB, line string) (h heard) {
	t.Helper()
	at, payload, _ := strings.Cut(line, " ")
	seconds, err := strconv.ParseFloat(at, 64)
	if err == nil {
		err = json.Unmarshal([]byte(payload), &h.Envelope)
	}
	if err != nil {
		t.Errorf("overheard %.200q: %v", line, err)
	}
	h.at = time.Unix(0, int64(seconds*1e9))
	return h
}

// overhear listens beside, with mosquitto's own client, to what the node says, until
// what is returned is called.
func (f *fleet) overhear(node string) (end func() []heard) {
	f.t.Helper()
	_, port, _ := strings.Cut(f.broker.Address(), ":")
	topic := "hf/v1/" + siteName + "/" + node + "/up/"
	sub := exec.Command("mosquitto_sub", "-p", port, "-q", "1", "-t", topic+"event", "-t", topic+"reply", "-F", "%U %p")
	var text bytes.Buffer
	sub.Stdout = &text
	sub.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := sub.Start(); err != nil {
		f.t.Fatal(err)
	}
	ended := false
	end = func() (all []heard) {
		if ended {
			return nil
		}
		ended = true
		_ = sub.Process.Signal(syscall.SIGTERM)
		_ = sub.Wait()
		lines := bufio.NewScanner(&text)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			all = append(all, readHeard(f.t, lines.Text()))
		}
		return all
	}
	f.t.Cleanup(func() { end() })
	return end
}

// TestLink_ExecCutShort kills the agent while a program runs inside an instance.
func TestLink_ExecCutShort(t *testing.T) {
	s := besiege(t, 3)
	s.caller.hangUp()
	n := s.node
	before := n.awaitReady("digits", 1)
	o := &order{id: "exec-long", verb: edge.VerbExec, words: []string{"exec", "line/digits", "--", "/server", "-listen", "unix:///run/model/other.sock"}}
	run(t, s.line(o, "0s")...)
	look(t, "the program to run", func(context.Context) error {
		if n.taken(o.id) == 0 {
			return fmt.Errorf("it was not begun")
		}
		if entries, err := os.ReadDir(n.RunFolder("fifo")); err != nil || len(entries) == 0 {
			return fmt.Errorf("its pipes are not there (%v)", err)
		}
		return nil
	})
	s.killAgent()
	s.awaitReply(besieged, o.id, edge.StageIndeterminate, "")
	n.wantSame(before)
	if got := n.taken(o.id); got != 1 {
		t.Errorf("it was begun %d times, want once", got)
	}
	begun := time.Now()
	s.command(besieged, "restart", "line/digits").want(t, cli.ExitOK, "succeeded")
	n.awaitOther("digits", before)
	t.Logf("replaced after %v", time.Since(begun).Round(time.Millisecond))
}
