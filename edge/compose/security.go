package compose

import (
	"path"
	"slices"
	"strings"

	"holdfast/edge"
)

// capabilities gives the added ones as the kernel writes them, sorted. Dropping
// is no change: nothing is kept but what is added.
func (s service) capabilities() []string {
	var added []string
	for _, given := range s.config.CapAdd {
		if name, ok := edge.Capability(given.text); ok {
			added = append(added, name)
			continue
		}
		s.add(given.at, quote(given.text)+" is not a capability that can be added", "name one, such as NET_BIND_SERVICE")
	}
	for _, given := range s.config.CapDrop {
		name, ok := edge.Capability(given.text)
		if slices.Contains(added, name) {
			s.add(given.at, quote(given.text)+" is both added and dropped", "keep one")
		} else if !ok && !strings.EqualFold(given.text, "ALL") {
			s.add(given.at, quote(given.text)+" is not a capability", "write ALL; all are dropped anyway")
		}
	}
	slices.Sort(added)
	return slices.Compact(added)
}

// user takes what Compose says, but for root, which one must ask for twice.
func (s service) user(runAsRoot bool) string {
	user := s.config.User
	name, group, _ := strings.Cut(user, ":")
	switch {
	case strings.ContainsAny(user, " \t\r\n\x00/") || strings.Contains(group, ":") || name == "" && user != "":
		s.problem(quote(user)+" is not a user", "write uid, uid:gid, or names of the image", "user")
	case !runAsRoot && (name == "root" || strings.Trim(name, "0") == "" && name != ""):
		s.problem("runs as root", "choose another user, or say so with x-holdfast.runAsRoot: true", "user")
	}
	return user
}

// hostNetwork tells whether an instance has the network of its host.
func (s service) hostNetwork() bool {
	mode := s.config.NetworkMode
	if mode != "" && mode != "none" && mode != "host" {
		s.problem("not honoured yet: "+quote(mode)+" is none of none and host", "write none or host, or name networks under networks", "network_mode")
	}
	return mode == "host"
}

// checkSecurityOpt accepts only what is the case anyway.
func (s service) checkSecurityOpt() {
	for i, option := range s.config.SecurityOpt {
		if slices.ContainsFunc(s.config.SecurityOpt[:i], func(e entry) bool { return e.text == option.text }) {
			s.add(option.at, quote(option.text)+" stands here for the second time", "keep one") // Compose refuses it too
			continue
		}
		switch strings.Replace(option.text, "=", ":", 1) {
		case "no-new-privileges", "no-new-privileges:true":
		default:
			s.add(option.at, quote(option.text)+" is not honoured",
				"remove it: no new privileges and the default seccomp profile always apply")
		}
	}
}

// checkMounts sees to it that no tmpfs and no bind hides the folder of the socket.
func (s service) checkMounts(w edge.Workload) {
	if w.Serve == nil || w.IsOneShot() {
		return
	}
	socket := strings.TrimPrefix(w.Serve.Endpoint, "unix://")
	for _, mount := range s.config.Tmpfs {
		if folder := path.Clean(mountTarget(mount.text)); strings.HasPrefix(socket, folder+"/") {
			s.add(mount.at, quote(folder)+" would hide the folder of x-holdfast.endpoint", "put them side by side")
		}
	}
	for _, volume := range s.config.Volumes {
		if folder := path.Dir(socket); volume.target == folder || strings.HasPrefix(volume.target, folder+"/") {
			s.add(volume.at, quote(volume.target)+" would lie in the folder of x-holdfast.endpoint", "put them side by side")
		}
	}
}

// mountTarget is the folder of path[:options], as it is written.
func mountTarget(mount string) string {
	folder, _, _ := strings.Cut(mount, ":")
	return folder
}
