// Package stand sets up a whole node on a development machine: a private
// containerd, the real holdfast binary as a process of its own, and folders that
// nobody else uses. The demonstration, the benchmarks and the tests from outside
// all stand on it.
//
// # Promise
//
// Close leaves no process, mount or cgroup behind, also after a kill in the
// middle; what an earlier run could not clean, the next Start does.
//
// # Concurrency
//
// A Stand belongs to one goroutine; what Client returns may be used by many.
package stand

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"holdfast/build/privated"
	"holdfast/edge"
	"holdfast/edge/localapi"
)

// Options say what the node is made of.
type Options struct {
	Dir     string   // holds everything that is kept; created
	Binary  string   // the holdfast binary
	Config  string   // a configuration file; empty: none
	Compose string   // the workloads; empty: what the configuration says
	Listen  string   // loopback address of the API; empty: unix socket only
	Set     []string // further configuration, key=value
}

// Stand is a running node.
type Stand struct {
	Daemon *privated.Daemon

	options Options
	guest   bool   // the daemon is another stand's
	run     string // short, so that socket paths below it fit
	cgroup  string
	client  *localapi.Client
	agent   *process
	through []string // a command that becomes the agent
}

// Start brings the private containerd up. The agent is started by StartAgent.
func Start(ctx context.Context, o Options) (*Stand, error) {
	s, err := place(o)
	if err != nil {
		return nil, err
	}
	if err := s.create(); err != nil {
		return nil, err
	}
	s.Daemon, err = privated.Start(ctx, privated.Options{Dir: s.containerd(), CgroupParent: s.cgroup})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Beside sets another node up on the containerd of this one, with folders and a
// cgroup of its own; what its workloads leave is taken down with this one. Give it
// a containerd.namespace too, or its agent adopts what another one started.
func (s *Stand) Beside(o Options) (*Stand, error) {
	other, err := place(o)
	if err != nil {
		return nil, err
	}
	other.Daemon, other.guest, other.cgroup = s.Daemon, true, s.cgroup+other.cgroup
	if err := other.create(); err != nil {
		return nil, err
	}
	return other, nil
}

func (s *Stand) create() error {
	if err := os.MkdirAll(s.StateFolder(), 0o755); err != nil {
		return fmt.Errorf("cannot create folder: %w", err)
	}
	return nil
}

// Clean takes down what an interrupted run left in dir.
func Clean(dir string) error {
	s, err := place(Options{Dir: dir})
	if err != nil {
		return err
	}
	return errors.Join(s.uncoverAll(), privated.Clean(s.containerd(), s.cgroup), os.RemoveAll(s.run))
}

// place names the paths of a stand. The run folder and the cgroup are named after
// the folder, so that two checkouts do not meet.
func place(o Options) (*Stand, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot find folder %q: %w", o.Dir, err)
	}
	o.Dir = dir
	sum := sha256.Sum256([]byte(dir))
	name := hex.EncodeToString(sum[:4])
	s := &Stand{options: o, run: "/run/hf-" + name, cgroup: "/holdfast-" + name}
	s.client = localapi.Dial(s.Socket())
	return s, nil
}

func (s *Stand) containerd() string { return filepath.Join(s.options.Dir, "containerd") }

// Socket is where the agent answers.
func (s *Stand) Socket() string { return filepath.Join(s.run, "holdfast.sock") }

// Folder is where everything that is kept lies.
func (s *Stand) Folder() string { return s.options.Dir }

// StateFolder is where the agent keeps what survives a power cut.
func (s *Stand) StateFolder() string { return filepath.Join(s.options.Dir, "state") }

// RunFolder is a short path of that name for sockets, gone after Close.
func (s *Stand) RunFolder(name string) string { return filepath.Join(s.run, name) }

// Cgroup is what all containers of the stand stand under.
func (s *Stand) Cgroup() string { return s.cgroup }

// Client talks to the agent, also to one that is started anew.
func (s *Stand) Client() *localapi.Client { return s.client }

// AgentLog is the file the agent's log goes to.
func (s *Stand) AgentLog() string { return filepath.Join(s.options.Dir, "agent.log") }

// AgentPID is the agent's process id, 0 when it does not run.
func (s *Stand) AgentPID() int {
	if s.agent == nil {
		return 0
	}
	return s.agent.pid()
}

// Through has the next starts of the agent go through a command that ends in
// becoming what its last arguments say, such as unshare; none: straight.
func (s *Stand) Through(command ...string) { s.through = command }

// Configure adds to what the next start of the agent is told, key=value.
func (s *Stand) Configure(settings ...string) { s.options.Set = append(s.options.Set, settings...) }

// StartAgent starts the agent and returns once it answers.
func (s *Stand) StartAgent(ctx context.Context) error {
	words := slices.Concat(s.through, []string{s.options.Binary}, s.Arguments())
	agent, err := startProcess(words[0], words[1:], s.AgentLog())
	if err != nil {
		return err
	}
	s.agent = agent
	return s.await(ctx, func(ctx context.Context) error {
		_, err := s.client.Status(ctx)
		return err
	})
}

// Arguments are those the agent is started with.
func (s *Stand) Arguments() []string {
	settings := append([]string{
		"paths.state=" + s.StateFolder(),
		"paths.run=" + s.run,
		"containerd.address=" + s.Daemon.Socket(),
		"containerd.cgroupParent=" + s.cgroup,
		"api.listen=" + s.options.Listen,
	}, s.options.Set...)
	arguments := []string{"run"}
	if s.options.Config != "" {
		arguments = append(arguments, "--config", s.options.Config)
	}
	if s.options.Compose != "" {
		arguments = append(arguments, "--compose", s.options.Compose)
	}
	for _, setting := range settings {
		arguments = append(arguments, "--set", setting)
	}
	return arguments
}

// AwaitModel returns once the node takes tasks for the model.
func (s *Stand) AwaitModel(ctx context.Context, model string) error {
	return s.await(ctx, func(ctx context.Context) error { return s.client.ModelReady(ctx, model) })
}

// AwaitInstances returns once every instance of every workload is ready.
func (s *Stand) AwaitInstances(ctx context.Context) error {
	return s.await(ctx, func(ctx context.Context) error {
		workloads, err := s.Client().Workloads(ctx)
		if err != nil {
			return err
		}
		for _, w := range workloads {
			if w.Ready < w.Workload.Replicas {
				return fmt.Errorf("%d of %d instances of %q are ready%s", w.Ready, w.Workload.Replicas, w.Workload.Key(), why(w))
			}
		}
		return nil
	})
}

// AwaitNothing returns once no instance is left.
func (s *Stand) AwaitNothing(ctx context.Context) error {
	return s.await(ctx, func(ctx context.Context) error {
		workloads, err := s.Client().Workloads(ctx)
		if err != nil {
			return err
		}
		if len(workloads) > 0 {
			return fmt.Errorf("%q is still there", workloads[0].Workload.Key())
		}
		return nil
	})
}

// why says what keeps instances from being ready, as far as the agent knows.
func why(w edge.WorkloadView) string {
	for _, i := range w.Instances {
		if i.State != edge.InstanceReady && i.Detail != "" {
			return ": " + i.Detail
		}
	}
	return ""
}

// await asks until the answer is yes, the agent has ended, or ctx has.
func (s *Stand) await(ctx context.Context, ask func(context.Context) error) error {
	const pause = 2 * time.Millisecond // short beside what is waited for
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-s.agent.ended:
			return fmt.Errorf("agent ended (%v); its log is %s", s.agent.err, s.AgentLog())
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

// Import puts an image archive into the node's store.
func (s *Stand) Import(ctx context.Context, path string) error {
	archive, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot open image: %w", err)
	}
	defer archive.Close()
	_, err = s.client.ImportImages(ctx, archive)
	return err
}

// KillAgent ends the agent as a power cut would.
func (s *Stand) KillAgent() error { return s.agent.kill() }

// StopAgent asks the agent to end and returns when it has.
func (s *Stand) StopAgent(ctx context.Context) error {
	if s.agent == nil {
		return nil
	}
	return s.agent.terminate(ctx)
}

// Close takes the whole node down.
func (s *Stand) Close() error {
	var errs []error
	s.client.Close()
	if s.agent != nil {
		errs = append(errs, s.agent.kill())
	}
	errs = append(errs, s.uncoverAll())
	if !s.guest {
		errs = append(errs, s.Daemon.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(s.run))...)
}
