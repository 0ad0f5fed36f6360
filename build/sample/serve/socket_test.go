package serve_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"holdfast/build/sample/serve"
	"holdfast/edge/oip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestListen_RefusesAddress(t *testing.T) {
	for _, address := range []string{"unix://relative", "unix://", "tcp://", "http://x", "nowhere"} {
		if listener, err := serve.Listen(address); err == nil {
			listener.Close()
			t.Errorf("%q was accepted", address)
		}
	}
}

func TestListen_TakesOverDeadSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := serve.Listen("unix://" + path); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("took over a living socket: %v", err)
	}
	dead.SetUnlinkOnClose(false) // as if it had crashed
	dead.Close()
	listener, err := serve.Listen("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
}

func TestListen_LeavesFilesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := serve.Listen("unix://" + path); err == nil {
		t.Error("listened where a file was")
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "precious" {
		t.Errorf("file is %q, %v", content, err)
	}
}

// slow is a model that answers when it is let.
type slow struct {
	entered chan struct{}
	answer  chan struct{}
}

func (s *slow) Metadata() oip.ModelMetadata { return oip.ModelMetadata{Name: "slow"} }

func (s *slow) Infer(context.Context, *oip.InferRequest) ([]oip.Tensor, error) {
	close(s.entered)
	<-s.answer
	return []oip.Tensor{serve.Int64Tensor("n", []int64{1}, []int64{7}, false)}, nil
}

func TestRun_FinishesRequestsInFlight(t *testing.T) {
	for _, address := range []string{"unix://" + filepath.Join(t.TempDir(), "s"), "tcp://127.0.0.1:0"} {
		model := &slow{entered: make(chan struct{}), answer: make(chan struct{})}
		listener, err := serve.Listen(address)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended, status := make(chan error, 1), make(chan int, 1)
		go func() {
			ended <- serve.Run(ctx, listener, serve.NewHandler(serve.Options{Models: []serve.Model{model}, MaxBody: 1 << 10}))
		}()
		go func() { status <- post(t, listener.Addr()) }()
		<-model.entered
		stop()
		waitClosed(t, listener.Addr())
		close(model.answer)
		if got := <-status; got != http.StatusOK {
			t.Errorf("%s: the request in flight got %d", address, got)
		}
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// post sends one request on a connection of its own.
func post(t *testing.T, address net.Addr) int {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, address.Network(), address.String())
	}}}
	body := []byte(`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}`)
	resp, err := client.Post("http://model/v2/models/slow/infer", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// waitClosed returns once nobody accepts connections any more.
func waitClosed(t *testing.T, address net.Addr) {
	t.Helper()
	for t.Context().Err() == nil {
		conn, err := net.Dial(address.Network(), address.String())
		if err != nil {
			return
		}
		conn.Close()
	}
}

func TestCheck_SaysWhatIsWrong(t *testing.T) {
	address := "unix://" + filepath.Join(t.TempDir(), "s")
	if err := serve.Check(t.Context(), address); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nobody listens: %v", err)
	}
	ready := make(chan bool, 2)
	listener, err := serve.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serve.Run(ctx, listener, serve.NewHandler(serve.Options{Ready: func() bool { return <-ready }}))
	}()
	ready <- false
	if err := serve.Check(t.Context(), address); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("not ready: %v", err)
	}
	ready <- true
	if err := serve.Check(t.Context(), address); err != nil {
		t.Errorf("ready: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
