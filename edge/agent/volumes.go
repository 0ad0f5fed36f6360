package agent

import (
	"context"
	"fmt"
	"slices"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

var _ localapi.Volumes = volumes{}

// volumes lets the local API list the folders that apps keep, and remove them. Nothing
// else does: neither an update, nor its rollback, nor a policy without the app.
type volumes struct{ *Agent }

// Volumes lists them, with the workloads that are to have them and the instances that do.
func (v volumes) Volumes(ctx context.Context) ([]edge.VolumeView, error) {
	views, err := v.driver.Volumes(ctx)
	if err != nil {
		return nil, err
	}
	for i, view := range views {
		views[i].Used = append(v.wanting(view.Key()), view.Used...)
	}
	return views, nil
}

// RemoveVolume deletes a volume that no workload names and no instance has.
func (v volumes) RemoveVolume(ctx context.Context, app, name string) error {
	key := app + "/" + name
	if by := v.wanting(key); len(by) > 0 {
		return edge.WithHint(fmt.Errorf("cannot remove volume %q: workload %s is to have it: %w", key, by[0], edge.ErrExists),
			"take it out of the workload first")
	}
	return v.driver.RemoveVolume(ctx, app, name)
}

// wanting are the workloads that name a volume.
func (v volumes) wanting(key string) (by []string) {
	for _, view := range v.supervisor.Workloads() {
		w := view.Workload
		if slices.ContainsFunc(w.Volumes, func(volume edge.Volume) bool { return w.App+"/"+volume.Name == key }) {
			by = append(by, w.Key())
		}
	}
	return by
}
