package main

import (
	"context"
	"fmt"
	goruntime "runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/build/sample/serve"
	"holdfast/edge/oip"
)

// burner is a model whose only work is to use CPU time and memory.
type burner struct {
	name string
	burn time.Duration
	eat  int // bytes for every request

	mu    sync.Mutex // guards eaten
	eaten [][]byte
}

var _ serve.Model = (*burner)(nil)

// Metadata declares no inputs, so that requests for any other model fit too.
func (b *burner) Metadata() oip.ModelMetadata {
	return oip.ModelMetadata{
		Name: b.name, Platform: "holdfast_faulty", Inputs: []oip.TensorMetadata{},
		Outputs: []oip.TensorMetadata{{Name: "cpu_ms", Datatype: "FP32", Shape: []int64{1}}},
	}
}

// Infer burns and eats, and answers with the CPU time it really used.
func (b *burner) Infer(ctx context.Context, req *oip.InferRequest) ([]oip.Tensor, error) {
	asked, err := milliseconds(req)
	if err != nil {
		return nil, err
	}
	b.devour()
	used, err := burnCPU(ctx, b.burn+asked)
	if err != nil {
		return nil, err
	}
	ms := float32(used) / float32(time.Millisecond)
	return []oip.Tensor{oip.FP32Tensor("cpu_ms", []int64{1}, []float32{ms}, false)}, nil
}

// milliseconds reads the tensor ms; without one nothing is asked for.
func milliseconds(req *oip.InferRequest) (time.Duration, error) {
	for i := range req.Inputs {
		if req.Inputs[i].Name != "ms" {
			continue
		}
		field := fmt.Sprintf("inputs[%d].data", i)
		values, err := req.Inputs[i].Float32s()
		if err != nil {
			return 0, fmt.Errorf("inputs[%d].%w", i, err)
		}
		const most = 60_000 // a minute; a test that wants longer wants -hang
		if len(values) != 1 || !(values[0] >= 0 && values[0] <= most) {
			return 0, &oip.FieldError{Field: field, Problem: fmt.Sprintf("must be one number from 0 to %d", most)}
		}
		return time.Duration(float64(values[0]) * float64(time.Millisecond)), nil
	}
	return 0, nil
}

// burnCPU uses CPU time on a thread of its own, as the kernel counts it, so that
// being preempted or throttled makes it take longer but not use more.
func burnCPU(ctx context.Context, amount time.Duration) (time.Duration, error) {
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	start, err := threadTime()
	if err != nil {
		return 0, err
	}
	for used := time.Duration(0); ; {
		if used >= amount {
			return used, nil
		}
		if err := ctx.Err(); err != nil {
			return used, fmt.Errorf("stopped after %v of %v: %w", used, amount, err)
		}
		spin()
		now, err := threadTime()
		if err != nil {
			return used, err
		}
		used = now - start
	}
}

// threadTime is the CPU time of the calling thread.
func threadTime() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0, fmt.Errorf("cannot read CPU time: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// spin works for some microseconds between two looks at the clock.
func spin() {
	x := uint32(1)
	for range 2000 {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
	}
	goruntime.KeepAlive(x)
}

// devour takes memory, touches every page of it and never gives it back.
func (b *burner) devour() {
	if b.eat == 0 {
		return
	}
	bite := make([]byte, b.eat)
	for i := 0; i < len(bite); i += 4096 {
		bite[i] = 1
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.eaten = append(b.eaten, bite)
}
