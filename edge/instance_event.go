package edge

import "time"

// InstanceEvent is something that happened to an instance, as the container runtime
// saw it. The times are the node's wall clock.
type InstanceEvent struct {
	At       time.Time         `json:"at"`
	Kind     InstanceEventKind `json:"kind"`
	Instance string            `json:"instance,omitempty"` // its id; empty in a gap
	Workload string            `json:"workload,omitempty"` // Workload.Key; empty in a gap
	// Exit tells how it ended, in InstanceExited alone: nil when nobody saw it.
	Exit *Exit `json:"exit,omitempty"`
}

// InstanceEventKind is a constant name from the list below.
type InstanceEventKind string

// The kinds of events of an instance.
const (
	InstanceStarted     InstanceEventKind = "started"
	InstancePaused      InstanceEventKind = "paused"
	InstanceResumed     InstanceEventKind = "resumed"
	InstanceOutOfMemory InstanceEventKind = "out-of-memory" // the kernel killed in it, at its memory limit
	InstanceExited      InstanceEventKind = "exited"
	InstanceRemoved     InstanceEventKind = "removed"
	// InstanceEventGap: what happened before, since the event before it, was not
	// told. Whoever must know lists the instances now and misses nothing.
	InstanceEventGap InstanceEventKind = "gap"
)
