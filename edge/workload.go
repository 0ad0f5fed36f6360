package edge

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Workload is a desired container: a model server or any plain service, as a
// Compose service describes it, already resolved and checked.
type Workload struct {
	App      string `json:"app"`  // the Compose project
	Name     string `json:"name"` // the service, unique within its app
	Image    string `json:"image"`
	Replicas int    `json:"replicas"`

	Entrypoint []string `json:"entrypoint"`    // replaces the image's; nil keeps it, which is not the same as none
	Command    []string `json:"command"`       // replaces the image's; nil keeps it
	Env        []string `json:"env,omitempty"` // KEY=value, sorted, over the image's
	WorkingDir string   `json:"workingDir,omitempty"`
	User       string   `json:"user,omitempty"` // uid[:gid] or names of the image; empty takes the image's if it is not root

	Tenant  string  `json:"tenant,omitempty"` // whose share it uses; empty: DefaultTenant
	Limits  Limits  `json:"limits"`
	Request Request `json:"request,omitzero"`
	// IOWeight is the instance's part of the disk beside others that want it, from 10 to
	// 1000; 0: the kernel's default. Where the kernel has no such weights it says nothing.
	IOWeight int      `json:"ioWeight,omitempty"`
	Security Security `json:"security"`
	Tmpfs    []Tmpfs  `json:"tmpfs,omitempty"`
	Binds    []Bind   `json:"binds,omitempty"`
	Devices  []Device `json:"devices,omitempty"`
	Secrets  []Secret `json:"secrets,omitempty"`
	Volumes  []Volume `json:"volumes,omitempty"`
	// Networks are those of its app that it is on, by name. Instances on one reach each
	// other, by the names of their workloads; nothing else is reached from there: not the
	// host, not another app, nothing outside. None: no network.
	Networks []string `json:"networks,omitempty"`
	// Outward are those of its networks that lead outside too: to whatever the node itself
	// reaches, but never to the node, nor from there inward.
	Outward []string `json:"outward,omitempty"`
	// Links are networks that it shares with other apps, by names of the node's. Others are
	// called NAME.APP there.
	Links []string `json:"links,omitempty"`
	// Ports of its instances that the node answers at, whatever networks they are on.
	Ports []Port `json:"ports,omitempty"`

	Restart    RestartPolicy `json:"restart"`
	StopSignal string        `json:"stopSignal,omitempty"` // empty: the image's, else SIGTERM
	StopGrace  time.Duration `json:"stopGrace,omitempty"`  // between the stop signal and SIGKILL

	Probes    Probes       `json:"probes,omitzero"`
	DependsOn []Dependency `json:"dependsOn,omitempty"` // sorted by their names
	Update    Update       `json:"update,omitzero"`

	Serve *Serve `json:"serve,omitempty"` // nil: a plain service, not a model server
}

// Limits bound one instance. Zero means the node's default, never "unlimited".
type Limits struct {
	CPUs   float64 `json:"cpus,omitempty"`   // cores
	Memory int64   `json:"memory,omitempty"` // bytes
	Pids   int64   `json:"pids,omitempty"`
}

// Request is what is set aside for one instance: what it has when the node is short,
// and what it counts for against its tenant's CPU. Zero means its limit.
type Request struct {
	CPUs   float64 `json:"cpus,omitempty"`   // cores
	Memory int64   `json:"memory,omitempty"` // bytes
}

// Security lists what is relaxed from the hardened default; its zero value is
// the default itself.
type Security struct {
	CapAdd       []string `json:"capAdd,omitempty"`
	WritableRoot bool     `json:"writableRoot,omitempty"`
	RunAsRoot    bool     `json:"runAsRoot,omitempty"`
	HostNetwork  bool     `json:"hostNetwork,omitempty"` // the host's own network, its loopback included
	Privileged   bool     `json:"privileged,omitempty"`  // every capability and device, no filter: the host's root in all but name
}

// Tmpfs is a small memory-backed folder inside the container.
type Tmpfs struct {
	Path string `json:"path"`
	Size int64  `json:"size"` // bytes
}

// Bind shows a file or folder of the host inside the container. What else is mounted
// below the source on the host is not shown.
type Bind struct {
	Source   string `json:"source"`
	Target   string `json:"target"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// Device gives a device of the host to the container, whose user owns its node there.
type Device struct {
	Host   string `json:"host"`
	Path   string `json:"path,omitempty"`   // inside the container; empty: as on the host
	Access string `json:"access,omitempty"` // of r, w and m; empty: all three
}

// Target is where the device stands inside the container.
func (d Device) Target() string { return cmp.Or(d.Path, d.Host) }

// Rights is what may be done with the device.
func (d Device) Rights() string { return cmp.Or(d.Access, "rwm") }

// RestartPolicy says when an instance that ended is started again.
type RestartPolicy string

// The restart policies, as Compose names them.
const (
	RestartAlways    RestartPolicy = "always"
	RestartOnFailure RestartPolicy = "on-failure"
	RestartNo        RestartPolicy = "no"
)

// Serve describes what a model server answers and how it is reached.
type Serve struct {
	Model    string   `json:"model"`
	Variants []string `json:"variants,omitempty"` // smaller models the same server answers, largest first
	// Endpoint is where the server listens, as the container sees it:
	// unix:///run/model/model.sock. The folder of the socket is a mount of the
	// instance's own.
	Endpoint string `json:"endpoint,omitempty"`
	// Cost is the service time to count with until there is a measured one.
	Cost time.Duration `json:"cost,omitempty"`
	// Concurrency is how many tasks one instance answers at once.
	Concurrency int `json:"concurrency,omitempty"`
	// Timeout is how long one request may run before its instance counts as hung.
	Timeout time.Duration `json:"timeout,omitempty"`
	// ReadyWithin is how long a started instance may take until it is ready.
	ReadyWithin time.Duration `json:"readyWithin,omitempty"`
	// Fixed: its tasks are never suspended for more urgent ones.
	Fixed bool `json:"fixed,omitempty"`
	// Exact: its tasks are answered by the model they ask for, and never by a variant.
	Exact bool `json:"exact,omitempty"`
	// OneShot: it is no server, and each task is a container of its own.
	OneShot *OneShot `json:"oneShot,omitempty"`
}

// Models lists every model the workload answers, the main one first.
func (s *Serve) Models() []string {
	if s == nil {
		return nil
	}
	return append([]string{s.Model}, s.Variants...)
}

// Key names the workload on its node.
func (w Workload) Key() string { return w.App + "/" + w.Name }

// shape is what an instance is made from: what cannot change while it runs. Its
// encoding outlives the agent that wrote it, as the label by which the next agent
// knows an instance again. So a field added here later is left out while it is
// empty, or an upgrade would replace every instance of every node.
type shape struct {
	Image      string   `json:"image"`
	Entrypoint []string `json:"entrypoint"`
	Command    []string `json:"command"`
	Env        []string `json:"env,omitempty"`
	WorkingDir string   `json:"workingDir,omitempty"`
	User       string   `json:"user,omitempty"`
	CPUs       float64  `json:"cpus,omitempty"`
	Memory     int64    `json:"memory,omitempty"`
	Pids       int64    `json:"pids,omitempty"`
	CapAdd     []string `json:"capAdd,omitempty"`
	WriteRoot  bool     `json:"writableRoot,omitempty"`
	Root       bool     `json:"runAsRoot,omitempty"`
	Tmpfs      []Tmpfs  `json:"tmpfs,omitempty"`
	StopSignal string   `json:"stopSignal,omitempty"`
	ReqCPUs    float64  `json:"requestCPUs,omitempty"`
	ReqMemory  int64    `json:"requestMemory,omitempty"`
	HostNet    bool     `json:"hostNetwork,omitempty"`
	Privileged bool     `json:"privileged,omitempty"`
	Binds      []Bind   `json:"binds,omitempty"`
	Devices    []Device `json:"devices,omitempty"`
	IOWeight   int      `json:"ioWeight,omitempty"`

	Secrets []secretShape `json:"secrets,omitempty"`
	Volumes []Volume      `json:"volumes,omitempty"`
	Network *netShape     `json:"network,omitempty"`
	Ports   []Port        `json:"ports,omitempty"`

	// Of a model server: what is mounted, and what it is expected to answer.
	Models      []string      `json:"models,omitempty"`
	Endpoint    string        `json:"endpoint,omitempty"`
	Concurrency int           `json:"concurrency,omitempty"`
	Timeout     time.Duration `json:"timeout,omitempty"`

	OneShot *oneShotShape `json:"oneShot,omitempty"`
}

// oneShotShape is where a tool finds its input and leaves its output.
type oneShotShape struct {
	Input  string `json:"input,omitempty"`
	Output string `json:"output,omitempty"`
}

// netShape is who an instance is to others.
type netShape struct {
	App      string   `json:"app"`
	Name     string   `json:"name"`
	Networks []string `json:"networks"`
	Outward  []string `json:"outward,omitempty"`
	Links    []string `json:"links,omitempty"`
}

// SpecHash identifies what an instance is made from: two instances of a workload
// with the same hash are interchangeable. How many there are, when they are started
// and started again, how they are asked for their health and what they are declared to
// cost is no part of it.
func (w Workload) SpecHash() string {
	s := shape{
		Image: w.Image, Entrypoint: w.Entrypoint, Command: w.Command, Env: w.Env, WorkingDir: w.WorkingDir, User: w.User,
		CPUs: w.Limits.CPUs, Memory: w.Limits.Memory, Pids: w.Limits.Pids,
		CapAdd: w.Security.CapAdd, WriteRoot: w.Security.WritableRoot, Root: w.Security.RunAsRoot,
		HostNet: w.Security.HostNetwork, Privileged: w.Security.Privileged,
		Tmpfs: w.Tmpfs, Binds: w.Binds, Devices: w.Devices, StopSignal: w.StopSignal,
		ReqCPUs: w.Request.CPUs, ReqMemory: w.Request.Memory, IOWeight: w.IOWeight,
		Secrets: secretShapes(w.Secrets), Volumes: w.Volumes, Ports: w.Ports,
	}
	if w.Connected() {
		s.Network = &netShape{w.App, w.Name, w.Networks, w.Outward, w.Links}
	}
	switch {
	case w.IsOneShot():
		s.OneShot = &oneShotShape{w.Serve.OneShot.Input, w.Serve.OneShot.Output}
	case w.Serve != nil:
		s.Models, s.Endpoint = w.Serve.Models(), w.Serve.Endpoint
		s.Concurrency, s.Timeout = w.Serve.Concurrency, w.Serve.Timeout
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("workload %q is plain data and must encode: %v", w.Key(), err))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
