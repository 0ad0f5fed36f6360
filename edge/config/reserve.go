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

// Of is the memory that is kept of so much: what is configured, or 128 MiB and a
// sixteenth; never more than half.
func (r Reserve) Of(total Size) Size {
	kept := r.Memory
	if kept == 0 {
		kept = reserveLeast + total/reserveShare
	}
	return min(kept, total/2)
}

// maxReserve is above what any gateway's system takes; catches a wrong unit.
const maxReserve = 64

// reserveSettings are what instances never have.
func reserveSettings() []setting {
	return []setting{
		{"reserve.memory", false, "memory that instances together never have, for the system, containerd and the agent, half of what there is at most; 0: 128MiB and a sixteenth of what there is",
			sizeField(func(c *Config) *Size { return &c.Reserve.Memory }, 0, largest, "256MiB")},
		{"reserve.cpus", false, "cores that workloads cannot have set aside for them; what they do not use is lent",
			decimalField(func(c *Config) *float64 { return &c.Reserve.CPUs }, 0, maxReserve)},
	}
}
