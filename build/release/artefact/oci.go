package artefact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// versionLabel is where images say their version.
const versionLabel = "org.opencontainers.image.version"

// Image reads what is in an archive of a multi-platform image for each platform; program is
// where each keeps the one that is looked at. The sums by which its parts name each other
// are held against what they name.
func Image(file, program string) (map[string]Said, error) {
	parts, err := tarParts(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read image %q: %w", file, err)
	}
	said, err := parts.image(strings.TrimPrefix(program, "/"))
	if err != nil {
		return nil, fmt.Errorf("cannot read image %q: %w", file, err)
	}
	return said, nil
}

// layout is an OCI image layout, by the names of its files.
type layout map[string][]byte

func tarParts(file string) (layout, error) {
	opened, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	parts := layout{}
	for archive := tar.NewReader(opened); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return nil, err
		}
		if parts[header.Name], err = io.ReadAll(archive); err != nil {
			return nil, err
		}
	}
}

// descriptor names a part by its sum.
type descriptor struct {
	Digest   string `json:"digest"`
	Platform struct {
		OS      string `json:"os"`
		Arch    string `json:"architecture"`
		Variant string `json:"variant"`
	} `json:"platform"`
}

func (d descriptor) platform() string {
	return strings.TrimSuffix(d.Platform.OS+"/"+d.Platform.Arch+"/"+d.Platform.Variant, "/")
}

// blob is a part, which has to have the sum it is named by.
func (l layout) blob(d descriptor) ([]byte, error) {
	sum, _ := strings.CutPrefix(d.Digest, "sha256:")
	content, there := l["blobs/sha256/"+sum]
	if !there {
		return nil, fmt.Errorf("its part %s is missing: %w", d.Digest, errForm)
	}
	if is, err := sumOf(bytes.NewReader(content)); err != nil || is != sum {
		return nil, fmt.Errorf("its part %s has the sum %s: %w", d.Digest, is, errForm)
	}
	return content, nil
}

func (l layout) decode(d descriptor, into any) error {
	content, err := l.blob(d)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

func (l layout) image(program string) (map[string]Said, error) {
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(l["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		return nil, fmt.Errorf("its index names not one image: %w", errors.Join(errForm, err))
	}
	if err := l.decode(index.Manifests[0], &index); err != nil {
		return nil, err
	}
	said := map[string]Said{}
	for _, manifest := range index.Manifests {
		one, err := l.one(manifest, program)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", manifest.platform(), err)
		}
		said[manifest.platform()] = one
	}
	return said, nil
}

// one is what the image says for one platform.
func (l layout) one(d descriptor, program string) (Said, error) {
	var manifest struct {
		Config descriptor   `json:"config"`
		Layers []descriptor `json:"layers"`
	}
	if err := l.decode(d, &manifest); err != nil {
		return Said{}, err
	}
	var config struct {
		Arch   string `json:"architecture"`
		Config struct{ Labels map[string]string }
	}
	if err := l.decode(manifest.Config, &config); err != nil {
		return Said{}, err
	}
	said := Said{Version: config.Config.Labels[versionLabel], Arch: config.Arch}
	for _, layer := range manifest.Layers {
		content, err := l.blob(layer)
		if err != nil {
			return Said{}, err
		}
		if said.Program, err = programIn(content, program); err != nil {
			return Said{}, err
		}
	}
	return said, nil
}

// programIn is the sum of a program in a layer, packed or not.
func programIn(content []byte, program string) (string, error) {
	var from io.Reader = bytes.NewReader(content)
	if bytes.HasPrefix(content, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(from)
		if err != nil {
			return "", err
		}
		from = unzipped
	}
	found, err := find(tar.NewReader(from), program)
	if err != nil {
		return "", err
	}
	return sumOf(bytes.NewReader(found))
}
