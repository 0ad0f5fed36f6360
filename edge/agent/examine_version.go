package agent

import (
	"fmt"

	"holdfast/edge"
	"holdfast/edge/host"
	"holdfast/edge/slots"
)

// examineVersion looks at which of its versions the agent is; an agent that does not answer
// says nothing of it.
func examineVersion(status *edge.Status) []host.Finding {
	if status == nil {
		return nil
	}
	r := status.Agent
	f := found("agent-version", "agent version "+status.Version, "")
	switch {
	case r.Slot == "":
		f.Detail = "was not started by the launcher, and cannot update itself"
	case r.Rescue != "":
		f = turned(f, host.LevelFail, "stands in for a version that failed: "+r.Rescue, "update it to a release with a higher sequence (holdfast update)")
	case r.Trial && r.Unwell != "":
		f = turned(f, host.LevelWarn, "is on trial and not well: "+r.Unwell, fmt.Sprintf("see to that, or version %s runs again", r.Previous))
	case r.Trial:
		f.Detail = fmt.Sprintf("is on trial; should it fail, version %s runs again", r.Previous)
	case r.Slot == string(slots.Factory):
		f.Detail = "came with the node"
	default:
		f.Detail = fmt.Sprintf("runs from slot %s, and was confirmed", r.Slot)
	}
	return []host.Finding{f}
}
