package runtime_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
	"holdfast/runtime/fake"
)

// serving starts a house with one model server that is ready.
func serving(t *testing.T, d *fake.Driver, replicas int, change func(*edge.Serve), infer http.HandlerFunc) *house {
	t.Helper()
	d.Serve = func(w edge.Workload, id string) http.Handler {
		return &fake.Model{Names: w.Serve.Models(), Version: "7", Infer: infer}
	}
	h := newHouse(t, d)
	w := modelServer("digits", replicas)
	if change != nil {
		change(w.Serve)
	}
	h.sup.Apply([]edge.Workload{w})
	settle(time.Minute)
	if got := h.lanes("shop/digits"); got < replicas {
		t.Fatalf("lanes: got %d, want at least %d", got, replicas)
	}
	return h
}

func TestSupervisor_Execute(t *testing.T) {
	t.Run("AnswersJSON", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, nil, nil)
			answer, err := h.sup.Execute(t.Context(), task("digits", `{"inputs":[]}`))
			if err != nil {
				t.Fatal(err)
			}
			var said oip.InferResponse
			if err := json.Unmarshal(answer.Payload.Body, &said); err != nil {
				t.Fatal(err)
			}
			if got := string(said.Outputs[0].Data); got != "[13]" {
				t.Errorf("output: got %s, want [13]", got)
			}
			if answer.Model != "digits" || answer.Version != "7" || answer.Route != "local" || answer.Instance != d.Running()[0] {
				t.Errorf("answer: got %+v", answer)
			}
		})
	})
	t.Run("CarriesBinaryTensors", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, nil, func(w http.ResponseWriter, r *http.Request) {
				length, _ := strconv.Atoi(r.Header.Get(oip.HeaderLengthField))
				body, _ := io.ReadAll(r.Body)
				head := fmt.Sprintf(`{"model_name":%q,"outputs":[{"name":"raw","datatype":"UINT8","shape":[%d],"parameters":{"binary_data_size":%[2]d}}]}`,
					r.PathValue("version"), len(body)-length)
				w.Header().Set(oip.HeaderLengthField, strconv.Itoa(len(head)))
				_, _ = io.WriteString(w, head)
				_, _ = w.Write(body[length:])
			})
			raw := binary.LittleEndian.AppendUint32(make([]byte, 1<<20), 7)
			input := task("digits", `{"inputs":[]}`+string(raw))
			input.Version = "2/x" // must not become a path of its own
			input.Input.HeaderLength = 13
			answer, err := h.sup.Execute(t.Context(), input)
			if err != nil {
				t.Fatal(err)
			}
			wantContains(t, string(answer.Payload.Body[:answer.Payload.HeaderLength]), `"2/x"`)
			if got := answer.Payload.Body[answer.Payload.HeaderLength:]; string(got) != string(raw) {
				t.Errorf("tensor: got %d bytes, want the same %d", len(got), len(raw))
			}
		})
	})
	t.Run("NoSuchModel", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, nil, nil)
			if _, err := h.sup.Execute(t.Context(), task("cats", "{}")); !errors.Is(err, edge.ErrNotFound) {
				t.Errorf("got %v, want not found", err)
			}
		})
	})
	t.Run("NothingReady", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, nil, nil)
			d.StartDelay = time.Hour
			d.Exit(d.Running()[0], edge.Exit{Code: 1})
			synctest.Wait()
			if _, err := h.sup.Execute(t.Context(), task("digits", "{}")); !errors.Is(err, edge.ErrUnavailable) {
				t.Errorf("got %v, want unavailable", err)
			}
		})
	})
	t.Run("BadHeaderLength", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, nil, nil)
			for _, length := range []int{-1, 3} {
				bad := task("digits", "{}")
				bad.Input.HeaderLength = length
				if _, err := h.sup.Execute(t.Context(), bad); !errors.Is(err, edge.ErrInvalid) {
					t.Errorf("length %d: got %v, want invalid", length, err)
				}
			}
		})
	})
	t.Run("RefusedInputIsTheCallersFault", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, nil, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"error":"inputs[0].shape must be [1,64]"}`)
			})
			for range 10 {
				_, err := h.sup.Execute(t.Context(), task("digits", "{}"))
				if !errors.Is(err, edge.ErrInvalid) || errors.Is(err, edge.ErrModel) {
					t.Fatalf("got %v, want invalid", err)
				}
				wantContains(t, err.Error(), "inputs[0].shape must be [1,64]")
			}
			settle(time.Minute)
			h.wantEvents(edge.EventInstanceExited, 0)
		})
	})
}

func TestSupervisor_ExecuteGarbage(t *testing.T) {
	garbage := map[string]struct {
		infer http.HandlerFunc
		want  string
	}{
		"NotJSON":     {say("hello"), "not of the protocol (not JSON"},
		"CutJSON":     {say(`{"outputs":[`), "not of the protocol (outputs[0]"},
		"Array":       {say(`["outputs"]`), "not of the protocol (must be an object)"},
		"NoOutputs":   {say(`{"model_name":"digits"}`), "not of the protocol (outputs: is missing)"},
		"WrongShape":  {say(`{"outputs":[{"name":"y","shape":[3],"datatype":"INT64","data":[1]}]}`), "outputs[0].data: has 1 elements"},
		"Nothing":     {say(""), "answered nothing"},
		"ServerError": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"error":"out of luck"}`, 500) }, "answered 500: out of luck"},
		"HeaderLength": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(oip.HeaderLengthField, "99")
			_, _ = w.Write([]byte("{}"))
		}, "impossible header length"},
		"TooLarge": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "999999999999") }, "larger than allowed"},
		"Panic":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "connection broke"},
		"NotHTTP": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.2\r\n\r\n")
			conn.Close()
		}, "not an HTTP response"},
		"EndlessHeaders": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(conn, "X-More: and more and more and more\r\n"); err != nil {
					return
				}
			}
		}, "larger than allowed"},
	}
	for name, c := range garbage {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *fake.Driver) {
				h := serving(t, d, 1, nil, c.infer)
				before := d.Running()[0]
				for i := range 3 {
					_, err := h.sup.Execute(t.Context(), task("digits", "{}"))
					if !errors.Is(err, edge.ErrModel) {
						t.Fatalf("answer %d: got %v, want a model error", i, err)
					}
					wantContains(t, err.Error(), c.want)
					if i < 2 {
						settle(time.Second)
						h.wantEvents(edge.EventInstanceExited, 0)
					}
				}
				settle(time.Second)
				if got := d.Running(); len(got) != 1 || got[0] == before {
					t.Errorf("after three in a row: got %v, want another than %s", got, before)
				}
			})
		})
	}
	t.Run("GoodAnswersBetweenAreForgiving", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			var n atomic.Int32
			h := serving(t, d, 1, nil, func(w http.ResponseWriter, r *http.Request) {
				if n.Add(1)%3 == 0 {
					fake.WriteAnswer(w, "digits", 1)
					return
				}
				say("hello")(w, r)
			})
			for range 30 {
				_, _ = h.sup.Execute(t.Context(), task("digits", "{}"))
			}
			settle(time.Minute)
			h.wantEvents(edge.EventInstanceExited, 0)
		})
	})
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// hang answers only once its caller has left.
func hang(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func TestSupervisor_ExecuteHangs(t *testing.T) {
	t.Run("CostsTheInstance", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, func(s *edge.Serve) { s.Timeout = 2 * time.Second }, hang)
			before, began := d.Running()[0], time.Now()
			_, err := h.sup.Execute(t.Context(), task("digits", "{}"))
			if !errors.Is(err, edge.ErrModel) {
				t.Errorf("got %v, want a model error", err)
			}
			wantContains(t, err.Error(), "did not answer within 2s")
			if took := time.Since(began); took < 2*time.Second || took > 3*time.Second {
				t.Errorf("took %v, want about 2s", took)
			}
			for _, id := range d.Running() {
				if id == before {
					t.Error("the hung instance still ran when Execute returned")
				}
			}
			settle(time.Second)
			h.wantRunning(1)
		})
	})
	t.Run("OthersGoOn", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			var first atomic.Bool
			h := serving(t, d, 2, nil, func(w http.ResponseWriter, r *http.Request) {
				if first.CompareAndSwap(false, true) {
					hang(w, r)
					return
				}
				fake.WriteAnswer(w, "digits", 1)
			})
			done := make(chan error, 1)
			go func() { _, err := h.sup.Execute(t.Context(), task("digits", "{}")); done <- err }()
			synctest.Wait()
			for range 10 {
				if _, err := h.sup.Execute(t.Context(), task("digits", "{}")); err != nil {
					t.Errorf("beside a hung one: got %v, want an answer", err)
				}
			}
			if err := <-done; !errors.Is(err, edge.ErrModel) {
				t.Errorf("hung: got %v, want a model error", err)
			}
		})
	})
	t.Run("CallerLeavesCapacityStays", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, nil, func(w http.ResponseWriter, r *http.Request) {
				pauseFor(r.Context(), 3*time.Second)
				fake.WriteAnswer(w, "digits", 1)
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			if _, err := h.sup.Execute(ctx, task("digits", "{}")); err != nil {
				t.Errorf("got %v, want the late answer", err)
			}
			if took := time.Since(began); took < 3*time.Second {
				t.Errorf("returned after %v, while the instance computed for 3s", took)
			}
			h.wantEvents(edge.EventInstanceExited, 0)
		})
	})
	t.Run("WaitsForALaneNoLongerThanItsCaller", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, nil, func(w http.ResponseWriter, r *http.Request) {
				pauseFor(r.Context(), 3*time.Second)
				fake.WriteAnswer(w, "digits", 1)
			})
			done := make(chan error, 2)
			go func() { _, err := h.sup.Execute(t.Context(), task("digits", "{}")); done <- err }()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := h.sup.Execute(ctx, task("digits", "{}")); !errors.Is(err, edge.ErrDeadline) {
				t.Errorf("short of time: got %v, want deadline passed", err)
			}
			go func() { _, err := h.sup.Execute(t.Context(), task("digits", "{}")); done <- err }()
			for range 2 {
				if err := <-done; err != nil {
					t.Errorf("with time: got %v, want an answer", err)
				}
			}
		})
	})
}

func pauseFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func TestSupervisor_ExecuteDies(t *testing.T) {
	t.Run("MidRequest", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, nil, hang)
			done := make(chan error, 1)
			go func() { _, err := h.sup.Execute(t.Context(), task("digits", "{}")); done <- err }()
			synctest.Wait()
			began := time.Now()
			d.Exit(d.Running()[0], edge.Exit{Code: 137, Signal: "SIGKILL"})
			err := <-done
			if !errors.Is(err, edge.ErrModel) {
				t.Errorf("got %v, want a model error", err)
			}
			wantContains(t, err.Error(), "ended by SIGKILL")
			if took := time.Since(began); took > 10*time.Millisecond {
				t.Errorf("told after %v, want at once", took)
			}
		})
	})
	t.Run("UnreachableOneIsPassedOver", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 2, nil, nil)
			first, err := h.sup.Execute(t.Context(), task("digits", "{}"))
			if err != nil {
				t.Fatal(err)
			}
			deaf := first.Instance // the one that would be asked again
			d.Deafen(deaf)
			synctest.Wait()
			for range 10 {
				answer, err := h.sup.Execute(t.Context(), task("digits", "{}"))
				if err != nil || answer.Instance == deaf {
					t.Errorf("got %v of %q, want an answer of the other instance", err, answer.Instance)
				}
			}
			settle(10 * time.Millisecond) // well before the next look at an idle server
			h.wantEvents(edge.EventInstanceUnready, 1)
			if got := h.lanes("shop/digits"); got != 1 {
				t.Errorf("lanes: got %d, want 1", got)
			}
		})
	})
	t.Run("OnlyOneIsUnreachable", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, nil, nil)
			d.Deafen(d.Running()[0])
			synctest.Wait()
			if _, err := h.sup.Execute(t.Context(), task("digits", "{}")); !errors.Is(err, edge.ErrUnavailable) {
				t.Errorf("got %v, want unavailable", err)
			}
		})
	})
	t.Run("PoolsAreToldBeforeTheTask", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, nil, hang)
			d.StartDelay = time.Hour
			h.slow = time.Millisecond
			done := make(chan int, 1)
			go func() {
				_, _ = h.sup.Execute(t.Context(), task("digits", "{}"))
				done <- h.lanes("shop/digits")
			}()
			synctest.Wait()
			d.Exit(d.Running()[0], edge.Exit{Code: 1})
			if got := <-done; got != 0 {
				t.Errorf("lanes when the task was told: got %d, want 0", got)
			}
		})
	})
	t.Run("AgentStopsMidRequest", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, nil, hang)
			done := make(chan error, 1)
			go func() { _, err := h.sup.Execute(t.Context(), task("digits", "{}")); done <- err }()
			synctest.Wait()
			h.end()
			wantContains(t, (<-done).Error(), "the agent is stopping")
			h.wantRunning(1)
		})
	})
	t.Run("UpdateLetsItEnd", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, nil, func(w http.ResponseWriter, r *http.Request) {
				pauseFor(r.Context(), 5*time.Second)
				fake.WriteAnswer(w, "digits", 1)
			})
			done := make(chan error, 1)
			go func() { _, err := h.sup.Execute(t.Context(), task("digits", "{}")); done <- err }()
			synctest.Wait()
			w := modelServer("digits", 1)
			w.Image = "registry.test/digits:2"
			h.sup.Apply([]edge.Workload{w})
			if err := <-done; err != nil {
				t.Errorf("in flight during an update: got %v, want an answer", err)
			}
			settle(time.Minute)
			h.wantRunning(1)
			if got := d.Peak("shop/digits"); got != 2 {
				t.Errorf("most at once: got %d, want 2", got)
			}
		})
	})
	t.Run("Concurrency", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			var now, most atomic.Int32
			h := serving(t, d, 2, func(s *edge.Serve) { s.Concurrency = 3 }, func(w http.ResponseWriter, r *http.Request) {
				for n := now.Add(1); ; {
					m := most.Load()
					if n <= m || most.CompareAndSwap(m, n) {
						break
					}
				}
				pauseFor(r.Context(), time.Second)
				now.Add(-1)
				fake.WriteAnswer(w, "digits", 1)
			})
			if got := h.lanes("shop/digits"); got != 6 {
				t.Errorf("lanes: got %d, want 6", got)
			}
			errs := make(chan error, 12)
			began := time.Now()
			for range 12 {
				go func() {
					_, err := h.sup.Execute(t.Context(), task("digits", "{}"))
					errs <- err
				}()
			}
			for range 12 {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
			if got := fmt.Sprint(most.Load(), time.Since(began).Round(time.Millisecond)); got != "6 2s" {
				t.Errorf("at once, in all: got %s, want 6 2s", got)
			}
		})
	})
}
