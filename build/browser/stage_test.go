package browser_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
	"holdfast/edge/oip"
	"holdfast/edge/page"
)

// past is how long the played node has been at it when a person opens the page.
const past = 330 * time.Second

// tick is how often the play moves on; between ticks everything has its exact time.
const tick = 20 * time.Millisecond

// stage is a played node behind the real local API.
type stage struct {
	t      testing.TB
	front  *httptest.Server // the page, and a way to the API that can be cut
	server *localapi.Server
	stop   context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex // guards what follows
	sim     *sim
	shift   time.Duration // of the node's wall clock
	started time.Time
	pid     int
	samples []edge.Sample
	taken   uint64
	events  []edge.Event
	status  func(s *stage, now time.Time) edge.Status // what the scene says of the node
	link    string
	outbox  uint64
	cut     time.Time // since when there is no link
	grows   float64   // entries of the outbox a second while it is cut
	frozen  bool      // the front swallows everything
	refuses int       // answer of the front, instead of the API's; 0: none
	token   string    // what actions need; empty: they are refused
	did     []string
	streams int
}

// newStage sets a node up that has run for a while.
func newStage(t testing.TB, play scene) *stage {
	t.Helper()
	now := time.Now()
	s := &stage{t: t, started: now.Add(-76 * time.Hour), pid: 4711, link: "up", status: healthy, grows: 5, done: make(chan struct{})}
	s.sim = newSim(now.Add(-past), 2, ordinary())
	if play.set != nil {
		play.set(s, now)
	}
	for at := now.Add(-past); at.Before(now); at = at.Add(time.Second) {
		if play.past != nil {
			play.past(s, now.Sub(at))
		}
		s.sim.advance(at)
		s.sample(at)
	}
	s.events = append(s.events, history(s.wall(now))...)
	s.serve()
	return s
}

// serve opens the local API on a port of its own, and the front before it.
func (s *stage) serve() {
	server, err := localapi.New(localapi.Options{
		Listen: "127.0.0.1:0", NodeName: "line-3-gw", Version: "1.4.0",
		Inference: s, Models: s, Node: s, Metrics: s, Events: s, Images: nothing{}, Volumes: nothing{}, Logs: s, Policies: nothing{}, Live: s,
	})
	if err == nil {
		err = server.UseToken(s.token)
	}
	if err == nil {
		err = server.Open()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.server = server
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() {
		defer close(s.done)
		go s.play(ctx)
		if err := server.Run(ctx); err != nil {
			s.t.Errorf("local API: %v", err)
		}
	}()
	s.front = httptest.NewServer(s.door())
}

func (s *stage) close() {
	s.front.CloseClientConnections()
	s.stop()
	<-s.done
	s.server.Close()
	s.front.Close()
}

// play moves the node on.
func (s *stage) play(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for next := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			s.mu.Lock()
			s.sim.advance(now)
			if !now.Before(next) {
				s.sample(now)
				next = next.Add(time.Second)
			}
			s.mu.Unlock()
		}
	}
}

// door is the way a browser comes: the page, and behind it the API, unless the scene
// has cut it.
func (s *stage) door() http.Handler {
	to := &url.URL{Scheme: "http", Host: s.server.Addr()}
	api := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = to.Host
			r.Out.Header.Del("Origin") // the front's own, which the API has never heard of
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
	}
	shown := page.New("1.4.0")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/page/") {
			shown.ServeHTTP(w, r)
			return
		}
		if s.hindered(w, r) {
			return
		}
		if r.URL.Path == "/v1/live" {
			s.count(1)
			defer s.count(-1)
		}
		api.ServeHTTP(w, r)
	})
}

// hindered answers in the API's place where the scene wants it.
func (s *stage) hindered(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	frozen, refuses := s.frozen, s.refuses
	s.mu.Unlock()
	switch {
	case frozen:
		<-r.Context().Done()
		return true
	case refuses > 0 && r.URL.Path == "/v1/live":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(refuses)
		fmt.Fprintln(w, `{"error":"as many live streams are read already as may be","reason":"too_many_streams"}`)
		return true
	}
	return false
}

func (s *stage) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams += n
}

// wall is what the node's clock shows at an instant.
func (s *stage) wall(at time.Time) time.Time { return at.Add(s.shift).Round(0) }

// sample takes down one second, with the lock held or before anybody else is there.
func (s *stage) sample(at time.Time) {
	busy := 0.0
	for _, j := range s.sim.run {
		if j != nil {
			busy++
		}
	}
	wave := float64(at.Unix()%40) / 40
	if s.link == "down" {
		s.outbox = uint64(at.Sub(s.cut).Seconds()*s.grows) + 3
	} else {
		s.outbox = 0
	}
	s.taken++
	s.samples = append(s.samples, edge.Sample{
		At: s.wall(at), CPU: 0.14 + 0.2*busy + 0.05*wave, MemoryUsed: uint64(410+20*wave) << 20,
		AgentCPU: 0.011 + 0.004*wave, AgentRSS: 21 << 20, Temperature: 52 + 4*wave,
		Waiting: len(s.sim.queue), Running: int(busy), Suspended: len(s.sim.halted),
		Ended: edge.EndedTasks{Urgent: s.sim.endedOf(edge.Urgent), Normal: s.sim.endedOf(edge.Normal), Batch: s.sim.endedOf(edge.Batch)},
		Link:  s.link, Outbox: s.outbox, Upstreams: map[string]edge.UpstreamState{"plant": edge.UpstreamUp},
	})
	if len(s.samples) > 300 {
		s.samples = slices.Delete(s.samples, 0, len(s.samples)-300)
	}
}

// What the local API asks of a node.

func (s *stage) Samples(after uint64) ([]edge.Sample, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(int(s.taken-after), len(s.samples))
	return slices.Clone(s.samples[len(s.samples)-n:]), s.taken
}

func (s *stage) LiveTasks(since localapi.TaskMark) (edge.LiveTasks, localapi.TaskMark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mark := localapi.TaskMark{Changes: s.sim.changes + 1, Ended: s.sim.endedAll}
	fresh := int(min(s.sim.endedAll-since.Ended, 1<<20))
	ended := slices.Clone(s.sim.ended[max(0, len(s.sim.ended)-min(fresh, 200)):])
	waiting := make([]edge.TaskView, 0, min(100, len(s.sim.queue)))
	for _, j := range s.sim.queue[:min(100, len(s.sim.queue))] {
		waiting = append(waiting, j.view)
	}
	return edge.LiveTasks{
		At: s.wall(s.sim.now), Running: s.shifted(s.sim.inside()), Waiting: s.shifted(waiting), WaitingTotal: len(s.sim.queue),
		Ended: s.shifted(ended), EndedSkipped: max(0, fresh-len(ended)),
	}, mark
}

// shifted puts views on the node's wall clock.
func (s *stage) shifted(views []edge.TaskView) []edge.TaskView {
	for i := range views {
		for _, at := range []*time.Time{&views[i].Arrived, &views[i].Started, &views[i].Deadline} {
			if !at.IsZero() {
				*at = s.wall(*at)
			}
		}
	}
	return views
}

func (s *stage) Status() edge.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status(s, s.sim.now)
}

func (s *stage) Since(seq uint64) []edge.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.events), func(e edge.Event) bool { return e.Seq <= seq })
}

func (s *stage) happen(kind edge.EventKind, subject, cause string) {
	s.events = append(s.events, edge.Event{Seq: s.events[len(s.events)-1].Seq + 1, At: s.wall(s.sim.now), Kind: kind, Subject: subject, Cause: cause})
}

func (s *stage) Model(name string) (oip.ModelMetadata, bool, bool) {
	shape := []int64{-1, 64}
	inputs := []oip.TensorMetadata{{Name: "pixels", Datatype: "FP32", Shape: shape}}
	if name == "weld" {
		inputs = []oip.TensorMetadata{{Name: "frame", Datatype: "UINT8", Shape: []int64{1, 4, 4}}}
	}
	return oip.ModelMetadata{Name: name, Versions: []string{"1"}, Platform: "played", Inputs: inputs}, true, true
}

func (s *stage) Models() []string { return []string{"digits", "weld"} }

func (s *stage) Infer(_ context.Context, t edge.Task) edge.Settlement {
	answer, err := oip.InferResponse{ModelName: t.Model, ModelVersion: "1", Outputs: []oip.Tensor{oip.FP32Tensor("label", []int64{1}, []float32{7}, false)}}.Payload()
	return edge.Settlement{Task: t, Outcome: edge.Completed, Err: err, At: time.Now(), Compute: time.Millisecond, Answer: edge.Answer{Payload: answer, Model: t.Model, Route: edge.AnsweredLocally}}
}

func (s *stage) Handler() http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
}
func (s *stage) Wait(ctx context.Context, _ uint64) error {
	<-ctx.Done()
	return ctx.Err()
}
func (s *stage) Cancel(string) bool             { return false }
func (s *stage) Explain(edge.Task) error        { return nil }
func (s *stage) Vitals() edge.Vitals            { return s.Status().Vitals }
func (s *stage) Tasks() []edge.TaskView         { return nil }
func (s *stage) Workloads() []edge.WorkloadView { return s.Status().Workloads }

func (s *stage) Restart(_ context.Context, target string) error { return s.note("restart " + target) }
func (s *stage) Drain(context.Context) error                    { return s.note("drain") }
func (s *stage) Undrain()                                       { _ = s.note("undrain") }
func (s *stage) Logs(_ context.Context, target string, lines int, _ bool) (io.ReadCloser, error) {
	text := fmt.Sprintf("ready <b>on</b> /run/model.sock\nthe last of %d lines\n", lines)
	return io.NopCloser(strings.NewReader(text)), s.note("logs " + target)
}

func (s *stage) note(what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.did = append(s.did, what)
	return nil
}

// nothing is what no scene asks for.
type nothing struct{}

func (nothing) Import(context.Context, io.Reader) ([]edge.Image, error) { return nil, edge.ErrInvalid }
func (nothing) Images(context.Context) ([]edge.Image, error)            { return nil, nil }
func (nothing) Pull(context.Context, string, func(done, total int64)) (edge.Image, int64, error) {
	return edge.Image{}, 0, edge.ErrInvalid
}
func (nothing) Prune(context.Context) (localapi.Pruned, error)     { return localapi.Pruned{}, nil }
func (nothing) Volumes(context.Context) ([]edge.VolumeView, error) { return nil, nil }
func (nothing) RemoveVolume(context.Context, string, string) error { return edge.ErrNotFound }
func (nothing) Policy() (edge.PolicyView, error)                   { return edge.PolicyView{}, nil }
func (nothing) ApplyPolicy(context.Context, []byte) (edge.PolicyReport, error) {
	return edge.PolicyReport{}, edge.ErrInvalid
}

// freePort is a port of the loopback that nobody has.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// isThere tells whether a file can be read.
func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
