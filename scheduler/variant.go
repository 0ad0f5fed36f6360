package scheduler

import "holdfast/edge"

// fits tells whether the newcomer is let in, and as what: the model it asks for where nobody
// has to give way, else a smaller variant for which that holds, else the model, or a variant,
// for which others do. It stays what it was let in as.
func (c *core) fits(now instant, it *item) bool {
	asked := it.model
	if fits := c.admits(now, it); len(asked.variants) == 0 || !c.rule.yields || fits && len(c.victims) == 0 {
		return fits
	}
	for _, alone := range [...]bool{true, false} {
		if !alone {
			if it.become(asked); c.admits(now, it) {
				return true
			}
		}
		for _, variant := range asked.variants {
			v := c.models[variant.Model]
			if v == nil || v.pool == nil || v.pool.lanes == 0 || it.given > 0 {
				continue
			}
			if it.become(v); c.admits(now, it) && (!alone || len(c.victims) == 0) {
				return true
			}
		}
	}
	it.become(asked)
	return false
}

func (it *item) become(m *model) { it.model, it.size = m, it.sizeOf(m) }

// order is the task as it is executed: by the model it was let in as.
func (it *item) order() edge.Task {
	t := it.task
	if it.model != nil {
		t.Model = it.model.name
	}
	return t
}
