package containerd

import (
	"time"

	"holdfast/edge"
)

// roster knows the instances whose events are told, and how far each has come. It
// does no I/O. What it does not know is somebody else's, and tells nothing.
type roster map[string]*member

// member is one instance.
type member struct {
	workload string
	running  bool   // its start was heard, and no end since
	ended    bool   // its end was heard
	starved  bool   // its want of memory was told
	kills    uint64 // of its processes for want of memory, that are known of
}

// enroll takes an instance in, unless its labels are not ours, or of what runs for one task.
func (r roster) enroll(id string, labels map[string]string) {
	workload, ours := labels[labelWorkload]
	if _, known := r[id]; ours && !known && !isOneShot(labels) {
		r[id] = &member{workload: workload}
	}
}

func (r roster) started(id string, at time.Time) []edge.InstanceEvent {
	m := r[id]
	if m == nil {
		return nil
	}
	*m = member{workload: m.workload, running: true}
	return r.simple(id, at, edge.InstanceStarted)
}

// lost notes how many of an instance's processes were killed for want of memory, and
// whether those are more than were known of.
func (r roster) lost(id string, kills uint64) bool {
	m := r[id]
	if m == nil || kills <= m.kills {
		return false
	}
	m.kills = kills
	return true
}

// starved tells of a kill for want of memory. The daemon may say so after the end
// that the kill brought, when it has been told already.
func (r roster) starved(id string, at time.Time) []edge.InstanceEvent {
	m := r[id]
	if m == nil || m.ended {
		return nil
	}
	m.starved = true
	return r.simple(id, at, edge.InstanceOutOfMemory)
}

// exited tells of an end, and first of what brought it.
func (r roster) exited(id string, at time.Time, exit edge.Exit) []edge.InstanceEvent {
	m := r[id]
	if m == nil || m.ended {
		return nil
	}
	var told []edge.InstanceEvent
	if exit.OOM && !m.starved {
		told = r.starved(id, at)
	}
	// Its cgroup, which counts such kills, may be gone by now.
	exit.OOM = exit.OOM || m.starved && exit.Signal == "SIGKILL"
	m.running, m.ended = false, true
	return append(told, edge.InstanceEvent{At: at, Kind: edge.InstanceExited, Instance: id, Workload: m.workload, Exit: &exit})
}

// removed tells that nothing is left of an instance. When its end was not heard it
// is told first, for nothing comes after this.
func (r roster) removed(id string, at time.Time) []edge.InstanceEvent {
	m := r[id]
	if m == nil {
		return nil
	}
	var told []edge.InstanceEvent
	if m.running {
		told = r.simple(id, at, edge.InstanceExited)
	}
	told = append(told, r.simple(id, at, edge.InstanceRemoved)...)
	delete(r, id)
	return told
}

// simple tells something that changes nothing else.
func (r roster) simple(id string, at time.Time, kind edge.InstanceEventKind) []edge.InstanceEvent {
	m := r[id]
	if m == nil {
		return nil
	}
	return []edge.InstanceEvent{{At: at, Kind: kind, Instance: id, Workload: m.workload}}
}
