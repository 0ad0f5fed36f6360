package compose

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/edge"
)

// extensionKey is the Compose extension that holds what Compose cannot say.
const extensionKey = "x-holdfast"

// Bounds of what a model server declares.
const (
	longestCost    = 24 * time.Hour // no task waits longer than a day
	maxConcurrency = 1024
	// maxSocketPath is what sockaddr_un holds beside its closing zero.
	maxSocketPath = 107
)

// extension reads x-holdfast. A service without a model is a plain one.
func (s service) extension() (serve *edge.Serve, runAsRoot bool) {
	values := s.config.Extension
	x := extension{s, values}
	runAsRoot = x.truth("runAsRoot")
	if values["model"] == nil {
		for _, key := range []string{"variants", "endpoint", "cost", "concurrency", "timeout", "readyWithin", "preemptible", "degrade", oneShotKey} {
			if s.at.at(extensionKey, key) != nil {
				x.problem(key, "needs a model", "name it with x-holdfast.model")
			}
		}
		return nil, runAsRoot
	}
	if tool := x.oneShot(); tool != nil {
		return &edge.Serve{Model: x.model(), Cost: x.duration("cost"), Timeout: x.duration("timeout"), OneShot: tool}, runAsRoot
	}
	return &edge.Serve{
		Model: x.model(), Variants: x.variants(), Endpoint: x.endpoint(),
		Cost: x.duration("cost"), Timeout: x.duration("timeout"), ReadyWithin: x.duration("readyWithin"),
		Concurrency: x.concurrency(),
		Fixed:       x.denied("preemptible"), Exact: x.denied("degrade"),
	}, runAsRoot
}

// tenant is whose share of the node the service uses.
func (s service) tenant() string {
	value, given := s.config.Extension["tenant"]
	name, _ := value.(string)
	if given && !edge.IsName(name) {
		s.problem("is not the name of a tenant", nameRemedy, extensionKey, "tenant")
	}
	return name
}

// extension reads the values of x-holdfast by their kinds.
type extension struct {
	service
	values map[string]any
}

func (x extension) problem(key, detail, remedy string) {
	x.service.problem(detail, remedy, extensionKey, key)
}

func (x extension) model() string {
	model, _ := x.values["model"].(string)
	if !isName(model) {
		x.problem("model", "is not the name of a model", nameRemedy)
	}
	return model
}

const nameRemedy = "use at most 63 letters, digits, '.', '_' or '-', the first a letter or digit"

func (x extension) variants() []string {
	if x.values["variants"] == nil {
		return nil
	}
	list, ok := x.values["variants"].([]any)
	if !ok {
		x.problem("variants", "is not a list", "write [name, …], the largest first")
		return nil
	}
	var names []string
	for i, value := range list {
		name, _ := value.(string)
		at := x.at.near(extensionKey, "variants")
		if i < len(at.items) {
			at = at.items[i]
		}
		switch {
		case !isName(name):
			x.add(at, "is not the name of a model", nameRemedy)
		case slices.Contains(names, name) || name == x.values["model"]:
			x.add(at, quote(name)+" is named twice", "keep one")
		default:
			names = append(names, name)
		}
	}
	return names
}

func (x extension) endpoint() string {
	const remedy = "write unix:///run/model/model.sock: an absolute path in a folder that holds nothing else"
	endpoint, _ := x.values["endpoint"].(string)
	socket, isUnix := strings.CutPrefix(endpoint, "unix://")
	switch folder := path.Dir(socket); {
	case x.values["endpoint"] == nil:
		x.problem("endpoint", "a model server needs an endpoint", remedy)
	case strings.HasPrefix(endpoint, "http://") || strings.HasPrefix(endpoint, "https://"):
		x.problem("endpoint", "not honoured yet: tasks reach a model server by a unix socket alone, whatever networks it is on", remedy)
	case !isUnix || !path.IsAbs(socket) || path.Clean(socket) != socket || path.Base(socket) == "/" || strings.ContainsRune(socket, 0):
		x.problem("endpoint", quote(endpoint)+" is not a socket", remedy)
	case isSystemFolder(folder):
		x.problem("endpoint", "the folder "+quote(folder)+" of the socket would be replaced by a mount of its own", remedy)
	case len(socket) > maxSocketPath:
		x.problem("endpoint", fmt.Sprintf("is longer than the %d bytes a socket path may have", maxSocketPath), "shorten it")
	}
	return endpoint
}

// isSystemFolder tells whether a mount over the folder would take away what a
// process needs: anything of the kernel's or the system's own, and the usual
// folders at the top.
func isSystemFolder(folder string) bool {
	parts := strings.Split(strings.Trim(folder, "/"), "/")
	switch parts[0] {
	case "", "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "sbin", "sys", "usr":
		return true
	case "home", "media", "mnt", "opt", "root", "run", "srv", "tmp":
		return len(parts) == 1
	case "var":
		return len(parts) == 1 || len(parts) == 2 && slices.Contains([]string{"lib", "run", "tmp"}, parts[1])
	}
	return false
}

func (x extension) duration(key string) time.Duration {
	if x.values[key] == nil {
		return 0
	}
	text, _ := x.values[key].(string)
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > longestCost {
		x.problem(key, "is not a duration", "write one up to 24h with its unit, such as 20ms")
		return 0
	}
	return d
}

func (x extension) concurrency() int {
	var n int
	switch value := x.values["concurrency"].(type) {
	case nil:
		return 0
	case int:
		n = value
	case string: // of a variable
		n, _ = strconv.Atoi(value) // no number: 0, refused below
	}
	if n < 1 || n > maxConcurrency {
		x.problem("concurrency", "is out of bounds", "write a number from 1 to 1024")
		return 0
	}
	return n
}

// denied tells whether false is said.
func (x extension) denied(key string) bool { return x.values[key] != nil && !x.truth(key) }

func (x extension) truth(key string) bool {
	switch value := x.values[key].(type) {
	case nil:
		return false
	case bool:
		return value
	case string: // of a variable
		if value == "true" || value == "false" {
			return value == "true"
		}
	}
	x.problem(key, "is neither true nor false", "write true or false")
	return false
}
