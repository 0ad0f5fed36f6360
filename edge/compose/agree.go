package compose

import (
	"path"

	"github.com/compose-spec/compose-go/v2/types"
)

// checkAgreement refuses what Compose refuses although each value is fine: the same
// matter said twice and differently. A limit of deploy that is left out beside others
// counts as said.
func (s service) checkAgreement() {
	c := s.config
	disagree := func(short, deploy string) {
		s.add(s.at, "can't set distinct values on '"+short+"' and '"+deploy+"'", "")
	}
	if c.Scale != nil && c.Replicas != nil && *c.Scale != *c.Replicas {
		disagree("scale", "deploy.replicas")
	}
	if limits := c.Limits; limits != nil {
		if c.CPUs != 0 && types.NanoCPUs(c.CPUs) != limits.CPUs {
			disagree("cpus", "deploy.resources.limits.cpus")
		}
		if c.MemLimit != 0 && c.MemLimit != limits.Memory {
			disagree("mem_limit", "deploy.resources.limits.memory")
		}
		if c.PidsLimit != 0 && c.PidsLimit != limits.Pids {
			disagree("pids_limit", "deploy.resources.limits.pids")
		}
	}
	s.checkTargets()
}

// checkTargets refuses two mounts at one place.
func (s service) checkTargets() {
	mounted := map[string]bool{}
	for _, mount := range s.config.Tmpfs {
		target := mountTarget(mount.text)
		if mounted[target] {
			s.add(mount.at, "target "+target+" already mounted", "keep one")
		}
		mounted[target] = true
		mounted[path.Clean(target)] = true
	}
	for _, volume := range s.config.Volumes {
		if mounted[volume.target] {
			s.add(volume.at, "target "+volume.target+" already mounted", "keep one")
		}
		mounted[volume.target] = true
	}
}
