package edge

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// checkWorkloads looks at what the policy wants to run. What Compose says was
// checked when the policy was built; here stands what every reader relies on.
func (p *Policy) checkWorkloads(c *checker) {
	seen := map[string]bool{}
	for i, w := range p.Workloads {
		at := fmt.Sprintf("workloads[%d]", i)
		c.require(IsName(w.App), at+".app", nameRule)
		c.require(IsName(w.Name), at+".name", nameRule)
		c.require(!seen[w.Key()], at, quoteShort(w.Key())+" stands twice")
		seen[w.Key()] = true
		c.require(isPinned(w.Image), at+".image", quoteShort(w.Image)+" is not pinned by a sha256 digest")
		c.require(p.Security.Images.Allows(w.Image), at+".image", quoteShort(w.Image)+" does not fit security.images.allow")
		w.check(c, at)
		p.checkAdmission(c, p.Fill(w), at)
	}
	p.checkTotals(c)
	p.checkDependencies(c)
	p.checkNetworks(c)
}

// checkAdmission finds a workload that the security of its own policy forbids. Images
// have a problem of their own by now, and totals get one for each tenant.
func (p *Policy) checkAdmission(c *checker, w Workload, at string) {
	a := admission{policy: p}
	a.security(w)
	a.host(w)
	a.networks(w)
	a.secrets(w)
	for _, v := range a.violations {
		c.require(false, at+"."+v.Field, v.detail())
	}
	may, known := p.Tenant(w.Tenant)
	c.require(known, at+".tenant", quoteShort(w.Tenant)+" is not among the tenants")
	c.require(may.Memory == 0 || w.Limits.Memory > 0 || w.Replicas == 0, at+".limits.memory", "is missing, and the memory of its tenant is bounded")
	c.require(may.CPU == 0 || w.cpus() > 0 || w.Replicas == 0, at+".limits.cpus", "is missing, and the CPU of its tenant is bounded")
}

func (w Workload) check(c *checker, at string) {
	c.count(w.Replicas, 0, maxReplicas, at+".replicas")
	c.require(w.Tenant == "" || IsName(w.Tenant) || w.Tenant == DefaultTenant, at+".tenant", nameRule)
	InstanceLimits{w.Limits.CPUs, Size(w.Limits.Memory), w.Limits.Pids}.check(c, at+".limits.")
	w.checkRequest(c, at+".request.")
	c.require(w.IOWeight == 0 || w.IOWeight >= 10 && w.IOWeight <= 1000, at+".ioWeight", fmt.Sprintf("%d is not between 10 and 1000", w.IOWeight))
	w.checkHost(c, at+".")
	for i, secret := range w.Secrets {
		c.require(secret.Version == "", fmt.Sprintf("%s.secrets[%d].version", at, i), "is for the node to say")
	}
	for i, entry := range w.Env {
		name, _, both := strings.Cut(entry, "=")
		c.require(both && name != "" && !strings.ContainsRune(entry, 0), fmt.Sprintf("%s.env[%d]", at, i), "must be KEY=value")
	}
	for i, mount := range w.Tmpfs {
		c.require(isPlainPath(mount.Path), fmt.Sprintf("%s.tmpfs[%d].path", at, i), quoteShort(mount.Path)+" is not an absolute path without . and ..")
		c.require(mount.Size >= 0, fmt.Sprintf("%s.tmpfs[%d].size", at, i), "is below zero")
	}
	c.require(w.WorkingDir == "" || strings.HasPrefix(w.WorkingDir, "/"), at+".workingDir", quoteShort(w.WorkingDir)+" is not absolute")
	c.oneOf(string(w.Restart), at+".restart", string(RestartAlways), string(RestartOnFailure), string(RestartNo))
	c.duration(w.StopGrace, at+".stopGrace")
	w.checkProbes(c, at+".probes.")
	w.Update.check(c, at+".update.")
	if w.Serve != nil {
		w.Serve.check(c, at+".serve.")
	}
	w.checkOneShot(c, at+".")
}

func (w Workload) checkRequest(c *checker, at string) {
	InstanceLimits{CPUs: w.Request.CPUs, Memory: Size(w.Request.Memory)}.check(c, at)
	c.require(w.Limits.CPUs == 0 || w.Request.CPUs <= w.Limits.CPUs, at+"cpus", "is above limits.cpus")
	c.require(w.Limits.Memory == 0 || w.Request.Memory <= w.Limits.Memory, at+"memory", "is above limits.memory")
}

// checkHost looks at what is given of the host; whether it may be is another question.
func (w Workload) checkHost(c *checker, at string) {
	const plain = " is not an absolute path without . and .."
	taken := map[string]bool{}
	for i, bind := range w.Binds {
		here := fmt.Sprintf("%sbinds[%d].", at, i)
		c.require(isPlainPath(bind.Source), here+"source", quoteShort(bind.Source)+plain)
		c.require(isPlainPath(bind.Target), here+"target", quoteShort(bind.Target)+plain)
		c.require(!isKernels(bind.Target), here+"target", quoteShort(bind.Target)+" cannot be mounted over")
		c.require(!taken[bind.Target], here+"target", quoteShort(bind.Target)+" is taken already")
		taken[bind.Target] = true
	}
	for i, device := range w.Devices {
		here := fmt.Sprintf("%sdevices[%d].", at, i)
		c.require(isPlainPath(device.Host), here+"host", quoteShort(device.Host)+plain)
		c.require(isPlainPath(device.Target()) && strings.HasPrefix(device.Target(), "/dev/"), here+"path", quoteShort(device.Target())+" does not lie in /dev")
		c.require(!taken[device.Target()], here+"path", quoteShort(device.Target())+" is taken already")
		taken[device.Target()] = true
		c.require(isAccess(device.Rights()), here+"access", quoteShort(device.Access)+" must be of r, w and m")
	}
	w.checkSecrets(c, at, taken)
	w.checkVolumes(c, at, taken)
	w.checkNetworks(c, at)
}

// isKernels tells whether a place inside the container is the kernel's, or the root
// that everything hangs on.
func isKernels(target string) bool {
	return target == "/" || target == "/dev" || target == "/proc" || target == "/sys" ||
		strings.HasPrefix(target, "/proc/") || strings.HasPrefix(target, "/sys/")
}

// isAccess tells whether text is of r, w and m, each once.
func isAccess(text string) bool {
	rest := text
	for _, right := range "rwm" {
		rest = strings.Replace(rest, string(right), "", 1)
	}
	return text != "" && rest == ""
}

func (s *Serve) check(c *checker, at string) {
	c.require(IsName(s.Model), at+"model", nameRule)
	for i, name := range s.Variants {
		c.require(IsName(name), fmt.Sprintf("%svariants[%d]", at, i), nameRule)
	}
	c.require(s.Endpoint != "" || s.OneShot != nil, at+"endpoint", "is missing")
	c.count(s.Concurrency, 0, 1024, at+"concurrency")
	c.duration(s.Cost, at+"cost")
	c.duration(s.Timeout, at+"timeout")
	c.duration(s.ReadyWithin, at+"readyWithin")
}

// duration bounds the times of a workload, which are numbers of nanoseconds.
func (c *checker) duration(d time.Duration, field string) {
	c.require(d >= 0 && d <= 24*time.Hour, field, fmt.Sprintf("%v is not between 0 and 24h", d))
}

// isPinned tells whether an image is named by what it contains.
func isPinned(image string) bool {
	name, digest, found := strings.Cut(image, "@sha256:")
	raw, err := hex.DecodeString(digest)
	return found && name != "" && !strings.ContainsAny(name, "@ \t\r\n\x00") && err == nil && len(raw) == 32 && digest == strings.ToLower(digest)
}

// CheckHost finds what cannot be given of a host at all, whoever permits it. Every
// defect is a *FieldProblem.
func (w Workload) CheckHost() error {
	c := checker{}
	w.checkHost(&c, "")
	return c.err()
}
