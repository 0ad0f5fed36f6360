package edge

import (
	"cmp"
	"fmt"
	"path"
	"strings"
)

// OneShot makes a workload one of a tool that is no server: each task is a container of its
// own, which ends with it. Its replicas are the tasks that run at once.
type OneShot struct {
	// Input is the file in which the tool finds what it is given, as it sees it. Empty: its
	// standard input.
	Input string `json:"input,omitempty"`
	// Output is the file it writes. Empty: its standard output.
	Output string `json:"output,omitempty"`
	// Warm is how many containers at most stand ready for tasks that have not come yet; how
	// many do follows from how the tasks come. 0: as many as replicas.
	Warm int `json:"warm,omitempty"`
}

// MaxWarm bounds what stands ready for one workload: each holds some megabytes.
const MaxWarm = 64

// IsOneShot tells whether each task of the workload is a container of its own.
func (w Workload) IsOneShot() bool { return w.Serve != nil && w.Serve.OneShot != nil }

// Ahead is how many containers of a one-shot workload may stand ready.
func (w Workload) Ahead() int {
	if !w.IsOneShot() {
		return 0
	}
	return min(cmp.Or(w.Serve.OneShot.Warm, w.Replicas), MaxWarm)
}

// CheckOneShot finds what a one-shot workload cannot have. Every defect is a *FieldProblem.
func (w Workload) CheckOneShot() error {
	c := checker{}
	w.checkOneShot(&c, "")
	return c.err()
}

// checkOneShot looks at a workload whose instances last as long as a task, and so are asked
// nothing, waited for by nobody, and called by nobody.
func (w Workload) checkOneShot(c *checker, at string) {
	if !w.IsOneShot() {
		return
	}
	const one = " has no meaning for a one-shot tool"
	s := w.Serve
	c.require(s.Endpoint == "", at+"serve.endpoint", "is not for a one-shot tool, which listens nowhere")
	c.require(len(s.Variants) == 0, at+"serve.variants", "are not for a one-shot tool, which is one model")
	c.require(s.Concurrency == 0, at+"serve.concurrency", "is not for a one-shot tool; its replicas are the tasks at once")
	c.require(s.ReadyWithin == 0, at+"serve.readyWithin", one[1:])
	c.require(!s.Fixed, at+"serve.fixed", one[1:]+", whose tasks are never suspended")
	c.require(!s.Exact, at+"serve.exact", one[1:]+", which has no variants")
	c.require(w.Probes == Probes{}, at+"probes", "are not for a one-shot tool, which is asked nothing")
	c.require(len(w.Ports) == 0, at+"ports", "are not for a one-shot tool, which listens nowhere")
	c.require(len(w.DependsOn) == 0, at+"dependsOn", "is not for a one-shot tool, which runs when there is a task")
	c.require(w.Update.Canary == nil, at+"update.canary", one[1:])
	s.OneShot.check(c, at+"serve.oneShot.")
}

func (o *OneShot) check(c *checker, at string) {
	c.count(o.Warm, 0, MaxWarm, at+"warm")
	for _, file := range []struct{ name, path string }{{"input", o.Input}, {"output", o.Output}} {
		if file.path == "" {
			continue
		}
		folder := path.Dir(file.path)
		c.require(isPlainPath(file.path) && !strings.HasSuffix(file.path, "/"), at+file.name, quoteShort(file.path)+" is not an absolute path without . and ..")
		c.require(folder != "/" && !isKernels(folder) && !strings.HasPrefix(folder, "/dev/"), at+file.name, quoteShort(file.path)+" needs a folder of its own")
	}
	nested := o.Input != "" && o.Output != "" && (liesIn(path.Dir(o.Input), path.Dir(o.Output)) || liesIn(path.Dir(o.Output), path.Dir(o.Input)))
	c.require(!nested, at+"output", fmt.Sprintf("%s needs another folder than the input, which cannot be written", quoteShort(o.Output)))
}

// liesIn tells whether a folder is another, or lies in it.
func liesIn(folder, other string) bool {
	return folder == other || strings.HasPrefix(folder, other+"/")
}
