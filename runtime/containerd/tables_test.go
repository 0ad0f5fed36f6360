package containerd_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	cgroup1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	cgroup2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

func TestJudge(t *testing.T) {
	wire := errgrpc.ToGRPC
	for name, test := range map[string]struct {
		err, ended error
		want       containerd.Verdict
	}{
		"DaemonAway":       {err: wire(errdefs.ErrUnavailable), want: containerd.VerdictRetry},
		"DaemonShutsDown":  {err: wire(context.Canceled), want: containerd.VerdictRetry},
		"DaemonTimedOut":   {err: wire(context.DeadlineExceeded), want: containerd.VerdictRetry},
		"ConnectionReset":  {err: fmt.Errorf("reading: %w", errdefs.ErrUnavailable), want: containerd.VerdictRetry},
		"CallerGaveUp":     {err: wire(context.Canceled), ended: context.Canceled, want: containerd.VerdictFail},
		"CallerTimedOut":   {err: wire(errdefs.ErrUnavailable), ended: context.DeadlineExceeded, want: containerd.VerdictFail},
		"TaskGone":         {err: wire(errdefs.ErrNotFound), want: containerd.VerdictLook},
		"ShimGone":         {err: wire(errors.New("ttrpc: closed")), want: containerd.VerdictLook},
		"InvalidArgument":  {err: wire(errdefs.ErrInvalidArgument), want: containerd.VerdictFail},
		"PermissionDenied": {err: wire(errdefs.ErrPermissionDenied), want: containerd.VerdictFail},
		"Unknown":          {err: errors.New("something else"), want: containerd.VerdictFail},
	} {
		t.Run(name, func(t *testing.T) {
			if got := containerd.Judge(test.err, test.ended); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestNative_OldDaemon(t *testing.T) {
	err := containerd.Native(errgrpc.ToGRPC(errdefs.ErrNotImplemented))
	if !errdefs.IsNotImplemented(err) || edge.HintOf(err) == "" {
		t.Errorf("got %v with hint %q of what the daemon does not have, want the remedy", err, edge.HintOf(err))
	}
	for _, other := range []error{errdefs.ErrPermissionDenied, errdefs.ErrInternal} {
		if err := containerd.Native(errgrpc.ToGRPC(other)); edge.HintOf(err) != "" {
			t.Errorf("got hint %q of %v, which is not its age", edge.HintOf(err), other)
		}
	}
}

func TestDecodeExit(t *testing.T) {
	at := time.Unix(1, 0)
	for code, want := range map[uint32]string{
		0: "", 1: "", 127: "", 128: "", 129: "SIGHUP", 137: "SIGKILL", 139: "SIGSEGV", 143: "SIGTERM", 192: "signal 64", 193: "", 255: "",
	} {
		if got := containerd.DecodeExit(code, at); got != (edge.Exit{Code: code, Signal: want, At: at}) {
			t.Errorf("got %+v for code %d, want signal %q", got, code, want)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for text, want := range map[string]string{"SIGTERM": "SIGTERM", "term": "SIGTERM", "15": "SIGTERM", "SIGQUIT": "SIGQUIT", "3": "SIGQUIT"} {
		if got, err := containerd.ParseSignal(text); got != want || err != nil {
			t.Errorf("got %q, %v for %q, want %q", got, err, text, want)
		}
	}
	for _, text := range []string{"", "SIGNONE", "0", "-1", "999"} {
		if got, err := containerd.ParseSignal(text); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %q, %v for %q, want %v", got, err, text, edge.ErrInvalid)
		}
	}
}

func TestUsageOf(t *testing.T) {
	want := edge.Usage{CPU: 3 * time.Millisecond, Memory: 600, MemoryLimit: 2000, Pids: 4, Throttled: 5 * time.Microsecond, OOMKills: 6}
	for name, metrics := range map[string]any{
		"V1": &cgroup1.Metrics{
			CPU:              &cgroup1.CPUStat{Usage: &cgroup1.CPUUsage{Total: 3_000_000}, Throttling: &cgroup1.Throttle{ThrottledTime: 5_000}},
			Memory:           &cgroup1.MemoryStat{Usage: &cgroup1.MemoryEntry{Usage: 1000, Limit: 2000}, TotalInactiveFile: 400},
			Pids:             &cgroup1.PidsStat{Current: 4},
			MemoryOomControl: &cgroup1.MemoryOomControl{OomKill: 6},
		},
		"V2": &cgroup2.Metrics{
			CPU:          &cgroup2.CPUStat{UsageUsec: 3_000, ThrottledUsec: 5},
			Memory:       &cgroup2.MemoryStat{Usage: 1000, InactiveFile: 400, UsageLimit: 2000},
			Pids:         &cgroup2.PidsStat{Current: 4},
			MemoryEvents: &cgroup2.MemoryEvents{OomKill: 6},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := containerd.UsageOf(metrics); got != want || err != nil {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		})
	}
	t.Run("Extremes", func(t *testing.T) {
		got, err := containerd.UsageOf(&cgroup2.Metrics{
			CPU:    &cgroup2.CPUStat{UsageUsec: math.MaxUint64},
			Memory: &cgroup2.MemoryStat{Usage: 1, InactiveFile: 2, UsageLimit: math.MaxUint64},
		})
		if err != nil || got.CPU < 0 || got.Memory != 0 || got.MemoryLimit != 0 {
			t.Errorf("got %+v, %v, want no overflow and no limit", got, err)
		}
	})
	t.Run("Unknown", func(t *testing.T) {
		if _, err := containerd.UsageOf("text"); err == nil {
			t.Error("got no error for metrics of an unknown type")
		}
	})
}

func TestSpellings(t *testing.T) {
	for ref, want := range map[string][]string{
		"test.local/a:1":      {"test.local/a:1"},
		"test.local/a":        {"test.local/a", "test.local/a:latest"},
		"localhost/a:1":       {"localhost/a:1"},
		"host:5000/a":         {"host:5000/a", "host:5000/a:latest"},
		"a":                   {"a", "a:latest", "docker.io/library/a", "docker.io/library/a:latest"},
		"a:1":                 {"a:1", "docker.io/library/a:1"},
		"me/a:1":              {"me/a:1", "docker.io/me/a:1"},
		"sha256:00":           {"sha256:00", "docker.io/library/sha256:00"},
		"test.local/a@sha:00": {"test.local/a@sha:00", "sha:00"},
	} {
		if got := containerd.Spellings(ref); !reflect.DeepEqual(got, want) {
			t.Errorf("got %q for %q, want %q", got, ref, want)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for _, endpoint := range []string{
		"", "/run/model.sock", "http://localhost", "unix://relative", "unix:///", "unix:///model.sock",
		"unix:///proc/x.sock", "unix:///sys/a/x.sock", "unix:///dev/x.sock", "unix:///a/../model.sock",
	} {
		if got, err := containerd.Endpoint(endpoint); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %q, %v for %q, want %v", got, err, endpoint, edge.ErrInvalid)
		}
	}
	if got, err := containerd.Endpoint("unix:///run/model/model.sock"); got != "/run/model/model.sock" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestMergeEnv(t *testing.T) {
	got := containerd.MergeEnv([]string{"PATH=/bin", "A=1", "B=2"}, []string{"A=3", "C="})
	if want := []string{"PATH=/bin", "A=3", "B=2", "C="}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKeyed(t *testing.T) {
	v1 := "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"
	v2 := "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 1\n"
	for _, text := range []string{v1, v2} {
		if got := containerd.Keyed([]byte(text), "oom_kill"); got != 2 {
			t.Errorf("got %d from %q, want 2", got, text)
		}
	}
	for _, text := range []string{"", "oom_kill", "oom_kill x\n"} {
		if got := containerd.Keyed([]byte(text), "oom_kill"); got != 0 {
			t.Errorf("got %d from %q, want 0", got, text)
		}
	}
}

func TestFindAccount(t *testing.T) {
	passwd := []byte("root:x:0:0::/root:/bin/sh\nmodel:x:1000:100::/:\nbad:x:nan:1::/:\nshort:x\n")
	group := []byte("users:x:100:\nvideo:x:44:other,model\ngpu:x:45:model\nodd:x:zz:model")
	for _, test := range []struct {
		name, group string
		want        containerd.Account
	}{
		{"model", "", containerd.NewAccount(1000, 100, 44, 45)},
		{"1000", "", containerd.NewAccount(1000, 100, 44, 45)},
		{"model", "video", containerd.NewAccount(1000, 44)},
		{"model", "7", containerd.NewAccount(1000, 7)},
		{"5000", "", containerd.NewAccount(5000, 5000)},
		{"5000", "gpu", containerd.NewAccount(5000, 45)},
		{"root", "", containerd.NewAccount(0, 0)},
	} {
		if got, err := containerd.FindAccount(passwd, group, test.name, test.group); !reflect.DeepEqual(got, test.want) || err != nil {
			t.Errorf("got %+v, %v for %s:%s, want %+v", got, err, test.name, test.group, test.want)
		}
	}
	for _, test := range [][2]string{{"nobody", ""}, {"model", "none"}, {"bad", ""}, {"short", ""}} {
		if got, err := containerd.FindAccount(passwd, group, test[0], test[1]); err == nil {
			t.Errorf("got %+v for %v, want an error", got, test)
		}
	}
	if got, err := containerd.FindAccount(nil, nil, "root", ""); !errors.Is(err, edge.ErrNotFound) {
		t.Errorf("got %+v, %v from an image without files, want %v", got, err, edge.ErrNotFound)
	}
}
