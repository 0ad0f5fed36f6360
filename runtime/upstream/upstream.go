package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sony/gobreaker"

	"holdfast/edge"
)

// Breaker says when an upstream is not asked any more, and when again. Zero fields take the
// defaults named.
type Breaker struct {
	Failures int           // in a row that open it: 5
	Open     time.Duration // before it is looked whether the upstream is back: 10 s
	Probes   int           // good answers in a row that close it: 3
}

func (b Breaker) withDefaults() Breaker {
	return Breaker{Failures: cmp.Or(b.Failures, 5), Open: cmp.Or(b.Open, 10*time.Second), Probes: cmp.Or(b.Probes, 3)}
}

// Options are what New needs. Name and URL have no default.
type Options struct {
	Name    string
	URL     string        // up to before /v2
	CA      string        // PEM of the authorities its certificate may be from; empty: the machine's
	Token   string        // name of the secret that is sent as a bearer token; empty: none
	Timeout time.Duration // of one attempt: 30 s
	Breaker Breaker

	// Secret reads Token, for each attempt anew. An upstream whose token cannot be read is
	// not asked, as if it could not be reached.
	Secret func(name string) (string, error)

	// ClockFloor is a time that has certainly passed: certificates are judged by it where the
	// machine's clock is behind. nil: the machine's clock.
	ClockFloor func() time.Time
	// Dial opens connections; nil is the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Changed is told when the upstream is lost or back; nil tells nobody.
	Changed func(edge.UpstreamReport)
	// Dropped is told when a router stops asking the upstream, or replaces it by another of
	// its name, of which nothing has been told yet; Changed is told nothing afterwards.
	// Neither may call the router. nil tells nobody.
	Dropped func(name string)
}

const defaultTimeout = 30 * time.Second

// Upstream is one server, or several behind one address.
type Upstream struct {
	options Options
	base    string
	http    *http.Client
	breaker *gobreaker.TwoStepCircuitBreaker
	opened  chan struct{} // capacity 1: the breaker has opened
	curious chan struct{} // capacity 1: somebody wants to know a model

	telling sync.Mutex // guards dropped; held while Changed and Dropped are told, one after the other
	dropped bool

	mu     sync.Mutex // guards the rest
	report edge.UpstreamReport
	told   edge.UpstreamState // to Changed, last
	models map[string]description
}

// New checks the options. It connects nowhere.
func New(o Options) (*Upstream, error) {
	base, err := edge.ServerBase(o.URL)
	if err != nil {
		return nil, fmt.Errorf("cannot use upstream %q: %w", o.Name, err)
	}
	if o.Token != "" && o.Secret == nil {
		return nil, fmt.Errorf("cannot use upstream %q: nobody reads its token: %w", o.Name, edge.ErrInvalid)
	}
	o.Timeout, o.Breaker = cmp.Or(o.Timeout, defaultTimeout), o.Breaker.withDefaults()
	transport, err := transportOf(o)
	if err != nil {
		return nil, fmt.Errorf("cannot use upstream %q: %w", o.Name, err)
	}
	u := &Upstream{
		options: o, base: base, opened: make(chan struct{}, 1), curious: make(chan struct{}, 1), models: map[string]description{}, told: edge.UpstreamUp,
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the route names one place
		}},
		report: edge.UpstreamReport{Name: o.Name, URL: base, State: edge.UpstreamUp},
	}
	u.breaker = gobreaker.NewTwoStepCircuitBreaker(gobreaker.Settings{
		Name: o.Name, MaxRequests: uint32(o.Breaker.Probes), Timeout: o.Breaker.Open,
		Interval:      0, // never: failures in a row are so however far apart
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(o.Breaker.Failures) },
		OnStateChange: func(_ string, _, to gobreaker.State) { u.turned(to) },
	})
	return u, nil
}

// maxIdle keeps connections for as many tasks as usually travel at once.
const maxIdle = 16

func transportOf(o Options) (*http.Transport, error) {
	transport := &http.Transport{
		DialContext:         o.Dial,
		DisableCompression:  true,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: o.Timeout,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, Time: later(o.ClockFloor)},

		MaxResponseHeaderBytes: 64 << 10,
	}
	if o.CA != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(o.CA)) {
			return nil, fmt.Errorf("its authorities are no PEM certificates: %w", edge.ErrInvalid)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return transport, nil
}

// later is the clock, or the floor while that is ahead.
func later(floor func() time.Time) func() time.Time {
	return func() time.Time {
		now := time.Now()
		if floor == nil || now.After(floor()) {
			return now
		}
		return floor()
	}
}

// Report is the upstream at this moment.
func (u *Upstream) Report() edge.UpstreamReport {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.report
}

// turned takes note of a change of the breaker, under its lock.
func (u *Upstream) turned(to gobreaker.State) {
	state := map[gobreaker.State]edge.UpstreamState{
		gobreaker.StateClosed: edge.UpstreamUp, gobreaker.StateHalfOpen: edge.UpstreamProbed, gobreaker.StateOpen: edge.UpstreamDown,
	}[to]
	u.mu.Lock()
	u.report.State, u.report.Since = state, time.Now()
	report, news := u.report, state != edge.UpstreamProbed && state != u.told
	if news {
		u.told = state
	}
	u.mu.Unlock()
	if state == edge.UpstreamDown {
		select {
		case u.opened <- struct{}{}:
		default:
		}
	}
	if news {
		u.tell(report)
	}
}

func (u *Upstream) tell(report edge.UpstreamReport) {
	u.telling.Lock()
	defer u.telling.Unlock()
	if u.options.Changed != nil && !u.dropped {
		u.options.Changed(report)
	}
}

// drop tells that the upstream is asked no more. Attempts under way may still end.
func (u *Upstream) drop() {
	u.telling.Lock()
	defer u.telling.Unlock()
	u.dropped = true
	if u.options.Dropped != nil {
		u.options.Dropped(u.options.Name)
	}
}

// note counts an attempt of a task and how it ended; nil is an answer.
func (u *Upstream) note(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.report.Asked++
	switch {
	case err == nil:
		u.report.Answered++
	case errors.Is(err, errBreaker):
		u.report.Spared++
	case errors.Is(err, edge.ErrCancelled):
	default:
		u.report.LastError = err.Error()
	}
}

// lost says why the upstream did not answer a probe, which is nobody's task.
func (u *Upstream) lost(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.report.LastError = err.Error()
}

// Run looks whether the upstream is back while its breaker is open, and asks what its models
// are, until ctx ends.
func (u *Upstream) Run(ctx context.Context) error {
	defer u.http.CloseIdleConnections()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-u.opened:
		case <-u.curious:
			u.describe(ctx)
		}
		for ctx.Err() == nil && u.breaker.State() != gobreaker.StateClosed {
			if u.breaker.State() == gobreaker.StateHalfOpen && u.probe(ctx) == nil {
				continue // as often as it takes, in one go
			}
			pause(ctx, u.options.Breaker.Open/4)
		}
	}
}

// probeWithin bounds one question for the health of an upstream.
const probeWithin = 5 * time.Second

// probe asks once whether the upstream is ready.
func (u *Upstream) probe(ctx context.Context) error {
	done, err := u.breaker.Allow()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, min(probeWithin, u.options.Timeout))
	defer cancel()
	err = u.ready(ctx)
	if err != nil {
		u.lost(err) // first: who is told of a loss is told why
	}
	done(err == nil)
	return err
}

func (u *Upstream) ready(ctx context.Context) error {
	r, err := u.request(ctx, http.MethodGet, "/v2/health/ready", nil)
	if err != nil {
		return err
	}
	resp, err := u.http.Do(r)
	if err != nil {
		return u.unreached(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("upstream %q is not ready: it says %s: %w", u.options.Name, resp.Status, edge.ErrUnavailable)
	}
	return nil
}

func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
