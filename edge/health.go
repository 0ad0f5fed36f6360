package edge

import "time"

// HealthReport is how well the node is, and of what.
type HealthReport struct {
	Score     float64       `json:"score"`               // 100 less what weighs on it, and not below 0
	CPU       float64       `json:"cpu"`                 // percent busy
	Memory    float64       `json:"memory"`              // percent used
	ErrorRate float64       `json:"errorRate"`           // percent of the tasks let in that failed or missed their deadline
	Latency   time.Duration `json:"latencyNs,omitempty"` // from arrival to answer, on average
	Low       bool          `json:"low,omitempty"`       // the score is below what the policy wants
}

// Weigh sets the score by the policy's weights, or the built-in ones.
func (p HealthPolicy) Weigh(r *HealthReport) {
	w := HealthWeights{CPU: 0.4, Memory: 0.3, ErrorRate: 5, LatencyPer100ms: 1}
	if p.Weights != nil {
		w = *p.Weights
	}
	lost := w.CPU*r.CPU + w.Memory*r.Memory + w.ErrorRate*r.ErrorRate + w.LatencyPer100ms*r.Latency.Seconds()*10
	r.Score = max(0, 100-lost)
}
