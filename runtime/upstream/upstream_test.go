package upstream_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge"
	"holdfast/runtime/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const goodAnswer = `{"model_name":"m","model_version":"7","outputs":[{"name":"y","datatype":"INT32","shape":[1],"data":[3]}]}`

func answering(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, goodAnswer) }

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

func newUpstream(t *testing.T, o upstream.Options) *upstream.Upstream {
	t.Helper()
	o.Name = "hq"
	u, err := upstream.New(o)
	if err != nil {
		t.Fatal(err)
	}
	run(t, u)
	return u
}

// run runs the upstream until the test ends, which also closes its connections.
func run(t *testing.T, u interface{ Run(context.Context) error }) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- u.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func task(class edge.Class, within time.Duration) edge.Task {
	return edge.Task{ID: "t", Model: "m", Class: class, Deadline: time.Now().Add(within), Input: edge.Payload{Body: []byte(`{"inputs":[]}`)}}
}

// within is a context as the scheduler gives it.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, edge.ErrDeadline)
	t.Cleanup(cancel)
	return ctx
}

func TestUpstream_Answers(t *testing.T) {
	var got *http.Request
	var body []byte
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		answering(w, r)
	})
	u := newUpstream(t, upstream.Options{URL: url + "/v2/", Token: "plant", Secret: func(name string) (string, error) { return "secret of " + name, nil }})
	asked := task(edge.Batch, time.Minute)
	asked.Input = edge.Payload{Body: []byte("{}\x00\x01"), HeaderLength: 2}
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	asked.Trace, _ = edge.ParseTrace(parent, "a=1")
	asked.Trace.Span = asked.Trace.Parent
	answer, err := u.Ask(within(t, time.Minute), asked, "m large")
	if err != nil || string(answer.Payload.Body) != goodAnswer || answer.Route != edge.AnsweredUpstream || answer.Version != "7" || answer.Instance != "hq" {
		t.Errorf("got %+v, %v", answer, err)
	}
	if got.URL.EscapedPath() != "/v2/models/m%20large/infer" || string(body) != "{}\x00\x01" {
		t.Errorf("it was asked %s with %q", got.URL, body)
	}
	left, err := time.ParseDuration(got.Header.Get("X-Holdfast-Deadline"))
	if err != nil || left <= 0 || left > time.Minute {
		t.Errorf("it was told of %v, %v", left, err)
	}
	for field, want := range map[string]string{
		"Inference-Header-Content-Length": "2", "X-Holdfast-Class": "batch", "Authorization": "Bearer secret of plant",
		"Traceparent": parent, "Tracestate": "a=1",
	} {
		if got.Header.Get(field) != want {
			t.Errorf("%s = %q, want %q", field, got.Header.Get(field), want)
		}
	}
	if report := u.Report(); report.State != edge.UpstreamUp || report.Asked != 1 || report.Answered != 1 {
		t.Errorf("report = %+v", report)
	}
}

// refusing is an address nobody listens at.
func refusing(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

func hijacked(f func(net.Conn)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			f(conn)
			conn.Close()
		}
	}
}

func TestUpstream_Faults(t *testing.T) {
	expired := httptest.NewTLSServer(http.HandlerFunc(answering))
	t.Cleanup(expired.Close)
	forever := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the other end has gone
		<-r.Context().Done()
	}
	for name, c := range map[string]struct {
		url   string
		ca    string
		want  error
		says  string
		fault bool // it counts against the upstream
	}{
		"NobodyListens": {url: refusing(t), want: edge.ErrUnavailable, says: "cannot reach", fault: true},
		"NoSuchName":    {url: "http://nobody.invalid", want: edge.ErrUnavailable, says: "cannot reach", fault: true},
		"Reset": {url: serve(t, hijacked(func(c net.Conn) {
			_ = c.(*net.TCPConn).SetLinger(0)
		})), want: edge.ErrUnavailable, says: "cannot reach", fault: true},
		"BreaksOff": {url: serve(t, hijacked(func(c net.Conn) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
		})), want: edge.ErrUnavailable, says: "cannot reach", fault: true},
		"Stalls": {url: serve(t, forever), want: edge.ErrDeadline, says: "did not answer in time", fault: true},
		"Drips": {url: serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			for i := 0; r.Context().Err() == nil; i++ {
				fmt.Fprint(w, " ")
				_ = http.NewResponseController(w).Flush()
			}
		}), want: edge.ErrDeadline, says: "did not answer in time", fault: true},
		"NotOfTheProtocol": {url: serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>Log in</html>") }), want: edge.ErrModel, says: "not of the protocol", fault: true},
		"WrongHeader": {url: serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Inference-Header-Content-Length", "9999")
			answering(w, r)
		}), want: edge.ErrModel, says: "header of 9999", fault: true},
		"TooMuch": {url: serve(t, func(w http.ResponseWriter, _ *http.Request) {
			block := strings.Repeat(" ", 1<<20)
			for range 66 {
				if _, err := io.WriteString(w, block); err != nil {
					return
				}
			}
		}), want: edge.ErrModel, says: "more than", fault: true},
		"Redirects": {url: serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusTemporaryRedirect)
		}), want: edge.ErrModel, says: "307", fault: true},
		"UnknownAuthority": {url: expired.URL, want: edge.ErrUnavailable, says: "certificate", fault: true},
		"Fails":            {url: serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"error":"out of memory"}`, 500) }), want: edge.ErrModel, says: "500 Internal Server Error: out of memory", fault: true},
		"TakesNoTasks": {url: serve(t, func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"error":"draining"}`, http.StatusServiceUnavailable)
		}), want: edge.ErrUnavailable, says: "draining", fault: true},
		"RefusesTheInput": {url: serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"error":"no such input"}`, 400) }), want: edge.ErrInvalid, says: "no such input"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, upstream.Options{URL: c.url, CA: c.ca, Breaker: upstream.Breaker{Failures: 1, Open: time.Hour}})
			long := 20 * time.Second // nothing but the clock ends those that stall
			if errors.Is(c.want, edge.ErrDeadline) {
				long = 50 * time.Millisecond
			}
			_, err := u.Ask(within(t, long), task(edge.Normal, time.Minute), "m")
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v and %q", err, c.want, c.says)
			}
			if lost := u.Report().State == edge.UpstreamDown; lost != c.fault {
				t.Errorf("it is lost: %v, want %v", lost, c.fault)
			}
		})
	}
	t.Run("NoRoom", func(t *testing.T) {
		u := newUpstream(t, upstream.Options{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusTooManyRequests)
		}), Breaker: upstream.Breaker{Failures: 1}})
		_, err := u.Ask(within(t, time.Minute), task(edge.Normal, time.Minute), "m")
		if refusal, _ := edge.AsRefusal(err); refusal == nil || refusal.RetryAfter != 3*time.Second || u.Report().State != edge.UpstreamUp {
			t.Errorf("got %v and %+v", err, u.Report())
		}
	})
	t.Run("NobodyWaitsAnyMore", func(t *testing.T) {
		u := newUpstream(t, upstream.Options{URL: serve(t, forever), Breaker: upstream.Breaker{Failures: 1}})
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(20*time.Millisecond, func() { cancel(edge.ErrCancelled) })
		_, err := u.Ask(ctx, task(edge.Normal, time.Minute), "m")
		if !errors.Is(err, edge.ErrCancelled) || u.Report().State != edge.UpstreamUp {
			t.Errorf("got %v and %+v, want nothing held against it", err, u.Report())
		}
	})
}

func TestUpstream_Trusts(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(answering))
	t.Cleanup(s.Close)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	u := newUpstream(t, upstream.Options{URL: s.URL, CA: ca})
	if _, err := u.Ask(within(t, time.Minute), task(edge.Normal, time.Minute), "m"); err != nil {
		t.Error(err)
	}
	t.Run("ByTheClocksFloor", func(t *testing.T) {
		floor := func() time.Time { return s.Certificate().NotAfter.Add(time.Hour) }
		u := newUpstream(t, upstream.Options{URL: s.URL, CA: ca, ClockFloor: floor})
		if _, err := u.Ask(within(t, time.Minute), task(edge.Normal, time.Minute), "m"); !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("got %v, want %v", err, edge.ErrUnavailable)
		}
	})
	t.Run("NotAVersionThatIsBroken", func(t *testing.T) {
		old := httptest.NewUnstartedServer(http.HandlerFunc(answering))
		old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11} //nolint:gosec // to be refused
		old.Config.ErrorLog = nil
		old.StartTLS()
		t.Cleanup(old.Close)
		ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: old.Certificate().Raw}))
		u := newUpstream(t, upstream.Options{URL: old.URL, CA: ca})
		if _, err := u.Ask(within(t, time.Minute), task(edge.Normal, time.Minute), "m"); !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("got %v, want %v", err, edge.ErrUnavailable)
		}
	})
}

func TestNew_Refuses(t *testing.T) {
	for _, url := range []string{"", "hq", "ftp://hq", "https://", "https://user@hq", "https://hq/?a=b", "https://hq/#x", "https://[::1", ":"} {
		if _, err := upstream.New(upstream.Options{Name: "hq", URL: url}); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("%q: got %v, want %v", url, err, edge.ErrInvalid)
		}
	}
	for name, o := range map[string]upstream.Options{
		"NoCertificates":      {URL: "https://hq", CA: "no certificate"},
		"NobodyReadsItsToken": {URL: "https://hq", Token: "plant"},
	} {
		if _, err := upstream.New(o); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", name, err, edge.ErrInvalid)
		}
	}
}

func TestUpstream_WithoutItsToken(t *testing.T) {
	u := newUpstream(t, upstream.Options{
		URL:   serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was asked without its token") }),
		Token: "plant", Secret: func(string) (string, error) { return "", errors.New("nobody has it") },
		Breaker: upstream.Breaker{Failures: 1},
	})
	_, err := u.Ask(within(t, time.Minute), task(edge.Normal, time.Minute), "m")
	if !errors.Is(err, edge.ErrUnavailable) || !strings.Contains(err.Error(), "nobody has it") {
		t.Errorf("got %v, want %v and why", err, edge.ErrUnavailable)
	}
	if report := u.Report(); report.State != edge.UpstreamDown {
		t.Errorf("got %+v, want it not to be counted on", report)
	}
}

func TestUpstream_TellsWhyItIsLost(t *testing.T) {
	said, lost := 0, make(chan string, 1)
	u := newUpstream(t, upstream.Options{
		URL: serve(t, func(w http.ResponseWriter, _ *http.Request) {
			said++
			http.Error(w, fmt.Sprintf(`{"error":"failure %d"}`, said), http.StatusInternalServerError)
		}),
		Breaker: upstream.Breaker{Failures: 2, Open: time.Hour}, Changed: func(r edge.UpstreamReport) { lost <- r.LastError },
	})
	for range 2 {
		_, _ = u.Ask(within(t, time.Minute), task(edge.Normal, time.Minute), "m")
	}
	if why := <-lost; !strings.Contains(why, "failure 2") {
		t.Errorf("got %q, want the failure by which it was lost", why)
	}
}

// pipes is a server in memory, so that time can be virtual, which can be away.
type pipes struct {
	t     *testing.T
	away  atomic.Bool
	asked atomic.Int64
	ready atomic.Int64     // questions for its health
	other http.HandlerFunc // for all else; nil: a good answer

	mu    sync.Mutex
	conns []net.Conn
}

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	if p.away.Load() {
		return nil, errors.New("no route to host")
	}
	ours, theirs := net.Pipe()
	p.mu.Lock()
	p.conns = append(p.conns, theirs)
	p.mu.Unlock()
	go p.serve(theirs)
	return ours, nil
}

func (p *pipes) serve(conn net.Conn) {
	l := &oneListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.conns <- conn
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/health/ready" {
			p.ready.Add(1)
			return
		}
		if p.other != nil {
			p.other(w, r)
			return
		}
		p.asked.Add(1)
		answering(w, r)
	}), ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			l.Close()
		}
	}}
	_ = s.Serve(l)
}

// cut ends all connections and lets none begin.
func (p *pipes) cut() {
	p.away.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// oneListener accepts one connection.
type oneListener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *oneListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *oneListener) Addr() net.Addr { return &net.TCPAddr{} }

func TestUpstream_Breaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{t: t}
		var told []edge.UpstreamState
		u, err := upstream.New(upstream.Options{Name: "hq", URL: "http://hq", Dial: p.dial, Changed: func(r edge.UpstreamReport) { told = append(told, r.State) }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- u.Run(ctx) }()
		ask := func(class edge.Class) error {
			_, err := u.Ask(within(t, time.Second), task(class, time.Second), "m")
			return err
		}
		if err := ask(edge.Urgent); err != nil {
			t.Fatal(err)
		}
		p.cut()
		for i := range 5 {
			if err := ask(edge.Urgent); !errors.Is(err, edge.ErrUnavailable) || strings.Contains(err.Error(), "breaker") {
				t.Fatalf("attempt %d: %v", i+1, err)
			}
		}
		begun := time.Now()
		for _, class := range edge.Classes {
			if err := ask(class); err == nil || !strings.Contains(err.Error(), "breaker is open") {
				t.Errorf("a task of class %v was sent to an upstream that is lost: %v", class, err)
			}
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("to say so took %v", took)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if state := u.Report().State; state == edge.UpstreamUp {
			t.Errorf("it is %s and nobody is there", state)
		}
		if r := u.Report(); r.Asked != 9 || r.Answered != 1 || r.Spared != 3 || r.LastError == "" {
			t.Errorf("of nine tasks it counts %d, %d answered and %d spared, last error %q: questions for its health are no tasks", r.Asked, r.Answered, r.Spared, r.LastError)
		}
		asked := p.asked.Load()
		p.away.Store(false)
		back := time.Now()
		for u.Report().State != edge.UpstreamUp {
			time.Sleep(100 * time.Millisecond)
			if err := ask(edge.Urgent); err == nil && u.Report().State != edge.UpstreamUp {
				t.Error("an urgent task was spent on finding out")
			}
			synctest.Wait()
		}
		t.Logf("back after %v, by %d questions for its health and %d tasks", time.Since(back), p.ready.Load(), p.asked.Load()-asked)
		if took := time.Since(back); took > 13*time.Second || p.ready.Load() != 3 {
			t.Errorf("it was back after %v and %d questions, want 12.5 s and 3 at most", took, p.ready.Load())
		}
		if err := ask(edge.Urgent); err != nil {
			t.Error(err)
		}
		if len(told) != 2 || told[0] != edge.UpstreamDown || told[1] != edge.UpstreamUp {
			t.Errorf("told %v, want that it was lost once and is back", told)
		}
		stop()
		<-ended
		p.cut()
	})
}

func TestUpstream_BreakerSeldomAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{t: t}
		u, err := upstream.New(upstream.Options{Name: "hq", URL: "http://hq", Dial: p.dial})
		if err != nil {
			t.Fatal(err)
		}
		ask := func() {
			_, _ = u.Ask(within(t, time.Second), task(edge.Normal, time.Second), "m")
			time.Sleep(time.Minute)
		}
		p.away.Store(true)
		for range 4 {
			ask()
		}
		if state := u.Report().State; state != edge.UpstreamUp {
			t.Errorf("got %s after four failures, want %s", state, edge.UpstreamUp)
		}
		ask()
		if state := u.Report().State; state != edge.UpstreamDown {
			t.Errorf("got %s after five in a row, want %s however far apart", state, edge.UpstreamDown)
		}
	})
}

func TestRouter_Drops(t *testing.T) {
	var mu sync.Mutex
	var told []string
	tell := func(what string) { mu.Lock(); defer mu.Unlock(); told = append(told, what) }
	asked, answer := make(chan string), make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Authorization")
		<-answer
		http.Error(w, "no", http.StatusInternalServerError)
	})
	r := upstream.NewRouter()
	run(t, r)
	follow := func(tokens map[string]string) {
		t.Helper()
		routes, all := map[string]upstream.Route{}, []upstream.Options(nil)
		for name, token := range tokens {
			routes[name] = upstream.Route{Upstream: name}
			all = append(all, upstream.Options{
				Name: name, URL: url, Token: token, Secret: func(name string) (string, error) { return "secret of " + name, nil },
				Breaker: upstream.Breaker{Failures: 1, Open: time.Hour},
				Changed: func(r edge.UpstreamReport) { tell(r.Name + " is " + string(r.State)) },
				Dropped: func(name string) { tell(name + " dropped") },
			})
		}
		if err := r.Follow(routes, all); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(name string) (token string, ended chan error) {
		ended = make(chan error, 1)
		about := task(edge.Normal, time.Minute)
		about.Model = name
		ctx := within(t, time.Minute)
		go func() { _, err := r.Ask(ctx, about); ended <- err }()
		select {
		case token = <-asked:
		case err := <-ended:
			t.Fatalf("%q was not asked: %v", name, err)
		}
		return token, ended
	}
	want := func(what ...string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if slices.Sort(told); !slices.Equal(told, what) {
			t.Errorf("told %q, want %q", told, what)
		}
		told = nil
	}
	follow(map[string]string{"one": "first", "two": "first", "three": "first"})
	want()
	token, one := ask("one")
	if token != "Bearer secret of first" {
		t.Errorf("got %q", token)
	}
	_, two := ask("two")
	_, three := ask("three")
	follow(map[string]string{"one": "second", "three": "first"})
	want("one dropped", "two dropped")
	close(answer)
	for _, ended := range []chan error{one, two, three} {
		if err := <-ended; !errors.Is(err, edge.ErrModel) {
			t.Errorf("got %v, want %v", err, edge.ErrModel)
		}
	}
	want("three is " + string(edge.UpstreamDown)) // the others are nobody's any more
	if token, one = ask("one"); token != "Bearer secret of second" {
		t.Errorf("got %q by a router that was told of another token", token)
	}
	<-one
	want("one is " + string(edge.UpstreamDown))
	follow(nil)
	want("one dropped", "three dropped")
}

func TestRouter_Follow(t *testing.T) {
	first, second := serve(t, answering), serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.Replace(goodAnswer, "[3]", "[4]", 1))
	})
	r := upstream.NewRouter()
	run(t, r)
	ask := func(model string) string {
		asked := task(edge.Normal, time.Minute)
		asked.Model = model
		answer, err := r.Ask(within(t, time.Minute), asked)
		if err != nil {
			return err.Error()
		}
		return string(answer.Payload.Body[strings.LastIndex(string(answer.Payload.Body), "["):])
	}
	follow := func(routes map[string]upstream.Route, urls map[string]string) error {
		var all []upstream.Options
		for name, url := range urls {
			all = append(all, upstream.Options{Name: name, URL: url})
		}
		return r.Follow(routes, all)
	}
	if got := ask("m"); !strings.Contains(got, "no route") {
		t.Errorf("got %q without routes", got)
	}
	both := map[string]string{"one": first, "two": second}
	if err := follow(map[string]upstream.Route{"m": {Upstream: "one"}, "n": {Upstream: "two", Model: "m"}}, both); err != nil {
		t.Fatal(err)
	}
	if ask("m") != "[3]}]}" || ask("n") != "[4]}]}" {
		t.Errorf("got %q and %q", ask("m"), ask("n"))
	}
	if err := follow(map[string]upstream.Route{"m": {Upstream: "three"}}, both); !errors.Is(err, edge.ErrInvalid) || ask("m") != "[3]}]}" {
		t.Errorf("got %v, and then %q; want nothing changed", err, ask("m"))
	}
	if err := follow(map[string]upstream.Route{"m": {Upstream: "two"}}, both); err != nil || ask("m") != "[4]}]}" {
		t.Errorf("got %v, %q", err, ask("m"))
	}
	if reports := r.Reports(); len(reports) != 2 || reports[0].Name != "one" || reports[1].Asked < 2 {
		t.Errorf("an upstream that stayed was made anew: %+v", reports)
	}
}
