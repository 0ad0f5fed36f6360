package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

// answerTen sends the first held-out sample of each digit, under all classes.
func (s *show) answerTen(ctx context.Context) error {
	fmt.Println("  sample  class   deadline  answered in  slack     outcome    says  is")
	for digit := range int64(10) {
		in := s.samples[slices.IndexFunc(s.samples, func(x sample) bool { return x.label == digit })]
		class := edge.Classes[digit%3]
		deadline := []time.Duration{50 * time.Millisecond, 500 * time.Millisecond, 5 * time.Second}[digit%3]
		begun := time.Now()
		out, err := s.ask(ctx, "digits", in, localapi.InferOptions{Class: &class, Deadline: deadline})
		took := time.Since(begun)
		if err != nil {
			return err
		}
		slack, _ := out.params.Int("slack_us")
		met, _ := out.params.Bool("deadline_met")
		fmt.Printf("  %-6s  %-6s  %8v  %11v  %8v  %-9s  %4d  %2d\n", in.index, class, deadline,
			took.Round(10*time.Microsecond), (time.Duration(slack) * time.Microsecond).Round(10*time.Microsecond),
			map[bool]string{true: "on time", false: "late"}[met], out.label, in.label)
	}
	return nil
}

// measureAccuracy answers every held-out sample with both models.
func (s *show) measureAccuracy(ctx context.Context) error {
	for _, model := range []string{"digits", "digits-lite"} {
		right, compute := 0, make([]int64, 0, len(s.samples))
		for _, in := range s.samples {
			out, err := s.ask(ctx, model, in, localapi.InferOptions{Deadline: time.Second})
			if err != nil {
				return err
			}
			if out.label == in.label {
				right++
			}
			us, _ := out.params.Int("compute_us")
			compute = append(compute, us)
		}
		slices.Sort(compute)
		fmt.Printf("  %-12s right on %d of %d held-out samples (%.1f %%), median %d µs of service time\n",
			model, right, len(s.samples), 100*float64(right)/float64(len(s.samples)), compute[len(compute)/2])
	}
	return nil
}

// overload sends more at once than can be answered in time, and shows that every
// task is answered by its deadline or refused at once. A task here is a sheet of 64
// pictures, so that the work outweighs the asking.
func (s *show) overload(ctx context.Context) error {
	const tasks, deadline = 80, 400 * time.Millisecond
	sheet := s.sheet(64)
	for range 8 { // so that the agent knows how long a sheet takes
		if _, err := s.client.Infer(ctx, "digits", sheet, localapi.InferOptions{}); err != nil {
			return err
		}
	}
	var tally tally
	var group sync.WaitGroup
	for range tasks {
		group.Go(func() {
			_, err := s.client.Infer(ctx, "digits", sheet, localapi.InferOptions{Deadline: deadline})
			tally.add(err)
		})
	}
	group.Wait()
	fmt.Printf("  %d sheets of 64 pictures at once, each due in %v: %d answered on time, %d refused at once, %d told later, %d failed\n",
		tasks, deadline, tally.onTime, tally.refused, tally.late, tally.failed)
	if tally.example != nil {
		fmt.Printf("  a refusal reads: %v\n", tally.example)
	}
	return errors.Join(ctx.Err(), tally.failure)
}

// tally counts how tasks ended for their callers.
type tally struct {
	mu                            sync.Mutex // guards the fields below
	onTime, refused, late, failed int
	example                       *edge.Refusal
	failure                       error // the first one
}

func (t *tally) add(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	refusal, refused := edge.AsRefusal(err)
	switch {
	case err == nil:
		t.onTime++
	case refused && refusal.Reason == edge.ReasonHopeless:
		t.late++
	case refused:
		t.refused++
		if t.example == nil || refusal.Earliest > 0 {
			t.example = refusal
		}
	case errors.Is(err, edge.ErrDeadline):
		t.late++
	default:
		t.failed++
		t.failure = errors.Join(t.failure, err)
	}
}

// kill ends the agent with SIGKILL while tasks stream in, starts it again, and
// shows that the model's processes never noticed.
func (s *show) kill(ctx context.Context) error {
	before, err := s.processes(ctx)
	if err != nil {
		return err
	}
	streaming, stop := context.WithCancel(ctx)
	defer stop()
	answered := make(chan time.Time) // when an answer came
	go s.stream(streaming, answered)
	for range 50 {
		<-answered
	}
	if err := s.stand.KillAgent(); err != nil {
		return err
	}
	killed := time.Now()
	fmt.Printf("  after 50 answers the agent (process %d) is killed with SIGKILL\n", s.stand.AgentPID())
	if err := s.stand.StartAgent(ctx); err != nil {
		return err
	}
	first := <-answered
	fmt.Printf("  started anew as process %d; next answer %v after the kill\n", s.stand.AgentPID(), first.Sub(killed).Round(time.Millisecond))
	for range 50 {
		<-answered
	}
	stop()
	after, err := s.processes(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("  the models' processes: before %v, after %v\n", before, after)
	if !slices.Equal(before, after) {
		return errors.New("the models' processes are not the same: an instance was lost or started twice")
	}
	return nil
}

// stream sends one task after another, trying again while the agent is away, and
// reports each answer.
func (s *show) stream(ctx context.Context, answered chan<- time.Time) {
	defer close(answered)
	pause := time.NewTicker(2 * time.Millisecond)
	defer pause.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		_, err := s.ask(ctx, "digits", s.samples[i%len(s.samples)], localapi.InferOptions{Deadline: time.Second})
		if err == nil {
			select {
			case answered <- time.Now():
			case <-ctx.Done():
			}
		}
		<-pause.C
	}
}

// processes lists the process ids of all running instances.
func (s *show) processes(ctx context.Context) ([]uint32, error) {
	workloads, err := s.client.Workloads(ctx)
	var pids []uint32
	for _, w := range workloads {
		for _, i := range w.Instances {
			pids = append(pids, i.PID)
		}
	}
	slices.Sort(pids)
	return pids, err
}
