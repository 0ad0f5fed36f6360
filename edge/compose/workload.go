package compose

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// service maps one Compose service; what is wrong goes to the file's problems.
type service struct {
	*file
	name   string
	at     *node
	config config
}

const (
	// defaultGrace is Compose's own.
	defaultGrace = 10 * time.Second
	// longestGrace keeps an update or a shutdown from waiting for ever.
	longestGrace = time.Hour
	// maxReplicas is beyond what a gateway's memory holds; catches a slip.
	maxReplicas = 100
)

func (s service) workload(app string) edge.Workload {
	w := edge.Workload{
		App: app, Name: s.name, Image: s.image(), Replicas: s.replicas(),
		Entrypoint: s.arguments("entrypoint", s.config.Entrypoint),
		Command:    s.arguments("command", s.config.Command),
		Env:        s.env(), WorkingDir: s.workingDir(),
		Limits: s.limits(), Tmpfs: s.tmpfs(), Binds: s.binds(), Devices: s.lent(),
		Secrets: s.secrets(), Volumes: s.volumes(), Ports: s.ports(),
		Tenant:     s.tenant(),
		StopSignal: s.stopSignal(), StopGrace: s.stopGrace(),
		Probes: s.probes(), DependsOn: s.dependsOn(), Update: s.update(),
	}
	w.Request, w.IOWeight = s.request(w.Limits), s.ioWeight()
	w.Networks, w.Outward, w.Links = s.networks()
	w.Serve, w.Security.RunAsRoot = s.extension()
	w.Security.CapAdd = s.capabilities()
	w.Security.WritableRoot = s.at.at("read_only") != nil && !s.config.ReadOnly
	w.User = s.user(w.Security.RunAsRoot)
	w.Restart = s.restart(w.Serve != nil && !w.IsOneShot())
	w.Security.HostNetwork, w.Security.Privileged = s.hostNetwork(), s.config.Privileged
	s.checkSecurityOpt()
	s.checkMounts(w)
	return w
}

// problem reports a defect of one key of the service.
func (s service) problem(detail, remedy string, keys ...string) {
	s.add(s.at.near(keys...), detail, remedy)
}

func (s service) image() string {
	image := s.config.Image
	if image == "" || strings.ContainsAny(image, " \t\r\n\x00") {
		s.problem(quote(image)+" is not an image reference", "write a name such as registry.example/line/digits:1 or name@sha256:…", "image")
	}
	return image
}

func (s service) replicas() int {
	n := s.config.replicas()
	if n < 0 || n > maxReplicas {
		keys := []string{"deploy", "replicas"}
		if s.config.Scale != nil {
			keys = []string{"scale"}
		}
		s.problem("the number of replicas is out of bounds", "write a number from 0 to 100", keys...)
	}
	return n
}

// arguments keeps nil (the image's) apart from empty (none).
func (s service) arguments(key string, words types.ShellCommand) []string {
	if slices.ContainsFunc(words, func(word string) bool { return strings.ContainsRune(word, 0) }) {
		s.problem("holds a zero byte", "remove it", key)
	}
	if at := s.at.at(key); at != nil && at.tag != "!!null" && words == nil {
		return []string{}
	}
	return words
}

// env drops names that are given without a value and are not set anywhere, as
// Compose does.
func (s service) env() []string {
	var env []string
	for name, value := range s.config.Environment {
		if name == "" || strings.ContainsAny(name, "=\x00") || value != nil && strings.ContainsRune(*value, 0) {
			s.problem(quote(name)+" cannot be set in an environment", "use another name or value", "environment")
			continue
		}
		if value != nil {
			env = append(env, name+"="+*value)
		}
	}
	slices.Sort(env)
	return env
}

func (s service) workingDir() string {
	dir := s.config.WorkingDir
	if dir != "" && !path.IsAbs(dir) {
		s.problem(quote(dir)+" is not an absolute path", "begin it with /", "working_dir")
	}
	return dir
}

func (s service) restart(server bool) edge.RestartPolicy {
	switch s.config.Restart {
	case "":
		if server {
			return edge.RestartAlways
		}
		return edge.RestartNo
	case "no":
		return edge.RestartNo
	case "always", "unless-stopped":
		return edge.RestartAlways
	case "on-failure":
		return edge.RestartOnFailure
	}
	s.problem(quote(s.config.Restart)+" is not a restart policy that is honoured",
		"write no, on-failure, always or unless-stopped; tries are spaced out, not counted", "restart")
	return edge.RestartNo
}

func (s service) stopSignal() string {
	given := s.config.StopSignal
	if given == "" {
		return ""
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(given), "SIG")
	if unix.SignalNum(name) == 0 {
		s.problem(quote(given)+" is not a signal", "write a name such as SIGTERM", "stop_signal")
	}
	return name
}

func (s service) stopGrace() time.Duration {
	if s.config.StopGracePeriod == nil {
		return defaultGrace
	}
	grace := time.Duration(*s.config.StopGracePeriod)
	if grace <= 0 || grace > longestGrace {
		s.problem(grace.String()+" is out of bounds", "write a duration up to 1h, such as 10s", "stop_grace_period")
	}
	return grace
}

// isName tells whether s may name a workload or a model: what a path, a label
// and a log line all carry unquoted.
func isName(s string) bool {
	if s == "" || len(s) > 63 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alphanumeric && (i == 0 || !strings.ContainsRune("._-", rune(c))) {
			return false
		}
	}
	return true
}
