package containerd

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"holdfast/edge"
)

// checkImages holds what a survey found against itself: every document reads,
// everything an image of this platform needs is there and undamaged. It returns
// the platforms of the images that are not for this machine.
func (f *contents) checkImages() (foreign []ocispec.Platform, err error) {
	_, layout := f.entries["oci-layout"]
	_, docker := f.entries["manifest.json"]
	var fits bool
	switch {
	case layout:
		fits, foreign, err = f.checkLayout()
	case docker:
		fits, foreign, err = f.checkDocker()
	default:
		return nil, fmt.Errorf("archive holds no image: neither oci-layout nor manifest.json is in it: %w", edge.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	if !fits {
		return nil, wrongPlatform(foreign)
	}
	return foreign, nil
}

func (f *contents) checkLayout() (fits bool, foreign []ocispec.Platform, err error) {
	var layout ocispec.ImageLayout
	if err := f.decode("oci-layout", &layout); err != nil {
		return false, nil, err
	}
	if layout.Version != ocispec.ImageLayoutVersion {
		return false, nil, fmt.Errorf("archive is an OCI layout of version %q, only %s can be read: %w", layout.Version, ocispec.ImageLayoutVersion, edge.ErrInvalid)
	}
	var index ocispec.Index
	if err := f.decode(ocispec.ImageIndexFile, &index); err != nil {
		return false, nil, err
	}
	if len(index.Manifests) == 0 {
		return false, nil, fmt.Errorf("archive holds no image: its index is empty: %w", edge.ErrInvalid)
	}
	for _, desc := range index.Manifests {
		suits, others, err := f.checkTree(desc, 0)
		if err != nil {
			return false, nil, err
		}
		fits = fits || suits
		foreign = append(foreign, others...)
	}
	return fits, foreign, nil
}

// checkTree looks at an index or manifest and what it needs. Content for other
// platforms may be absent: an exporter may have left it out.
func (f *contents) checkTree(desc ocispec.Descriptor, depth int) (fits bool, foreign []ocispec.Platform, err error) {
	const deepest = 4 // an index of indexes is rare, deeper ones unknown
	if depth > deepest {
		return false, nil, fmt.Errorf("archive nests indexes more than %d deep: %w", deepest, edge.ErrInvalid)
	}
	if isAttestation(desc) {
		return false, nil, nil
	}
	if desc.Platform != nil && !platforms.Default().Match(*desc.Platform) {
		return false, []ocispec.Platform{*desc.Platform}, nil
	}
	if images.IsManifestType(desc.MediaType) {
		return f.checkManifest(desc)
	}
	if !images.IsIndexType(desc.MediaType) {
		return false, nil, fmt.Errorf("archive holds %q, which is not a container image: %w", desc.MediaType, edge.ErrInvalid)
	}
	var index ocispec.Index
	if err := f.decodeBlob(desc, &index); err != nil {
		return false, nil, err
	}
	for _, child := range index.Manifests {
		suits, others, err := f.checkTree(child, depth+1)
		if err != nil {
			return false, nil, err
		}
		fits = fits || suits
		foreign = append(foreign, others...)
	}
	return fits, foreign, nil
}

// isAttestation knows the manifests that builders add beside images.
func isAttestation(desc ocispec.Descriptor) bool {
	return desc.Platform != nil && desc.Platform.OS == "unknown"
}

func (f *contents) checkManifest(desc ocispec.Descriptor) (fits bool, foreign []ocispec.Platform, err error) {
	var manifest ocispec.Manifest
	if err := f.decodeBlob(desc, &manifest); err != nil {
		return false, nil, err
	}
	if !images.IsConfigType(manifest.Config.MediaType) {
		return false, nil, fmt.Errorf("archive holds an artifact of type %q, which is not a container image: %w", manifest.Config.MediaType, edge.ErrInvalid)
	}
	var config ocispec.Image
	if err := f.decodeBlob(manifest.Config, &config); err != nil {
		return false, nil, err
	}
	if platform := platforms.Normalize(config.Platform); !platforms.Default().Match(platform) {
		return false, []ocispec.Platform{platform}, nil
	}
	if len(manifest.Layers) != len(config.RootFS.DiffIDs) {
		return false, nil, fmt.Errorf("image %s has %d layers but tells of %d: %w", desc.Digest, len(manifest.Layers), len(config.RootFS.DiffIDs), edge.ErrInvalid)
	}
	for _, layer := range manifest.Layers {
		if err := f.checkBlob(layer); err != nil {
			return false, nil, err
		}
	}
	return true, nil, nil
}

// checkDocker reads what "docker save" wrote before it wrote OCI layouts.
func (f *contents) checkDocker() (fits bool, foreign []ocispec.Platform, err error) {
	var manifests []struct {
		Config string
		Layers []string
	}
	if err := f.decode("manifest.json", &manifests); err != nil {
		return false, nil, err
	}
	if len(manifests) == 0 {
		return false, nil, fmt.Errorf("archive holds no image: its manifest is empty: %w", edge.ErrInvalid)
	}
	for _, manifest := range manifests {
		var config ocispec.Image
		if err := f.decode(manifest.Config, &config); err != nil {
			return false, nil, err
		}
		if platform := platforms.Normalize(config.Platform); !platforms.Default().Match(platform) {
			foreign = append(foreign, platform)
			continue
		}
		for _, layer := range manifest.Layers {
			if _, ok := f.at(layer); !ok {
				return false, nil, fmt.Errorf("archive is incomplete, layer %q is missing: %w", layer, edge.ErrInvalid)
			}
		}
		fits = true
	}
	return fits, foreign, nil
}

// checkBlob holds a blob of a layout against its descriptor.
func (f *contents) checkBlob(desc ocispec.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("archive names a blob by %q: %w", desc.Digest, edge.ErrInvalid)
	}
	found, ok := f.at(blobName(desc.Digest))
	if !ok {
		return fmt.Errorf("archive is incomplete, blob %s is missing: %w", desc.Digest, edge.ErrInvalid)
	}
	if found.size != desc.Size || desc.Digest.Algorithm() == digest.Canonical && found.digest != desc.Digest {
		return fmt.Errorf("archive is damaged, blob %s is not what its name says: %w", desc.Digest, edge.ErrInvalid)
	}
	return nil
}

func (f *contents) decodeBlob(desc ocispec.Descriptor, into any) error {
	if err := f.checkBlob(desc); err != nil {
		return err
	}
	return f.decode(blobName(desc.Digest), into)
}

func (f *contents) decode(name string, into any) error {
	name = path.Clean(name)
	found, ok := f.entries[name]
	if !ok {
		return fmt.Errorf("archive is incomplete, %q is missing: %w", name, edge.ErrInvalid)
	}
	text, ok := f.docs[name]
	if !ok {
		return fmt.Errorf("%q of the archive is no JSON document, or at %d bytes too large for one: %w", name, found.size, edge.ErrInvalid)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("cannot decode %q of the archive: %w: %w", name, err, edge.ErrInvalid)
	}
	return nil
}

// namesOf lists the names a descriptor of a layout's index bears: containerd's
// full one, else the specification's, which may be no more than a tag.
func namesOf(desc ocispec.Descriptor) []string {
	names := []string{desc.Digest.String()}
	for _, key := range []string{images.AnnotationImageName, ocispec.AnnotationRefName} {
		if name := strings.TrimSpace(desc.Annotations[key]); name != "" {
			return append(names, name)
		}
	}
	return slices.Clip(names)
}
