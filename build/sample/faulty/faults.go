package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"holdfast/build/sample/serve"
	"holdfast/edge/oip"
)

// maxBody lets large requests reach the faults.
const maxBody = 64 << 20

// newHandler makes the burner's handler and puts the faults before its infer path.
func newHandler(f faults) http.Handler {
	model := &burner{name: f.model, burn: f.burn, eat: f.eat << 20}
	next := serve.NewHandler(serve.Options{
		Name: "holdfast-faulty", Version: "1", MaxBody: maxBody,
		Models: []serve.Model{model},
		Ready:  func() bool { return !f.neverReady },
	})
	infer := f.infer(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/infer") {
			infer(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// infer does wrong what was asked for and hands on what is left.
func (f faults) infer(next http.Handler) http.HandlerFunc {
	var seen atomic.Int64
	answerGarbage := garbage()[f.garbage]
	return func(w http.ResponseWriter, r *http.Request) {
		if n := seen.Add(1); f.exitAfter >= 0 && n > int64(f.exitAfter) {
			os.Exit(f.exitCode) // as a crash would: nothing is answered, the socket stays
		}
		switch {
		case f.hang:
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the caller has gone
			<-r.Context().Done()
		case answerGarbage != nil:
			answerGarbage(w, r, f.model)
		default:
			next.ServeHTTP(w, r)
		}
	}
}

// garbage maps each kind to what it answers.
func garbage() map[string]func(w http.ResponseWriter, r *http.Request, model string) {
	return map[string]func(http.ResponseWriter, *http.Request, string){
		"text":    func(w http.ResponseWriter, _ *http.Request, _ string) { write(w, "I am not JSON") },
		"empty":   func(http.ResponseWriter, *http.Request, string) {},
		"status":  func(w http.ResponseWriter, _ *http.Request, _ string) { w.WriteHeader(http.StatusInternalServerError) },
		"shape":   wrongShape,
		"header":  wrongHeader,
		"partial": partial,
		"endless": endless,
	}
}

// garbageKinds lists them.
func garbageKinds() []string { return slices.Sorted(maps.Keys(garbage())) }

// write answers with text; who has gone does not miss it.
func write(w http.ResponseWriter, text string) { _, _ = w.Write([]byte(text)) }

// wrongShape answers with a tensor that has less data than its shape says.
func wrongShape(w http.ResponseWriter, _ *http.Request, model string) {
	write(w, fmt.Sprintf(`{"model_name":%q,"outputs":[{"name":"label","shape":[3],"datatype":"INT64","data":[1]}]}`, model))
}

// wrongHeader claims more JSON than there is.
func wrongHeader(w http.ResponseWriter, _ *http.Request, _ string) {
	w.Header().Set(oip.HeaderLengthField, "1000000")
	write(w, `{"outputs":[]}`)
}

// partial breaks off in the middle of an answer.
func partial(w http.ResponseWriter, _ *http.Request, model string) {
	w.Header().Set("Content-Length", "1000")
	write(w, fmt.Sprintf(`{"model_name":%q,"outputs":[`, model))
	panic(http.ErrAbortHandler)
}

// endless answers until the caller has had enough.
func endless(w http.ResponseWriter, _ *http.Request, _ string) {
	chunk := []byte(strings.Repeat(" ", 64<<10))
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// childArg marks a child.
const childArg = "-child"

// fork starts children that outlive it unless they are killed with it.
func fork(count int) error {
	for range count {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("cannot find own program: %w", err)
		}
		if err := exec.Command(self, childArg).Start(); err != nil {
			return fmt.Errorf("cannot start child: %w", err)
		}
	}
	return nil
}

// waitForever is all a child does; only SIGKILL ends it.
func waitForever() {
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	for range ignored {
	}
}
