package edge

import "time"

// Vitals is what the node measures about itself at one moment.
type Vitals struct {
	At          time.Time     `json:"at"`
	Uptime      time.Duration `json:"uptimeNs"`
	Cores       int           `json:"cores"`
	CPU         float64       `json:"cpu"` // busy share of all cores since the last sample, 0 to 1
	Load1       float64       `json:"load1"`
	MemoryTotal uint64        `json:"memoryTotal"` // bytes
	MemoryUsed  uint64        `json:"memoryUsed"`  // bytes that cannot be reclaimed
	DiskTotal   uint64        `json:"diskTotal"`   // bytes of the file system that holds the state folder
	DiskFree    uint64        `json:"diskFree"`
	Temperature float64       `json:"temperature,omitempty"` // °C of the hottest sensor; 0 when there is none
	AgentRSS    uint64        `json:"agentRss"`              // bytes
	AgentCPU    time.Duration `json:"agentCpuNs"`
	// AgentWritten is what the agent has had written to storage since its start, in bytes;
	// 0 where the kernel does not count it.
	AgentWritten uint64 `json:"agentWritten,omitempty"`
}
