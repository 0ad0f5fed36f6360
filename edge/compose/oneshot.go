package compose

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"holdfast/edge"
)

// oneShotKey is the key of x-holdfast that makes each task a container of its own.
const oneShotKey = "oneShot"

// oneShot is how a tool that is no server gets its input and leaves its output; nil where
// the service is none.
func (x extension) oneShot() *edge.OneShot {
	if x.at.at(extensionKey, oneShotKey) == nil {
		return nil
	}
	x.checkOneShot()
	values, _ := x.values[oneShotKey].(map[string]any) // nothing below it: nil
	o := &edge.OneShot{Input: x.toolFile(values, "input"), Output: x.toolFile(values, "output"), Warm: x.warm(values)}
	if in, out := path.Dir(o.Input)+"/", path.Dir(o.Output)+"/"; o.Input != "" && o.Output != "" && (strings.HasPrefix(in, out) || strings.HasPrefix(out, in)) {
		x.service.problem("needs another folder than the input, which cannot be written", "put them side by side: /in/data and /out/data", extensionKey, oneShotKey, "output")
	}
	return o
}

// checkOneShot refuses what is said of servers.
func (x extension) checkOneShot() {
	const detail = "is not for a one-shot tool, which lasts as long as a task"
	for _, key := range append(probeNames(), "variants", "endpoint", "readyWithin", "preemptible", "degrade", canaryKey) {
		if x.at.at(extensionKey, key) != nil {
			x.problem(key, detail, "remove it, or "+oneShotKey)
		}
	}
	if x.values["concurrency"] != nil {
		x.problem("concurrency", detail, "say with deploy.replicas how many tasks run at once")
	}
	for _, keys := range [][]string{{"healthcheck"}, {"depends_on"}, {"ports"}, updatePath()} {
		if x.at.at(keys...) != nil {
			x.service.problem(detail, "remove it, or x-holdfast."+oneShotKey, keys...)
		}
	}
	if restart := x.config.Restart; restart != "" && restart != "no" {
		x.service.problem("a one-shot tool is not started again: each task has a container of its own", "remove it", "restart")
	}
}

// toolFile reads where a tool finds or leaves a file.
func (x extension) toolFile(values map[string]any, key string) string {
	if values[key] == nil {
		return ""
	}
	name, _ := values[key].(string)
	const remedy = "write an absolute path in a folder that holds nothing else, such as /in/data"
	switch folder := path.Dir(name); {
	case !path.IsAbs(name) || path.Clean(name) != name || name == "/" || strings.ContainsRune(name, 0):
		x.service.problem(quote(name)+" is not a file", remedy, extensionKey, oneShotKey, key)
	case isSystemFolder(folder):
		x.service.problem("the folder "+quote(folder)+" would be replaced by a mount of its own", remedy, extensionKey, oneShotKey, key)
	}
	return name
}

// warm reads how many containers may stand ready.
func (x extension) warm(values map[string]any) int {
	n := 0
	switch value := values["warm"].(type) {
	case nil:
		return 0
	case int:
		n = value
	case string: // of a variable
		n, _ = strconv.Atoi(value) // no number: 0, refused below
	}
	if n < 1 || n > edge.MaxWarm {
		x.service.problem("is out of bounds", fmt.Sprintf("write a number from 1 to %d", edge.MaxWarm), extensionKey, oneShotKey, "warm")
		return 0
	}
	return n
}
