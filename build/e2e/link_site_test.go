package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"holdfast/build/mosquitto"
	"holdfast/build/sample/digits"
	"holdfast/edge"
	"holdfast/edge/cli"
)

// ear hears what is said on a broker, with mosquitto's own client.
type ear struct {
	t  testing.TB
	mu sync.Mutex // guards text
	// text holds a line for each message: its topic and what it says.
	text bytes.Buffer
}

// Write takes what the client prints.
func (e *ear) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.text.Write(p)
}

// listenAt hears the topics that a filter takes, until the test ends. It also comes back
// when the broker does.
func listenAt(t testing.TB, address, filter string) *ear {
	t.Helper()
	_, port, _ := strings.Cut(address, ":")
	e := &ear{t: t}
	sub := exec.Command("mosquitto_sub", "-p", port, "-q", "1", "-t", filter, "-F", "%t %p")
	sub.Stdout = e
	sub.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := sub.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = sub.Process.Kill()
		_ = sub.Wait()
	})
	return e
}

// verdict is what a site's broker is told of a message.
type verdict struct {
	Outcome string
	Reason  string
	Detail  string
	Answer  struct {
		Outputs []struct {
			Name string
			Data json.RawMessage
		}
	}
}

func (v verdict) label() (label int64, is bool) {
	for _, out := range v.Answer.Outputs {
		var labels []int64
		if out.Name == "label" && json.Unmarshal(out.Data, &labels) == nil && len(labels) == 1 {
			return labels[0], true
		}
	}
	return 0, false
}

// verdicts are those heard on a topic.
func (e *ear) verdicts(topic string) (all []verdict) {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	text := e.text.Bytes()
	for line := range bytes.Lines(text[:bytes.LastIndexByte(text, '\n')+1]) {
		on, says, _ := bytes.Cut(line, []byte(" "))
		var v verdict
		if string(on) != topic {
			continue
		}
		if err := json.Unmarshal(says, &v); err != nil {
			e.t.Errorf("a verdict reads %q: %v", line, err)
		}
		all = append(all, v)
	}
	return all
}

// await waits for so many verdicts on a topic.
func (e *ear) await(topic string, times int) (all []verdict) {
	e.t.Helper()
	look(e.t, fmt.Sprintf("%d verdicts on %s", times, topic), func(context.Context) error {
		if all = e.verdicts(topic); len(all) < times {
			return fmt.Errorf("there are %d", len(all))
		}
		return nil
	})
	return all
}

// picture is one of the sample pictures: a request, and what the model says of it when
// asked in this process.
func picture(t testing.TB, digit int) (request []byte, label int64) {
	t.Helper()
	request, err := os.ReadFile(fmt.Sprintf("../../testdata/digits/%d.json", digit))
	if err != nil {
		t.Fatal(err)
	}
	var body struct{ Inputs []struct{ Data []float32 } }
	model, err := digits.Open("digits")
	if err == nil {
		err = json.Unmarshal(request, &body)
	}
	if err != nil {
		t.Fatal(err)
	}
	return request, int64(digits.Classify(model, make([]float32, digits.Classes), body.Inputs[0].Data))
}

// triggers is a section of a policy.
func triggers(line string) []string {
	return []string{
		"triggers:", fmt.Sprintf("  - {mqtt: %s/+/digit, model: digits, deadline: 10s, reply: %s/+/verdict}", line, line),
		"  - {mqtt: slow/in, model: faulty, deadline: 10s, reply: slow/out}",
	}
}

// site is a node between two brokers: its fleet's and its site's.
type site struct {
	*fleet
	node *node
	hall *fleet // the site's broker; nothing else of a fleet is there
	ear  *ear
}

// newSite has a node whose policy makes tasks of messages.
func newSite(t testing.TB) *site {
	t.Helper()
	f := newFleet(t)
	f.attend()
	f.awaitAttendant()
	broker, err := mosquitto.Start(t.Context(), filepath.Join(t.TempDir(), "site"), "max_inflight_messages 0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Kill() })
	s := &site{fleet: f, hall: &fleet{t: t, broker: broker}}
	s.node = newNode(t, "policy.trial=1s")
	s.node.stopAgent()
	own := *f.desk
	s.node.desk = &own
	factory := f.desk.sign(s.policy(1, "line1"))
	s.node.configure("", fmt.Sprintf("node: {name: gw-f, groups: [first], site: %s}", siteName),
		fmt.Sprintf("policy: {root: %q, factory: %q}", f.desk.root(), factory),
		fmt.Sprintf("link: {broker: %q}", "tcp://"+f.broker.Address()),
		fmt.Sprintf("site: {broker: %q}", "tcp://"+broker.Address()))
	s.node.startAgent()
	s.node.awaitReady("digits", 1)
	s.node.awaitReady("faulty", 1)
	s.node.awaitTold()
	s.awaitSite(true)
	s.ear = listenAt(t, broker.Address(), "#")
	s.awaitHeard()
	return s
}

func (s *site) policy(version uint64, line string) draft {
	return draft{version: version, sections: triggers(line), services: []string{digitsService(1), faulty{faults: "-burn 20ms"}.service()}}
}

func (s *site) in(t testing.TB) *site {
	part := *s
	part.fleet, part.hall, part.node = s.fleet.in(t), &fleet{t: t, broker: s.hall.broker}, s.node.in(t)
	return &part
}

// awaitSite waits until the link to the site's broker is up, or is not.
func (s *site) awaitSite(up bool) {
	s.t.Helper()
	look(s.t, fmt.Sprintf("the site's link to be up: %v", up), func(ctx context.Context) error {
		status, err := s.node.Client().Status(ctx)
		if err == nil && (status.Site == nil || (status.Site.Phase == "up") != up) {
			err = fmt.Errorf("it is %+v", status.Site)
		}
		return err
	})
}

// show publishes a picture and wants the verdict that the model gives.
func (s *site) show(line string, digit int) {
	s.t.Helper()
	request, want := picture(s.t, digit)
	camera := fmt.Sprintf("%s/cam%d/", line, digit)
	had := len(s.ear.verdicts(camera + "verdict"))
	s.hall.publish(camera+"digit", request)
	all := s.ear.await(camera+"verdict", had+1)
	v := all[len(all)-1]
	if got, is := v.label(); v.Outcome != "completed" || !is || got != want || len(all) != had+1 {
		s.t.Errorf("of a picture of %d it is said %+v, %d times; want once %d", digit, v, len(all)-had, want)
	}
}

// TestLink_Site has pictures come over a site's broker while the fleet is on another.
func TestLink_Site(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	t.Run("EveryDigit", func(t *testing.T) {
		s := s.in(t)
		for digit := range 10 {
			s.show("line1", digit)
		}
	})
	t.Run("Nonsense", func(t *testing.T) {
		s := s.in(t)
		s.hall.publish("line1/cam0/digit", []byte("hello"))
		all := s.ear.await("line1/cam0/verdict", 2)
		if v := all[1]; v.Outcome != "refused" || v.Reason != "invalid_request" || v.Detail == "" {
			t.Errorf("of nonsense it is said %+v, want why it is refused", v)
		}
	})
	t.Run("KeptWhileTheAgentWasDead", func(t *testing.T) { s.in(t).revive() })
	t.Run("Overload", func(t *testing.T) { s.in(t).overload(200) })
	t.Run("OneBrokerDownIsNotTheOther", func(t *testing.T) { s.in(t).fates() })
	t.Run("PolicyChangesTriggers", func(t *testing.T) {
		s := s.in(t)
		s.awaitHeard() // its broker was away
		s.verb("apply", s.desk.sign(s.policy(2, "line2")), "--root", s.desk.root()).want(t, cli.ExitOK, "gw-f  applied")
		s.show("line2", 4)
		before := len(s.ear.verdicts("line1/cam4/verdict"))
		request, _ := picture(t, 4)
		s.hall.publish("line1/cam4/digit", request)
		s.show("line2", 5)
		if after := len(s.ear.verdicts("line1/cam4/verdict")); after != before {
			t.Errorf("a trigger that is gone was still served")
		}
	})
}

// revive has the broker keep pictures for an agent that is dead: they come in the moment it is back, when
// its models are hardly known again, and are answered all the same.
func (s *site) revive() {
	s.t.Helper()
	if err := s.node.KillAgent(); err != nil {
		s.t.Fatal(err)
	}
	had := map[int]int{}
	for digit := range 5 {
		request, _ := picture(s.t, digit)
		had[digit] = len(s.ear.verdicts(fmt.Sprintf("line1/cam%d/verdict", digit)))
		s.hall.publish(fmt.Sprintf("line1/cam%d/digit", digit), request)
	}
	s.node.startAgent()
	for digit := range 5 {
		_, want := picture(s.t, digit)
		all := s.ear.await(fmt.Sprintf("line1/cam%d/verdict", digit), had[digit]+1)
		v := all[had[digit]]
		if got, is := v.label(); v.Outcome != "completed" || !is || got != want {
			s.t.Errorf("of a picture of %d that had waited it is said %+v", digit, v)
		}
	}
}

// overload asks a slow model more than can be held, and wants a verdict for everything.
func (s *site) overload(times int) {
	s.t.Helper()
	line, end := s.hall.lines("slow/in")
	for range times {
		line(burn(1).Body)
	}
	end()
	outcomes := map[string]int{}
	for _, v := range s.ear.await("slow/out", times) {
		outcomes[strings.TrimSpace(v.Outcome+" "+v.Reason)]++
	}
	s.t.Logf("of %d messages at once: %v", times, outcomes)
	if outcomes["completed"] == 0 || outcomes["refused queue_full"] == 0 {
		s.t.Errorf("the verdicts are %v, want some answers, and refusals for want of room", outcomes)
	}
	if all := s.ear.verdicts("slow/out"); len(all) != times {
		s.t.Errorf("there are %d verdicts of %d messages", len(all), times)
	}
}

// fates takes one broker away, then the other.
func (s *site) fates() {
	s.t.Helper()
	before, err := s.node.link(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.hall.broker.Kill(); err != nil {
		s.t.Fatal(err)
	}
	s.awaitSite(false)
	s.command("gw-f", "undrain").want(s.t, cli.ExitOK, "succeeded")
	if now, err := s.node.link(s.t.Context()); err != nil || now.Phase != "up" || now.Session != before.Session {
		s.t.Errorf("the fleet's link is %+v (%v), want it as it was", now, err)
	}
	if err := s.hall.broker.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.awaitSite(true)
	s.ear = listenAt(s.t, s.hall.broker.Address(), "#")
	s.awaitHeard()
	s.show("line1", 7)

	since := s.node.latest()
	if err := s.broker.Kill(); err != nil {
		s.t.Fatal(err)
	}
	s.node.awaitPhase(false)
	s.show("line1", 8)
	if err := s.broker.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.node.awaitEvent(since, edge.EventLinkUp, "")
	s.show("line1", 9)
}

// awaitHeard waits until the ear is there.
func (s *site) awaitHeard() {
	s.t.Helper()
	had := len(s.ear.verdicts("test/ear"))
	look(s.t, "the ear", func(context.Context) error {
		s.hall.publish("test/ear", []byte("{}"))
		if len(s.ear.verdicts("test/ear")) == had {
			return fmt.Errorf("it hears nothing")
		}
		return nil
	})
}
