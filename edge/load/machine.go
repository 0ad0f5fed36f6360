package load

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"holdfast/edge"
)

// Machine is what the processors of the machine did during a run.
type Machine struct {
	CPUs  int           `json:"cpus"`
	Span  time.Duration `json:"spanNs"`
	Busy  time.Duration `json:"busyNs"`  // of all CPUs together, by whomever
	Steal time.Duration `json:"stealNs"` // taken by other machines on the same host, and not in Busy

	Agent     time.Duration `json:"agentNs"`
	Models    time.Duration `json:"modelsNs"` // all instances of all workloads
	Generator time.Duration `json:"generatorNs"`
	// Other is the part of the machine that neither of them used, but that was not idle.
	Other float64 `json:"other"`
}

// tick is the unit of CPU time in /proc, on every architecture.
const tick = 10 * time.Millisecond

// meter is one look at the machine.
type meter struct {
	at          time.Time
	cpus        int
	busy, steal time.Duration
	agent, self time.Duration
	models      map[uint32]time.Duration
}

// read looks at the machine the agent is on, which must be this one.
func read(status edge.Status) (m meter, err error) {
	m = meter{at: time.Now(), models: map[uint32]time.Duration{}}
	if err := m.readTotal(); err != nil {
		return m, err
	}
	if m.agent, err = processTime(status.PID); err != nil {
		return m, err
	}
	for _, pid := range pids(status) {
		// One that has just ended leaves its time to the others.
		if used, err := processTime(int(pid)); err == nil {
			m.models[pid] = used
		}
	}
	m.self, err = processTime(os.Getpid())
	return m, err
}

func pids(status edge.Status) []uint32 {
	var all []uint32
	for _, w := range status.Workloads {
		for _, i := range w.Instances {
			if i.PID > 0 && i.Running {
				all = append(all, i.PID)
			}
		}
	}
	return all
}

// readTotal reads the line of all CPUs in /proc/stat: user, nice, system, idle, iowait, irq,
// softirq, steal.
func (m *meter) readTotal() error {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return fmt.Errorf("cannot read CPU time of machine: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 9 || !strings.HasPrefix(words[0], "cpu") {
			continue
		}
		if words[0] != "cpu" {
			m.cpus++
			continue
		}
		for i, word := range words[1:9] {
			n, err := strconv.ParseInt(word, 10, 64)
			switch {
			case err != nil:
				return fmt.Errorf("cannot read CPU time of machine: %w", err)
			case i == 7:
				m.steal = time.Duration(n) * tick
			case i != 3 && i != 4:
				m.busy += time.Duration(n) * tick
			}
		}
	}
	return nil
}

// processTime is the CPU time a process has taken so far.
func processTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("cannot read CPU time of process: %w", err)
	}
	// Behind the program's name, which may hold anything, user and system time are the
	// 12th and 13th word.
	words := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(words) < 13 {
		return 0, fmt.Errorf("cannot read CPU time of process %d: %q", pid, text)
	}
	var ticks int64
	for _, word := range words[11:13] {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("cannot read CPU time of process %d: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// since is what happened between two looks.
func (m *meter) since(before meter) *Machine {
	r := &Machine{
		CPUs: m.cpus, Span: m.at.Sub(before.at), Busy: m.busy - before.busy, Steal: m.steal - before.steal,
		Agent: m.agent - before.agent, Generator: m.self - before.self,
	}
	for pid, used := range m.models {
		r.Models += used - before.models[pid]
	}
	if all := r.Span * time.Duration(r.CPUs); all > 0 {
		// The kernel counts whole ticks: a short span may add up to a little more than itself.
		r.Other = min(max(0, float64(r.Busy+r.Steal-r.Agent-r.Models-r.Generator)/float64(all)), 1)
	}
	return r
}
