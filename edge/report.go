package edge

import (
	"encoding/json"
	"time"
)

// Status answers "how is this node?" in one document.
type Status struct {
	Node       string           `json:"node"`
	Version    string           `json:"version"`
	PID        int              `json:"pid"`
	Started    time.Time        `json:"started"`
	Draining   bool             `json:"draining,omitempty"`
	Agent      AgentReport      `json:"agent,omitzero"`
	System     *SystemReport    `json:"system,omitempty"` // nil: nothing installs systems on this machine
	Policy     PolicyReport     `json:"policy"`
	Containerd DaemonReport     `json:"containerd"`
	Link       *LinkReport      `json:"link,omitempty"`  // to the fleet; absent where none is configured
	Site       *LinkReport      `json:"site,omitempty"`  // to the site's broker
	Inbox      *InboxReport     `json:"inbox,omitempty"` // absent where no folder is watched
	Scheduler  QueueReport      `json:"scheduler"`
	Upstreams  []UpstreamReport `json:"upstreams,omitempty"`
	Tenants    []TenantReport   `json:"tenants,omitempty"` // none while the policy bounds nobody
	Workloads  []WorkloadView   `json:"workloads"`
	Warnings   []Warning        `json:"warnings"`
	Vitals     Vitals           `json:"vitals"`
	Health     HealthReport     `json:"health"`
	Traces     *TraceReport     `json:"traces,omitempty"`   // absent where no collector is told
	SiteFile   *SiteFileReport  `json:"siteFile,omitempty"` // absent where nobody has set the node up by a file
}

// TraceReport is what has become of the tasks that a collector of traces is told of.
type TraceReport struct {
	Waiting int    `json:"waiting"`
	Sent    uint64 `json:"sent"`
	Dropped uint64 `json:"dropped"` // there was no room, or the collector would not have them
}

// InboxReport is what has become of files in watched folders, and of what is asked by the
// clock.
type InboxReport struct {
	Folders int               `json:"folders"`
	Timed   int               `json:"timed,omitempty"` // triggers that go by the clock alone
	Inside  int               `json:"inside"`          // being answered
	Again   uint64            `json:"again"`           // times a file stayed, as there was no room for it
	Files   map[string]uint64 `json:"files"`           // that have left, by outcome
}

// PolicyReport is what governs the node.
type PolicyReport struct {
	// Governed tells whether the node has a root document, by which it believes
	// policies. Without one its workloads come from a Compose file.
	Governed bool `json:"governed"`
	// State is none, factory, current, previous (the current one failed to apply) or
	// degraded (the lease has ended).
	State   string        `json:"state"`
	Name    string        `json:"name,omitempty"`
	Version uint64        `json:"version,omitempty"`
	Digest  string        `json:"digest,omitempty"`  // sha256:… of what was signed
	Signers []string      `json:"signers,omitempty"` // key ids
	Root    uint64        `json:"root,omitempty"`    // version of the root document it is believed under
	Since   time.Time     `json:"since,omitzero"`    // in force, by the wall clock then
	Age     time.Duration `json:"ageNs,omitempty"`   // in force, by a clock that is not before what is known of the time
	Trial   bool          `json:"trial,omitempty"`   // it is new, and is taken back if it cannot be applied
	// What is left of the lease, which counts hours of running and boots.
	Lease         LeaseTerms    `json:"lease,omitzero"`
	LeaseLeft     time.Duration `json:"leaseLeftNs,omitempty"`
	LeaseBoots    int           `json:"leaseBootsLeft,omitempty"`
	Kept          bool          `json:"kept"`                    // false: in memory only
	FailedVersion uint64        `json:"failedVersion,omitempty"` // the latest that was rolled back
	FailedWhy     string        `json:"failedWhy,omitempty"`
}

// PolicyView is what governs the node, with the document itself.
type PolicyView struct {
	PolicyReport
	Document json.RawMessage `json:"document,omitempty"` // canonical; absent when there is none
}

// DaemonReport is how the agent stands with containerd.
type DaemonReport struct {
	Connected bool   `json:"connected"`
	Version   string `json:"version,omitempty"`
	Address   string `json:"address"`
	Namespace string `json:"namespace"`
	Error     string `json:"error,omitempty"`
}

// LinkReport is how the node stands with a broker.
type LinkReport struct {
	Broker string    `json:"broker"`
	Phase  string    `json:"phase"` // idle, connecting, up, ending or waiting
	Since  time.Time `json:"since"` // of the phase
	Cause  string    `json:"cause,omitempty"`
	Detail string    `json:"detail,omitempty"` // why there is no connection, or the last one ended
	// The rest is said of the link to the fleet only.
	Session  string         `json:"session,omitempty"`
	Beat     time.Duration  `json:"heartbeatNs,omitempty"` // silence after which it is asked whether the broker is there
	Confirms bool           `json:"confirms,omitempty"`    // the fleet says itself what it has got
	Heard    time.Time      `json:"heard,omitzero"`        // the fleet's latest signed answer
	Streams  []StreamReport `json:"streams,omitempty"`
	Bytes    uint64         `json:"bytes,omitempty"`  // on the wire this month, both ways
	Budget   uint64         `json:"budget,omitempty"` // for the month
	Held     bool           `json:"held,omitempty"`   // history waits for the budget
	// And this of the link to the site only.
	Triggers int               `json:"triggers,omitempty"`
	Messages map[string]uint64 `json:"messages,omitempty"` // by what became of them
}

// Waiting is how many entries the fleet is still to get.
func (l LinkReport) Waiting() (n uint64) {
	for _, s := range l.Streams {
		n += s.Waiting
	}
	return n
}

// QueueReport is the scheduler at one moment.
type QueueReport struct {
	Slots   int    `json:"slots"`
	Order   string `json:"order"` // by which rule tasks are let in and run; plan, unless it is being compared
	Running int    `json:"running"`
	Waiting int    `json:"waiting"`
	// Held of those that wait are asked of an upstream first; Away are asked of it alone; Attempts
	// are under way, also for tasks that have ended otherwise.
	Held     int               `json:"held,omitempty"`
	Away     int               `json:"away,omitempty"`
	Attempts int               `json:"attempts,omitempty"`
	Settled  map[string]uint64 `json:"settled"` // by outcome, since start
	Classes  []ClassReport     `json:"classes"`
	Models   []ModelReport     `json:"models"`
	Draining bool              `json:"draining,omitempty"`
	// Suspended is how many instances are halted now in favour of more urgent tasks, and
	// Suspensions how often one was since the start.
	Suspended   int    `json:"suspended,omitempty"`
	Suspensions uint64 `json:"suspensions,omitempty"`
}

// Open is how many tasks have not ended.
func (r QueueReport) Open() int { return r.Running + r.Waiting + r.Away }

// ClassReport counts the tasks of one class.
type ClassReport struct {
	Class     Class             `json:"class"`
	Waiting   int               `json:"waiting"`
	Submitted uint64            `json:"submitted"`
	Settled   map[string]uint64 `json:"settled"`
}

// OnTime is the share of accepted tasks of the class that were answered by their
// deadline; known is false while none has ended.
func (c ClassReport) OnTime() (share float64, known bool) {
	done := c.Settled[Completed.String()]
	late := c.Settled[Missed.String()] + c.Settled[Evicted.String()]
	if done+late == 0 {
		return 0, false
	}
	return float64(done) / float64(done+late), true
}

// ModelReport is what the scheduler knows of one model.
type ModelReport struct {
	Model    string        `json:"model"`
	Pool     string        `json:"pool"`
	Lanes    int           `json:"lanes"`
	Estimate time.Duration `json:"estimateNs"` // what the plan counts with
	Firm     time.Duration `json:"firmNs"`     // what admission of firm tasks counts with
	Runs     int           `json:"runs"`       // samples behind it; 0: declared or default
	// The spread of these runs, and what they took ÷ what the plan counted with for them: below 1, as that is
	// on the careful side, and above when the model has become slower. 0 while there are none.
	Median time.Duration `json:"medianNs,omitempty"`
	P90    time.Duration `json:"p90Ns,omitempty"`
	P99    time.Duration `json:"p99Ns,omitempty"`
	Bias   float64       `json:"bias,omitempty"`
}

// TaskView is one task as lists show it.
type TaskView struct {
	ID       string    `json:"id"`
	Model    string    `json:"model"`
	Class    Class     `json:"class"`
	Tenant   string    `json:"tenant,omitempty"`
	State    string    `json:"state"` // waiting, running, suspended, upstream (asked of one), or the outcome
	Arrived  time.Time `json:"arrived"`
	Started  time.Time `json:"started,omitzero"`
	Deadline time.Time `json:"deadline,omitzero"`
	// Slot is the same for as long as the task runs. A suspended one has given its slot up, and
	// may go on in another: until then this is the one it had.
	Slot     Slot          `json:"slot,omitzero"`
	Queue    time.Duration `json:"queueNs"`
	Compute  time.Duration `json:"computeNs"`
	Slack    time.Duration `json:"slackNs"`
	Estimate time.Duration `json:"estimateNs"`
	Instance string        `json:"instance,omitempty"`
	Reason   string        `json:"reason,omitempty"` // why it was refused, evicted or failed
	Trace    TraceID       `json:"trace,omitzero"`   // by the W3C's Trace Context

	// Of an answer: by which way it came, and by which model when it is not Model.
	Route      string `json:"route,omitempty"`
	RouteWhy   Why    `json:"routeWhy,omitempty"`
	Variant    string `json:"variant,omitempty"`
	VariantWhy Why    `json:"variantWhy,omitempty"`
	Version    string `json:"version,omitempty"`
}

// WorkloadView is a workload and its instances as lists show them. Workload is what is to
// run now, which is the last good version where the wanted one has failed or is a canary.
type WorkloadView struct {
	Workload  Workload       `json:"workload"`
	Ready     int            `json:"ready"`
	Adjusted  bool           `json:"adjusted,omitempty"` // a command, and not the policy, says how many replicas it has
	Update    *UpdateView    `json:"update,omitempty"`   // nil: it is as it is wanted
	Instances []InstanceView `json:"instances"`
	// OneShot is the pool of a tool; its Instances are those at work.
	OneShot *OneShotView `json:"oneShot,omitempty"`
}

// OneShotView is what stands ready for the tasks of a tool.
type OneShotView struct {
	Warm   int    `json:"warm"`   // stand ready
	Busy   int    `json:"busy"`   // tasks at work
	Spent  int    `json:"spent"`  // dead, and not taken away yet
	Target int    `json:"target"` // are to stand ready, by how tasks came lately
	Most   int    `json:"most"`   // may stand ready
	Runs   uint64 `json:"runs"`   // tasks since the agent started
	Cold   uint64 `json:"cold"`   // of which none stood ready
}

// InstanceView is an instance and what the supervisor makes of it.
type InstanceView struct {
	Instance
	State    InstanceState `json:"state"`
	Detail   string        `json:"detail,omitempty"` // why it is in that state
	Restarts int           `json:"restarts"`
	NextTry  time.Time     `json:"nextTry,omitzero"` // when a start is tried again
	Usage    *Usage        `json:"usage,omitempty"`
}

// InstanceState is where an instance stands in its life.
type InstanceState string

// The states of an instance.
const (
	InstanceStarting InstanceState = "starting" // runs, not ready yet
	InstanceReady    InstanceState = "ready"    // takes tasks, or simply runs when it is a plain service
	InstanceUnready  InstanceState = "unready"  // was ready, does not answer now
	// InstanceSuspended: ready, and its task halted in favour of more urgent ones.
	InstanceSuspended InstanceState = "suspended"
	InstanceWaiting   InstanceState = "waiting" // for what it depends on
	InstanceBackoff   InstanceState = "backoff" // ended or could not start; waits for its next try
	InstanceStopping  InstanceState = "stopping"
	InstanceEnded     InstanceState = "ended" // ended and is not to be restarted
	InstanceUnknown   InstanceState = "unknown"
)
