package config

// Reserve is what the node keeps for everything that is no instance: the agent, containerd
// and its shims, the system.
type Reserve struct {
	Memory Size    `json:"memory"` // 0: by what the machine has
	CPUs   float64 `json:"cpus"`
}

const (
	// reserveLeast is what a small system takes with containerd, the agent and some shims:
	// 60 MiB, 50, 25 and 7 for each instance.
	reserveLeast = 128 * MiB
	// reserveShare is the part of the memory that comes to it, for more instances, more
	// shims, and what reads and writes on a larger machine.
	reserveShare = 16
)

// instancesLeast is what a reserve that was configured leaves at least: room for one.
const instancesLeast = 64 * MiB

// Of is the memory that is kept of so much: what is configured, or 128 MiB and a
// sixteenth, but not more than half.
func (r Reserve) Of(total Size) Size {
	if r.Memory == 0 {
		return min(reserveLeast+total/reserveShare, total/2)
	}
	return min(r.Memory, max(total-instancesLeast, 0))
}

// maxReserve is above what any gateway's system takes; catches a wrong unit.
const maxReserve = 64

// reserveSettings are what instances never have.
func reserveSettings() []setting {
	return []setting{
		{"reserve.memory", false, "memory that instances together never have, for the system, containerd and the agent; 0: 128MiB and a sixteenth of what there is, half of it at most",
			sizeField(func(c *Config) *Size { return &c.Reserve.Memory }, 0, largest, "256MiB")},
		{"reserve.cpus", false, "cores that workloads cannot have set aside for them; what they do not use is lent",
			decimalField(func(c *Config) *float64 { return &c.Reserve.CPUs }, 0, maxReserve)},
	}
}
