package edge

import "fmt"

// Volume is a folder that belongs to an app and stays when its instances go: on an
// update, on a rollback, and when the app is no longer wanted.
type Volume struct {
	Name     string `json:"name"` // among the app's
	Target   string `json:"target"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// VolumeView is a volume on the node.
type VolumeView struct {
	App  string `json:"app"`
	Name string `json:"name"`
	Path string `json:"path"`
	Size uint64 `json:"size"` // bytes on disk
	// Used names the workloads that are to have it, and the instances that do.
	Used []string `json:"used,omitempty"`
}

// Key names the volume on its node.
func (v VolumeView) Key() string { return v.App + "/" + v.Name }

// checkVolumes looks at where volumes are put; taken are the places that are gone.
func (w Workload) checkVolumes(c *checker, at string, taken map[string]bool) {
	for i, volume := range w.Volumes {
		here := fmt.Sprintf("%svolumes[%d].", at, i)
		c.require(IsName(w.App), at+"app", nameRule)
		c.require(IsName(volume.Name), here+"name", nameRule)
		c.require(isPlainPath(volume.Target), here+"target", quoteShort(volume.Target)+" is not an absolute path without . and ..")
		c.require(!isKernels(volume.Target), here+"target", quoteShort(volume.Target)+" cannot be mounted over")
		c.require(!taken[volume.Target], here+"target", quoteShort(volume.Target)+" is taken already")
		taken[volume.Target] = true
	}
}
