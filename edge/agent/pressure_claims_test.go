package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/runtime/containerd"
)

const mib = 1 << 20

// claimsRig is a node of 1 GiB and two cores.
type claimsRig struct {
	*claims
	bounds, weights error
	portions        []containerd.Portion
}

func newClaimsRig() *claimsRig {
	r := &claimsRig{}
	r.claims = &claims{
		runs:    true,
		machine: func() means { return means{gib, 2} }, reserve: config.Reserve{CPUs: 0.5}, limits: edge.Limits{Memory: 512 * mib},
		confine:  func() error { return r.bounds },
		weights:  func() error { return r.weights },
		portions: func() []containerd.Portion { return r.portions },
		shown:    &sharedWarnings{warnings: newWarnings(newChronicle(slog.New(slog.DiscardHandler)))}, tight: map[string]bool{},
	}
	return r
}

// want wants just these codes, and words in the only one's detail.
func (r *claimsRig) want(t *testing.T, words string, codes ...string) {
	t.Helper()
	var got []string
	all := r.shown.warnings.All()
	for _, w := range all {
		got = append(got, w.Code)
		if w.Remedy == "" {
			t.Errorf("%s has no remedy", w.Code)
		}
	}
	if slices.Sort(got); !slices.Equal(got, codes) {
		t.Fatalf("got warnings %q, want %q", got, codes)
	}
	if words != "" && !strings.Contains(all[0].Detail, words) {
		t.Errorf("got %q, want it to say %q", all[0].Detail, words)
	}
}

func wanting(name string, replicas int, limit, aside int64, cpus float64) edge.Workload {
	return edge.Workload{App: "line", Name: name, Replicas: replicas, Limits: edge.Limits{Memory: limit}, Request: edge.Request{Memory: aside, CPUs: cpus}}
}

func TestClaims_Take(t *testing.T) {
	for name, c := range map[string]struct {
		workloads []edge.Workload
		words     string
		codes     []string
	}{
		"Nothing":    {nil, "", nil},
		"Fits":       {[]edge.Workload{wanting("a", 2, 416*mib, 416*mib, 0.75)}, "", nil},
		"Stopped":    {[]edge.Workload{wanting("a", 0, 4*gib, 4*gib, 9)}, "", nil},
		"Limits":     {[]edge.Workload{wanting("a", 2, 416*mib, 0, 0), wanting("b", 1, mib, 0, 0)}, "833.0 MiB together, and the node has 832.0 MiB for them (1.0 GiB, of which 192.0 MiB are kept: reserve.memory): line/a 832.0 MiB, line/b 1.0 MiB", []string{codeMemoryClaimed}},
		"Default":    {[]edge.Workload{wanting("a", 2, 0, 0, 0)}, "1.0 GiB together", []string{codeMemoryClaimed}},
		"SetAside":   {[]edge.Workload{wanting("a", 1, 900*mib, 900*mib, 0)}, "set 900.0 MiB of memory aside", []string{codeMemoryClaimed}},
		"Cores":      {[]edge.Workload{wanting("a", 2, mib, 0, 0.8)}, "set 1.6 cores aside together, and the node has 1.5 for them (2, of which 0.5 are kept: reserve.cpus): line/a 1.6", []string{codeCPUClaimed}},
		"Everything": {[]edge.Workload{wanting("a", 2, gib, 0, 2)}, "", []string{codeCPUClaimed, codeMemoryClaimed}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newClaimsRig()
			r.Take(c.workloads)
			r.want(t, c.words, c.codes...)
			r.Take(nil)
			r.want(t, "")
		})
	}
	t.Run("BeforeItRuns", func(t *testing.T) {
		r := newClaimsRig()
		r.runs, r.confine = false, func() error { t.Error("bounds were written"); return nil }
		r.Take([]edge.Workload{wanting("a", 2, gib, 0, 2)})
		r.want(t, "")
	})
	t.Run("UnknownMachine", func(t *testing.T) {
		r := newClaimsRig()
		r.machine = func() means { return means{} }
		r.Take([]edge.Workload{wanting("a", 2, gib, gib, 2)})
		r.want(t, "")
	})
}

func TestClaims_Feasible(t *testing.T) {
	r := newClaimsRig()
	policy := &edge.Policy{Workloads: []edge.Workload{wanting("a", 2, gib, 400*mib, 0.5)}}
	if err := r.Feasible(policy); err != nil {
		t.Errorf("got %v: limits alone are no reason to refuse", err)
	}
	policy.Limits.DefaultRequest.Memory = 100 * mib
	policy.Workloads = append(policy.Workloads, edge.Workload{App: "line", Name: "b", Replicas: 1})
	err := r.Feasible(policy)
	if !errors.Is(err, edge.ErrInvalid) || !strings.Contains(err.Error(), "line/a 800.0 MiB, line/b 100.0 MiB") || !strings.Contains(edge.HintOf(err), "reserve.memory") {
		t.Errorf("got %v (%s), want a refusal that names who sets how much aside and what to do", err, edge.HintOf(err))
	}
	policy.Workloads[0].Request.CPUs = 2
	if err := r.Feasible(policy); err == nil || !strings.Contains(err.Error(), "cores aside") || !strings.Contains(err.Error(), "memory aside") {
		t.Errorf("got %v, want both named", err)
	}
}

func TestClaims_Run(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newClaimsRig()
		ctx, stop := context.WithCancel(t.Context())
		end := make(chan error)
		go func() { end <- r.Run(ctx) }()
		defer func() {
			stop()
			<-end
		}()
		step := func(used int64, tenant, words string, codes ...string) {
			t.Helper()
			r.mu.Lock()
			r.portions = []containerd.Portion{{Tenant: tenant, Used: used, Most: 100 * mib, First: "line-a-1"}}
			r.mu.Unlock()
			time.Sleep(claimsEvery)
			synctest.Wait()
			r.want(t, words, codes...)
		}
		step(89*mib, "", "")
		step(90*mib, "", "90.0 MiB of the 100.0 MiB that all instances together may have are used; when more is wanted the kernel ends line-a-1 first", codeMemoryTight)
		step(81*mib, "", "", codeMemoryTight)
		step(79*mib, "", "")
		step(85*mib, "", "")
		step(95*mib, "vision", "tenant vision", codeMemoryTight)
		r.mu.Lock()
		r.bounds = edge.WithHint(errors.New("no controller"), "mount it")
		r.mu.Unlock()
		step(0, "", "no controller", codeBounds)
		r.mu.Lock()
		r.bounds = nil
		r.mu.Unlock()
		step(0, "", "")
	})
}

func TestClaims_DiskWeights(t *testing.T) {
	r := newClaimsRig()
	r.weights = edge.WithHint(errors.New("no disk is scheduled by weight"), "use bfq")
	r.Take([]edge.Workload{wanting("a", 1, mib, 0, 0)})
	r.want(t, "")
	w := wanting("b", 1, mib, 0, 0)
	w.IOWeight = 300
	r.Take([]edge.Workload{w})
	r.want(t, "line/b has a weight of the disk, and no disk is scheduled by weight; it runs without", codeDiskWeights)
	r.weights = nil
	r.Take([]edge.Workload{w})
	r.want(t, "")
}

func TestLowerScore(t *testing.T) {
	for before, want := range map[string]string{"0\n": "-900", "-999\n": "-999\n", "-900\n": "-900\n"} {
		file := filepath.Join(t.TempDir(), "score")
		if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := lowerScore(file, agentScore); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("got %q, %v after %q, want %q", got, err, before, want)
		}
	}
	if err := lowerScore(filepath.Join(t.TempDir(), "none"), agentScore); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %v", err, os.ErrNotExist)
	}
}
