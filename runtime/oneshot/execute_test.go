package oneshot_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
	"holdfast/runtime/oneshot"
)

func TestKeeper_Execute(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.want(tool())
		got, err := r.Execute(t.Context(), ask("data", time.Second))
		if err != nil || textOf(got) != "data" || got.Model != "report" || got.Route != edge.AnsweredLocally || got.Instance != "report-1" {
			t.Errorf("got %+v, %v", got, err)
		}
		parsed, err := oip.ParseResponse(got.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if code, given := parsed.Parameters.Int("exit_code"); parsed.ID != "q" || parsed.ModelName != "report" || !given || code != 0 {
			t.Errorf("got %+v", parsed)
		}
	})
}

// A task that is late has its container killed, and is told so when it is dead.
func TestKeeper_ExecuteLate(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.want(tool())
		r.driver.set(func() { r.driver.work, r.driver.stubborn = time.Hour, 30*time.Millisecond })
		_, took, err := r.task("a", time.Second)
		if !errors.Is(err, edge.ErrDeadline) || took != time.Second+30*time.Millisecond {
			t.Errorf("got %v after %v, want %v once it is dead", err, took, edge.ErrDeadline)
		}
		_, took, err = r.task("a", 0)
		if !errors.Is(err, edge.ErrModel) || took != 5*time.Second+30*time.Millisecond || !strings.Contains(err.Error(), "longer than it may, which is 5s") {
			t.Errorf("got %v after %v, want that the workload's time is over", err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Execute(ctx, ask("a", 0)); !errors.Is(err, edge.ErrCancelled) {
			t.Errorf("got %v, want %v", err, edge.ErrCancelled)
		}
		if got := see(r.driver, func() int { return r.driver.atWork }); got != 0 {
			t.Errorf("got %d at work still", got)
		}
	})
}

// A task that its caller has given up is killed at once.
func TestKeeper_Abandon(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.want(tool())
		r.driver.set(func() { r.driver.work = time.Hour })
		given, other := ask("a", 0), ask("b", 0)
		other.ID = "other"
		ended := make(chan error, 2)
		for _, task := range []edge.Task{given, other} {
			go func() {
				_, err := r.Execute(t.Context(), task)
				ended <- err
			}()
		}
		time.Sleep(time.Second)
		begun := time.Now()
		r.Abandon(given)
		if err := <-ended; !errors.Is(err, edge.ErrCancelled) || time.Since(begun) != 0 {
			t.Errorf("got %v after %v, want %v at once", err, time.Since(begun), edge.ErrCancelled)
		}
		synctest.Wait()
		if got := see(r.driver, func() int { return r.driver.atWork }); got != 1 {
			t.Errorf("got %d at work, want the other", got)
		}
		r.Abandon(given)
	})
}

// A tool that ends well just as its time is over has answered.
func TestKeeper_ExecuteJustDone(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.want(tool())
		r.driver.set(func() { r.driver.work = time.Second - 1 })
		if answer, _, err := r.task("a", time.Second); answer != "a" || err != nil {
			t.Errorf("got %q, %v", answer, err)
		}
	})
}

// The end of the agent ends what is at work, and what stands ready.
func TestKeeper_ExecuteAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newDriver())
		r.want(tool())
		r.driver.set(func() { r.driver.work = time.Hour })
		ended := make(chan error, 1)
		go func() {
			_, _, err := r.task("a", 0)
			ended <- err
		}()
		time.Sleep(time.Second)
		begun := time.Now()
		r.stop()
		if err := <-ended; !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("got %v, want %v", err, edge.ErrUnavailable)
		}
		if got := see(r.driver, func() int { return len(r.driver.there) }); got != 0 || time.Since(begun) > time.Second {
			t.Errorf("got %d containers left after %v", got, time.Since(begun))
		}
	})
}

func TestKeeper_ExecuteFails(t *testing.T) {
	complaint := strings.Repeat("earlier\n", 20) + "row 17 has 63 columns\nand \x1b[31mred\nlast"
	for name, c := range map[string]struct {
		result oneshot.Result
		runErr error
		want   string
	}{
		"Code":    {oneshot.Result{Exit: edge.Exit{Code: 3}, Complaint: complaint}, nil, `model "report" exited with code 3: row 17 has 63 columns | and  [31mred | last: model error`},
		"Silent":  {oneshot.Result{Exit: edge.Exit{Code: 3}}, nil, `model "report" exited with code 3: model error`},
		"Long":    {oneshot.Result{Exit: edge.Exit{Code: 3}, Complaint: strings.Repeat("x", 9999)}, nil, `model "report" exited with code 3: …` + strings.Repeat("x", 400) + `: model error`},
		"Memory":  {oneshot.Result{Exit: edge.Exit{Code: 137, Signal: "SIGKILL", OOM: true}}, nil, `model "report" killed at its memory limit: model error`},
		"TooMuch": {oneshot.Result{Exit: edge.Exit{Code: 137, Signal: "SIGKILL"}, Excess: true}, nil, `model "report" wrote more than 16777216 bytes: model error`},
		"NoFile":  {oneshot.Result{Missing: errors.New("it wrote no file"), Complaint: "nothing to do"}, nil, `model "report" left no output (it wrote no file): nothing to do: model error`},
		"NotText": {oneshot.Result{Output: []byte{0xff}}, nil, `model "report" wrote what is not UTF-8, which no JSON holds: model error`},
		"Unknown": {oneshot.Result{}, errors.New("nobody knows"), `model "report": nobody knows: model error`},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, r *rig) {
				r.want(tool())
				r.driver.set(func() { r.driver.result, r.driver.runErr = c.result, c.runErr })
				_, _, err := r.task("a", 0)
				if !errors.Is(err, edge.ErrModel) || err.Error() != c.want {
					t.Errorf("got %v\nwant %s", err, c.want)
				}
				r.driver.set(func() { r.driver.result, r.driver.runErr = oneshot.Result{}, nil })
				if answer, _, err := r.task("b", 0); answer != "b" || err != nil {
					t.Errorf("the next task got %q, %v", answer, err)
				}
			})
		})
	}
}

func TestKeeper_ExecuteRaw(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.want(tool())
		raw := string([]byte{0xff, 0, 1})
		input, _ := oip.BytesTensor("input", []int64{1}, [][]byte{[]byte(raw)}, true)
		payload, err := oip.InferRequest{
			Parameters: oip.Parameters{"binary_data_output": []byte("true")}, Inputs: []oip.Tensor{input},
		}.Payload()
		if err != nil {
			t.Fatal(err)
		}
		task := ask("", 0)
		task.Input = payload
		got, err := r.Execute(t.Context(), task)
		if err != nil || got.Payload.HeaderLength == 0 || textOf(got) != raw {
			t.Errorf("got %+v, %v, want the same bytes, raw", got, err)
		}
	})
}

func TestKeeper_ExecuteInvalid(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.want(tool())
		for _, body := range []string{
			``, `{}`, `{"inputs":[]}`,
			`{"inputs":[{"name":"other","datatype":"BYTES","shape":[1],"data":["a"]}]}`,
			`{"inputs":[{"name":"input","datatype":"FP32","shape":[1],"data":[1]}]}`,
			`{"inputs":[{"name":"input","datatype":"BYTES","shape":[2],"data":["a","b"]}]}`,
			`{"inputs":[{"name":"input","datatype":"BYTES","shape":[1],"data":["a"]}],"outputs":[{"name":"other"}]}`,
		} {
			task := ask("", 0)
			task.Input.Body = []byte(body)
			if _, err := r.Execute(t.Context(), task); !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("%s: got %v, want %v", body, err, edge.ErrInvalid)
			}
		}
		task := ask("a", 0)
		task.Input.HeaderLength = -1
		if _, err := r.Execute(t.Context(), task); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want %v", err, edge.ErrInvalid)
		}
		if got := r.view(); got.Runs != 0 || r.warm() != 1 {
			t.Errorf("got %+v, want no container used", got)
		}
	})
}

// What the daemon has lost before anything came of it is no task's failure.
func TestKeeper_ExecuteLost(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.want(tool())
		r.driver.set(func() { clear(r.driver.there) })
		if answer, _, err := r.task("a", 0); answer != "a" || err != nil {
			t.Errorf("got %q, %v", answer, err)
		}
	})
}
