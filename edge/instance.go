package edge

import (
	"fmt"
	"strings"
	"time"
)

// Instance is one container of a workload as the driver knows it.
type Instance struct {
	ID       string    `json:"id"`
	Workload string    `json:"workload"` // Workload.Key
	SpecHash string    `json:"specHash"`
	Image    string    `json:"image"`  // the reference it was made from
	Digest   string    `json:"digest"` // the image's digest
	PID      uint32    `json:"pid,omitempty"`
	Running  bool      `json:"running"`
	Started  time.Time `json:"started,omitzero"`
	Socket   string    `json:"socket,omitempty"`  // where the host reaches a model server's unix socket
	LogPath  string    `json:"logPath,omitempty"` // its output on the host
	Exit     *Exit     `json:"exit,omitempty"`    // nil while running
	// Ports are where the node answers for it, and Addresses what it has on its networks,
	// by their names.
	Ports     []Port            `json:"ports,omitempty"`
	Addresses map[string]string `json:"addresses,omitempty"`
}

// Where says where the instance is reached: at ports of the node, and on its networks.
func (i Instance) Where() string {
	var words []string
	for _, port := range i.Ports {
		words = append(words, port.String())
	}
	for _, network := range sorted(i.Addresses) {
		words = append(words, network+"="+i.Addresses[network])
	}
	return strings.Join(words, " ")
}

// Exit is how an instance ended.
type Exit struct {
	Code   uint32    `json:"code"`
	Signal string    `json:"signal,omitempty"` // when a signal ended it, for example SIGKILL
	OOM    bool      `json:"oom,omitempty"`    // it was killed for want of memory
	Short  string    `json:"short,omitempty"`  // whose memory was used up then; empty: what its own limit allows
	At     time.Time `json:"at,omitzero"`
}

// String says how it ended in the words of a person.
func (e Exit) String() string {
	switch {
	case e.OOM && e.Short != "":
		return "killed because the memory of " + e.Short + " was used up"
	case e.OOM:
		return "killed at its memory limit"
	case e.Signal != "":
		return "ended by " + e.Signal
	default:
		return fmt.Sprintf("exited with code %d", e.Code)
	}
}

// Image is an image in the node's store.
type Image struct {
	Name      string    `json:"name"`
	Digest    string    `json:"digest"`
	Size      int64     `json:"size"` // bytes of content for this platform
	Platforms []string  `json:"platforms,omitempty"`
	Imported  time.Time `json:"imported,omitzero"`
}

// Usage is what one instance consumes.
type Usage struct {
	CPU         time.Duration `json:"cpuNs"`  // since start
	Memory      uint64        `json:"memory"` // bytes, without the page cache that can be dropped
	MemoryLimit uint64        `json:"memoryLimit,omitempty"`
	Pids        uint64        `json:"pids"`
	Throttled   time.Duration `json:"throttledNs"` // time spent waiting for its CPU limit
	OOMKills    uint64        `json:"oomKills"`
}

// Pool is a group of interchangeable instances and the models they answer: what
// the scheduler may count with.
type Pool struct {
	Name   string // Workload.Key
	Lanes  int    // tasks its ready instances can answer at once; 0 while none is ready
	Models []ModelCost
	// Ladder tells that a task for one of Models may be answered by one that stands after
	// it, which are smaller.
	Ladder bool
	// Fixed tells that what its instances have begun runs to its end: it cannot be suspended.
	Fixed bool
}

// ModelCost is a model and its declared service time.
type ModelCost struct {
	Model string
	Cost  time.Duration // 0: not declared
}
