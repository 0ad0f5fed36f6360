package edge

import (
	"path"
	"strings"
	"time"
)

// LeaseTerms say how long a node without news from its fleet is fully trusted. Both
// are counted, never compared with a clock.
type LeaseTerms struct {
	Hours    int         `json:"hours"` // of boot time since the last freshness token
	Boots    int         `json:"boots"`
	OnExpiry LeaseExpiry `json:"onExpiry,omitempty"`
}

// LeaseExpiry is what the end of a lease means. There is no "stop everything".
type LeaseExpiry string

// What the end of a lease may mean.
const (
	// LeaseDegrade: what runs keeps running, new images and risky commands are
	// refused. The default.
	LeaseDegrade LeaseExpiry = "degrade"
	// LeaseHold: everything stays as it is; only the warning says so.
	LeaseHold LeaseExpiry = "hold"
)

// Duration is the length of the lease in boot time.
func (l LeaseTerms) Duration() time.Duration { return time.Duration(l.Hours) * time.Hour }

// ClassPolicy is what one class promises.
type ClassPolicy struct {
	Deadline Duration `json:"deadline,omitempty"` // of a task that names none
	Queue    int      `json:"queue,omitempty"`    // tasks that may wait
	Firm     *bool    `json:"firm,omitempty"`     // once accepted never evicted; nil: as the class does
}

// LimitsPolicy fills in what workloads do not say.
type LimitsPolicy struct {
	Default        InstanceLimits `json:"default,omitzero"`        // what an instance may use at most
	DefaultRequest InstanceLimits `json:"defaultRequest,omitzero"` // what is set aside for it
}

// InstanceLimits are Limits as documents write them.
type InstanceLimits struct {
	CPUs   float64 `json:"cpus,omitempty"`
	Memory Size    `json:"memory,omitempty"`
	Pids   int64   `json:"pids,omitempty"`
}

// Limits gives the limits as workloads carry them.
func (l InstanceLimits) Limits() Limits {
	return Limits{CPUs: l.CPUs, Memory: int64(l.Memory), Pids: l.Pids}
}

// Permission is a yes that must be said; everything else is a no.
type Permission string

// The permissions.
const (
	Deny  Permission = "deny" // the default
	Allow Permission = "allow"
)

// SecurityPolicy bounds what any container may be given. Each field relaxes one
// control; Admit says which line would allow what was asked for.
type SecurityPolicy struct {
	Images       ImagePolicy `json:"images,omitzero"`
	Privileged   Permission  `json:"privileged,omitempty"`
	HostNetwork  Permission  `json:"hostNetwork,omitempty"`
	RunAsRoot    Permission  `json:"runAsRoot,omitempty"`
	Capabilities []string    `json:"capabilities,omitempty"` // that may be added, beside NET_BIND_SERVICE
	HostPaths    []string    `json:"hostPaths,omitempty"`    // files, folders and devices of the host that may be mounted, with all below them
	Secrets      []string    `json:"secrets,omitempty"`      // of the node itself that workloads may be told, beside those the policy holds
	HostPorts    []string    `json:"hostPorts,omitempty"`    // ADDRESS:PORT of the node where workloads may answer, beside its loopback
	Outward      Permission  `json:"outward,omitempty"`      // networks of apps may lead outside
	Links        Links       `json:"links,omitempty"`        // networks between apps, each with the apps that may be on it
}

// Links says which apps may be on which networks that apps share.
type Links map[string][]string

// PinDigest names images by what they contain. It is the only way of pinning, and
// holds also where nothing is said.
const PinDigest = "digest"

// ImagePolicy says which images may run.
type ImagePolicy struct {
	Pin   string   `json:"pin,omitempty"`   // PinDigest
	Allow []string `json:"allow,omitempty"` // patterns of names; * stands for anything but a slash
}

// Allows tells whether the name of an image fits a pattern, whatever its tag and
// digest are. Without patterns every name does: the images a policy runs are signed
// with it.
func (p ImagePolicy) Allows(image string) bool {
	name := repository(image)
	for _, pattern := range p.Allow {
		if fits, err := path.Match(pattern, name); err == nil && fits {
			return true
		}
	}
	return len(p.Allow) == 0
}

// repository is the name of an image without tag and digest.
func repository(image string) string {
	name, _, _ := strings.Cut(image, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	return name
}

// ConnectivityPolicy is how the node keeps in touch.
type ConnectivityPolicy struct {
	Heartbeat    Duration `json:"heartbeat,omitempty"`
	OfflineAfter int      `json:"offlineAfter,omitempty"` // heartbeats missed
	MonthlyBytes Size     `json:"monthlyBytes,omitempty"` // on the uplink
	MaxBackoff   Duration `json:"maxBackoff,omitempty"`   // longest wait between attempts to connect; a large fleet needs a long one
}

// OfflinePolicy is what changes while the uplink is gone.
type OfflinePolicy struct {
	Stop     []string `json:"stop,omitempty"`     // workloads, by name or app/name
	Variants string   `json:"variants,omitempty"` // VariantsPreferSmall, or as declared
	Routes   string   `json:"routes,omitempty"`   // RoutesLocal, or as declared
}

// What an offline node may prefer.
const (
	VariantsPreferSmall = "prefer-small"
	RoutesLocal         = "local"
)

// Stops tells whether a workload is to stop while offline.
func (o OfflinePolicy) Stops(w Workload) bool {
	for _, name := range o.Stop {
		if name == w.Name || name == w.Key() {
			return true
		}
	}
	return false
}

// HealthPolicy weighs the health score.
type HealthPolicy struct {
	Weights   *HealthWeights `json:"weights,omitempty"`   // nil: the built-in ones; otherwise all four count as they stand
	WarnBelow float64        `json:"warnBelow,omitempty"` // 0: no score is too low
	Variants  string         `json:"variants,omitempty"`  // below it: VariantsPreferSmall, or as declared
}

// HealthWeights are what the score of 100 loses for each unit.
type HealthWeights struct {
	CPU             float64 `json:"cpu"`             // percent busy
	Memory          float64 `json:"memory"`          // percent used
	ErrorRate       float64 `json:"errorRate"`       // percent of tasks failed
	LatencyPer100ms float64 `json:"latencyPer100ms"` // 100 ms
}

// SLAPolicy scales the replicas of models by the share of tasks that are on time.
type SLAPolicy struct {
	Window         Duration `json:"window,omitempty"`         // judged over this span
	ScaleUpBelow   float64  `json:"scaleUpBelow,omitempty"`   // share, 0 to 1
	ScaleDownAbove float64  `json:"scaleDownAbove,omitempty"` // share, 0 to 1
	MaxReplicas    int      `json:"maxReplicas,omitempty"`
}

// Trigger makes tasks out of what arrives on a topic or in a folder, or of a file or an
// input by the clock.
type Trigger struct {
	MQTT     string   `json:"mqtt,omitempty"`  // topic filter on the site's broker
	Dir      string   `json:"dir,omitempty"`   // watched folder
	Glob     string   `json:"glob,omitempty"`  // which files of the folder; empty: all
	File     string   `json:"file,omitempty"`  // read at each time of Cron
	Input    string   `json:"input,omitempty"` // asked at each time of Cron, as it stands
	Cron     string   `json:"cron,omitempty"`  // when; of a folder: when its files are taken
	Into     string   `json:"into,omitempty"`  // folder for the verdicts of File and Input
	Keep     int      `json:"keep,omitempty"`  // verdicts there, the newest; 0: DefaultKeep
	Model    string   `json:"model"`
	Class    Class    `json:"class"`            // normal when it is not said
	Tenant   string   `json:"tenant,omitempty"` // whose tasks they are; empty: DefaultTenant's
	Deadline Duration `json:"deadline,omitempty"`
	Reply    string   `json:"reply,omitempty"` // topic for the answers
}

// DefaultKeep is how many verdicts of a timetable are kept.
const DefaultKeep = 100

// Source names what sets the trigger off.
func (t Trigger) Source() string {
	switch {
	case t.Dir != "" && t.Glob != "":
		return strings.TrimSuffix(t.Dir, "/") + "/" + t.Glob
	case t.Input != "":
		return "input for " + t.Model
	}
	return t.MQTT + t.Dir + t.File
}

// IsTimed tells whether the clock alone sets it off.
func (t Trigger) IsTimed() bool { return t.File != "" || t.Input != "" }

// setDefaults: the zero class is urgent, which nobody gets by saying nothing.
func (t *Trigger) setDefaults() { t.Class = Normal }
