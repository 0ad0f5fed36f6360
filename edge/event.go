package edge

import "time"

// Event is something that happened on the node, with what caused it.
type Event struct {
	Seq     uint64            `json:"seq"` // goes on over agents for as long as the machine stays up
	At      time.Time         `json:"at"`
	Kind    EventKind         `json:"kind"`
	Subject string            `json:"subject"`         // what it happened to: an instance, a workload, a model, the agent
	Cause   string            `json:"cause,omitempty"` // the percept or request behind it
	Facts   map[string]string `json:"facts,omitempty"`
}

// EventKind is a constant name from the list below.
type EventKind string

// The kinds of events.
const (
	EventAgentStarted     EventKind = "agent-started"
	EventAgentReloaded    EventKind = "agent-reloaded"
	EventAgentStopping    EventKind = "agent-stopping"
	EventDaemonLost       EventKind = "containerd-lost"
	EventDaemonBack       EventKind = "containerd-back"
	EventImageImported    EventKind = "image-imported"
	EventImageRemoved     EventKind = "image-removed"
	EventInstanceStarted  EventKind = "instance-started"
	EventInstanceAdopted  EventKind = "instance-adopted"
	EventInstanceReady    EventKind = "instance-ready"
	EventInstanceUnready  EventKind = "instance-unready"
	EventInstanceExited   EventKind = "instance-exited"
	EventInstanceStopped  EventKind = "instance-stopped"
	EventInstanceFailed   EventKind = "instance-failed"        // could not be started
	EventInstanceMemory   EventKind = "instance-out-of-memory" // the kernel killed in it, at its memory limit
	EventInstancePaused   EventKind = "instance-paused"
	EventInstanceResumed  EventKind = "instance-resumed"
	EventPolicyInForce    EventKind = "policy-in-force"
	EventPolicyRefused    EventKind = "policy-refused"
	EventPolicyRolledBack EventKind = "policy-rolled-back" // it failed to apply; an earlier one is in force again
	EventRootFollowed     EventKind = "root-followed"      // a newer root document was taken over
	EventLeaseEnded       EventKind = "lease-ended"
	EventCommandTaken     EventKind = "command-taken"
	EventCommandEnded     EventKind = "command-ended"
	EventCommandRefused   EventKind = "command-refused" // it was not believed, or not meant for this node
	EventAPIAsked         EventKind = "api-asked"       // somebody on the machine, or with the API's token, has the node do something
	EventMessageRefused   EventKind = "message-refused" // something on the link that was of no use
	EventLinkUp           EventKind = "link-up"
	EventLinkDown         EventKind = "link-down"
	EventTaskRefused      EventKind = "task-refused"
	EventTaskEvicted      EventKind = "task-evicted"
	EventTaskMissed       EventKind = "task-missed"
	EventTaskFailed       EventKind = "task-failed"
	EventWarningRaised    EventKind = "warning-raised"
	EventWarningCleared   EventKind = "warning-cleared"
	EventWorkloadsChanged EventKind = "workloads-changed"
	EventDependencyLost   EventKind = "dependency-lost" // what a workload depends on is not there any more; it runs on
	EventDependencyBack   EventKind = "dependency-back"

	EventUpstreamLost   EventKind = "upstream-lost" // it has failed too often, and is left alone for a while
	EventUpstreamBack   EventKind = "upstream-back"
	EventPartitionBegan EventKind = "partition-began" // the fleet has not been reached for so long that the policy's offline rules hold
	EventPartitionOver  EventKind = "partition-over"

	EventUpdateBegan      EventKind = "update-began"
	EventUpdateFailed     EventKind = "update-failed"      // the new version failed, and is not taken back here
	EventUpdateRolledBack EventKind = "update-rolled-back" // the new version failed; the last good one is in its place
	EventUpdatePromoted   EventKind = "update-promoted"    // the new version is the last good one from now on
	EventUpdateRefused    EventKind = "update-refused"     // the wanted version has failed before, and is not tried
	EventCanaryPassed     EventKind = "canary-passed"      // a share of the tasks found the new version good

	EventAgentUpdateBegan     EventKind = "agent-update-began"     // a release of the agent itself is being fetched
	EventAgentUpdateRefused   EventKind = "agent-update-refused"   // it was not believed, or is not for this node, or did not pass its self-test
	EventAgentUpdateTried     EventKind = "agent-update-tried"     // the agent ends to start anew in the new version
	EventAgentUpdateConfirmed EventKind = "agent-update-confirmed" // the new version was well for long enough, and is kept
	EventAgentFellBack        EventKind = "agent-fell-back"        // the new version was left; one before it runs

	EventSystemUpdateBegan     EventKind = "system-update-began"     // a bundle of the whole system is being brought
	EventSystemUpdateRefused   EventKind = "system-update-refused"   // it was not believed, or could not be installed
	EventSystemUpdateInstalled EventKind = "system-update-installed" // rauc has installed it; the next start of the machine is of it
	EventSystemRestarting      EventKind = "system-restarting"       // the machine is asked to start anew, for it
	EventSystemUpdateConfirmed EventKind = "system-update-confirmed" // it runs, and was called good
	EventSystemFellBack        EventKind = "system-fell-back"        // it was to run, and the former system does
)

// OfTask tells whether the kind is of single tasks, of which there may be thousands a second.
func (k EventKind) OfTask() bool {
	switch k {
	case EventTaskRefused, EventTaskEvicted, EventTaskMissed, EventTaskFailed:
		return true
	}
	return false
}

// Warning is a lasting degraded condition, as data: raised once, shown until it
// is over.
type Warning struct {
	Code    string    `json:"code"` // stable, lower-case with dashes
	Subject string    `json:"subject"`
	Detail  string    `json:"detail"`
	Remedy  string    `json:"remedy,omitempty"`
	Since   time.Time `json:"since"`
}
