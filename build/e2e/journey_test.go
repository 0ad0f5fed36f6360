package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/cli"
)

// journeySecret is what the store of the journey is told.
const journeySecret = "hf-e2e-journey-secret-5f"

// storeService keeps something and is told a secret; the others wait for it.
var storeService = plainService("store", `    volumes: ["data:/var/lib/store"]`, `    secrets: [{source: db, target: db.key}]`,
	`    healthcheck: {test: [CMD, /faulty-server, -exit-now, -exit-code, "0"], interval: 1s, timeout: 10s, retries: 5, start_period: 30s, start_interval: 100ms}`)

// waitsFor puts a dependency before the extension of a service.
func waitsFor(service, on string) string {
	return strings.Replace(service, "    x-holdfast:", "    depends_on: {"+on+": {condition: service_healthy}}\n    x-holdfast:", 1)
}

// frontService is asked by HTTP and waits for the model.
var frontService = waitsFor(plainService("front",
	"    x-holdfast: {startup: {http: /v2/health/ready, port: 8080, period: 500ms, failures: 60}}"), "digits")

// journey is a node with the three services under a policy.
type journey struct{ *node }

// version writes a policy with the three services and signs it.
func (j journey) version(number uint64, secret string, services ...string) string {
	j.t.Helper()
	text := draft{version: number, sections: []string{secret}, services: services}.yaml()
	text = strings.Replace(text, "  line:\n", "  line:\n    secrets: {db: {external: true}}\n    volumes: {data: }\n", 1)
	return j.desk.signText(int(number), text)
}

// well returns the instances once all three serve, and holds them to what they keep and know.
func (j journey) well() (store, digits, front edge.InstanceView) {
	j.t.Helper()
	store, digits, front = j.awaitReady("store", 1)[0], j.awaitReady("digits", 1)[0], j.awaitReady("front", 1)[0]
	j.ask(patient)
	for path, want := range map[string]string{"/var/lib/store/kept": "kept", "/run/secrets/db.key": journeySecret} {
		if got, err := inside(store, path); err != nil || got != want {
			j.t.Errorf("got %q, %v at %s, want %q", got, err, path, want)
		}
	}
	return store, digits, front
}

// wantTold wants `holdfast events` to say so after a number, one after the other.
func (j journey) wantTold(since uint64, words ...string) {
	j.t.Helper()
	said := j.verb("events", "--since", fmt.Sprint(since))
	said.want(j.t, cli.ExitOK)
	if missing := notTold(said.stdout, words); missing != "" {
		j.t.Errorf("got\n%swant %q there, after what comes before it in %q", said.stdout, missing, words)
	}
}

// notTold is the first of the words that is not in any line after that of the word before;
// each word may be several, all of which a line has to have.
func notTold(text string, words []string) string {
	lines := strings.Split(text, "\n")
	for _, word := range words {
		at := slices.IndexFunc(lines, func(line string) bool {
			return !slices.ContainsFunc(strings.Split(word, " … "), func(part string) bool { return !strings.Contains(line, part) })
		})
		if at < 0 {
			return word
		}
		lines = lines[at+1:]
	}
	return ""
}

// TestJourney is what an operator does: three services with a dependency, health checks, a
// secret and a volume are deployed, updated to a version that is broken, and killed; all
// comes back by itself, and what happened and why can be read at the end.
func TestJourney(t *testing.T) {
	n, public := confidential(t)
	n.stopAgent()
	d := n.govern("")
	n.startAgent()
	j := journey{n}
	secret := d.seal("db", journeySecret, public)
	services := []string{storeService, waitsFor(digitsService(1), "store"), frontService}
	begun := n.latest()
	n.apply(j.version(1, secret, services...)).want(t, cli.ExitOK)
	n.awaitReady("store", 1)
	if err := os.WriteFile(filepath.Join(n.StateFolder(), "volumes", "line", "data", "kept"), []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	store, digits, front := j.well()
	t.Run("InOrder", func(t *testing.T) {
		journey{n.in(t)}.wantTold(begun, "instance-started  line-store- … because  its workload is wanted", "instance-ready  line-store-",
			"instance-started  line-digits-", "instance-ready  line-digits-", "instance-started  line-front-", "instance-ready  line-front-")
	})
	t.Run("BrokenVersionIsTakenBack", func(t *testing.T) {
		j := journey{n.in(t)}
		broken := strings.Replace(services[0], `"-ready-after", "300ms"`, `"-no-such-flag"`, 1)
		since := j.latest()
		j.apply(j.version(2, secret, broken, services[1], services[2])).want(t, cli.ExitFailed, "version 1 is in force", "exited with code 2")
		j.wantSameAll(store, digits, front)
		j.wantTold(since, "policy-in-force … version=2", "instance-started  line-store- … because  another version of its workload runs",
			"instance-exited … how=exited with code 2", "policy-rolled-back … failed=2 … exited with code 2")
	})
	t.Run("ProcessKilled", func(t *testing.T) {
		j := journey{n.in(t)}
		since := j.latest()
		kill(t, store.PID)
		store = j.awaitNext("store", store.ID)
		j.wantSameAll(store, digits, front)
		j.wantTold(since, "instance-exited  line-store- … how=ended by SIGKILL", "dependency-lost  line/digits",
			"instance-started  "+store.ID+" … because  ended by SIGKILL", "dependency-back  line/digits")
	})
	t.Run("ShimKilled", func(t *testing.T) {
		j := journey{n.in(t)}
		since := j.latest()
		kill(t, uint32((&ward{j.node}).shimOf(digits.PID)))
		gone := digits.ID
		digits = j.awaitNext("digits", gone)
		j.wantSameAll(store, digits, front)
		j.wantTold(since, "instance-exited  "+gone+" … how=ended ", "dependency-lost  line/front", "instance-started  "+digits.ID+" … because  ended ")
	})
	t.Run("ContainerdKilled", func(t *testing.T) {
		j := journey{n.in(t)}
		since := j.latest()
		j.killDaemon()
		j.awaitEvent(since, edge.EventDaemonLost, "")
		j.restartDaemon()
		j.awaitEvent(since, edge.EventDaemonBack, "")
		j.wantSameAll(store, digits, front)
		j.wantTold(since, "containerd-lost", "containerd-back … because  it was away for ")
	})
	t.Run("AgentKilled", func(t *testing.T) {
		j := journey{n.in(t)}
		killed, since := j.AgentPID(), j.latest()
		if err := j.KillAgent(); err != nil {
			t.Fatal(err)
		}
		j.startAgent()
		j.wantSameAll(store, digits, front)
		j.wantTold(since, fmt.Sprintf("agent-started  gw-1 … because  the agent before it (process %d) ended without being asked to", killed))
		for _, i := range []edge.InstanceView{store, digits, front} {
			j.wantTold(since, "instance-adopted  "+i.ID+" … because  it runs what is wanted")
		}
	})
	t.Run("AllIsToldAtTheEnd", func(t *testing.T) {
		j := journey{n.in(t)}
		j.wantTold(begun, "policy-in-force … version=1", "policy-rolled-back", "ended by SIGKILL", "containerd-lost", "containerd-back", "agent-started")
		t.Logf("\n%s", j.verb("events", "--since", fmt.Sprint(begun)).stdout)
	})
	n.apply(d.sign(draft{version: 3})).want(t, cli.ExitOK)
	n.await("nothing to run", func(ctx context.Context) error { return n.AwaitNothing(ctx) })
	n.verb("volumes", "remove", "line/data").want(t, cli.ExitOK)
}

// wantSameAll wants these very instances to serve.
func (j journey) wantSameAll(want ...edge.InstanceView) {
	j.t.Helper()
	store, digits, front := j.well()
	for i, got := range []edge.InstanceView{store, digits, front} {
		if got.ID != want[i].ID || got.PID != want[i].PID {
			j.t.Errorf("got %s (process %d), want %s (process %d) to run on", got.ID, got.PID, want[i].ID, want[i].PID)
		}
	}
}

// TestJourney_NotTold looks for what is not there, or comes too early.
func TestJourney_NotTold(t *testing.T) {
	const text = "1  exited  a  because  x\n2  started  b  because  x\n"
	for name, c := range map[string]struct {
		words []string
		want  string
	}{
		"So":         {[]string{"exited … because  x", "started  b"}, ""},
		"NotThere":   {[]string{"exited  b"}, "exited  b"},
		"TwoLines":   {[]string{"exited … b  because"}, "exited … b  because"},
		"OtherOrder": {[]string{"started", "exited"}, "exited"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := notTold(text, c.words); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
