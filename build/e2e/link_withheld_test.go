package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/build/mosquitto"
	"holdfast/edge"
	"holdfast/edge/cli"
	"holdfast/mqtt"
)

const censored = "gw-w"

// newCensor is a fleet whose broker keeps back what its rules say.
func newCensor(t testing.TB) (f *fleet, rules func(withheld ...string)) {
	t.Helper()
	dir := shop.path(fmt.Sprintf("fleet-%d", shop.nodes.Add(1)))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "rules")
	rules = func(withheld ...string) {
		text := "topic readwrite #\nuser " + censored + "\ntopic readwrite #\n"
		for _, topic := range withheld {
			text += "topic deny " + topic + "\n"
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rules()
	broker, err := mosquitto.Start(t.Context(), filepath.Join(dir, "broker"), "acl_file "+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Kill() })
	return &fleet{t: t, desk: newDesk(t, dir), broker: broker, keep: filepath.Join(dir, "keep")}, rules
}

// restart has the broker forget everything, and read its rules again.
func (f *fleet) restart() {
	f.t.Helper()
	if err := f.broker.Kill(); err != nil {
		f.t.Fatal(err)
	}
	if err := f.broker.Start(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// TestLink_Withheld has a broker that keeps policies back. What the fleet signs says so.
func TestLink_Withheld(t *testing.T) {
	t.Parallel()
	f, rules := newCensor(t)
	rules(topicOf(censored, mqtt.DownPolicy))
	f.restart()
	f.attend()
	f.awaitAttendant()
	n := newNode(t, "policy.trial=1s")
	n.stopAgent()
	own := *f.desk
	n.desk = &own
	first := f.desk.sign(draft{version: 1, lease: "hours: 1, boots: 5", services: []string{digitsService(1)}})
	n.configure("", fmt.Sprintf("node: {name: %s, groups: [first], site: %s}", censored, siteName),
		fmt.Sprintf("policy: {root: %q, factory: %q}", f.desk.root(), first),
		fmt.Sprintf("link: {broker: %q, user: %s}", "tcp://"+f.broker.Address(), censored))
	n.boot("one", time.Minute)
	n.awaitReady("digits", 1)
	n.awaitTold()
	n.awaitNoWarnings()

	t.Run("Noticed", func(t *testing.T) {
		f, n := f.in(t), n.in(t)
		second := f.desk.sign(draft{version: 2, lease: "hours: 1, boots: 5", services: []string{digitsService(1)}})
		f.verb("apply", second, "--root", f.desk.root(), "--wait", "0s").want(t, cli.ExitOK)
		f.clear(topicOf(censored, mqtt.DownPolicy)) // nobody else finds it at the broker either
		asked := f.nextAt(topicOf(censored, mqtt.UpHello))
		f.command(censored, "refresh", "--wait", "20s").want(t, cli.ExitOK, "succeeded")
		w := n.awaitWarning("policy-withheld", "version 2")
		took := n.raised("policy-withheld").Sub(asked())
		t.Logf("from hello to knowing: %v: %s", took, w.Detail)
		if took > time.Second {
			t.Errorf("it took %v from hello to knowing, want a round trip", took)
		}
		n.wantPolicy(1, "factory")
	})
	t.Run("KnownAfterAPowerCut", func(t *testing.T) {
		n := n.in(t)
		if err := n.KillAgent(); err != nil {
			t.Fatal(err)
		}
		n.startAgent()
		n.awaitWarning("policy-withheld", "version 2")
	})
	t.Run("LeaseRenewed", func(t *testing.T) {
		f, n := f.in(t), n.in(t)
		if err := f.broker.Kill(); err != nil {
			t.Fatal(err)
		}
		n.boot("one", 2*time.Hour)
		if in := n.policy(); in.State != "degraded" {
			t.Errorf("without a word of the fleet for longer than the lease the policy is %s, want degraded", in.State)
		}
		n.awaitWarning("policy-lease-ended", "")
		if err := f.broker.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.await("the lease to be renewed", func(ctx context.Context) error {
			status, err := n.Client().Status(ctx)
			if err == nil && (status.Policy.State != "factory" || status.Policy.LeaseLeft < 59*time.Minute || status.Policy.LeaseBoots != 5) {
				err = fmt.Errorf("the policy is %s, %v and %d boots are left", status.Policy.State, status.Policy.LeaseLeft, status.Policy.LeaseBoots)
			}
			return err
		})
		n.awaitWarning("policy-withheld", "version 2")
		if found := warningsAt(t, n, "policy-lease-ended"); len(found) > 0 {
			t.Errorf("it still warns: %+v", found)
		}
		n.wantImport(false)
	})
	t.Run("BootsRenewed", func(t *testing.T) {
		n := n.in(t)
		n.boot("two", time.Minute)
		n.awaitTold()
		n.await("all boots to be left", func(ctx context.Context) error {
			if in := n.policy(); in.LeaseBoots != 5 {
				return fmt.Errorf("%d are", in.LeaseBoots)
			}
			return nil
		})
	})
	t.Run("ClearedWhenItArrives", func(t *testing.T) {
		f, n := f.in(t), n.in(t)
		n.awaitWarning("policy-withheld", "version 2") // heard anew, in this life
		since := n.latest()
		rules()
		f.restart()
		n.awaitPolicy(2)
		n.awaitEvent(since, edge.EventWarningCleared, "policy-withheld")
		n.awaitNoWarnings()
		n.ask(patient)
	})
}

// nextAt notes when something is said next on a topic.
func (f *fleet) nextAt(topic string) (when func() time.Time) {
	f.t.Helper()
	_, port, _ := strings.Cut(f.broker.Address(), ":")
	sub := exec.Command("mosquitto_sub", "-p", port, "-q", "1", "-t", topic, "-C", "1", "-W", "30", "-F", "%U")
	var said bytes.Buffer
	sub.Stdout = &said
	if err := sub.Start(); err != nil {
		f.t.Fatal(err)
	}
	return func() time.Time {
		err := sub.Wait()
		if err != nil {
			f.t.Fatalf("nothing was heard on %s: %v", topic, err)
		}
		seconds, err := strconv.ParseFloat(strings.TrimSpace(said.String()), 64)
		if err != nil {
			f.t.Fatal(err)
		}
		return time.UnixMicro(int64(seconds * 1e6))
	}
}

// raised is when the agent first knew of what it warns of: its list of warnings is
// brought up to date once a second.
func (n *node) raised(code string) time.Time {
	n.t.Helper()
	var found [][]byte
	n.await("the agent's log to say something of "+code, func(context.Context) error {
		text, err := os.ReadFile(n.AgentLog())
		if err != nil {
			return err
		}
		found = regexp.MustCompile(`(?m)^time=(\S+) .*msg="warning raised" code=` + code + " ").FindSubmatch(text)
		if found == nil {
			return errors.New("it does not yet")
		}
		return nil
	})
	at, err := time.Parse(time.RFC3339, string(found[1]))
	if err != nil {
		n.t.Fatal(err)
	}
	return at
}

// warningsAt are those of a code that stand now.
func warningsAt(t testing.TB, n *node, code string) []edge.Warning {
	t.Helper()
	status, err := n.Client().Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return warningsOf(status, code)
}
