package localapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

func TestServer_Health(t *testing.T) {
	r := start(t, newNode())
	get := func(path string) reply { return r.send(t, http.MethodGet, path, nil) }
	for path, want := range map[string]string{
		"/v2":                                `{"name":"holdfast","version":"1.2.3","extensions":["binary_tensor_data","schedule_policy"]}`,
		"/v2/health/live":                    `{"live":true}`,
		"/v2/health/ready":                   `{"ready":true}`,
		"/v2/models/digits/ready":            `{"name":"digits","ready":true}`,
		"/v2/models/digits/versions/1/ready": `{"name":"digits","ready":true}`,
	} {
		if got := get(path); got.status != http.StatusOK || strings.TrimSpace(string(got.body)) != want {
			t.Errorf("%s: got %d: %s", path, got.status, got.body)
		}
	}
	if meta, err := r.client(t).Model(t.Context(), "digits"); err != nil || fmt.Sprint(meta) != fmt.Sprint(digits) {
		t.Errorf("metadata: got %+v, %v", meta, err)
	}
	get("/v2/models/silent").want(t, 503, "model_not_ready", "", "silent")
	get("/v2/models/silent/ready").want(t, 503, "model_not_ready", "", "silent")
	get("/v2/models/nobody").want(t, 404, "unknown_model", "", "nobody")
	get("/v2/models/digits/versions/2").want(t, 404, "unknown_model", "", "it has 1")
	r.drainingNow(true)
	get("/v2/health/ready").want(t, 503, "draining", "", "no new tasks")
	r.drainingNow(false)
	r.unready = true
	get("/v2/health/ready").want(t, 503, "model_not_ready", "", "no model is ready")
}

func TestClient_Reads(t *testing.T) {
	r := start(t, newNode())
	for name, c := range map[string]*localapi.Client{"socket": r.client(t), "port": r.port(t)} {
		ctx := t.Context()
		status, err := c.Status(ctx)
		if err != nil || status.Node != "gw-1" {
			t.Errorf("%s: status: got %+v, %v", name, status, err)
		}
		vitals, err := c.Vitals(ctx)
		if err != nil || vitals.Cores != 4 {
			t.Errorf("%s: vitals: got %+v, %v", name, vitals, err)
		}
		tasks, err := c.Tasks(ctx)
		if err != nil || tasks == nil {
			t.Errorf("%s: tasks: got %v, %v", name, tasks, err)
		}
		models, err := c.Models(ctx)
		if err != nil || fmt.Sprint(models) != "[digits silent]" {
			t.Errorf("%s: models: got %v, %v", name, models, err)
		}
		images, err := c.Images(ctx)
		if err != nil || len(images) != 1 {
			t.Errorf("%s: images: got %v, %v", name, images, err)
		}
		workloads, err := c.Workloads(ctx)
		want := map[string]string{"socket": "PASSWORD=secret", "port": "PASSWORD=…"}[name]
		if err != nil || workloads[0].Workload.Env[0] != want || status.Workloads[0].Workload.Env[0] != want {
			t.Errorf("%s: workloads: got %+v, %v", name, workloads, err)
		}
	}
}

func TestClient_Acts(t *testing.T) {
	r := start(t, newNode())
	c, ctx := r.client(t), t.Context()
	if err := c.CancelTask(ctx, "known"); err != nil {
		t.Error(err)
	}
	if err := c.CancelTask(ctx, "a/b"); !errors.Is(err, edge.ErrNotFound) {
		t.Errorf("cancel: got %v", err)
	}
	for _, err := range []error{c.Restart(ctx, "line/digits"), c.Drain(ctx), c.Undrain(ctx)} {
		if err != nil {
			t.Error(err)
		}
	}
	if got := r.deeds(); got != "cancel known, cancel a/b, restart line/digits, drain, undrain" {
		t.Errorf("got %s", got)
	}
	r.control = edge.WithHint(fmt.Errorf("cannot restart %q: %w", "x", edge.ErrNotFound), "see holdfast workloads")
	if err := c.Restart(ctx, "x"); !errors.Is(err, edge.ErrNotFound) || edge.HintOf(err) != "see holdfast workloads" {
		t.Errorf("got %v, hint %q", err, edge.HintOf(err))
	}
	if err := c.Restart(ctx, ""); !errors.Is(err, edge.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestClient_Explain(t *testing.T) {
	r := start(t, newNode())
	c := r.client(t)
	q := localapi.Question{Model: "digits", Class: "urgent", Deadline: "80ms", Tenant: "vision"}
	if err := c.Explain(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	task := r.submitted()[0]
	if task.Model != "digits" || task.Class != edge.Urgent || task.Deadline.Sub(task.Arrived) != 80*time.Millisecond || task.Tenant != "vision" {
		t.Errorf("got %+v", task)
	}
	r.explain = &edge.Refusal{Reason: edge.ReasonDeadlineUnreachable, Earliest: 3 * time.Millisecond}
	err := c.Explain(t.Context(), q)
	if refusal, ok := edge.AsRefusal(err); !ok || refusal.Earliest != 3*time.Millisecond {
		t.Errorf("got %v", err)
	}
	for _, bad := range []localapi.Question{{}, {Model: "digits", Deadline: "0s"}, {Model: "digits", Class: "vip"}, {Model: strings.Repeat("m", 5000)}} {
		if err := c.Explain(t.Context(), bad); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("%.20v: got %v", bad, err)
		}
	}
}

func TestServer_Port_IsRestricted(t *testing.T) {
	r := start(t, newNode())
	addr := r.server.Addr()
	ask := func(method, path, host, origin string) reply {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		transport := &http.Transport{DisableKeepAlives: true}
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return readReply(t, resp)
	}
	for _, verb := range []string{
		"POST /v1/drain", "POST /v1/undrain", "POST /v1/restart?target=a/b", "POST /v1/tasks/x/cancel", "POST /v1/images", "POST /v1/images/pull?image=x", "POST /v1/images/prune", "GET /v1/logs/a/b",
	} {
		method, path, _ := strings.Cut(verb, " ")
		got := ask(method, path, addr, "")
		got.want(t, http.StatusForbidden, "forbidden", "", "unix socket only")
		if !strings.Contains(got.Hint, r.socket) {
			t.Errorf("%s: hint: got %q", verb, got.Hint)
		}
	}
	if did := r.deeds(); did != "" {
		t.Errorf("got %s done", did)
	}
	_, port, _ := strings.Cut(addr, ":")
	for _, host := range []string{"localhost", "localhost:" + port, "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:80"} {
		if got := ask("GET", "/v1/vitals", host, ""); got.status != http.StatusOK {
			t.Errorf("host %s: got %d", host, got.status)
		}
	}
	for _, host := range []string{"evil.example", "evil.example:" + port, "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil:80"} {
		ask("GET", "/v1/vitals", host, "").want(t, http.StatusForbidden, "forbidden", "Host", "")
	}
	if got := ask("GET", "/metrics", addr, ""); got.status != http.StatusOK || string(got.body) != "tasks_total 3\n" {
		t.Errorf("metrics: got %d %q", got.status, got.body)
	}
	if got := ask("GET", "/v1/vitals", addr, "http://"+addr); got.status != http.StatusOK {
		t.Errorf("own origin: got %d", got.status)
	}
	for _, origin := range []string{"http://evil.example", "null", "http://127.0.0.1:1", "https://" + addr} {
		ask("GET", "/v1/vitals", addr, origin).want(t, http.StatusForbidden, "forbidden", "Origin", "")
	}
}

func TestServer_UnknownPaths(t *testing.T) {
	r := start(t, newNode())
	got := r.send(t, http.MethodGet, "/v1/stats", nil)
	got.want(t, http.StatusNotFound, "not_found", "", "/v1/stats")
	if !strings.Contains(got.Hint, "GET /v1/status") {
		t.Errorf("hint: got %q", got.Hint)
	}
	got = r.send(t, http.MethodDelete, "/v1/drain", nil)
	got.want(t, http.StatusMethodNotAllowed, "method_not_allowed", "", "answers POST")
	if got.header.Get("Allow") != "POST" {
		t.Errorf("Allow: got %q", got.header.Get("Allow"))
	}
	got = r.send(t, http.MethodGet, "/v1", nil)
	var routes []struct{ Method, Path, About string }
	if err := json.Unmarshal(got.body, &routes); err != nil || len(routes) < 20 || routes[0].About == "" {
		t.Errorf("index: got %s, %v", got.body, err)
	}
}

func TestClient_Events(t *testing.T) {
	r := start(t, newNode())
	r.happen(edge.EventAgentStarted)
	r.happen(edge.EventImageImported)
	var seen []uint64
	note := func(e edge.Event) error { seen = append(seen, e.Seq); return nil }
	if err := r.client(t).Events(t.Context(), 1, false, note); err != nil || fmt.Sprint(seen) != "[2]" {
		t.Errorf("got %v, %v", seen, err)
	}
	t.Run("Follow", func(t *testing.T) {
		events, ended := make(chan uint64), make(chan error, 1)
		client := r.client(t)
		go func() {
			ended <- client.Events(context.Background(), 0, true, func(e edge.Event) error { events <- e.Seq; return nil })
		}()
		for want := uint64(1); want <= 4; want++ {
			if want > 2 {
				r.happen(edge.EventTaskMissed)
			}
			if got := <-events; got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestClient_Events_EndsWithItsCaller(t *testing.T) {
	r := start(t, newNode())
	r.happen(edge.EventAgentStarted)
	stop := errors.New("enough")
	if err := r.client(t).Events(t.Context(), 0, true, func(edge.Event) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := r.client(t).Events(ctx, 0, true, func(edge.Event) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestClient_Logs(t *testing.T) {
	n := newNode()
	n.logs = func(ctx context.Context, target string, lines int, follow bool) (io.ReadCloser, error) {
		if target == "x/y" {
			return nil, fmt.Errorf("cannot find %q: %w", target, edge.ErrNotFound)
		}
		text := fmt.Sprintf("%s %d %v\n", target, lines, follow)
		if !follow {
			return io.NopCloser(strings.NewReader(text)), nil
		}
		r, w := io.Pipe()
		go func() {
			_, _ = io.WriteString(w, text)
			<-ctx.Done()
			w.Close()
		}()
		return r, nil
	}
	r := start(t, n)
	c := r.client(t)
	output, err := c.Logs(t.Context(), "line/digits", 5, false)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(output)
	output.Close()
	if err != nil || string(text) != "line/digits 5 false\n" {
		t.Errorf("got %q, %v", text, err)
	}
	if _, err := c.Logs(t.Context(), "x/y", 1, false); !errors.Is(err, edge.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Logs(t.Context(), "line/digits", -1, false); !errors.Is(err, edge.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	output, err = c.Logs(t.Context(), "line/digits", 5, true)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	first := make([]byte, len("line/digits 5 true\n"))
	if _, err := io.ReadFull(output, first); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil { // the stream does not hold the stop up
		t.Error(err)
	}
	if rest, err := io.ReadAll(output); len(rest) != 0 || err != nil {
		t.Errorf("got %q, %v", rest, err)
	}
}

func TestClient_ImportImages(t *testing.T) {
	n := newNode()
	n.importing = func(_ context.Context, archive io.Reader) ([]edge.Image, error) {
		size, err := io.Copy(io.Discard, archive)
		return []edge.Image{{Name: "x", Size: size}}, err
	}
	r := start(t, n, func(o *localapi.Options) { o.MaxBody = 1 << 20 })
	c := r.client(t)
	t.Run("LargerThanMaxBody", func(t *testing.T) {
		images, err := c.ImportImages(t.Context(), io.LimitReader(&zeros{}, 8<<20))
		if err != nil || images[0].Size != 8<<20 {
			t.Errorf("got %+v, %v", images, err)
		}
	})
	t.Run("Foreign", func(t *testing.T) {
		n.importing = func(_ context.Context, archive io.Reader) ([]edge.Image, error) {
			_, _ = io.ReadFull(archive, make([]byte, 512))
			return nil, fmt.Errorf("cannot import archive: no OCI layout: %w", edge.ErrInvalid)
		}
		// The refusal is read although most of the archive was not.
		_, err := c.ImportImages(t.Context(), io.LimitReader(&zeros{}, 64<<20))
		if !errors.Is(err, edge.ErrInvalid) || !strings.Contains(err.Error(), "no OCI layout") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("UnreadableSource", func(t *testing.T) {
		broken := errors.New("disk gone")
		n.importing = func(_ context.Context, archive io.Reader) ([]edge.Image, error) {
			_, err := io.Copy(io.Discard, archive)
			return nil, err
		}
		if _, err := c.ImportImages(t.Context(), io.MultiReader(bytes.NewReader(make([]byte, 9)), failing{broken})); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("TakeTurns", func(t *testing.T) {
		n := newNode()
		c := start(t, n).client(t)
		inside, let := make(chan struct{}), make(chan struct{})
		n.importing = func(context.Context, io.Reader) ([]edge.Image, error) {
			close(inside)
			<-let
			return nil, nil
		}
		first := make(chan error, 1)
		go func() {
			_, err := c.ImportImages(context.Background(), strings.NewReader("x"))
			first <- err
		}()
		<-inside
		if _, err := c.ImportImages(t.Context(), strings.NewReader("y")); !errors.Is(err, edge.ErrUnavailable) || !strings.Contains(err.Error(), "another import") {
			t.Errorf("got %v", err)
		}
		close(let)
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestClient_Unreachable(t *testing.T) {
	dir := socketDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{
		"NoSocket": filepath.Join(dir, "none.sock"), "NoListener": file, "NoPort": "http://127.0.0.1:1", "WithScheme": "unix://" + filepath.Join(dir, "x"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := localapi.Dial(address).Status(t.Context())
			if !errors.Is(err, edge.ErrUnavailable) || !strings.Contains(edge.HintOf(err), "holdfast run") || !strings.Contains(err.Error(), address) {
				t.Errorf("got %v, hint %q", err, edge.HintOf(err))
			}
		})
	}
	t.Run("GaveUp", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := localapi.Dial(file).Status(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
}
