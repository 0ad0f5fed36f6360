package containerd

import (
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"holdfast/edge"
)

// The labels on a container. They are all a driver needs to take an instance over
// from an earlier one.
const (
	labelWorkload   = "holdfast.workload"
	labelSpecHash   = "holdfast.spec-hash"
	labelImage      = "holdfast.image"
	labelDigest     = "holdfast.digest"
	labelEndpoint   = "holdfast.endpoint" // path of the unix socket inside the container
	labelSocket     = "holdfast.socket"   // path of the same socket on the host
	labelStopSignal = "holdfast.stop-signal"
	// labelStarting is on an instance until its process was seen to be what was
	// asked for. One that has it and is not being started came from an agent that
	// died before it could look, or from a failed start that could not be undone.
	labelStarting = "holdfast.starting"
	// labelOneShot is on what runs for one task (oneshot.go). It is no instance to whoever
	// lists them.
	labelOneShot = "holdfast.one-shot"
)

// maxLabel is what the daemon stores of one label, key and value together.
const maxLabel = 4096

// labelsOf describes an instance made from img.
func labelsOf(p plan, img image, stopSignal string) (map[string]string, error) {
	w := p.workload
	labels := map[string]string{
		labelWorkload:   w.Key(),
		labelSpecHash:   w.SpecHash(),
		labelImage:      w.Image,
		labelDigest:     img.digest.String(),
		labelStopSignal: stopSignal,
		labelStarting:   "true",
	}
	if p.endpoint != "" {
		labels[labelEndpoint], labels[labelSocket] = p.endpoint, p.socket
	}
	if w.IsOneShot() {
		labels[labelOneShot] = "true"
	}
	if len(w.Ports) > 0 {
		labels[labelPorts] = portWords(w.Ports)
	}
	if keys := volumeKeys(w); keys != "" {
		labels[labelVolumes] = keys
	}
	for key, value := range labels {
		if len(key)+len(value) > maxLabel {
			return nil, fmt.Errorf("value of %s is longer than %d bytes: %w", key, maxLabel, edge.ErrInvalid)
		}
	}
	return labels, nil
}

// endpointPath returns the socket's path inside the container. Its folder becomes
// a mount, so it may not be one the container cannot do without.
func endpointPath(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "unix" || u.Host != "" || !path.IsAbs(u.Path) {
		return "", fmt.Errorf("endpoint %q must look like unix:///run/model/model.sock: %w", endpoint, edge.ErrInvalid)
	}
	socket := path.Clean(u.Path)
	dir := path.Dir(socket)
	for _, own := range []string{"/proc", "/sys", "/dev"} {
		if dir == own || strings.HasPrefix(dir, own+"/") {
			return "", fmt.Errorf("endpoint %q lies in %s, which is the kernel's: %w", endpoint, own, edge.ErrInvalid)
		}
	}
	if dir == "/" || socket == "/" {
		return "", fmt.Errorf("endpoint %q needs a folder of its own: %w", endpoint, edge.ErrInvalid)
	}
	return socket, nil
}

// maxSocketPath is what fits the kernel's address of a unix socket.
const maxSocketPath = 107

// hostSocket is where the host reaches the endpoint of an instance.
func (d *Driver) hostSocket(id, endpoint string) (string, error) {
	if endpoint == "" {
		return "", nil
	}
	socket := filepath.Join(d.instanceDir(id), path.Base(endpoint))
	if len(socket) > maxSocketPath {
		return "", fmt.Errorf("socket path %q is longer than the %d bytes the kernel takes: %w", socket, maxSocketPath, edge.ErrInvalid)
	}
	return socket, nil
}
