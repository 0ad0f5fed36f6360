package oneshot

import (
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// Tool is what a keeper has to say of one workload that is wanted.
type Tool struct {
	Workload edge.Workload
	Meta     oip.ModelMetadata
	Ready    bool  // tasks can be run
	Failure  error // why no container can be made
	Stuck    error // why one cannot be taken away
}

// Tools lists what is wanted, by key.
func (k *Keeper) Tools() []Tool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.toolsLocked()
}

func (k *Keeper) toolsLocked() []Tool {
	var tools []Tool
	for _, p := range k.sortedLocked() {
		if !p.wanted {
			continue
		}
		tool := Tool{Workload: p.spec, Meta: metadata(p.spec.Serve.Model), Ready: k.readyLocked(p), Failure: p.failure, Stuck: p.stuck}
		if tool.Stuck == nil && k.trouble != nil && !isAway(k.trouble) {
			tool.Stuck = k.trouble
		}
		tools = append(tools, tool)
	}
	return tools
}

// readyLocked tells whether tasks can be run. While another version takes its place they
// can: a task that comes before a container of it was made has one made.
func (k *Keeper) readyLocked(p *pool) bool {
	return k.swept && p.wanted && p.proven != "" && p.failure == nil && p.spec.Replicas > 0
}

// Views shows the pools as lists do: as instances those at work, and why there are none.
func (k *Keeper) Views() []edge.WorkloadView {
	k.mu.Lock()
	defer k.mu.Unlock()
	views := []edge.WorkloadView{}
	for _, p := range k.sortedLocked() {
		view := edge.WorkloadView{Workload: p.spec, Instances: p.instances(), OneShot: &edge.OneShotView{
			Warm: len(p.warm), Busy: len(p.busy), Spent: p.dead(), Target: p.target(time.Now()), Most: p.spec.Ahead(), Runs: p.runs, Cold: p.cold,
		}}
		if !p.wanted {
			view.Workload.Replicas = 0
		}
		if k.readyLocked(p) && p.proven == p.hash {
			view.Ready = p.spec.Replicas
		}
		views = append(views, view)
	}
	return views
}

// dead is how many containers are to be taken away still.
func (p *pool) dead() int {
	if p.sheds {
		return len(p.spent) + 1
	}
	return len(p.spent)
}

// instances are the containers at work, and one that stands for what cannot be made.
func (p *pool) instances() []edge.InstanceView {
	views := []edge.InstanceView{}
	for _, b := range p.busy {
		view := edge.InstanceView{State: edge.InstanceStarting, Detail: "task " + b.task}
		view.ID, view.Workload, view.SpecHash, view.Image, view.Started = b.id, p.spec.Key(), b.hash, p.spec.Image, b.begun
		if b.id != "" {
			view.State, view.Running = edge.InstanceReady, true
		}
		views = append(views, view)
	}
	if p.failure != nil {
		view := edge.InstanceView{State: edge.InstanceBackoff, Detail: p.failure.Error(), NextTry: p.next}
		view.Workload, view.Image = p.spec.Key(), p.spec.Image
		views = append(views, view)
	}
	return views
}
