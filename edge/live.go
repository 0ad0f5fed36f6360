package edge

import "time"

// LiveHello is what a live stream begins with: whoever comes back sees by it whether the agent
// is still the one it was.
type LiveHello struct {
	Node    string    `json:"node"`
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Seq     uint64    `json:"seq"` // of the latest event; 0: there is none
}

// Sample is the node in one second, in the few figures that are plotted.
type Sample struct {
	At          time.Time                `json:"at"`
	CPU         float64                  `json:"cpu"`        // busy share of all cores, 0 to 1
	MemoryUsed  uint64                   `json:"memoryUsed"` // bytes
	AgentCPU    float64                  `json:"agentCpu"`   // share of one core
	AgentRSS    uint64                   `json:"agentRss"`   // bytes
	Temperature float64                  `json:"temperature,omitempty"`
	Waiting     int                      `json:"waiting"` // and asked of upstreams alone
	Running     int                      `json:"running"`
	Suspended   int                      `json:"suspended"`
	Ended       EndedTasks               `json:"ended"`
	Link        string                   `json:"link"`   // to the fleet: up, down or none
	Outbox      uint64                   `json:"outbox"` // entries the fleet is still to get
	Upstreams   map[string]UpstreamState `json:"upstreams,omitempty"`
}

// EndedTasks counts, since the agent's start, how many tasks of each class ended on time, and
// how many ended. Those their callers gave up are in neither.
type EndedTasks struct {
	Urgent EndedCount `json:"urgent"`
	Normal EndedCount `json:"normal"`
	Batch  EndedCount `json:"batch"`
}

// EndedCount is how many ended on time, how many ended, and of these how many were refused or
// evicted, and how many missed their deadline. The rest failed.
type EndedCount [4]uint64

// LiveTasks are the tasks at one moment, and what became of those that have ended since the
// moment before. However many there are, it stays small.
type LiveTasks struct {
	At           time.Time  `json:"at"`
	Running      []TaskView `json:"running"` // and suspended
	Waiting      []TaskView `json:"waiting"` // the next 100
	WaitingTotal int        `json:"waitingTotal"`
	Ended        []TaskView `json:"ended"`        // the latest 200, oldest first
	EndedSkipped int        `json:"endedSkipped"` // that have ended too, and are not listed
}
