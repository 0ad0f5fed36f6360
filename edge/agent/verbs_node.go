package agent

import (
	"context"
	"time"

	"holdfast/edge"
	"holdfast/edge/host"
)

// tellVitals shows the latest sample of what the node measures about itself.
func (v *verbs) tellVitals(_ context.Context, o order) (any, error) {
	if _, err := argsOf[noArgs](o.Command); err != nil {
		return nil, err
	}
	return tellable(v.vitals()), nil
}

func tellable(v edge.Vitals) vitalsResult {
	return vitalsResult{Vitals: v, UptimeS: int64(v.Uptime.Seconds())}
}

// vitalsResult tells the uptime in seconds: in nanoseconds it is more, after a hundred
// days, than every reader of JSON keeps exact, and no reply carries that.
type vitalsResult struct {
	edge.Vitals
	Uptime  time.Duration `json:"uptimeNs,omitempty"` // stands in the other's place, and is never set
	UptimeS int64         `json:"uptime_s"`
}

// diagnosis is the doctor's examination.
type diagnosis struct {
	Worst     host.Level     `json:"worst"`
	Findings  []host.Finding `json:"findings"`
	Truncated bool           `json:"truncated,omitempty"`
}

// diagnose examines the node. That something is wrong with it is a result, no failure.
func (v *verbs) diagnose(ctx context.Context, o order) (any, error) {
	if _, err := argsOf[noArgs](o.Command); err != nil {
		return nil, err
	}
	found := &diagnosis{Worst: host.LevelOK, Findings: v.examine(ctx)}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	for _, finding := range found.Findings {
		if finding.Level == host.LevelFail || finding.Level == host.LevelWarn && found.Worst == host.LevelOK {
			found.Worst = finding.Level
		}
	}
	err := fitting(found, func() bool {
		found.Truncated = true
		found.Findings = found.Findings[:len(found.Findings)*7/8]
		return len(found.Findings) > 0
	})
	return found, err
}

// sayHello tells the fleet everything anew.
func (v *verbs) sayHello(ctx context.Context, o order) (any, error) {
	if _, err := argsOf[noArgs](o.Command); err != nil {
		return nil, err
	}
	return nil, v.refresh(ctx)
}

// startAnew reboots the machine.
func (v *verbs) startAnew(ctx context.Context, o order) (any, error) {
	if _, err := argsOf[noArgs](o.Command); err != nil {
		return nil, err
	}
	if v.reboot == nil {
		return nil, edge.WithHint(&edge.Refusal{
			Reason: edge.ReasonDenied,
			Detail: "the configuration of this node does not let its fleet reboot it",
		}, "set link.reboot: allow on the node")
	}
	return nil, v.reboot(ctx)
}
