package edge

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Control is what a container is held against: a row of the Pod Security Standards,
// under their names, or one of our own.
type Control string

// The controls of the Pod Security Standards, "restricted" with "baseline" below it.
// A workload cannot even ask for some of them; the driver looks for all of them in
// what is handed to the runtime.
const (
	ControlHostProcess  Control = "HostProcess"
	ControlNamespaces   Control = "Host Namespaces"
	ControlPrivileged   Control = "Privileged Containers"
	ControlCapabilities Control = "Capabilities"
	ControlHostPaths    Control = "HostPath Volumes"
	ControlHostPorts    Control = "Host Ports"
	ControlAppArmor     Control = "AppArmor"
	ControlSELinux      Control = "SELinux"
	ControlProcMount    Control = "/proc Mount Type"
	ControlSeccomp      Control = "Seccomp"
	ControlSysctls      Control = "Sysctls"
	ControlVolumes      Control = "Volume Types"
	ControlEscalation   Control = "Privilege Escalation"
	ControlNonRoot      Control = "Running as Non-root"
)

// The controls of holdfast.
const (
	ControlImages   Control = "Images"
	ControlDevices  Control = "Devices"
	ControlLimits   Control = "Limits"
	ControlTenant   Control = "Tenant"
	ControlSecrets  Control = "Secrets"
	ControlNetworks Control = "Networks"
)

// Violation is one thing a workload asks for that it may not have.
type Violation struct {
	Control Control `json:"control"`
	Field   string  `json:"field"`           // of the workload, such as security.capAdd[0]
	Asked   string  `json:"asked"`           // what is there
	Allow   string  `json:"allow,omitempty"` // the one line of a policy that would allow it; empty: none does
}

// Error says all of it on one line.
func (v Violation) Error() string { return v.Field + ": " + v.detail() }

func (v Violation) detail() string {
	text := v.Asked + " is not permitted (" + string(v.Control) + ")"
	if v.Allow != "" {
		text += "; a policy allows it by " + v.Allow
	}
	return text
}

// Unwrap makes every one ErrInvalid: asking again does not help.
func (v Violation) Unwrap() error { return ErrInvalid }

// Admit tells what of a workload the policy does not permit, its defaults filled in
// first; nothing where all of it may be. The workload need not be of the policy: then
// it is weighed as one more of its tenant.
func (p *Policy) Admit(w Workload) []Violation {
	w = p.Fill(w)
	a := admission{policy: p}
	a.image(w.Image)
	a.security(w)
	a.host(w)
	a.networks(w)
	a.secrets(w)
	a.share(w)
	return a.violations
}

// admission gathers what is against one workload.
type admission struct {
	policy     *Policy
	violations []Violation
}

// require notes a violation unless ok.
func (a *admission) require(ok bool, control Control, field, asked, allow string) {
	if !ok {
		a.violations = append(a.violations, Violation{control, field, asked, allow})
	}
}

func (a *admission) image(image string) {
	a.require(isPinned(image), ControlImages, "image", quoteShort(image)+" without a sha256 digest", "")
	a.require(a.policy.Security.Images.Allows(image), ControlImages, "image", quoteShort(image),
		"security.images.allow: ["+strconv.Quote(repository(image))+"]")
}

// security looks at what a workload has of the kernel.
func (a *admission) security(w Workload) {
	may, asks := a.policy.Security, w.Security
	a.require(!asks.Privileged || may.Privileged == Allow, ControlPrivileged, "security.privileged", "a privileged container", "security.privileged: allow")
	a.require(!asks.HostNetwork || may.HostNetwork == Allow, ControlNamespaces, "security.hostNetwork", "the host's network", "security.hostNetwork: allow")
	a.require(!asks.RunAsRoot || may.RunAsRoot == Allow, ControlNonRoot, "security.runAsRoot", "running as root", "security.runAsRoot: allow")
	a.require(asks.RunAsRoot || !isRoot(w.User), ControlNonRoot, "user", "user "+quoteShort(w.User)+" without runAsRoot", "")
	for i, given := range asks.CapAdd {
		field := fmt.Sprintf("security.capAdd[%d]", i)
		name, known := Capability(given)
		if !known {
			a.require(false, ControlCapabilities, field, "capability "+quoteShort(given), "")
			continue
		}
		a.require(asks.Privileged || may.permits(name), ControlCapabilities, field, name,
			"security.capabilities: ["+strings.TrimPrefix(name, "CAP_")+"]")
	}
}

// isRoot tells whether a user is root whatever the image says.
func isRoot(user string) bool {
	name, _, _ := strings.Cut(user, ":")
	return name == "root" || name != "" && strings.Trim(name, "0") == ""
}

// permits tells whether a capability may be added. The one that needs no saying is the
// one the restricted standard lets anybody have.
func (s SecurityPolicy) permits(capability string) bool {
	if capability == "CAP_NET_BIND_SERVICE" {
		return true
	}
	for _, given := range s.Capabilities {
		if name, _ := Capability(given); name == capability {
			return true
		}
	}
	return false
}

// host looks at what a workload has of the host's files and devices. Where links lead
// to is seen when it is started.
func (a *admission) host(w Workload) {
	may := a.policy.Security
	for i, bind := range w.Binds {
		a.require(may.AllowsPath(bind.Source), ControlHostPaths, fmt.Sprintf("binds[%d].source", i),
			quoteShort(bind.Source), "security.hostPaths: ["+bind.Source+"]")
	}
	for i, device := range w.Devices {
		a.require(may.AllowsPath(device.Host), ControlDevices, fmt.Sprintf("devices[%d].host", i),
			quoteShort(device.Host), "security.hostPaths: ["+device.Host+"]")
	}
}

// AllowsPath tells whether a plain path of the host may be given: it is listed, or
// lies below one that is.
func (s SecurityPolicy) AllowsPath(name string) bool {
	for _, listed := range s.HostPaths {
		if name == listed || strings.HasPrefix(name, strings.TrimSuffix(listed, "/")+"/") {
			return path.Clean(name) == name
		}
	}
	return false
}
