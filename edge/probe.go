package edge

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Probes are how the instances of a workload are asked for their health. A model server
// is asked by its protocol besides.
type Probes struct {
	// Startup is asked first, and nothing else until it is good. When it fails for good
	// the instance is ended, and started again as its restart policy says.
	Startup *Probe `json:"startup,omitempty"`
	// Readiness says whether the instance may be counted on: by tasks, by what depends on
	// it, and by an update that goes on to the next instance.
	Readiness *Probe `json:"readiness,omitempty"`
	// Liveness says whether it is of any use still. When it fails for good the instance is
	// ended, and started again as its restart policy says.
	Liveness *Probe `json:"liveness,omitempty"`
}

// Probe is one question: Exec, HTTP or, with a Port alone, whether something accepts a
// TCP connection there.
type Probe struct {
	// Exec is a command inside the instance; code 0 is good.
	Exec []string `json:"exec,omitempty"`
	// HTTP is a path to GET; a status from 200 to 399 is good.
	HTTP string `json:"http,omitempty"`
	// Port is within the instance's own network, at its loopback, also when it has no other.
	// Without one HTTP goes to the socket of the model server.
	Port int `json:"port,omitempty"`

	Delay   time.Duration `json:"delay,omitempty"`   // before the first one
	Period  time.Duration `json:"period,omitempty"`  // between two; 0: 10 s
	Timeout time.Duration `json:"timeout,omitempty"` // for one; 0: 1 s
	// So many in a row count: good ones to be taken for good again, 0: 1, and failed ones
	// to be taken for failed, 0: 3.
	Successes int `json:"successes,omitempty"`
	Failures  int `json:"failures,omitempty"`
}

// The defaults of what a probe leaves open.
const (
	DefaultProbePeriod   = 10 * time.Second
	DefaultProbeTimeout  = time.Second
	DefaultProbeFailures = 3
)

// Every is how long after one question the next one comes.
func (p Probe) Every() time.Duration { return cmp.Or(p.Period, DefaultProbePeriod) }

// Within is how long one answer may take.
func (p Probe) Within() time.Duration { return cmp.Or(p.Timeout, DefaultProbeTimeout) }

// Good is how many good answers in a row make a probe good.
func (p Probe) Good() int { return max(p.Successes, 1) }

// Bad is how many failures in a row make it fail.
func (p Probe) Bad() int { return cmp.Or(p.Failures, DefaultProbeFailures) }

// String says what is asked.
func (p Probe) String() string {
	switch {
	case len(p.Exec) > 0:
		return strings.Join(p.Exec, " ")
	case p.HTTP != "" && p.Port != 0:
		return fmt.Sprintf("GET :%d%s", p.Port, p.HTTP)
	case p.HTTP != "":
		return "GET " + p.HTTP
	default:
		return fmt.Sprintf("TCP port %d", p.Port)
	}
}

// Equal tells whether the same is asked in the same way.
func (p Probes) Equal(other Probes) bool { return reflect.DeepEqual(p, other) }

// checkProbes looks at how an instance is to be asked.
func (w Workload) checkProbes(c *checker, at string) {
	for _, probe := range []struct {
		name string
		*Probe
	}{{"startup", w.Probes.Startup}, {"readiness", w.Probes.Readiness}, {"liveness", w.Probes.Liveness}} {
		if probe.Probe != nil {
			probe.check(c, at+probe.name+".", w.Serve != nil)
		}
	}
	for i, other := range []*Probe{w.Probes.Startup, w.Probes.Liveness} {
		name := [...]string{"startup", "liveness"}[i]
		c.require(other == nil || other.Successes <= 1, at+name+".successes", "must be 1: it is good once")
	}
}

func (p *Probe) check(c *checker, at string, server bool) {
	const bare = "needs exec, http or a port"
	c.require(len(p.Exec) > 0 || p.HTTP != "" || p.Port != 0, strings.TrimSuffix(at, "."), bare)
	c.require(len(p.Exec) == 0 || p.HTTP == "" && p.Port == 0, at+"exec", "stands beside http or port; keep one")
	for i, word := range p.Exec {
		c.require(!strings.ContainsRune(word, 0), fmt.Sprintf("%sexec[%d]", at, i), "holds a zero byte")
	}
	c.require(p.HTTP == "" || isProbePath(p.HTTP), at+"http", quoteShort(p.HTTP)+" is not a path that begins with /")
	c.require(p.HTTP == "" || p.Port != 0 || server, at+"http", "needs a port, for there is no socket of a model server")
	c.count(p.Port, 0, 65535, at+"port")
	c.duration(p.Delay, at+"delay")
	c.duration(p.Period, at+"period")
	c.duration(p.Timeout, at+"timeout")
	c.require(p.Period == 0 || p.Period >= 10*time.Millisecond, at+"period", "is below 10ms")
	c.count(p.Successes, 0, maxProbeCount, at+"successes")
	c.count(p.Failures, 0, maxProbeCount, at+"failures")
}

// maxProbeCount is above what Compose's health check can come to: an hour for the start
// and a thousand failures an hour apart, asked for ten times a second.
const maxProbeCount = 50_000_000

// isProbePath tells whether text can stand in the first line of a request.
func isProbePath(text string) bool {
	return strings.HasPrefix(text, "/") && len(text) <= 1024 && !strings.ContainsFunc(text, func(r rune) bool {
		return r <= ' ' || r > '~'
	})
}
