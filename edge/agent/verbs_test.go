package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/host"
	"holdfast/edge/trust"
	"holdfast/runtime"
	"holdfast/runtime/fake"
	"holdfast/runtime/upstream"
	"holdfast/scheduler"
)

// verbRig is a node without containerd: a real policy cache, supervisor and scheduler
// over containers in memory, and hands and images that the test holds.
type verbRig struct {
	away error // of containerd
	*verbs
	hall   *hallRig
	driver *fake.Driver
	hands  *fakeHands
	store  *fakeImages
	model  http.HandlerFunc // nil answers
	onStop atomic.Pointer[func() error]
	told   []edge.Progress
	asked  []string // what of the world was called
}

// fakeHands answer as a test wants.
type fakeHands struct {
	log  string
	exec func(ctx context.Context, args []string, stdout, stderr io.Writer) (edge.Exit, error)
}

func (h *fakeHands) LogTail(_ context.Context, _ string, _ int) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(h.log)), nil
}

func (h *fakeHands) Exec(ctx context.Context, _ string, args []string, _ io.Reader, stdout, stderr io.Writer) (edge.Exit, error) {
	return h.exec(ctx, args, stdout, stderr)
}

// fakeImages is an image store in memory.
type fakeImages struct {
	denied  error // of what comes in
	down    error // containerd is away
	causes  []string
	read    int64
	held    []edge.Image
	used    []string
	removed []string
}

func (f *fakeImages) Images(context.Context) ([]edge.Image, error) { return f.held, f.down }

func (f *fakeImages) Used(context.Context) ([]string, error) { return f.used, f.down }

func (f *fakeImages) Import(_ context.Context, cause string, archive io.Reader) ([]edge.Image, error) {
	f.causes = append(f.causes, cause)
	if f.denied != nil {
		return nil, f.denied
	}
	n, err := io.Copy(io.Discard, archive)
	f.read = n
	return []edge.Image{{Name: "digits", Digest: digestOf("1")}}, err
}

// Pull brings 700 bytes of what is not there.
func (f *fakeImages) Pull(_ context.Context, cause, ref string, told func(done, total int64)) (edge.Image, int64, error) {
	f.causes = append(f.causes, cause)
	_, digest, _ := strings.Cut(ref, "@")
	came := edge.Image{Name: digest, Digest: digest}
	switch {
	case f.denied != nil:
		return edge.Image{}, 0, f.denied
	case slices.ContainsFunc(f.held, func(i edge.Image) bool { return i.Digest == digest }):
		return came, 0, nil
	}
	told(300, 700)
	told(700, 700)
	f.held = append(f.held, came)
	return came, 700, nil
}

// RemoveImages frees a thousand bytes an image.
func (f *fakeImages) RemoveImages(_ context.Context, digests []string) (int64, error) {
	f.removed = append(f.removed, digests...)
	f.held = slices.DeleteFunc(f.held, func(i edge.Image) bool { return slices.Contains(digests, i.Digest) })
	return int64(1000 * len(digests)), nil
}

func newVerbRig(t *testing.T, workloads ...edge.Workload) *verbRig {
	t.Helper()
	return newVerbRigWith(t, nil, workloads...)
}

// newVerbRigWith has models that answer as the test says.
func newVerbRigWith(t *testing.T, model http.HandlerFunc, workloads ...edge.Workload) *verbRig {
	t.Helper()
	r := &verbRig{hall: newHallRig(t, 0), hands: &fakeHands{}, store: &fakeImages{}, model: model}
	r.hall.governor.adjust = newAdjustments(t.TempDir(), r.hall.shown.warnings)
	dir, err := os.MkdirTemp("", "hfv") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	r.driver = &fake.Driver{Dir: dir, Serve: r.serve, StopError: func(string) error {
		if fail := r.onStop.Load(); fail != nil {
			return (*fail)()
		}
		return nil
	}}
	r.verbs = &verbs{
		governor: r.hall.governor, chronicle: r.hall.chronicle, hands: r.hands, images: r.store, folder: t.TempDir(),
		deadline: func(c edge.Class) time.Duration { return max(c.DefaultDeadline(), 10*time.Second) },
		daemon:   func() error { return r.away },
		vitals:   func() edge.Vitals { return edge.Vitals{Cores: 4} },
		examine:  func(context.Context) []host.Finding { return nil },
		refresh:  func(context.Context) error { r.asked = append(r.asked, "refresh"); return nil },
	}
	r.supervisor, err = runtime.New(runtime.Options{Driver: r.driver, Pools: func(p []edge.Pool) { r.scheduler.Serve(p) }})
	if err != nil {
		t.Fatal(err)
	}
	r.models = models{r.supervisor, upstream.NewRouter()}
	r.scheduler, err = scheduler.New(scheduler.Options{Slots: 2, Executor: r.supervisor})
	if err != nil {
		t.Fatal(err)
	}
	r.hall.rule = func(p *edge.Policy) { r.scheduler.Govern(scheduler.RulesOf(p)) }
	r.hall.desire, r.hall.settle = r.supervisor.Apply, r.supervisor.Settle
	r.run(t)
	if err := r.apply(1, edge.Policy{}, workloads...); err != nil {
		t.Fatal(err)
	}
	return r
}

// run starts the loops, and ends them with the test.
func (r *verbRig) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	for _, loop := range []func(context.Context) error{r.supervisor.Run, r.scheduler.Run} {
		loops.Go(func() {
			if err := loop(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	r.supervisor.DaemonChanged(edge.DaemonReport{Connected: true})
	t.Cleanup(func() {
		cancel()
		loops.Wait()
		r.driver.Close()
		os.RemoveAll(r.driver.Dir)
	})
}

func (r *verbRig) serve(w edge.Workload, _ string) http.Handler {
	if w.Serve == nil {
		return nil
	}
	return &fake.Model{Names: w.Serve.Models(), Infer: r.model}
}

// signed makes an envelope of a policy for the node.
func (r *verbRig) signed(version uint64, p edge.Policy, workloads ...edge.Workload) []byte {
	r.hall.t.Helper()
	p.Metadata = edge.Metadata{Name: "line", Version: version, Audience: edge.Audience{Node: "gw-1"}}
	p.Lease = edge.LeaseTerms{Hours: 24, Boots: 10}
	p.Limits.Default.Memory = 64 << 20
	p.Workloads = workloads
	payload, err := p.Encode()
	if err != nil {
		r.hall.t.Fatal(err)
	}
	envelope, err := trust.Sign(trust.RolePolicy.PayloadType(), payload, r.hall.key)
	if err != nil {
		r.hall.t.Fatal(err)
	}
	return envelope
}

func (r *verbRig) apply(version uint64, p edge.Policy, workloads ...edge.Workload) error {
	_, err := r.hall.Apply(r.hall.t.Context(), r.signed(version, p, workloads...))
	return err
}

// plain is a workload that serves no model.
func plain(key string, replicas int) edge.Workload {
	app, name, _ := strings.Cut(key, "/")
	return edge.Workload{App: app, Name: name, Image: image, Replicas: replicas, Restart: edge.RestartAlways}
}

// serving is one that serves a model by its name.
func serving(key string) edge.Workload {
	w := plain(key, 1)
	w.Serve = &edge.Serve{Model: w.Name, Endpoint: "unix:///run/model/model.sock"}
	return w
}

// do carries a verb out with arguments in JSON.
func (r *verbRig) do(t *testing.T, verb edge.Verb, args string) (string, error) {
	t.Helper()
	return r.doIn(t.Context(), verb, args)
}

func (r *verbRig) doIn(ctx context.Context, verb edge.Verb, args string) (string, error) {
	c := edge.Command{ID: "c1", Verb: verb}
	if args != "" {
		c.Args = json.RawMessage(args)
	}
	result, err := r.Do(ctx, c, func(p edge.Progress) { r.told = append(r.told, p) })
	return string(result), err
}

// want holds a result, and that there was no error.
func want(t *testing.T, got string, err error, parts ...string) {
	t.Helper()
	if err != nil {
		t.Errorf("got %s and error %v, want none", got, err)
		return
	}
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("got %s, want %s in it", got, part)
		}
	}
	if got != "" && !json.Valid([]byte(got)) || len(got) > edge.MaxResult {
		t.Errorf("got %d bytes, want an object within bounds", len(got))
	}
}

// wantNo holds an error by what kind it is and what it says.
func wantNo(t *testing.T, err error, kind, text string) {
	t.Helper()
	if err == nil || kindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("got %s: %v\nwant %s: …%s…", kindOf(err), err, kind, text)
	}
}

// kindOf names an error.
func kindOf(err error) string {
	if refusal, is := edge.AsRefusal(err); is {
		return string(refusal.Reason)
	}
	if reason := trust.ReasonOf(err); reason != "" {
		return string(reason)
	}
	var named interface{ Reason() string }
	if errors.As(err, &named) {
		return named.Reason()
	}
	for _, known := range []struct {
		is   error
		name string
	}{
		{edge.ErrModel, "model"}, {edge.ErrDeadline, "deadline"}, {edge.ErrCancelled, "cancelled"}, {context.Canceled, "cancelled"},
		{edge.ErrUnavailable, "unavailable"}, {edge.ErrInvalid, "invalid"}, {edge.ErrNotFound, "not_found"},
	} {
		if errors.Is(err, known.is) {
			return known.name
		}
	}
	return "unknown"
}

// awaitRunning looks until so many containers of a workload run.
func (r *verbRig) awaitRunning(t *testing.T, key string, n int) {
	t.Helper()
	r.await(t, fmt.Sprintf("%d of %s running", n, key), func() bool {
		all, err := r.driver.Instances(t.Context())
		running := slices.DeleteFunc(all, func(i edge.Instance) bool { return i.Workload != key || !i.Running })
		return err == nil && len(running) == n && r.show(edge.Workload{App: "line", Name: strings.TrimPrefix(key, "line/")}, 0).Ready == n
	})
}

func (r *verbRig) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("it did not come to %s: %+v", what, r.supervisor.Workloads())
		case <-ticker.C:
		}
	}
}

func TestVerbs_Do(t *testing.T) {
	r := newVerbRig(t, plain("line/digits", 1))
	for name, c := range map[string]struct {
		verb edge.Verb
		args string
		text string
	}{
		"UnknownVerb":      {"dance", "", "no such verb"},
		"Cancel":           {edge.VerbCancel, "", "no such verb"}, // the runner's
		"NoTarget":         {edge.VerbStop, "", "target: is missing"},
		"UnknownField":     {edge.VerbStop, `{"target":"digits","force":true}`, "force: is no argument of stop"},
		"ArgsWhereNone":    {edge.VerbUndrain, `{"now":true}`, "now: is no argument"},
		"TargetTwice":      {edge.VerbStop, `{"target":"digits","target":"line/digits"}`, "stands twice"},
		"TargetNumber":     {edge.VerbStop, `{"target":7}`, "target: must be a text"},
		"NoReplicas":       {edge.VerbScale, `{"target":"digits"}`, "replicas: is missing"},
		"NegativeReplicas": {edge.VerbScale, `{"target":"digits","replicas":-1}`, "replicas: -1 is not within"},
		"ReplicasText":     {edge.VerbScale, `{"target":"digits","replicas":"two"}`, "replicas: must be a whole number"},
		"Lines":            {edge.VerbLogs, `{"target":"digits","lines":1000000}`, "lines: 1000000"},
		"NoArgv":           {edge.VerbExec, `{"target":"digits","argv":[]}`, "argv: is missing"},
		"NameWithFolder":   {edge.VerbImport, `{"name":"../secret.tar"}`, "name: is not the name of a file"},
		"NameOfFolder":     {edge.VerbImport, `{"name":".."}`, "name: is not"},
		"NoDocument":       {edge.VerbApply, `{}`, "document: is missing"},
		"DocumentText":     {edge.VerbApply, `{"document":"{}"}`, "document: must be an object"},
		"Within":           {edge.VerbDrain, `{"withinMs":-5}`, "withinMs: -5"},
		"Infer":            {edge.VerbInfer, `{"class":"vip","tenant":"a b"}`, "model: is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := r.do(t, c.verb, c.args)
			wantNo(t, err, "invalid", c.text)
			if got != "" {
				t.Errorf("got result %s beside it", got)
			}
			if _, known := r.effects()[c.verb]; known && !strings.Contains(edge.HintOf(err), string(c.verb)+" takes") {
				t.Errorf("got hint %q, want what the verb takes", edge.HintOf(err))
			}
		})
	}
	t.Run("EveryVerb", func(t *testing.T) {
		var without []edge.Verb
		for verb := range edge.Verbs() {
			if _, known := r.effects()[verb]; !known {
				without = append(without, verb)
			}
		}
		slices.Sort(without)
		if want := []edge.Verb{edge.VerbCancel}; !slices.Equal(without, want) {
			t.Errorf("got verbs %q without an effect, want %q", without, want)
		}
	})
}

func TestVerbs_Scale(t *testing.T) {
	r := newVerbRig(t, plain("line/digits", 1), plain("line/more", 2), plain("other/more", 0))
	r.awaitRunning(t, "line/digits", 1)
	got, err := r.do(t, edge.VerbScale, `{"target":"digits","replicas":3}`)
	want(t, got, err, `"workload":"line/digits"`, `"declared":1`, `"replicas":3`)
	r.awaitRunning(t, "line/digits", 3)
	got, err = r.do(t, edge.VerbStart, `{"target":"line/digits"}`)
	want(t, got, err, `"replicas":3`) // it is started, and the scale stands
	if got := r.hall.events(edge.EventWorkloadsChanged); !slices.Equal(got, []string{"command c1"}) {
		t.Errorf("got events caused by %q, want one by the command", got)
	}
	_, err = r.do(t, edge.VerbScale, `{"target":"nobody","replicas":1}`)
	wantNo(t, err, "not_found", "nobody")
	if hint := edge.HintOf(err); !strings.Contains(hint, "line/digits, line/more") {
		t.Errorf("got hint %q, want the workloads there are", hint)
	}
	_, err = r.do(t, edge.VerbScale, `{"target":"more","replicas":1}`)
	wantNo(t, err, "invalid", "2 workloads")
	_, err = r.do(t, edge.VerbScale, `{"target":"digits","replicas":17}`)
	wantNo(t, err, "denied", "more than 16, the most where the policy has no sla.maxReplicas")
	r.awaitRunning(t, "line/digits", 3)

	t.Run("PolicyBounds", func(t *testing.T) {
		bounds := edge.Policy{SLA: edge.SLAPolicy{MaxReplicas: 2}, Tenants: map[string]edge.TenantPolicy{
			edge.DefaultTenant: {Memory: 5 * 64 << 20},
		}}
		if err := r.apply(2, bounds, plain("line/digits", 1), plain("line/more", 2), plain("line/most", 1)); err != nil {
			t.Fatal(err)
		}
		r.awaitRunning(t, "line/digits", 1) // another policy ends what was adjusted
		_, err := r.do(t, edge.VerbScale, `{"target":"digits","replicas":3}`)
		wantNo(t, err, "denied", "more than 2, the most by the policy's sla.maxReplicas")
		got, err := r.do(t, edge.VerbScale, `{"target":"digits","replicas":2}`)
		want(t, got, err)
		_, err = r.do(t, edge.VerbScale, `{"target":"most","replicas":2}`) // the sixth 64 MiB
		wantNo(t, err, "denied", "tenant")
		got, err = r.do(t, edge.VerbScale, `{"target":"more","replicas":1}`)
		want(t, got, err)
		got, err = r.do(t, edge.VerbScale, `{"target":"most","replicas":2}`)
		want(t, got, err)
	})
}

func TestVerbs_StopAndStart(t *testing.T) {
	r := newVerbRig(t, plain("line/digits", 2), plain("line/idle", 0))
	r.awaitRunning(t, "line/digits", 2)
	got, err := r.do(t, edge.VerbStop, `{"target":"digits"}`)
	want(t, got, err, `"replicas":0`, `"running":0`)
	if running := r.driver.Running(); len(running) > 0 {
		t.Errorf("got %q still running", running)
	}
	t.Run("AgainIsNoChange", func(t *testing.T) {
		got, err := r.do(t, edge.VerbStop, `{"target":"digits"}`)
		want(t, got, err, `"running":0`)

		if n := len(r.hall.events(edge.EventWorkloadsChanged)); n != 1 {
			t.Errorf("got %d events, want one", n)
		}
	})
	t.Run("StaysStoppedAfterAPowerCut", func(t *testing.T) {
		again := newAdjustments(filepath.Dir(r.governor.adjust.path), r.hall.shown.warnings)
		again.Open()
		in := r.hall.governor.store.Snapshot()
		over := again.Over(tenureOf(in), in.Policy.Workloads)
		if over[0].Replicas != 0 || over[1].Replicas != 0 || in.Policy.Workloads[0].Replicas != 2 {
			t.Errorf("got %d and %d replicas, want none, and the policy as it was", over[0].Replicas, over[1].Replicas)
		}
	})
	got, err = r.do(t, edge.VerbStart, `{"target":"digits"}`)
	want(t, got, err, `"replicas":2`)
	r.awaitRunning(t, "line/digits", 2)
	got, err = r.do(t, edge.VerbStart, `{"target":"idle"}`)
	want(t, got, err, `"declared":0`, `"replicas":1`)
	r.awaitRunning(t, "line/idle", 1)
	r.told = nil
	t.Run("ContainerdAway", func(t *testing.T) {
		stuck := func() error { return errors.New("stuck") }
		r.onStop.Store(&stuck)
		r.away = fmt.Errorf("containerd does not answer: %w", edge.ErrUnavailable)
		defer func() { r.away = nil; r.onStop.Store(nil) }()
		got, err := r.do(t, edge.VerbStop, `{"target":"idle"}`)
		wantNo(t, err, "unavailable", "is to have 0 instances for good; it has 1")
		if !strings.Contains(got, `"replicas":0`) {
			t.Errorf("got %s, want what stands beside the error", got)
		}
		_, err = r.do(t, edge.VerbRestart, `{"target":"idle"}`)
		wantNo(t, err, "unavailable", "cannot restart")
	})
	got, err = r.do(t, edge.VerbStart, `{"target":"idle"}`)
	want(t, got, err, `"ready":1`)
	t.Run("TooSlow", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		gaveUp := errors.New("gave up")
		fail := func() error {
			cancel(gaveUp)
			return errors.New("stuck")
		}
		r.onStop.Store(&fail)
		defer r.onStop.Store(nil)
		got, err = r.doIn(ctx, edge.VerbStop, `{"target":"idle"}`)
		if !errors.Is(err, gaveUp) || !strings.Contains(got, `"running":1`) {
			t.Errorf("got %s and %v, want what is left and %v", got, err, gaveUp)
		}
		if len(r.told) == 0 || r.told[0] != (edge.Progress{Total: 1, Unit: "instances"}) {
			t.Errorf("got progress %+v", r.told)
		}
	})
}

func TestVerbs_Stop_Unkept(t *testing.T) {
	r := newVerbRig(t, plain("line/digits", 1))
	r.awaitRunning(t, "line/digits", 1)
	r.governor.adjust.path = filepath.Join(t.TempDir(), "gone", adjustedName)
	_, err := r.do(t, edge.VerbStop, `{"target":"digits"}`)
	wantNo(t, err, "unavailable", "so it is not")
	if n := len(r.driver.Running()); n != 1 {
		t.Errorf("got %d running, want what could not be kept undone", n)
	}
}

func TestVerbs_Restart(t *testing.T) {
	r := newVerbRig(t, plain("line/digits", 2), plain("other/digits", 1))
	r.awaitRunning(t, "line/digits", 2)
	before := r.driver.Running()
	_, err := r.do(t, edge.VerbRestart, `{"target":"digits"}`)
	wantNo(t, err, "invalid", "2 workloads")
	got, err := r.do(t, edge.VerbRestart, `{"target":"line/digits"}`)
	want(t, got, err, `"target":"line/digits"`, `"replaced":2`)
	now := r.driver.Running()
	if others := slices.DeleteFunc(slices.Clone(now), func(id string) bool { return slices.Contains(before, id) }); len(now) != 3 || len(others) != 2 {
		t.Errorf("%v run after %v, want two others", now, before)
	}
	one := r.driver.Running()[0]
	got, err = r.do(t, edge.VerbRestart, `{"target":"`+one+`"}`)
	want(t, got, err, one, `"replaced":1`)
	if now := r.driver.Running(); slices.Contains(now, one) {
		t.Errorf("%v run, want another than %s", now, one)
	}
	_, err = r.do(t, edge.VerbRestart, `{"target":"nobody"}`)
	wantNo(t, err, "not_found", "nobody")
}

func TestVerbs_ApplyAndRollback(t *testing.T) {
	r := newVerbRig(t, plain("line/digits", 1))
	_, err := r.do(t, edge.VerbRollback, "")
	wantNo(t, err, "not_found", "there is no policy before version 1")
	if edge.HintOf(err) == "" {
		t.Error("got no hint")
	}
	document := string(r.signed(2, edge.Policy{}, plain("line/more", 1)))
	got, err := r.do(t, edge.VerbApply, `{"document":`+document+`}`)
	want(t, got, err, `"version":2`, `"state":"current"`)
	r.awaitRunning(t, "line/more", 1)
	_, err = r.do(t, edge.VerbApply, `{"document":`+string(r.signed(1, edge.Policy{}, plain("line/digits", 1)))+`}`)
	wantNo(t, err, "rollback", "")

	got, err = r.do(t, edge.VerbRollback, "{}")
	want(t, got, err, `"version":1`, `"failedVersion":2`, `command c1`)
	r.awaitRunning(t, "line/digits", 1)
	if got := r.hall.events(edge.EventPolicyRolledBack); !slices.Equal(got, []string{"command c1"}) {
		t.Errorf("got events %q, want one by the command", got)
	}
	_, err = r.do(t, edge.VerbApply, `{"document":`+document+`}`)
	wantNo(t, err, "rolled_back", "")

	t.Run("ImageGone", func(t *testing.T) {
		if err := r.apply(3, edge.Policy{}, plain("line/idle", 0)); err != nil {
			t.Fatal(err)
		}
		r.hall.held = nil
		_, err := r.do(t, edge.VerbRollback, "")
		wantNo(t, err, "not_found", "has no image")
		if v := r.hall.report().Version; v != 3 {
			t.Errorf("got version %d in force, want 3", v)
		}
	})
}

func TestVerbs_NoPolicy(t *testing.T) {
	r := newVerbRig(t, plain("line/digits", 1))
	r.governor.store = newHallRig(t, 0).store
	for verb, args := range map[edge.Verb]string{edge.VerbStop: `{"target":"digits"}`, edge.VerbRollback: ""} {
		_, err := r.do(t, verb, args)
		wantNo(t, err, "unavailable", "no policy is in force")
	}
}

func TestVerbs_Node(t *testing.T) {
	r := newVerbRig(t)
	got, err := r.do(t, edge.VerbVitals, "")
	want(t, got, err, `"cores":4`)
	got, err = r.do(t, edge.VerbRefresh, "{}")
	want(t, got, err)
	if got != "" || !slices.Equal(r.asked, []string{"refresh"}) {
		t.Errorf("got result %q and calls %q", got, r.asked)
	}
	_, err = r.do(t, edge.VerbReboot, "")
	wantNo(t, err, "denied", "does not let its fleet")
	if !strings.Contains(edge.HintOf(err), "link.reboot: allow") {
		t.Errorf("got hint %q", edge.HintOf(err))
	}
	r.reboot = func(context.Context) error { r.asked = append(r.asked, "reboot"); return nil }
	got, err = r.do(t, edge.VerbReboot, "")
	want(t, got, err)
	if len(r.asked) != 2 {
		t.Errorf("got calls %q, want a reboot too", r.asked)
	}

	t.Run("Diagnose", func(t *testing.T) {
		r.examine = func(context.Context) []host.Finding {
			return []host.Finding{{Code: "a", Level: host.LevelOK}, {Code: "b", Level: host.LevelFail}, {Code: "c", Level: host.LevelWarn}}
		}
		got, err := r.do(t, edge.VerbDiagnose, "")
		want(t, got, err, `"worst":"fail"`, `"code":"c"`)
		r.examine = func(context.Context) []host.Finding {
			return slices.Repeat([]host.Finding{{Code: "a", Level: host.LevelWarn, Detail: strings.Repeat("<", 1000)}}, 100)
		}
		got, err = r.do(t, edge.VerbDiagnose, "")
		want(t, got, err, `"worst":"warn"`, `"truncated":true`, `"code":"a"`)
	})
}
