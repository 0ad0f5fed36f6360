package config

import (
	"time"

	"holdfast/edge"
)

// Config is everything the agent is told about its node. Keys are the names in
// the json tags, joined by dots.
type Config struct {
	Node       Node       `json:"node"`
	Policy     Policy     `json:"policy"`
	Link       Link       `json:"link"`
	Site       Broker     `json:"site"`
	Paths      Paths      `json:"paths"`
	Containerd Containerd `json:"containerd"`
	API        API        `json:"api"`
	Scheduler  Scheduler  `json:"scheduler"`
	Limits     Limits     `json:"limits"`
	Reserve    Reserve    `json:"reserve"`
	Log        Log        `json:"log"`
	Logs       Logs       `json:"logs"`
	Trace      Trace      `json:"trace"`
	Workloads  Workloads  `json:"workloads"`
	Images     Images     `json:"images"`
	Disk       Disk       `json:"disk"`
	Update     Update     `json:"update"`
}

// Node is who this node is.
type Node struct {
	Name   string            `json:"name"`   // default: the host's name
	Site   string            `json:"site"`   // a level of its topics
	Role   string            `json:"role"`   // what it tells its fleet that it is for
	Groups []string          `json:"groups"` // audiences it belongs to
	Labels map[string]string `json:"labels"`
}

// Identity is the node as audiences of policies see it.
func (n Node) Identity() edge.Identity {
	return edge.Identity{Node: n.Name, Groups: n.Groups, Labels: n.Labels}
}

// Policy says where the trust of the node begins. Both files come with the node and
// are never written by the agent.
type Policy struct {
	Root    string `json:"root"`    // the signed root document; without it no policy governs the node
	Factory string `json:"factory"` // the signed policy in force until another one is
	// Trial is how long a new policy is watched for what shows that it cannot be applied.
	Trial Duration `json:"trial"`
}

// Broker is how a broker is reached, and who the node is there.
type Broker struct {
	Address      string `json:"broker"` // tcp://host:port or tls://host:port; empty: there is none
	User         string `json:"user"`
	PasswordFile string `json:"passwordFile"`
	CA           string `json:"ca"` // who signs the broker's certificate; empty: whom the system trusts
	Certificate  string `json:"certificate"`
	Key          string `json:"key"`
}

// Link is the connection to the fleet, and what travels on it.
type Link struct {
	Broker
	Tasks  int      `json:"tasks"`  // settled tasks told one by one, each second; the rest is counted
	Vitals Duration `json:"vitals"` // how often the fleet is told what the node measures about itself
	Reboot string   `json:"reboot"` // deny or allow
}

// Paths are the folders of the agent's own.
type Paths struct {
	State string `json:"state"` // survives a power cut
	Run   string `json:"run"`   // gone after one
}

// Containerd is how the daemon is reached and what the agent keeps there.
type Containerd struct {
	Address      string `json:"address"`
	Namespace    string `json:"namespace"`
	CgroupParent string `json:"cgroupParent"`
}

// API is the local API's doors and the room behind them.
type API struct {
	Socket      string `json:"socket"`    // default: holdfast.sock in paths.run
	Listen      string `json:"listen"`    // host:port; empty: no TCP listener
	Group       string `json:"group"`     // whose members may use the socket beside root; empty: the agent's own
	TokenFile   string `json:"tokenFile"` // with what callers of the port must know to change things
	MaxBody     Size   `json:"maxBody"`
	MaxInFlight Size   `json:"maxInFlight"` // all bodies together
}

// Scheduler is what the queue plans with.
type Scheduler struct {
	Slots       int      `json:"slots"`       // tasks that may run at once; 0: one for each CPU
	DefaultCost Duration `json:"defaultCost"` // of a model that declares none, until it is measured
	Order       string   `json:"order"`       // by which the queue is kept
	Preempt     bool     `json:"preempt"`     // what runs may be suspended for what is more urgent
	Suspended   int      `json:"suspended"`   // tasks suspended at once; 0: as many as slots and four more
	Classes     Classes  `json:"classes"`
}

// Classes holds what each class promises.
type Classes struct {
	Urgent Class `json:"urgent"`
	Normal Class `json:"normal"`
	Batch  Class `json:"batch"`
}

// Class is what one class promises.
type Class struct {
	Deadline Duration `json:"deadline"` // of a task that names none
	Queue    int      `json:"queue"`    // tasks that may wait
}

// Of returns the settings of one class.
func (c Classes) Of(class edge.Class) Class {
	switch class {
	case edge.Urgent:
		return c.Urgent
	case edge.Batch:
		return c.Batch
	default:
		return c.Normal
	}
}

// Limits bound instances.
type Limits struct {
	Default InstanceLimits `json:"default"`
}

// InstanceLimits bound an instance whose workload says nothing itself.
type InstanceLimits struct {
	CPUs   float64 `json:"cpus"`
	Memory Size    `json:"memory"`
	Pids   int     `json:"pids"`
}

// Edge gives the limits in the shared language.
func (l InstanceLimits) Edge() edge.Limits {
	return edge.Limits{CPUs: l.CPUs, Memory: int64(l.Memory), Pids: int64(l.Pids)}
}

// Log is the agent's own log.
type Log struct {
	Level  Level  `json:"level"`
	Format string `json:"format"` // text or json
}

// Logs bound what is kept of an instance's output.
type Logs struct {
	MaxSize Size `json:"maxSize"` // of one file
	Keep    int  `json:"keep"`    // rotated files beside the one being written
}

// Trace says whom the node tells what it has worked on.
type Trace struct {
	OTLP  string  `json:"otlp"`  // URL of a collector's traces; empty: nobody
	Share float64 `json:"share"` // of the traces begun here, from 0 to 1
}

// Workloads says where the desired workloads stand on a node that no policy governs.
type Workloads struct {
	Compose string `json:"compose"` // a Compose file; empty: none
}

// Default is the configuration with nothing configured. The node's name and the
// API socket are filled in by Load.
func Default() Config {
	return Config{
		Node:   Node{Site: "default"},
		Link:   Link{Tasks: 10, Vitals: Duration(time.Minute), Reboot: "deny"},
		Policy: Policy{Root: "/etc/holdfast/trust/root.json", Factory: "/etc/holdfast/factory-policy.json", Trial: Duration(time.Minute)},
		Paths:  Paths{State: "/var/lib/holdfast", Run: "/run/holdfast"},
		Containerd: Containerd{
			Address:   "/run/containerd/containerd.sock",
			Namespace: "holdfast", CgroupParent: "/holdfast",
		},
		API: API{Listen: "127.0.0.1:7433", MaxBody: 16 * MiB, MaxInFlight: 64 * MiB},
		Scheduler: Scheduler{
			DefaultCost: Duration(50 * time.Millisecond), Order: "plan", Preempt: true,
			Classes: Classes{
				Urgent: Class{Deadline: Duration(edge.Urgent.DefaultDeadline()), Queue: 64},
				Normal: Class{Deadline: Duration(edge.Normal.DefaultDeadline()), Queue: 256},
				Batch:  Class{Deadline: Duration(edge.Batch.DefaultDeadline()), Queue: 1024},
			},
		},
		Limits:  Limits{Default: InstanceLimits{CPUs: 0.5, Memory: 512 * MiB, Pids: 256}},
		Reserve: Reserve{CPUs: 0.1},
		Log:     Log{Format: "text"},
		Logs:    Logs{MaxSize: 4 * MiB, Keep: 3},
		Trace:   Trace{Share: 0.01},
		Images:  Images{Fetch: FetchForPolicy},
		Disk:    Disk{Reserve: 256 * MiB},
		Update:  Update{ConfirmAfter: Duration(10 * time.Minute)},
	}
}
