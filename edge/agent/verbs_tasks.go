package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// drainResult counts the tasks that have not ended.
type drainResult struct {
	Left int `json:"left"`
}

// drain lets no new tasks in and waits for those inside. However that ends, the node
// stays closed to new ones until undrain.
func (v *verbs) drain(ctx context.Context, o order) (any, error) {
	args, err := argsOf[drainArgs](o.Command)
	if err != nil {
		return nil, err
	}
	if args.WithinMS > 0 {
		within := time.Duration(args.WithinMS) * time.Millisecond
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, within, fmt.Errorf("tasks are left after %v: %w", within, edge.ErrDeadline))
		defer cancel()
	}
	ended := make(chan error, 1) // whoever drains never waits for who has left
	go func() { ended <- v.scheduler.Drain(ctx) }()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for most := v.tasksLeft(); ; {
		select {
		case err := <-ended:
			return drainResult{v.tasksLeft()}, err
		case <-ticker.C:
			left := v.tasksLeft()
			most = max(most, left)
			o.progress(edge.Progress{Done: int64(most - left), Total: int64(most), Unit: "tasks"})
		}
	}
}

func (v *verbs) tasksLeft() int { return v.scheduler.Snapshot().Report.Open() }

// undrain lets tasks in again.
func (v *verbs) undrain(_ context.Context, o order) (any, error) {
	if _, err := argsOf[noArgs](o.Command); err != nil {
		return nil, err
	}
	v.scheduler.Undrain()
	return drainResult{v.tasksLeft()}, nil
}

// inferResult is what became of one task, with the model's answer as the Open Inference
// Protocol has it.
type inferResult struct {
	Outcome    edge.Outcome    `json:"outcome"`
	Task       string          `json:"task"`
	QueueUS    int64           `json:"queue_us"`
	ComputeUS  int64           `json:"compute_us"`
	SlackUS    int64           `json:"slack_us"`
	Route      string          `json:"route,omitempty"`
	RouteWhy   edge.Why        `json:"route_why,omitempty"`
	Variant    string          `json:"variant,omitempty"` // the model that answered, when another did
	VariantWhy edge.Why        `json:"variant_why,omitempty"`
	Version    string          `json:"version,omitempty"`
	Response   json.RawMessage `json:"response,omitempty"`
	Truncated  bool            `json:"truncated,omitempty"` // the answer is too long for a reply
}

// infer runs one task as the local API does. The deadline counts from when the command
// is carried out, not from when it was sent.
func (v *verbs) infer(ctx context.Context, o order) (any, error) {
	args, err := argsOf[inferArgs](o.Command)
	if err != nil {
		return nil, err
	}
	task, err := v.taskOf(o, args)
	if err != nil {
		return nil, fmt.Errorf("cannot infer: %w", err)
	}
	settled := inference{scheduler: v.scheduler}.Infer(ctx, task)
	result := inferResult{
		Outcome: settled.Outcome, Task: task.ID,
		QueueUS: settled.Queue.Microseconds(), ComputeUS: settled.Compute.Microseconds(), SlackUS: settled.Slack().Microseconds(),
		Route: settled.Answer.Route, RouteWhy: settled.RouteWhy,
		Variant: settled.Variant(), VariantWhy: settled.VariantWhy, Version: settled.Answer.Version,
	}
	if settled.Outcome != edge.Completed {
		return result, unanswered(settled)
	}
	if settled.Answer.Payload.HeaderLength > 0 {
		return result, edge.WithHint(fmt.Errorf("the answer of model %q has raw data, which no reply carries: %w", task.Model, edge.ErrInvalid),
			"leave binary_data_output and binary_data out of the request")
	}
	bounds := edge.JSONBounds{Size: math.MaxInt, Depth: maxAnswerDepth}
	if err := edge.CheckJSON(settled.Answer.Payload.Body, bounds); err != nil {
		return result, fmt.Errorf("%w: what model %q answered is nothing that a reply carries: %v", edge.ErrModel, task.Model, err)
	}
	result.Response = settled.Answer.Payload.Body
	err = fitting(&result, func() bool {
		whole := !result.Truncated
		result.Response, result.Truncated = nil, true
		return whole
	})
	return result, err
}

// maxAnswerDepth is what of a reply's levels is left to an answer, whose own are four
// and those of its tensors' data.
const maxAnswerDepth = 10

// taskOf checks the request against what the model says of itself.
func (v *verbs) taskOf(o order, args inferArgs) (edge.Task, error) {
	task := edge.Task{
		ID: "command-" + o.ID, Model: args.Model, Tenant: args.Tenant, Class: edge.Normal, Arrived: time.Now(),
		Input: edge.Payload{Body: args.Request},
	}
	meta, _, known := v.models.Model(args.Model)
	if !known {
		return task, &edge.Refusal{
			Reason: edge.ReasonUnknownModel,
			Detail: fmt.Sprintf("no workload serves model %.120q; this node serves %s", args.Model, someOf(v.models.Models())),
		}
	}
	req, err := oip.ParseRequest(args.Request, 0)
	if err != nil {
		return task, err
	}
	timeout, _, err := req.Parameters.Timeout()
	if err != nil {
		return task, err
	}
	class, given, err := req.Parameters.Class()
	if err != nil {
		return task, err
	}
	if given {
		task.Class = class
	}
	if args.Class != "" {
		if task.Class, err = edge.ParseClass(args.Class); err != nil {
			return task, fmt.Errorf("%w: %w", edge.ErrInvalid, err)
		}
	}
	within := cmp.Or(time.Duration(args.DeadlineMS)*time.Millisecond, timeout, v.deadline(task.Class))
	if within != 0 {
		task.Deadline = task.Arrived.Add(within)
	}
	return task, req.Check(meta)
}

// unanswered is the error of a task without an answer; its outcome decides what its
// error leaves open.
func unanswered(settled edge.Settlement) error {
	err := settled.Err
	if err == nil {
		err = errors.New("the task was " + strings.ToLower(settled.Outcome.String()))
	}
	want := map[edge.Outcome]error{
		edge.Missed: edge.ErrDeadline, edge.Cancelled: edge.ErrCancelled, edge.Failed: edge.ErrModel,
	}[settled.Outcome]
	if want == nil || errors.Is(err, want) || isTold(err) {
		return err
	}
	return fmt.Errorf("%w: %w", want, err)
}

// isTold tells whether an error says already what kind it is.
func isTold(err error) bool {
	return errors.Is(err, edge.ErrModel) || errors.Is(err, edge.ErrUnavailable) || errors.Is(err, edge.ErrInvalid) || errors.Is(err, edge.ErrNotFound)
}
