package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/runtime/fake"
)

const question = `{"inputs":[{"name":"input","shape":[2],"datatype":"FP32","data":[1,2]}]}`

func asking(more string) string { return `{"model":"digits","request":` + question + more + `}` }

func TestVerbs_Infer(t *testing.T) {
	r := newVerbRig(t, serving("line/digits"), serving("line/large"))
	r.awaitRunning(t, "line/digits", 1)
	r.awaitRunning(t, "line/large", 1)
	got, err := r.do(t, edge.VerbInfer, asking(`,"class":"urgent","tenant":"vision","deadlineMs":5000`))
	want(t, got, err, `"outcome":"completed"`, `"task":"command-c1"`, `"route":"local"`, `"response":{`, `"data":[72]`)
	for name, c := range map[string]struct {
		args, reason, text string
	}{
		"UnknownModel": {`{"model":"cats","request":{}}`, "unknown_model", "this node serves digits"},
		"NoInputs":     {`{"model":"digits","request":{}}`, "invalid", "inputs"},
		"Shape":        {strings.Replace(asking(""), "[2]", "[3]", 1), "invalid", "inputs[0]"},
		"Elements":     {strings.Replace(asking(""), "[1,2]", "[1]", 1), "invalid", "inputs[0].data"},
		"Class":        {asking(`,"class":"vip"`), "invalid", "class"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.do(t, edge.VerbInfer, c.args)
			wantNo(t, err, c.reason, c.text)
		})
	}
	t.Run("AsTheRequestSays", func(t *testing.T) {
		_, err := r.do(t, edge.VerbInfer, `{"model":"digits","request":{"parameters":{"timeout":-5},`+question[1:]+`}`)
		wantNo(t, err, "deadline_passed", "")
	})
	t.Run("Draining", func(t *testing.T) {
		got, err := r.do(t, edge.VerbDrain, `{"withinMs":10000}`)
		want(t, got, err, `"left":0`)
		got, err = r.do(t, edge.VerbInfer, asking(""))
		wantNo(t, err, "draining", "")
		if !strings.Contains(got, `"outcome":"refused"`) {
			t.Errorf("got %s, want the outcome too", got)
		}
		got, err = r.do(t, edge.VerbUndrain, "")
		want(t, got, err)
		got, err = r.do(t, edge.VerbInfer, asking(""))
		want(t, got, err, `"outcome":"completed"`)
	})
	t.Run("Denied", func(t *testing.T) {
		p := edge.Policy{Tenants: map[string]edge.TenantPolicy{edge.DefaultTenant: {Models: []string{"large"}}}}
		if err := r.apply(2, p, serving("line/digits"), serving("line/large")); err != nil {
			t.Fatal(err)
		}
		_, err := r.do(t, edge.VerbInfer, asking(`,"tenant":"vision"`))
		wantNo(t, err, "denied", "")
	})
}

// TestVerbs_Infer_Answers looks at what models may answer.
func TestVerbs_Infer_Answers(t *testing.T) {
	answer := make(chan string, 1)
	r := newVerbRigWith(t, func(w http.ResponseWriter, _ *http.Request) {
		text := <-answer
		if text == "" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, text)
	}, serving("line/digits"))
	r.awaitRunning(t, "line/digits", 1)
	const form = `{"model_name":"digits","outputs":[{"name":"length","shape":[%d],"datatype":"INT64","data":[%s]}]}`
	answer <- fmt.Sprintf(form, 20000, strings.Repeat("7,", 19999)+"7")
	got, err := r.do(t, edge.VerbInfer, asking(""))
	want(t, got, err, `"outcome":"completed"`, `"truncated":true`)
	answer <- fmt.Sprintf(form, 1, strings.Repeat("[", 20)+"7"+strings.Repeat("]", 20))
	got, err = r.do(t, edge.VerbInfer, asking(""))
	if wantNo(t, err, "model", ""); !strings.Contains(got, `"outcome"`) {
		t.Errorf("got %s, want the outcome", got)
	}
	answer <- ""
	_, err = r.do(t, edge.VerbInfer, asking(""))
	wantNo(t, err, "model", "")
	t.Run("Cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := r.doIn(ctx, edge.VerbInfer, asking(""))
			ended <- err
		}()
		r.await(t, "a task running", func() bool { return r.tasksLeft() == 1 })
		cancel()
		wantNo(t, <-ended, "cancelled", "")
		answer <- fmt.Sprintf(form, 1, "7")
	})
}

func TestVerbs_Drain(t *testing.T) {
	answer := make(chan struct{})
	r := newVerbRigWith(t, func(w http.ResponseWriter, _ *http.Request) {
		<-answer
		fake.WriteAnswer(w, "digits", 1)
	}, serving("line/digits"))
	r.awaitRunning(t, "line/digits", 1)
	ended := make(chan error)
	go func() {
		_, err := r.doIn(context.WithoutCancel(t.Context()), edge.VerbInfer, asking(""))
		ended <- err
	}()
	r.await(t, "a task running", func() bool { return r.tasksLeft() == 1 })
	got, err := r.do(t, edge.VerbDrain, `{"withinMs":150}`)
	wantNo(t, err, "deadline", "150ms")
	if got != `{"left":1}` {
		t.Errorf("got %s, want the task that is left", got)
	}
	if len(r.told) == 0 || r.told[0] != (edge.Progress{Total: 1, Unit: "tasks"}) {
		t.Errorf("got progress %+v", r.told)
	}
	if !r.scheduler.Snapshot().Report.Draining {
		t.Error("the node takes tasks again, without undrain")
	}
	close(answer)
	if err := <-ended; err != nil {
		t.Errorf("the task inside: %v", err)
	}
}

func TestVerbs_Logs(t *testing.T) {
	r := newVerbRig(t, plain("line/digits", 1))
	r.awaitRunning(t, "line/digits", 1)
	id := r.driver.Running()[0]
	r.hands.log = "one\ntwo\n"
	for _, target := range []string{"digits", "line/digits", id, "line/digits/" + id} {
		got, err := r.do(t, edge.VerbLogs, `{"target":"`+target+`","lines":2}`)
		want(t, got, err, `"instance":"`+id+`"`, `"text":"one\ntwo\n"`)
		if strings.Contains(got, "truncated") {
			t.Errorf("got %s, want it whole", got)
		}
	}
	_, err := r.do(t, edge.VerbLogs, `{"target":"nobody"}`)
	wantNo(t, err, "not_found", "nobody")
	for name, log := range map[string]string{
		"Long":       strings.Repeat("a line of output\n", 10_000) + "the end\n",
		"OneLine":    strings.Repeat("x", 100_000) + "the end\n",
		"Unreadable": strings.Repeat("\x00\x01\x1b", 20_000) + "\nthe end\n",
		"Markup":     strings.Repeat("<&>\n", 20_000) + "the end\n",
	} {
		t.Run(name, func(t *testing.T) {
			r.hands.log = log
			got, err := r.do(t, edge.VerbLogs, `{"target":"digits","lines":10000}`)
			want(t, got, err, `"truncated":true`, `the end\n"`)
			if len(got) < edge.MaxResult/2 {
				t.Errorf("got %d bytes, want as much as fits", len(got))
			}
		})
	}
}

func TestVerbs_Exec(t *testing.T) {
	r := newVerbRig(t, plain("line/digits", 1), plain("line/idle", 0))
	r.awaitRunning(t, "line/digits", 1)
	r.hands.exec = func(_ context.Context, args []string, stdout, stderr io.Writer) (edge.Exit, error) {
		fmt.Fprintf(stdout, "%q", args)
		fmt.Fprint(stderr, "oops")
		return edge.Exit{Code: uint32(len(args) - 1)}, nil
	}
	got, err := r.do(t, edge.VerbExec, `{"target":"digits","argv":["/app"]}`)
	want(t, got, err, `"code":0`, `"stdout":"[\"/app\"]"`, `"stderr":"oops"`)
	got, err = r.do(t, edge.VerbExec, `{"target":"line/digits","argv":["/app","-v"]}`)
	wantNo(t, err, "exit_code", "exited with code 1")
	if !strings.Contains(got, `"code":1`) || !strings.Contains(got, "oops") {
		t.Errorf("got %s, want what the program said all the same", got)
	}
	_, err = r.do(t, edge.VerbExec, `{"target":"idle","argv":["/app"]}`)
	wantNo(t, err, "not_found", "idle")
	t.Run("SaysMuch", func(t *testing.T) {
		r.hands.exec = func(_ context.Context, _ []string, stdout, stderr io.Writer) (edge.Exit, error) {
			for range 1000 {
				fmt.Fprint(stdout, strings.Repeat("\x01", 1000))
				fmt.Fprint(stderr, strings.Repeat("<", 1000))
			}
			return edge.Exit{}, nil
		}
		got, err := r.do(t, edge.VerbExec, `{"target":"digits","argv":["/app"]}`)
		want(t, got, err, `"truncated":true`, `"stdout":"`, `"stderr":"`)
	})
	t.Run("Killed", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r.hands.exec = func(ctx context.Context, _ []string, stdout, _ io.Writer) (edge.Exit, error) {
			fmt.Fprint(stdout, "so far")
			cancel()
			<-ctx.Done()
			return edge.Exit{}, ctx.Err()
		}
		got, err := r.doIn(ctx, edge.VerbExec, `{"target":"digits","argv":["/app"]}`)
		wantNo(t, err, "cancelled", "")
		if !errors.Is(err, context.Canceled) || !strings.Contains(got, "so far") || strings.Contains(got, "code") {
			t.Errorf("got %s and %v, want what it said so far", got, err)
		}
	})
}
