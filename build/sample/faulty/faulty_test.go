package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/build/sample/serve"
	"holdfast/edge"
	"holdfast/edge/oip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// binary builds the program once for a test.
func binary(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "faulty")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", file, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

// process is a running faulty server.
type process struct {
	*exec.Cmd
	address string
	client  *http.Client
}

// start runs the program and returns once it listens.
func start(t *testing.T, file string, args ...string) *process {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	p := &process{
		Cmd:     exec.Command(file, append([]string{"-listen", "unix://" + socket}, args...)...),
		address: "unix://" + socket,
		client: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}},
	}
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.client.CloseIdleConnections()
		_ = p.Process.Kill() // it may have ended already
		_ = p.Wait()
	})
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "listens") {
			return p
		}
	}
	t.Fatalf("ended without listening: %v", lines.Err())
	return nil
}

// infer sends a request that asks for so many milliseconds.
func (p *process) infer(ctx context.Context, ms float32) (edge.Payload, int, error) {
	payload, err := burnRequest(ms)
	if err != nil {
		return edge.Payload{}, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://model/v2/models/faulty/infer", bytes.NewReader(payload.Body))
	if err != nil {
		return edge.Payload{}, 0, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return edge.Payload{}, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	length, _ := strconv.Atoi(resp.Header.Get(oip.HeaderLengthField)) // absent is 0
	return edge.Payload{Body: body, HeaderLength: length}, resp.StatusCode, err
}

// burnRequest asks for so many milliseconds of CPU time.
func burnRequest(ms float32) (edge.Payload, error) {
	return oip.InferRequest{Inputs: []oip.Tensor{oip.FP32Tensor("ms", []int64{1}, []float32{ms}, false)}}.Payload()
}

func TestFaulty_Burns(t *testing.T) {
	handler := newHandler(faults{model: "faulty", exitAfter: -1, burn: 2 * time.Millisecond})
	for _, asked := range []float32{0, 1, 20} {
		payload, err := burnRequest(asked)
		if err != nil {
			t.Fatal(err)
		}
		before := cpuTime(t)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v2/models/faulty/infer", bytes.NewReader(payload.Body)))
		spent := cpuTime(t) - before
		resp, err := oip.ParseResponse(edge.Payload{Body: w.Body.Bytes()})
		if err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
		used, err := resp.Outputs[0].Float32s()
		if err != nil {
			t.Fatal(err)
		}
		// The kernel counts CPU time of the process in whole; a twentieth is lost to granularity.
		if want := asked + 2; used[0] < want || used[0] > want+1 || float32(spent.Seconds()*1000) < want*0.95 {
			t.Errorf("asked for %v and 2 ms: says %v ms, the process used %v", asked, used[0], spent)
		}
	}
}

// cpuTime is what the test's process has used.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func TestFaulty_RefusesMilliseconds(t *testing.T) {
	handler := newHandler(faults{model: "faulty", exitAfter: -1})
	for _, data := range []string{"[-1]", "[60001]", "[1,2]", `["x"]`} {
		body := fmt.Sprintf(`{"inputs":[{"name":"ms","shape":[%d],"datatype":"FP32","data":%s}]}`, strings.Count(data, ",")+1, data)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v2/models/faulty/infer", strings.NewReader(body)))
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "inputs[0].data") {
			t.Errorf("%s: %d %s", data, w.Code, w.Body)
		}
	}
}

func TestFaulty_Misbehaves(t *testing.T) {
	file := binary(t)
	t.Run("Well", func(t *testing.T) {
		p := start(t, file)
		if payload, status, err := p.infer(t.Context(), 1); err != nil || status != http.StatusOK {
			t.Errorf("%d %v: %s", status, err, payload.Body)
		}
		if err := serve.Check(t.Context(), p.address); err != nil {
			t.Error(err)
		}
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(); err != nil {
			t.Errorf("ended with %v on SIGTERM", err)
		}
	})
	t.Run("NeverReady", func(t *testing.T) {
		p := start(t, file, "-never-ready")
		if err := serve.Check(t.Context(), p.address); err == nil {
			t.Error("it is ready")
		}
	})
	t.Run("ReadyAfter", func(t *testing.T) {
		began := time.Now()
		start(t, file, "-ready-after", "200ms")
		if took := time.Since(began); took < 200*time.Millisecond {
			t.Errorf("listened after %v", took)
		}
	})
	t.Run("Hang", func(t *testing.T) {
		p := start(t, file, "-hang")
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, _, err := p.infer(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("answered with %v", err)
		}
	})
	t.Run("ExitAfter", func(t *testing.T) {
		p := start(t, file, "-exit-after", "1", "-exit-code", "7")
		if _, status, err := p.infer(t.Context(), 0); err != nil || status != http.StatusOK {
			t.Errorf("first request: %d %v", status, err)
		}
		if _, _, err := p.infer(t.Context(), 0); err == nil {
			t.Error("second request was answered")
		}
		wantExit(t, p.Wait(), 7)
	})
	t.Run("ExitNow", func(t *testing.T) {
		cmd := exec.Command(file)
		cmd.Env = append(os.Environ(), "FAULTY=-exit-now -exit-code 3")
		wantExit(t, cmd.Run(), 3)
	})
	t.Run("IgnoreTerm", func(t *testing.T) {
		p := start(t, file, "-ignore-term")
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if _, status, err := p.infer(t.Context(), 0); err != nil || status != http.StatusOK {
			t.Errorf("%d %v after SIGTERM", status, err)
		}
	})
	t.Run("Eat", func(t *testing.T) {
		p := start(t, file, "-eat", "64")
		before := resident(t, p.Process.Pid)
		if _, _, err := p.infer(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if grown := resident(t, p.Process.Pid) - before; grown < 60<<10 {
			t.Errorf("grew by %d KiB, want 64 MiB", grown)
		}
	})
	t.Run("Fork", func(t *testing.T) {
		p := start(t, file, "-fork", "3")
		list := children(t, p.Process.Pid)
		t.Cleanup(func() {
			for _, pid := range list {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		})
		if len(list) != 3 {
			t.Errorf("children %v, want three", list)
		}
	})
	t.Run("UnknownFlag", func(t *testing.T) {
		wantExit(t, exec.Command(file, "-garbage", "roses").Run(), 2)
	})
}

func TestFaulty_AnswersGarbage(t *testing.T) {
	file := binary(t)
	for _, kind := range garbageKinds() {
		t.Run(kind, func(t *testing.T) {
			payload, status, err := start(t, file, "-garbage", kind).infer(t.Context(), 0)
			if err != nil || status != http.StatusOK {
				return // broken on the wire, or an error by its status
			}
			resp, err := oip.ParseResponse(payload)
			if err != nil {
				return // not an answer
			}
			values, err := resp.Outputs[0].Float32s()
			if err == nil && int64(len(values)) == resp.Outputs[0].Shape[0] {
				t.Errorf("%s is a proper answer", payload.Body)
			}
		})
	}
}

// wantExit holds how a process ended.
func wantExit(t *testing.T, err error, want int) {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != want {
		t.Errorf("ended with %v, want exit code %d", err, want)
	}
}

// resident is a process's memory in KiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib
}

// children lists a process's children, whichever thread started them.
func children(t *testing.T, pid int) []int {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, list := range lists {
		content, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range strings.Fields(string(content)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}
