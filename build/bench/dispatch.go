package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"time"
)

// dispatch compares the same request sent through the agent, and then through relays
// that do nothing, with one sent to a model server's own socket, in turn, by one
// client with one connection each. All that is done again with cores that do not sleep.
func (b *bench) dispatch(ctx context.Context) (err error) {
	body, err := os.ReadFile("testdata/digits/3.json")
	if err != nil {
		return fmt.Errorf("cannot read request: %w", err)
	}
	direct, err := b.modelSocket(ctx)
	if err != nil {
		return err
	}
	bare, err := startRelay(ctx, b.stand.RunFolder("relay"), relayBare, direct)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.stop()) }()
	spoken, err := startRelay(ctx, b.stand.RunFolder("relay"), relayHTTP, direct)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, spoken.stop()) }()
	compare := func(when string) error {
		for _, model := range []string{"digits-lite", "digits"} {
			if err := b.compareWays(ctx, model, when, direct, bare, spoken, body); err != nil {
				return err
			}
		}
		return nil
	}
	if err := compare(""); err != nil {
		return err
	}
	rest, err := keepAwake(ctx)
	if err != nil {
		return err
	}
	return errors.Join(compare(", cores kept awake"), rest())
}

// compareWays prints what a model's requests take on each way to it.
func (b *bench) compareWays(ctx context.Context, model, when, direct string, bare, spoken *relay, body []byte) error {
	agent := &side{name: "the agent", pid: b.stand.AgentPID(), caller: newCaller(b.stand.Socket(), model, body)}
	relay := &side{name: "a bare relay", pid: bare.pid(), caller: newCaller(bare.socket, model, body)}
	speaking := &side{name: "a relay of HTTP", pid: spoken.pid(), caller: newCaller(spoken.socket, model, body)}
	for _, between := range []*side{agent, relay, speaking} {
		straight := &side{caller: newCaller(direct, model, body)}
		if err := inTurn(ctx, b.options.requests, between, straight); err != nil {
			return err
		}
		printDispatch(model, when, between, straight)
	}
	row("  processor time of the agent, a request", micros(agent.spent), micros(relay.spent),
		float64(agent.spent)/float64(relay.spent), "baseline: of the bare relay")
	return nil
}

func printDispatch(model, when string, between, straight *side) {
	for _, q := range []struct {
		name string
		at   float64
		goal time.Duration
	}{{"p50", 0.50, 100 * time.Microsecond}, {"p99", 0.99, 500 * time.Microsecond}} {
		through, alone := quantile(between.took, q.at), quantile(straight.took, q.at)
		row(fmt.Sprintf("%s through %s, %s%s", model, between.name, q.name, when), micros(through), micros(alone),
			float64(through)/float64(alone), fmt.Sprintf("overhead %s; goal of the agent ≤ %s", micros(through-alone), micros(q.goal)))
	}
}

// side is one way to the model, the process on it, and what a request took.
type side struct {
	name   string
	pid    int
	caller *caller
	took   []time.Duration // sorted at the end
	spent  time.Duration   // processor time of the process, on average
}

// inTurn sends requests one by one, A B A B …, so that both sides meet the same
// machine. The first tenth warms up and is not counted.
func inTurn(ctx context.Context, requests int, sides ...*side) error {
	for i := range requests + requests/10 {
		for _, s := range sides {
			if i == requests/10 {
				s.took, s.spent = s.took[:0], -processTime(s.pid)
			}
			took, err := s.caller.call(ctx)
			if err != nil {
				return err
			}
			s.took = append(s.took, took)
		}
	}
	for _, s := range sides {
		s.spent = (s.spent + processTime(s.pid)) / time.Duration(requests)
		slices.Sort(s.took)
	}
	return nil
}

// caller sends one request again and again over one connection.
type caller struct {
	client http.Client
	url    string
	body   []byte
}

func newCaller(socket, model string, body []byte) *caller {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &caller{
		client: http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 1, DisableCompression: true}},
		url:    "http://localhost/v2/models/" + model + "/infer", body: body,
	}
}

func (c *caller) call(ctx context.Context) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(c.body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	// Only the agent reads this. On a machine busy with other things no figure is
	// better than a wrong one, but an ended benchmark is worse than both.
	request.Header.Set("X-Holdfast-Deadline", "30s")
	begun := time.Now()
	response, err := c.client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("cannot call model: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	took := time.Since(begun)
	if err != nil || response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("cannot call model: %s: %s", response.Status, text)
	}
	return took, nil
}

// warm sends requests through the agent without counting them.
func (b *bench) warm(ctx context.Context, requests int) error {
	body, err := os.ReadFile("testdata/digits/3.json")
	if err != nil {
		return fmt.Errorf("cannot read request: %w", err)
	}
	c := newCaller(b.stand.Socket(), "digits-lite", body)
	for range requests {
		if _, err := c.call(ctx); err != nil {
			return err
		}
	}
	return nil
}

// modelSocket is where a model server can be called past the agent.
func (b *bench) modelSocket(ctx context.Context) (string, error) {
	workloads, err := b.stand.Client().Workloads(ctx)
	if err != nil {
		return "", err
	}
	return workloads[0].Instances[0].Socket, nil
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func micros(d time.Duration) string { return fmt.Sprintf("%.0f µs", float64(d)/1e3) }
