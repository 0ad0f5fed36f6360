package agent

import (
	"fmt"

	"holdfast/edge"
	"holdfast/edge/host"
)

// vacant tells whether the ports that a policy wants to publish can be had on this node:
// those that workloads have, and those that nobody listens on. Between workloads the
// policy itself was held against.
func (a *Agent) vacant(policy *edge.Policy) error {
	for _, w := range policy.Workloads {
		if w.Replicas == 0 {
			continue
		}
		for _, port := range w.Ports {
			holder, taken := host.ListenerAt(port.Address())
			if !taken || holder.PID != 0 && holder.PID == a.driver.Relay() {
				continue
			}
			return edge.WithHint(fmt.Errorf("port %s, which %s is to publish, is taken by %s: %w", port.Address(), w.Key(), holderWords(holder), edge.ErrExists),
				"end that, or publish at another port; until then the policy before stays in force")
		}
	}
	return nil
}

func holderWords(l host.Listener) string {
	if l.PID == 0 {
		return "a process that cannot be seen from here"
	}
	return fmt.Sprintf("process %d (%s)", l.PID, l.Name)
}
