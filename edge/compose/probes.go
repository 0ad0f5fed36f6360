package compose

import (
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"holdfast/edge"
)

// What Compose's documentation says of a health check that leaves it open.
const (
	healthInterval      = 30 * time.Second
	healthTimeout       = 30 * time.Second
	healthStartInterval = 5 * time.Second
	healthRetries       = 3
	// longestHealth and mostRetries catch slips: a check asks for what is now.
	longestHealth = time.Hour
	mostRetries   = 1000
)

// probeNames are the questions of x-holdfast.
func probeNames() []string { return []string{"startup", "readiness", "liveness"} }

// healthCheck reads the mapping of a service.
func (d decoder) healthCheck() *types.HealthCheckConfig {
	at := d.at.at("healthcheck")
	if at == nil {
		return nil
	}
	c := &types.HealthCheckConfig{Disable: at.at("disable") != nil && at.at("disable").text == "true"}
	d.into(&c.Test, "healthcheck", "test")
	for _, timing := range []struct {
		key  string
		into **types.Duration
	}{
		{"interval", &c.Interval}, {"timeout", &c.Timeout}, {"start_period", &c.StartPeriod}, {"start_interval", &c.StartInterval},
	} {
		if at.at(timing.key) != nil {
			*timing.into = new(types.Duration)
			d.into(*timing.into, "healthcheck", timing.key)
		}
	}
	if at.at("retries") != nil {
		retries := d.whole("healthcheck", "retries")
		d.require(retries >= 0, at.at("retries"), "is below zero", "write a number from 1 to 1000")
		c.Retries = new(uint64(max(retries, 0)))
	}
	return c
}

// probes are what the service says of its health: by Compose's healthcheck, by
// x-holdfast, or by both where they do not say the same.
func (s service) probes() edge.Probes {
	probes := s.healthProbes()
	for _, name := range probeNames() {
		values, given := s.config.Extension[name].(map[string]any)
		if !given {
			continue
		}
		into := map[string]**edge.Probe{"startup": &probes.Startup, "readiness": &probes.Readiness, "liveness": &probes.Liveness}[name]
		if *into != nil {
			s.problem("healthcheck says it already", "keep one of the two", extensionKey, name)
			continue
		}
		*into = probe{s, name, values}.read()
	}
	return probes
}

// healthProbes makes a startup and a liveness probe of Compose's health check: it is
// healthy once the command succeeds, and from then on until it has failed for retries
// times in a row. Until then it may take the start period and as many intervals.
func (s service) healthProbes() edge.Probes {
	c := s.config.HealthCheck
	if c == nil || c.Disable || len(c.Test) == 1 && c.Test[0] == "NONE" {
		return edge.Probes{}
	}
	retries := healthRetries
	if c.Retries != nil && *c.Retries != 0 { // 0 is what Compose takes for its default
		retries = int(min(*c.Retries, mostRetries+1))
	}
	if retries > mostRetries {
		s.problem("is out of bounds", "write a number from 1 to 1000", "healthcheck", "retries")
	}
	interval := s.healthTime(c.Interval, "interval", healthInterval)
	alive := edge.Probe{
		Exec: s.healthCommand(c.Test), Delay: 0, Period: interval,
		Timeout: s.healthTime(c.Timeout, "timeout", healthTimeout), Failures: retries,
	}
	start := alive
	if begin := s.healthTime(c.StartPeriod, "start_period", 0); begin > 0 {
		start.Period = min(s.healthTime(c.StartInterval, "start_interval", healthStartInterval), interval)
		start.Failures = int((begin + time.Duration(retries)*interval + start.Period - 1) / start.Period)
	} else {
		s.healthTime(c.StartInterval, "start_interval", 0)
	}
	return edge.Probes{Startup: &start, Liveness: &alive}
}

// healthTime keeps a time within its bounds; 0 and what is not given is the default.
func (s service) healthTime(given *types.Duration, key string, otherwise time.Duration) time.Duration {
	if given == nil || *given == 0 {
		return otherwise
	}
	d := time.Duration(*given)
	if d < 100*time.Millisecond || d > longestHealth {
		s.problem(d.String()+" is out of bounds", "write a duration from 100ms to 1h, such as 5s", "healthcheck", key)
		return otherwise
	}
	return d
}

// healthCommand is what is run inside the instance.
func (s service) healthCommand(test types.HealthCheckTest) []string {
	const remedy = `write [CMD, program, …], [CMD-SHELL, "a line for /bin/sh"], the line alone, or disable: true`
	switch {
	case len(test) == 0:
		s.problem("names no test", remedy, "healthcheck")
	case strings.ContainsRune(strings.Join(test, ""), 0):
		s.problem("holds a zero byte", "remove it", "healthcheck", "test")
	case test[0] == "CMD" && len(test) > 1 && test[1] != "":
		return test[1:]
	case test[0] == "CMD-SHELL" && len(test) == 2 && test[1] != "":
		return []string{"/bin/sh", "-c", test[1]}
	default:
		s.problem("is not a test", remedy, "healthcheck", "test")
	}
	return nil
}

// probe reads one question of x-holdfast, whose keys and kinds have been checked.
type probe struct {
	service
	name   string
	values map[string]any
}

func (p probe) problem(key, detail, remedy string) {
	p.service.problem(detail, remedy, extensionKey, p.name, key)
}

func (p probe) read() *edge.Probe {
	q := &edge.Probe{
		HTTP: p.text("http"), Port: p.number("port", 65535),
		Delay: p.duration("delay"), Period: p.duration("period"), Timeout: p.duration("timeout"),
		Successes: p.number("successes", mostRetries), Failures: p.number("failures", mostRetries),
	}
	list, _ := p.values["exec"].([]any)
	for _, word := range list {
		text, _ := word.(string) // checked by the key's shape
		q.Exec = append(q.Exec, text)
	}
	p.agree(q)
	return q
}

// agree finds what cannot be asked.
func (p probe) agree(q *edge.Probe) {
	at := p.at.at(extensionKey, p.name)
	server := p.config.Extension["model"] != nil
	path := q.HTTP
	switch {
	case len(q.Exec) == 0 && p.values["http"] == nil && p.values["port"] == nil:
		p.add(at, "says not what to ask", "write exec: [program, …], http: /path or port: 8080")
	case len(q.Exec) > 0 && (q.HTTP != "" || q.Port != 0):
		p.add(at, "says exec beside http or port", "keep one")
	case strings.ContainsRune(strings.Join(q.Exec, ""), 0):
		p.problem("exec", "holds a zero byte", "remove it")
	case path != "" && (!strings.HasPrefix(path, "/") || len(path) > 1024 || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r > '~' })):
		p.problem("http", quote(path)+" is not a path", "write one such as /healthz")
	case path != "" && q.Port == 0 && !server:
		p.problem("http", "needs a port: only a model server has a socket to ask at", "write port: 8080 beside it")
	case q.Successes > 1 && p.name != "readiness":
		p.problem("successes", "counts for readiness alone", "remove it")
	}
}

func (p probe) text(key string) string {
	text, _ := p.values[key].(string) // checked by the key's shape
	return text
}

// number reads a whole number from 1; what is not given is 0.
func (p probe) number(key string, most int) int {
	n := 0
	switch value := p.values[key].(type) {
	case nil:
		return 0
	case int:
		n = value
	case string: // of a variable
		n, _ = strconv.Atoi(value) // no number: 0, refused below
	}
	if n < 1 || n > most {
		p.problem(key, "is out of bounds", "write a number from 1 to "+strconv.Itoa(most))
		return 0
	}
	return n
}

func (p probe) duration(key string) time.Duration {
	if p.values[key] == nil {
		return 0
	}
	d, err := time.ParseDuration(p.text(key))
	if err != nil || d < 10*time.Millisecond || d > longestHealth {
		p.problem(key, "is not a duration that can be used", "write one from 10ms to 1h with its unit, such as 5s")
		return 0
	}
	return d
}
