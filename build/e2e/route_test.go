package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/build/stand"
	"holdfast/edge"
	"holdfast/edge/cli"
	"holdfast/edge/localapi"
)

// routed is a node whose digits are answered by another node, at the end of a road.
type routed struct {
	*node
	hq   *node
	road *stand.Road
	next uint64 // version of the policy
}

func newRouted(t *testing.T) *routed {
	t.Helper()
	hq := newNode(t)
	hq.deploy(digitsService(1))
	hq.awaitReady("digits", 1)
	road, err := stand.BuildRoad(hq.port())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := road.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &routed{node: newNode(t), hq: hq, road: road, next: 2}
	r.begin(digitsService(1))
	r.awaitReady("digits", 1)
	return r
}

// far is the model that only the other node has, of an upstream with a breaker of its own.
const far = "far"

// route has the policy lead digits to an address, and far too, in the way that is the control.
func (r *routed) route(mode, url, more string) {
	r.t.Helper()
	server := fmt.Sprintf("{url: %q, timeout: 5s, breaker: {failures: 3, open: 400ms, probes: 1}%s}", url, more)
	p := draft{version: r.next, services: []string{digitsService(1)}, sections: []string{
		fmt.Sprintf("upstreams: {hq: %s, hq-alone: %s}", server, server),
		fmt.Sprintf("routes: {digits: {upstream: hq, mode: %s}, far: {upstream: hq-alone, model: digits, mode: upstream}}", mode),
	}}
	r.next++
	r.apply(r.desk.sign(p)).want(r.t, cli.ExitOK)
}

func (r *routed) weather(w stand.Weather) {
	r.t.Helper()
	if err := r.road.Set(w); err != nil {
		r.t.Fatal(err)
	}
}

// trip is what became of a stream of tasks.
type trip struct {
	asked, onTime, upstream int
	first                   bool // the first was on time
	wrong                   []error
}

const (
	tripTasks  = 32
	tripPause  = 20 * time.Millisecond
	tripWithin = 400 * time.Millisecond
)

// travel asks one task after another at fixed instants, whatever becomes of those before.
func (r *routed) travel(during func(i int)) trip {
	r.t.Helper()
	return r.travelAs(during, "digits")[0]
}

// travelAs asks every model at each instant.
func (r *routed) travelAs(during func(i int), models ...string) []trip {
	r.t.Helper()
	inputs, err := samples()
	if err != nil {
		r.t.Fatal(err)
	}
	got := make([]trip, len(models))
	var mu sync.Mutex
	var sent sync.WaitGroup
	ticker := time.NewTicker(tripPause)
	defer ticker.Stop()
	for i := range tripTasks {
		<-ticker.C
		if during != nil {
			during(i)
		}
		for k, model := range models {
			sent.Go(func() {
				result, err := askAs(context.Background(), r.Client(), model, inputs[i%len(inputs)], localapi.InferOptions{Deadline: tripWithin})
				mu.Lock()
				defer mu.Unlock()
				got[k].add(i, result, err)
			})
		}
	}
	sent.Wait()
	return got
}

func (g *trip) add(i int, result localapi.Result, err error) {
	var wrong wrongAnswer
	g.asked++
	switch {
	case errors.As(err, &wrong): // the model is right in 449 of 450 cases
		g.onTime++
	case err != nil:
		g.wrong = append(g.wrong, err)
	case result.OnTime:
		g.onTime++
		g.first = g.first || i == 0
	}
	if result.Route == edge.AnsweredUpstream {
		g.upstream++
	}
}

// awaitUpstreams returns once all are asked again, or none is.
func (r *routed) awaitUpstreams(state edge.UpstreamState) {
	r.t.Helper()
	r.await("the upstreams to be "+string(state), func(ctx context.Context) error {
		status, err := r.Client().Status(ctx)
		if err != nil {
			return err
		}
		other := func(u edge.UpstreamReport) bool { return u.State != state }
		if len(status.Upstreams) != 2 || slices.ContainsFunc(status.Upstreams, other) {
			return fmt.Errorf("they say %+v", status.Upstreams)
		}
		return nil
	})
}

// heals has the weather become fine, and wants the upstreams back by the second probe.
func (r *routed) heals(mend func()) {
	r.t.Helper()
	lost := time.Now()
	mend()
	r.awaitUpstreams(edge.UpstreamUp)
	r.t.Logf("back %v after the road was", time.Since(lost).Round(time.Millisecond))
}

// suffers sends tasks in bad weather, and wants those with a local route as much on time as
// they are alone. Beside them go tasks without one.
func (r *routed) suffers(alone trip, during func(i int)) (got trip) {
	r.t.Helper()
	both := r.travelAs(during, "digits", far)
	got = both[0]
	r.t.Logf("%d of %d on time, %d answered upstream; without a local route %d on time", got.onTime, got.asked, got.upstream, both[1].onTime)
	if float64(got.onTime) < 0.99*float64(alone.onTime) || got.asked != tripTasks || !got.first {
		r.t.Errorf("%d were on time (the first: %v), %d are without an upstream: %v", got.onTime, got.first, alone.onTime, errors.Join(got.wrong...))
	}
	return got
}

// TestRoute_Faults sends tasks to another node over a road on which everything goes wrong in turn. What has a local
// route is to be as much on time as if there were no upstream, and to return to it.
func TestRoute_Faults(t *testing.T) {
	r := newRouted(t)
	alone := r.travel(nil)
	t.Logf("local alone: %d of %d on time", alone.onTime, alone.asked)
	r.route("upstream-else-local", "http://"+r.road.Address(), "")
	faults := []struct {
		name    string
		weather stand.Weather
		flaps   bool
		travels bool // some tasks are answered upstream all the same
	}{
		{name: "Fine", travels: true},
		{name: "Refused", weather: stand.Weather{Refused: true}},
		{name: "Reset", weather: stand.Weather{Reset: true}},
		{name: "BlackHole", weather: stand.Weather{Hole: true}},
		{name: "Satellite", weather: stand.Weather{Delay: 300 * time.Millisecond}},
		{name: "Loss", weather: stand.Weather{Lost: 0.02}, travels: true},
		{name: "Drips", weather: stand.Weather{Rate: 200}},
		{name: "Lies", weather: stand.Weather{Says: "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<html>no</html>"}},
		{name: "Flaps", weather: stand.Weather{Hole: true}, flaps: true, travels: true},
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			r := &routed{node: r.in(t), hq: r.hq, road: r.road}
			r.ask(patient) // a connection is there
			r.weather(f.weather)
			got := r.suffers(alone, func(i int) {
				if f.flaps && i%8 == 0 {
					r.weather(stand.Weather{Hole: i%16 == 0})
				}
			})
			r.heals(func() { r.weather(stand.Weather{}) })
			if f.travels != (got.upstream > 0) {
				t.Errorf("%d were answered upstream", got.upstream)
			}
		})
	}
	if back := r.travel(nil); back.upstream == 0 || back.onTime != tripTasks {
		t.Errorf("after all that %+v: it has not returned to its upstream", back)
	}
	r.verb("status").want(t, cli.ExitOK, "upstream hq up", "upstream hq-alone up", "http://"+r.road.Address())
	kinds := map[edge.EventKind]int{}
	for _, e := range r.events(0) {
		kinds[e.Kind]++
	}
	if kinds[edge.EventUpstreamLost] == 0 || kinds[edge.EventUpstreamLost] != kinds[edge.EventUpstreamBack] {
		t.Errorf("events tell of %d times lost and %d times back", kinds[edge.EventUpstreamLost], kinds[edge.EventUpstreamBack])
	}
}

// TestRoute_UpstreamAlone is the control: without a local route the same faults cost tasks.
func TestRoute_UpstreamAlone(t *testing.T) {
	r := newRouted(t)
	r.route("upstream", "http://"+r.road.Address(), "")
	if fine := r.travel(nil); fine.upstream != tripTasks {
		t.Errorf("%+v, want all of %d answered upstream", fine, tripTasks)
	}
	r.weather(stand.Weather{Hole: true})
	if lost := r.travel(nil); lost.onTime != 0 || len(lost.wrong) != tripTasks {
		t.Errorf("%d of %d were on time through a hole in the road", lost.onTime, lost.asked)
	}
	r.awaitWarning("upstream-down", "hq")
	r.wantFigure(`holdfast_warnings{code="upstream-down"} 1`)
	r.wantFigure(fmt.Sprintf(`holdfast_tasks_total{class="normal",model="digits",outcome="completed",route="upstream"} %d`, tripTasks))
	r.weather(stand.Weather{})
	r.awaitUpstreams(edge.UpstreamUp)
	r.wantFigure(`holdfast_breaker_state{upstream="hq"} 0`)
	r.awaitNoWarnings()
	r.ask(patient)
}

// wantFigure looks for a line among the figures for Prometheus.
func (n *node) wantFigure(line string) {
	n.t.Helper()
	resp, err := http.Get("http://" + n.port() + "/metrics")
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), line+"\n") {
		family, _, _ := strings.Cut(line, "{")
		n.t.Errorf("there is no %s among the figures, %v: %q", line, err, regexp.MustCompile(`(?m)^`+family+`\{.*`).FindAllString(string(text), -1))
	}
}

// TestRoute_Wrong has policies refused whose upstreams make no sense.
func TestRoute_Wrong(t *testing.T) {
	n := governed(t, digitsService(1))
	p := draft{version: 2, services: []string{digitsService(1)}, sections: []string{
		`upstreams: {hq: {url: "https://hq.example", ca: "no certificate"}}`, `routes: {digits: {upstream: hq}}`,
	}}
	n.apply(n.desk.sign(p)).want(t, cli.ExitUsage, "hq", "no PEM certificates")
	n.wantPolicy(1, "current")
	if status, err := n.Client().Status(context.Background()); err != nil || len(status.Upstreams) > 0 || strings.Contains(fmt.Sprint(status.Warnings), "upstream") {
		t.Errorf("got %+v, %v", status.Upstreams, err)
	}
}

// TestRoute_CutOff cuts a node off from its fleet, while its upstream could be asked: the offline rules of its
// policy hold after three heartbeats, and not after the link is back.
func TestRoute_CutOff(t *testing.T) {
	hq := newNode(t)
	hq.deploy(digitsService(1))
	hq.awaitReady("digits", 1)
	f := newFleet(t)
	n, wire := f.join("gw-1", digitsService(1))
	n.awaitPhase(true)
	n.apply(n.desk.sign(draft{version: 2, services: []string{digitsService(1), plainService("upload")}, sections: []string{
		"connectivity: {heartbeat: 300ms, offlineAfter: 3}",
		"offline: {stop: [upload], routes: local, variants: prefer-small}",
		fmt.Sprintf("upstreams: {hq: {url: %q}}", "http://"+hq.port()),
		"routes: {digits: {upstream: hq}}",
	}})).want(t, cli.ExitOK)
	n.awaitReady("digits", 1)
	wantRoute := func(route, variant string) {
		t.Helper()
		if got := n.ask(patient); got.Route != route || got.Variant != variant {
			t.Errorf("it was answered %s by %q, want %s by %q", got.Route, got.Variant, route, variant)
		}
	}
	running := func(want int) {
		t.Helper()
		n.await(fmt.Sprintf("%d instances of upload", want), func(context.Context) error {
			if got := n.tasks("line-upload-"); len(got) != want {
				return fmt.Errorf("containerd runs %v", got)
			}
			return nil
		})
	}
	running(1)
	wantRoute(edge.AnsweredUpstream, "")
	since := n.latest()
	wire.Cut()
	n.awaitEvent(since, edge.EventPartitionBegan, "link")
	wantRoute(edge.AnsweredLocally, "digits-lite")
	running(0)
	wire.Mend()
	n.awaitEvent(since, edge.EventPartitionOver, "link")
	wantRoute(edge.AnsweredUpstream, "")
	running(1)
	n.awaitReady("digits", 1)
}

// TestHealth_SmallerVariants has a policy want more of the node's health than any node has: the smaller variant
// answers, and says why, until the policy wants less.
func TestHealth_SmallerVariants(t *testing.T) {
	n := governed(t, digitsService(1))
	n.awaitReady("digits", 1)
	p := draft{version: 2, services: []string{digitsService(1)}, sections: []string{"health: {warnBelow: 100, variants: prefer-small}"}}
	n.apply(n.desk.sign(p)).want(t, cli.ExitOK)
	n.awaitWarning("health-low", "the policy wants 100")
	if got := n.ask(patient); got.Variant != "digits-lite" || got.VariantWhy != edge.WhyHealth {
		t.Errorf("it was answered by %q because of %q, want digits-lite because of health", got.Variant, got.VariantWhy)
	}
	n.verb("status").want(t, cli.ExitOK, "below what the policy wants")
	n.apply(n.desk.sign(draft{version: 3, services: []string{digitsService(1)}})).want(t, cli.ExitOK)
	n.awaitNoWarnings()
	if got := n.ask(patient); got.Variant != "" {
		t.Errorf("it was answered by %q because of %q, want digits", got.Variant, got.VariantWhy)
	}
}
