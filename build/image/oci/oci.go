// Package oci makes container images from static binaries, without a daemon, a
// registry or a base image: one layer with the binary and the folders it needs, one
// image for each platform, one index over them, as an OCI image layout.
//
// It promises that the same files give the same bytes, on any machine and at any
// time: entries are sorted, owned by nobody in particular and dated 1970, and the
// creation time is left at zero.
//
// # Concurrency
//
// Functions only; none keeps anything.
//
// # Failure
//
// Whatever cannot be put into an image is an error before anything is written; an
// archive appears under its name only once it is whole.
//
// # Testing
//
// Digests over two builds, the layer's entries, and an import into a real
// containerd that runs the sample server from it.
package oci

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Spec says what goes into an image.
type Spec struct {
	Name     string            // with domain and tag: example.local/holdfast/digits:1
	Binaries map[string]string // platform, as in linux/arm/v7, to the file for it
	// Entry is the command line; the binary goes where its first word says.
	Entry []string
	// Command follows Entry where whoever starts it says nothing else.
	Command []string
	User    string // numeric uid or uid:gid
	Env     []string
	Labels  map[string]string
	// Dirs are copied: path on this machine to absolute path in the image.
	Dirs map[string]string
	// Mkdirs are empty folders that User may write to.
	Mkdirs []string
}

// check says what is wrong with a spec.
func (s Spec) check() error {
	switch {
	case len(s.Binaries) == 0:
		return errors.New("an image needs a binary for at least one platform")
	case len(s.Entry) == 0 || !path.IsAbs(s.Entry[0]):
		return fmt.Errorf("entry %q must begin with an absolute path", strings.Join(s.Entry, " "))
	}
	for _, dir := range slices.Concat(slices.Collect(maps.Values(s.Dirs)), s.Mkdirs) {
		if !path.IsAbs(dir) {
			return fmt.Errorf("folder %q must be an absolute path", dir)
		}
	}
	if _, err := tagOf(s.Name); err != nil {
		return err
	}
	_, _, err := owner(s.User)
	return err
}

// tagOf is the tag of a full name.
func tagOf(name string) (string, error) {
	at := strings.LastIndex(name, ":")
	if at < 0 || strings.Contains(name[at:], "/") || !strings.Contains(name[:at], "/") || at == len(name)-1 {
		return "", fmt.Errorf("name %q must look like example.local/name:tag", name)
	}
	return name[at+1:], nil
}

// Build makes one image for each platform and the index over them.
func Build(spec Spec) (v1.ImageIndex, error) {
	if err := spec.check(); err != nil {
		return nil, fmt.Errorf("cannot build image %q: %w", spec.Name, err)
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, name := range slices.Sorted(maps.Keys(spec.Binaries)) {
		platform, err := parsePlatform(name)
		if err != nil {
			return nil, fmt.Errorf("cannot build image %q: %w", spec.Name, err)
		}
		image, err := buildOne(spec, platform, spec.Binaries[name])
		if err != nil {
			return nil, fmt.Errorf("cannot build image %q for %s: %w", spec.Name, name, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: platform},
		})
	}
	return index, nil
}

// parsePlatform reads os/architecture or os/architecture/variant.
func parsePlatform(name string) (*v1.Platform, error) {
	parts := strings.Split(name, "/")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return nil, fmt.Errorf("platform %q must look like linux/amd64 or linux/arm/v7", name)
	}
	platform := &v1.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		platform.Variant = parts[2]
	}
	return platform, nil
}

// buildOne makes the image for one platform.
func buildOne(spec Spec, platform *v1.Platform, binary string) (v1.Image, error) {
	content, err := layer(spec, platform, binary)
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.ConfigFile(base, &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant,
		RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Entrypoint: spec.Entry, Cmd: spec.Command, User: spec.User, Env: spec.Env, Labels: spec.Labels, WorkingDir: "/",
		},
	})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(image, content)
}
