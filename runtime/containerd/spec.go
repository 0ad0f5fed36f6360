package containerd

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"holdfast/edge"
)

// plan is everything a container is made from.
type plan struct {
	id       string
	workload edge.Workload
	config   processConfig
	account  account
	limits   edge.Limits // without zeros
	cgroup   string
	release  func() // of the cgroup above it, once it stands there
	ioWeight int    // 0: none, or the kernel has no such weights
	given    given
	caps     []string // capabilities, as the kernel writes them
	endpoint string   // the socket's path inside, empty for none
	socket   string   // its path on the host
	shared   string   // the host folder mounted there
	secrets  []confidence
	trays    []tray // of a tool that works on files
}

// processConfig is what an image and a workload together say about the process.
type processConfig struct {
	args []string
	env  []string
	dir  string
}

const (
	// The kernel takes low scores for killing last: a thousandth of all the memory in
	// question counts as much as one more of the score. The agent runs at 0 or below: when
	// the node is out of memory a container goes first, and is started again.
	oomScore = 500
	// keptScore is that of an instance all of whose memory is set aside for it.
	keptScore = 100
	// doublingScore is what each doubling of the memory that an instance may take beyond
	// what is set aside for it adds.
	doublingScore = 10
	// smallTmpfs bounds the writable places of a read-only container.
	smallTmpfs = 16 << 20
	// openFiles is enough for a server with some thousand connections.
	openFiles = 4096
	// cpuPeriod is the kernel's own default, in microseconds.
	cpuPeriod = 100_000
	// minQuota is the shortest the kernel takes, in microseconds.
	minQuota = 1_000
)

// spec makes the container's runtime specification. It starts from containerd's
// own default, for its lists of masked and read-only paths grow with the kernel's
// leaks, and takes away from there.
func (p plan) spec(ctx context.Context, namespace string) (*specs.Spec, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	s, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: p.id})
	if err != nil {
		return nil, fmt.Errorf("cannot generate spec: %w", err)
	}
	s.Root.Readonly = !p.workload.Security.WritableRoot
	s.Hostname = hostname(p.workload.Name)
	p.describeProcess(s.Process)
	if s.Mounts, err = p.mounts(); err != nil {
		return nil, err
	}
	s.Linux.CgroupsPath = p.cgroup
	if s.Linux.Resources, err = p.resources(s.Linux.Resources); err != nil {
		return nil, err
	}
	p.describeHost(s.Linux)
	// Last: the profile allows what the capabilities imply.
	if !p.workload.Security.Privileged {
		s.Linux.Seccomp = seccomp.DefaultProfile(s)
	}
	return s, nil
}

// describeHost adds what the container has of its host beside its mounts.
func (p plan) describeHost(linux *specs.Linux) {
	linux.Devices = append(linux.Devices, p.given.devices...)
	linux.Resources.Devices = append(linux.Resources.Devices, p.given.rules...)
	if p.workload.Security.HostNetwork {
		linux.Namespaces = slices.DeleteFunc(linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace })
	}
	if p.workload.Security.Privileged {
		linux.MaskedPaths, linux.ReadonlyPaths = nil, nil
	}
}

func (p plan) describeProcess(process *specs.Process) {
	score, capabilities := p.oomScore(), p.caps
	process.Args = p.config.args
	process.Env = p.config.env
	process.Cwd = p.config.dir
	process.User = specs.User{UID: p.account.uid, GID: p.account.gid, AdditionalGids: p.account.groups}
	process.NoNewPrivileges = !p.workload.Security.Privileged
	process.OOMScoreAdj = &score
	// Ambient too, or a user who is not root would lose them when its program is
	// executed.
	process.Capabilities = &specs.LinuxCapabilities{
		Bounding: capabilities, Effective: capabilities, Permitted: capabilities,
		Inheritable: capabilities, Ambient: capabilities,
	}
	process.Rlimits = []specs.POSIXRlimit{
		{Type: "RLIMIT_NOFILE", Soft: openFiles, Hard: openFiles},
		{Type: "RLIMIT_CORE"}, // a core dump would land on the host's flash
	}
}

// oomScore says who goes first where memory is short for several: whoever has set none
// aside, the largest of them first, and among those of a size whoever may yet take more: one
// that has taken all there is and was started anew is small again, and not its neighbour's
// to pay for.
func (p plan) oomScore() int {
	aside := min(p.workload.Request.Memory, p.limits.Memory)
	more := bits.Len64(uint64(max(p.limits.Memory-aside, 0)) >> 20) // doublings of a MiB
	return oomScore - int((oomScore-keptScore)*aside/max(p.limits.Memory, 1)) + more*doublingScore
}

// merge puts the workload's words over the image's. Naming an entrypoint drops
// the image's command with its entrypoint.
func merge(w edge.Workload, img image) (processConfig, error) {
	entrypoint, command := img.config.Entrypoint, img.config.Cmd
	if w.Entrypoint != nil {
		entrypoint, command = w.Entrypoint, nil
	}
	if w.Command != nil {
		command = w.Command
	}
	config := processConfig{
		args: slices.Concat(entrypoint, command),
		env:  mergeEnv(img.config.Env, w.Env),
		dir:  w.WorkingDir,
	}
	if config.dir == "" {
		config.dir = img.config.WorkingDir
	}
	if config.dir == "" {
		config.dir = "/"
	}
	if len(config.args) == 0 {
		return config, fmt.Errorf("neither image %q nor workload %q names a command: %w", img.name, w.Key(), edge.ErrInvalid)
	}
	if !path.IsAbs(config.dir) {
		return config, fmt.Errorf("working folder %q is not absolute: %w", config.dir, edge.ErrInvalid)
	}
	return config, nil
}

// mergeEnv lays one environment over another; the last of a name counts.
func mergeEnv(layers ...[]string) []string {
	const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	env := []string{path}
	at := map[string]int{"PATH": 0}
	for _, entry := range slices.Concat(layers...) {
		name, _, _ := strings.Cut(entry, "=")
		if i, ok := at[name]; ok {
			env[i] = entry
			continue
		}
		at[name] = len(env)
		env = append(env, entry)
	}
	return env
}

// resources bounds CPU, memory and processes. Memory with swap is the same as
// memory: what is over the limit must be killed, not swapped to flash.
func (p plan) resources(base *specs.LinuxResources) (*specs.LinuxResources, error) {
	if !(p.limits.CPUs > 0) || math.IsInf(p.limits.CPUs, 0) || p.limits.Memory <= 0 || p.limits.Pids <= 0 {
		return nil, fmt.Errorf("limits of workload %q must be positive: %w", p.workload.Key(), edge.ErrInvalid)
	}
	quota := int64(p.limits.CPUs * cpuPeriod)
	if quota < minQuota {
		return nil, fmt.Errorf("cpu limit %g of workload %q is below the smallest, %g: %w",
			p.limits.CPUs, p.workload.Key(), float64(minQuota)/cpuPeriod, edge.ErrInvalid)
	}
	period := uint64(cpuPeriod)
	base.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	base.Memory = &specs.LinuxMemory{Limit: &p.limits.Memory, Swap: &p.limits.Memory}
	base.Pids = &specs.LinuxPids{Limit: &p.limits.Pids}
	p.setAside(base)
	if weight := uint16(p.ioWeight); weight > 0 {
		base.BlockIO = &specs.LinuxBlockIO{Weight: &weight}
	}
	return base, nil
}

// setAside tells the kernel what the container has when the node is short.
func (p plan) setAside(resources *specs.LinuxResources) {
	if cores := p.workload.Request.CPUs; cores > 0 {
		shares := uint64(max(cores*perCore, 2))
		resources.CPU.Shares = &shares
	}
	if memory := p.workload.Request.Memory; memory > 0 {
		memory = min(memory, p.limits.Memory)
		resources.Memory.Reservation = &memory
	}
}

// withDefaults fills the limits a workload leaves open.
func withDefaults(limits, defaults edge.Limits) edge.Limits {
	if limits.CPUs == 0 {
		limits.CPUs = defaults.CPUs
	}
	if limits.Memory == 0 {
		limits.Memory = defaults.Memory
	}
	if limits.Pids == 0 {
		limits.Pids = defaults.Pids
	}
	return limits
}

// hostname is the workload's name as far as a host may bear it.
func hostname(name string) string {
	const longest = 63
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, name)
	return strings.Trim(clean[:min(len(clean), longest)], "-")
}
