package containerd_test

import (
	"context"
	"errors"
	"testing"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	typetask "github.com/containerd/containerd/api/types/task"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"holdfast/runtime/containerd"
)

// hasty is a daemon's task service with one task, which runs until it is killed. Of a call
// that it is told the end of it is done before its caller is, as a clock of its own may be.
type hasty struct {
	tasks.TasksClient
	killed chan struct{}
}

func (h *hasty) Wait(ctx context.Context, _ *tasks.WaitRequest, _ ...grpc.CallOption) (*tasks.WaitResponse, error) {
	if _, told := ctx.Deadline(); told {
		return nil, grpcstatus.Error(codes.Unknown, "context deadline exceeded")
	}
	select {
	case <-h.killed:
		return &tasks.WaitResponse{ExitStatus: 137, ExitedAt: timestamppb.Now()}, nil
	case <-ctx.Done():
		return nil, grpcstatus.FromContextError(ctx.Err()).Err()
	}
}

func (h *hasty) Kill(context.Context, *tasks.KillRequest, ...grpc.CallOption) (*emptypb.Empty, error) {
	close(h.killed)
	return &emptypb.Empty{}, nil
}

func (h *hasty) Get(context.Context, *tasks.GetRequest, ...grpc.CallOption) (*tasks.GetResponse, error) {
	return &tasks.GetResponse{Process: &typetask.Process{Status: typetask.Status_RUNNING}}, nil
}

// TestOutcome_DaemonIsHasty: a program whose time is up is killed, whoever's clock says so first.
func TestOutcome_DaemonIsHasty(t *testing.T) {
	d, err := containerd.New(containerd.Options{StateDir: t.TempDir(), RunDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	exit, err := d.Outcome(ctx, &hasty{killed: make(chan struct{})}, "one")
	if err != nil || exit.Signal != "SIGKILL" {
		t.Errorf("got %+v, %v, want that it was killed", exit, err)
	}
}

// TestOutcome_CallerLeaves: so is one that nobody waits for any more.
func TestOutcome_CallerLeaves(t *testing.T) {
	d, err := containerd.New(containerd.Options{StateDir: t.TempDir(), RunDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancelCause(t.Context())
	leave(errors.New("enough"))
	exit, err := d.Outcome(ctx, &hasty{killed: make(chan struct{})}, "one")
	if err != nil || exit.Signal != "SIGKILL" {
		t.Errorf("got %+v, %v, want that it was killed", exit, err)
	}
}
