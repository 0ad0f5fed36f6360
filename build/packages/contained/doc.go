// Package contained runs the agent inside a container that drives the containerd it
// was started by, with exactly what docs/install.md says has to be mounted: instances
// stand beside the agent's container, not in it, and outlive it.
package contained
